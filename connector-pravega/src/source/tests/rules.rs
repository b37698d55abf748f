//! Stops, truncation, watermarks and the seal of a stream.

use std::path::Path;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::id::{AttemptId, CheckpointId, ReaderId, RunId, SplitId};
use connector_api::source::{ReaderCommand, ReaderContext, ReaderEvent, Source};
use segment_store::client::StoreClient;
use segment_store::{KeyRange, SegmentId, SegmentName, StreamCut, WriterId};
use testkit::drive::{Drive, DriveError};
use testkit::fs::SimFs;
use testkit::{TestBatch, drive, sim};

use crate::source::*;
use crate::stream::{DIR, STREAM, append, name, opened, small};

type Reader = Drive<PravegaSegments>;

/// Each event takes 8 bytes and its header.
const EVENT: u64 = 16;

fn options() -> SourceOptions {
    SourceOptions { read_size: ByteSize(40), ..SourceOptions::stream(DIR, STREAM) }
}

fn reader(env: &Environment, options: &SourceOptions) -> Reader {
    let source = PravegaSource::new(options, Path::new("/")).unwrap().kept_as(small());
    let attempt = AttemptId { run: RunId(1), number: 1 };
    drive(
        source
            .reader(ReaderContext { env: env.clone(), reader: ReaderId(0), parallelism: 1, attempt })
            .unwrap(),
    )
}

fn split(id: SegmentId, offset: u64, end: Option<u64>) -> PravegaSplit {
    PravegaSplit { stream: name(), segment: id, number: 0, offset, end }
}

async fn fill(client: &dyn StoreClient, env: &Environment, id: SegmentId, from: u32, rows: u32) {
    let texts = (from..from + rows).map(|n| format!("{n:08}"));
    append(client, env, SegmentName::new(name(), id), texts.collect::<Vec<_>>()).await.unwrap();
}

/// Events of the reader until nothing comes for a while: rows, watermarks and the end.
async fn all(reader: &mut Reader) -> Result<(Vec<String>, Vec<i64>, bool), DriveError> {
    let (mut rows, mut watermarks, mut is_finished) = (Vec::new(), Vec::new(), false);
    while let Some(event) = reader.next_within(Duration::from_secs(2)).await? {
        match event {
            ReaderEvent::Batch { batch, .. } => rows.extend(batch.rows.texts().unwrap()),
            ReaderEvent::Watermark { millis, .. } => watermarks.push(millis),
            ReaderEvent::SplitFinished(_) => is_finished = true,
            _ => {}
        }
    }
    Ok((rows, watermarks, is_finished))
}

const FIRST: SegmentId = SegmentId::new(0, 0);

#[test]
fn a_split_ends_at_its_stop_and_at_the_end_of_a_sealed_segment_and_nowhere_else() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let client = opened(&env, 1).await.unwrap();
        fill(&*client, &env, FIRST, 0, 10).await;
        for (end, rows, finishes) in [(Some(3 * EVENT), 3, true), (Some(0), 0, true), (None, 10, false)] {
            let mut reader = reader(&env, &options());
            reader.add([split(FIRST, 0, end)]).unwrap();
            let (found, _, is_finished) = all(&mut reader).await.unwrap();
            assert_eq!((found.len(), is_finished), (rows, finishes), "{end:?}");
        }
        client.scale(&name(), &[FIRST], &KeyRange::even(2)).await.unwrap();
        let mut reader = reader(&env, &options());
        reader.add([split(FIRST, 2 * EVENT, None)]).unwrap();
        let (found, _, is_finished) = all(&mut reader).await.unwrap();
        assert_eq!((found.len(), found[0].as_str(), is_finished), (8, "00000002", true));
    });
}

#[test]
fn a_stop_within_an_event_is_an_error_that_names_the_place() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let client = opened(&env, 1).await.unwrap();
        fill(&*client, &env, FIRST, 0, 3).await;
        let mut reader = reader(&env, &options());
        reader.add([split(FIRST, 0, Some(EVENT + 3))]).unwrap();
        let error = loop {
            match reader.next().await {
                Ok(_) => {}
                Err(DriveError::Reader(error)) => break error.to_string(),
                Err(other) => panic!("{other:?}"),
            }
        };
        assert!(error.contains("test/rows/0.#epoch.0") && error.contains("at offset 16"), "{error}");
    });
}

