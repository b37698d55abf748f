//! How fast this disk takes durable appends.

use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use segment_store::client::StoreClient;
use segment_store::{EventWriter, Store, StoreOptions, StreamName, WriterId, WriterOptions, routing};
use serde_json::json;

use super::args::BenchArgs;
use super::failed;
use crate::failure::Failure;
use crate::output;

/// Events that are appended one at a time, each waiting for its acknowledgement.
const ONE_BY_ONE: i64 = 2_000;

pub(super) async fn bench(env: &Environment, args: &BenchArgs) -> Result<(), Failure> {
    let dir = args.store.dir.join(format!("bench-{}", std::process::id()));
    let measured = measure(env, args, &dir).await;
    let removed = std::fs::remove_dir_all(&dir);
    let (events, blocks, latencies) = measured.map_err(failed)?;
    removed.map_err(|e| Failure::Surroundings(format!("{}: {e}", dir.display())))?;
    let seconds = blocks.as_secs_f64();
    let per_second = events as f64 / seconds;
    let mebibytes = per_second * args.size as f64 / f64::from(1 << 20);
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    if args.store.json {
        return super::json(&json!({
            "events": events, "seconds": seconds, "events_per_second": per_second, "mib_per_second": mebibytes,
            "p50_us": at(0.5), "p99_us": at(0.99),
        }));
    }
    output::line(&format!(
        "in blocks: {per_second:.0} events/s, {mebibytes:.0} MiB/s ({events} events of {} bytes, {} writers, {} segments)",
        args.size, args.writers, args.segments
    ));
    output::line(&format!("one at a time: p50 {:.0} us, p99 {:.0} us", at(0.5), at(0.99)));
    Ok(())
}

/// The events in blocks and how long they took; how long each single one took, in order.
async fn measure(
    env: &Environment,
    args: &BenchArgs,
    dir: &std::path::Path,
) -> segment_store::Result<(i64, Duration, Vec<Duration>)> {
    let store = Store::open(env.clone(), dir, StoreOptions::default()).await?;
    let stream = StreamName::new("bench", "events")?;
    store.create_scope("bench").await?;
    store.create_stream(&stream, args.segments).await?;
    // The empty files of the log are made ahead of their use.
    store.upkeep().await?;
    let writers = i64::from(args.writers.max(1));
    let each = (args.mebibytes * (1 << 20)) as i64 / args.size.max(1) as i64 / writers;
    let started = env.clock.monotonic();
    let mut tasks = Vec::new();
    for n in 0..writers {
        let (client, env, stream, size) = (Arc::new(store.clone()), env.clone(), stream.clone(), args.size);
        tasks.push(tokio::spawn(async move {
            let id = WriterId::named(&format!("writer-{n}"));
            let mut writer = EventWriter::open(client, env, stream, id, WriterOptions::default()).await?;
            let event = vec![b'x'; size];
            for number in 0..each {
                writer.push(number, routing::spread(number as u64), &event)?;
                if number % 500 == 0 {
                    writer.ready().await?;
                }
            }
            writer.flush().await
        }));
    }
    for task in tasks {
        task.await.unwrap_or(Err(segment_store::Error::Closed))?;
    }
    let blocks = env.clock.monotonic() - started;
    let options = WriterOptions::default();
    let (client, id) = (Arc::new(store.clone()), WriterId::named("single"));
    let mut writer = EventWriter::open(client, env.clone(), stream, id, options).await?;
    let event = vec![b'x'; args.size];
    let mut latencies = Vec::new();
    for number in 0..ONE_BY_ONE {
        let started = env.clock.monotonic();
        writer.write(number, 0.5, &event).await?;
        writer.flush().await?;
        latencies.push(env.clock.monotonic() - started);
    }
    latencies.sort_unstable();
    store.close().await?;
    Ok((each * writers, blocks, latencies))
}
