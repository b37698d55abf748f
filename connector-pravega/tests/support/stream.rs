//! A stream in a small store that the connector shares.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::{Error, Result};
use segment_store::client::StoreClient;
use segment_store::{Appended, SegmentName, StoreOptions, StreamName, WriterId, event};

pub(crate) const DIR: &str = "/store";
pub(crate) const STREAM: &str = "test/rows";

/// Small, so that files fill and are recycled.
pub(crate) fn small() -> StoreOptions {
    StoreOptions {
        log_file_size: 64 * 1024,
        log_files: 2,
        spare_files: 1,
        frame_size: 8 * 1024,
        tail_cache: 16 * 1024,
        snapshot_every: 100_000,
        ..StoreOptions::default()
    }
}

pub(crate) fn failed(error: segment_store::Error) -> Error {
    Error::data("the test's store", None, error.to_string())
}

pub(crate) fn name() -> StreamName {
    STREAM.parse().expect("a name")
}

/// The stream in the store; made with so many segments where it is missing.
pub(crate) async fn opened(env: &Environment, segments: u32) -> Result<Arc<dyn StoreClient>> {
    let client = connector_pravega::shared_store(env, Path::new(DIR), small()).await?;
    if client.stream(&name()).await.is_err() {
        drop(client.create_scope("test").await);
        client.create_stream(&name(), segments).await.map_err(failed)?;
    }
    Ok(client)
}

/// Appends events to a segment.
pub(crate) async fn append(
    client: &dyn StoreClient,
    env: &Environment,
    segment: SegmentName,
    texts: impl IntoIterator<Item = String>,
) -> Result<()> {
    for text in texts {
        let mut bytes = Vec::new();
        event::push(&mut bytes, text.as_bytes()).map_err(failed)?;
        let writer = WriterId(u128::from(env.random.next_u64()));
        let append = Appended {
            writer,
            event: 0,
            previous: None,
            events: 1,
            at: None,
            bytes: Bytes::from(bytes).into(),
        };
        let ack = client.append(&segment, append).await.map_err(failed)?;
        ack.durable().await.map_err(failed)?;
    }
    Ok(())
}

/// All events of the stream, segment by segment, oldest first.
pub(crate) async fn events(client: &dyn StoreClient) -> Result<Vec<String>> {
    let head = client.stream(&name()).await.map_err(failed)?.head;
    let mut all = Vec::new();
    for part in client.segments_between(&name(), &head, None).await.map_err(failed)? {
        let segment = SegmentName::new(name(), part.id);
        let (mut at, mut bytes) = (part.start, Vec::new());
        loop {
            let read = client.read(&segment, at, 1 << 20, Duration::ZERO).await.map_err(failed)?;
            if read.bytes.is_empty() {
                break;
            }
            at += read.bytes.len() as u64;
            bytes.extend_from_slice(&read.bytes);
        }
        for range in event::parse(&bytes) {
            all.push(String::from_utf8_lossy(&bytes[range.map_err(failed)?]).into_owned());
        }
    }
    Ok(all)
}
