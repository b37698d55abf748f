//! The first rows of an input, to look at.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use connector_api::Result;
use connector_api::env::Environment;
use connector_base::reader::{Fetched, SplitReader, SplitReaderFactory};

use super::config::SourceConfig;
use super::reader::FileSplits;
use super::split::{RelativePath, cut};
use crate::bad::{BadRecords, OnBadRecord};
use crate::format::FileBatch;

/// The first rows of the files, in the order of their paths: `max_rows`, or all there are.
pub(super) async fn sample<B: FileBatch>(
    config: Arc<SourceConfig>,
    env: &Environment,
    max_rows: usize,
) -> Result<Vec<B>> {
    let (listed, job_env) = (Arc::clone(&config), env.clone());
    let list = move || listed.place.list(&listed.selection, &job_env, false, &AtomicBool::new(false));
    let found = env.blocking("list files", list).await?;
    let of_file = Arc::clone(&config);
    let size = |path: &RelativePath| of_file.read.split_size(path.as_path(), of_file.split_size);
    // A look at the input leaves no dead letters behind.
    let policy = match config.on_bad_record {
        OnBadRecord::Fail => OnBadRecord::Fail,
        OnBadRecord::Skip | OnBadRecord::DeadLetter(_) => OnBadRecord::Skip,
    };
    let bad = BadRecords::new(policy, env.clone(), "file", "sample");
    let files = FileSplits::<B>::with(config, env.clone(), bad);
    let (mut batches, mut missing) = (Vec::new(), max_rows);
    for split in found.iter().flat_map(|found| cut(&found.path, found.file, size(&found.path), 0)) {
        if missing == 0 {
            break;
        }
        let mut reader = files.open(&split).await?;
        while missing > 0 {
            match reader.fetch().await? {
                None | Some(Fetched::Idle) => break,
                Some(Fetched::Position(_) | Fetched::Watermark(_)) => {}
                Some(Fetched::Rows { mut batch, .. }) => {
                    let front = batch.rows.take_front(missing);
                    missing -= front.rows();
                    batches.push(front);
                }
            }
        }
    }
    Ok(batches)
}
