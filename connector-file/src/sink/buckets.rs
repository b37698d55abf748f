//! Which bucket a record goes to.

use std::sync::Arc;

use connector_api::Batch;
use connector_api::Result;

use crate::format::FileBatch;

/// Deals the records of a batch to buckets. Without options there is one bucket: the base directory itself.
#[derive(Debug, Default)]
pub(crate) struct Buckets;

impl Buckets {
    /// The parts of a batch with the bucket of each, in no particular order; the records of a bucket keep theirs.
    pub(crate) fn deal<B: FileBatch>(&self, batch: Batch<B>) -> Result<Vec<(Arc<str>, Batch<B>)>> {
        Ok(vec![("".into(), batch)])
    }
}