#[test]
fn truncated_data_is_an_error_or_is_skipped_to_what_is_left() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let client = opened(&env, 1).await.unwrap();
        fill(&*client, &env, FIRST, 0, 10).await;
        client.truncate(&name(), &StreamCut([(FIRST, 4 * EVENT)].into())).await.unwrap();
        let mut failing = reader(&env, &options());
        failing.add([split(FIRST, EVENT, None)]).unwrap();
        let error = match all(&mut failing).await {
            Err(DriveError::Reader(error)) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(
            error.contains("test/rows/0.#epoch.0 at offset 16") && error.contains("truncated"),
            "{error}"
        );
        let skip = SourceOptions { on_truncated: OnTruncated::Skip, ..options() };
        let mut skipping = reader(&env, &skip);
        skipping.add([split(FIRST, EVENT, None)]).unwrap();
        let (found, _, _) = all(&mut skipping).await.unwrap();
        assert_eq!((found.len(), found[0].as_str()), (6, "00000004"));
        // What is left may begin behind the stop.
        let mut beyond = reader(&env, &skip);
        beyond.add([split(FIRST, EVENT, Some(2 * EVENT))]).unwrap();
        let (found, _, is_finished) = all(&mut beyond).await.unwrap();
        assert!(found.is_empty() && is_finished);
    });
}

#[test]
fn a_watermark_comes_when_a_mark_is_passed_and_not_before() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let client = opened(&env, 1).await.unwrap();
        fill(&*client, &env, FIRST, 0, 4).await;
        let mark = async |millis, cut: &StreamCut| {
            client.note_time(&name(), WriterId(1), millis, cut).await.unwrap();
        };
        mark(1_000, &StreamCut([(FIRST, 2 * EVENT)].into())).await;
        mark(2_000, &StreamCut([(FIRST, 4 * EVENT)].into())).await;
        let mut part = reader(&env, &options());
        part.add([split(FIRST, 0, Some(3 * EVENT))]).unwrap();
        assert_eq!(all(&mut part).await.unwrap().1, [999], "the second mark is not passed");
        let mut whole = reader(&env, &options());
        whole.add([split(FIRST, 0, None)]).unwrap();
        assert_eq!(all(&mut whole).await.unwrap().1, [999, 1_999]);
        // A later segment is behind the cuts of its predecessors, an earlier one before those of its successors.
        let made = client.scale(&name(), &[FIRST], &KeyRange::even(2)).await.unwrap();
        let mut later = reader(&env, &options());
        later.add([split(made[1].0, 0, None)]).unwrap();
        assert_eq!(all(&mut later).await.unwrap().1, [1_999]);
        mark(3_000, &StreamCut(made.iter().map(|(id, _)| (*id, 0)).collect())).await;
        let mut earlier = reader(&env, &options());
        earlier.add([split(FIRST, 3 * EVENT, None)]).unwrap();
        assert_eq!(all(&mut earlier).await.unwrap().1, [1_999]);
        let mut at_once = reader(&env, &options());
        at_once.add([split(made[0].0, 0, None)]).unwrap();
        assert_eq!(all(&mut at_once).await.unwrap().1, [2_999]);
        // What is said while nothing comes is heard.
        mark(4_000, &StreamCut(made.iter().map(|(id, _)| (*id, 0)).collect())).await;
        assert_eq!(all(&mut at_once).await.unwrap().1, [3_999]);
    });
}

#[test]
fn an_event_larger_than_a_read_is_read_whole() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let client = opened(&env, 1).await.unwrap();
        let large = "x".repeat(1000);
        let texts = ["a".to_owned(), large.clone(), "b".to_owned()];
        append(&*client, &env, SegmentName::new(name(), FIRST), texts.clone()).await.unwrap();
        for size in [1, 7, 8, 9, 40, 2000] {
            let mut reader = reader(&env, &SourceOptions { read_size: ByteSize(size), ..options() });
            reader.add([split(FIRST, 0, None)]).unwrap();
            assert_eq!(all(&mut reader).await.unwrap().0, texts, "read in {size} bytes");
        }
    });
}

#[test]
fn a_finished_segment_stays_in_snapshots_until_the_enumerator_confirms_it() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let client = opened(&env, 1).await.unwrap();
        fill(&*client, &env, FIRST, 0, 2).await;
        let mut reader = reader(&env, &options());
        reader.add([split(FIRST, 0, Some(2 * EVENT))]).unwrap();
        assert!(all(&mut reader).await.unwrap().2);
        for _ in 0..3 {
            assert_eq!(reader.snapshot(0).unwrap(), [split(FIRST, 2 * EVENT, Some(2 * EVENT))]);
            reader.handle(ReaderCommand::CheckpointComplete(CheckpointId(1000))).unwrap();
        }
        let id = SplitId::new(SegmentName::new(name(), FIRST).to_string());
        reader.handle(ReaderCommand::EnumeratorEvent(keeping::confirmation(&id))).unwrap();
        assert!(reader.snapshot(0).unwrap().is_empty());
    });
}
