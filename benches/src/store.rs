//! A segment store to measure, and the bare program that it is measured against.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use connector_runtime::local;
use segment_store::client::StoreClient;
use segment_store::{EventWriter, Store, StoreOptions, StreamName, WriterId, WriterOptions, routing};

use crate::Result;

/// A runtime for a store.
///
/// # Errors
///
/// The system's.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
}

/// Events between two looks at whether the store keeps up.
const BATCH: u64 = 500;

/// The one stream of the store.
pub fn stream() -> StreamName {
    StreamName { scope: "bench".into(), stream: "events".into() }
}

/// A new store with one stream, whose files are made ahead, as those of a store that has been in use for a while are.
///
/// # Errors
///
/// The store's.
pub async fn made(dir: &Path, segments: u32, options: StoreOptions) -> Result<(Environment, Store)> {
    let env = local::environment();
    let made = async {
        let store = Store::open(env.clone(), dir, options.clone()).await?;
        store.create_scope("bench").await?;
        store.create_stream(&stream(), segments).await?;
        store.upkeep().await?;
        store.close().await?;
        // The files are there, and none is made in addition while it is measured.
        Store::open(env.clone(), dir, StoreOptions { spare_files: 1, ..options }).await
    };
    let store = made.await.map_err(|e| e.to_string())?;
    Ok((env, store))
}

/// Options under which a run of `bytes` needs no file that was not made ahead.
pub fn prepared(bytes: u64) -> StoreOptions {
    let files = (bytes * 5 / 4 / (64 << 20)) as usize + 2;
    StoreOptions { spare_files: files, log_files: files + 2, ..StoreOptions::default() }
}

/// Appends events in blocks, by so many writers at once, until all are durable.
///
/// # Errors
///
/// The store's.
pub async fn append(env: &Environment, store: &Store, writers: u32, size: usize, events: u64) -> Result {
    let mut tasks = Vec::new();
    for n in 0..writers {
        let (env, client) = (env.clone(), Arc::new(store.clone()));
        tasks.push(tokio::spawn(async move {
            let id = WriterId(u128::from(env.random.next_u64()) | 1 << 127);
            let mut writer = EventWriter::open(client, env, stream(), id, WriterOptions::default()).await?;
            let event = vec![b'x'; size];
            let each = events / u64::from(writers);
            for number in 0..each {
                let position = routing::spread(number * u64::from(writers) + u64::from(n));
                writer.push(number as i64, position, &event)?;
                // As whoever moves batches does.
                if number.is_multiple_of(BATCH) {
                    writer.ready().await?;
                }
            }
            writer.flush().await
        }));
    }
    for task in tasks {
        task.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// A file of zeros, synced.
///
/// # Errors
///
/// The system's.
pub fn zeros(path: &Path, bytes: u64) -> Result<File> {
    let text = |e: std::io::Error| format!("{}: {e}", path.display());
    let file = File::create(path).map_err(text)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..bytes).step_by(zeros.len()) {
        file.write_all_at(&zeros, at).map_err(text)?;
    }
    file.sync_all().map_err(text)?;
    Ok(file)
}

/// The bare program: writes `bytes` into a file of zeros, and syncs after each `batch`.
///
/// # Errors
///
/// The system's.
pub fn bare(file: &File, batch: usize, bytes: u64) -> Result {
    let text = vec![b'x'; batch];
    for at in (0..bytes).step_by(batch) {
        let length = (bytes - at).min(batch as u64) as usize;
        file.write_all_at(&text[..length], at).and_then(|()| file.sync_data()).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// The middle, and the one that 99 of 100 are below, in microseconds.
pub fn percentiles(mut latencies: Vec<Duration>) -> (f64, f64) {
    latencies.sort_unstable();
    let at = |part: f64| {
        let index = (latencies.len().saturating_sub(1) as f64 * part) as usize;
        latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
    };
    (at(0.5), at(0.99))
}
