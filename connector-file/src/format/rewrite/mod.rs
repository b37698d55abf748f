//! Merging parts.

use super::Rewrite;
use crate::sink::WriteOptions;

impl WriteOptions {
    /// How parts of text are merged; none where they are joined byte by byte.
    pub(crate) fn rewrite(&self) -> Option<Box<dyn Rewrite>> {
        None
    }
}
