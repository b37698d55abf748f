//! What rows are, pause and resume, offsets out of range, offsets of the group.

use std::time::Duration;

use connector_api::id::SplitId;
use connector_api::source::ReaderCommand;
use connector_kafka::source::{
    HEADERS, LEADER_EPOCH, OnOutOfRange, SourceOptions, TIMESTAMP, TIMESTAMP_TYPE,
};

use super::Test;
use super::broker::{address, block_on, committed, create, produce, produce_full, truncate};
use super::host::{Host, texts};

pub(crate) const TESTS: &[Test] = &[
    ("rows_carry_all_that_a_record_has", || block_on(columns())),
    ("any_prefix_of_a_batch_is_a_position", || block_on(positions())),
    ("a_paused_partition_is_silent_and_goes_on_without_loss_or_repetition", || block_on(pause())),
    ("a_removed_split_can_be_added_again", || block_on(again())),
    ("an_offset_out_of_range_fails_and_names_it", || block_on(out_of_range())),
    ("an_offset_out_of_range_is_reset_when_the_user_says_so", || block_on(reset())),
    ("the_group_sees_what_completed_checkpoints_hold", || block_on(group())),
];

fn options(topic: &str) -> SourceOptions {
    SourceOptions::topics(address(), [topic])
}

async fn columns() {
    create("columns", 1).await;
    produce_full("columns");
    let mut host = Host::start(&options("columns"), 1);
    host.until_rows(3).await;
    let rows: Vec<_> =
        host.batches.iter().flat_map(|batch| (0..batch.iter().len()).map(move |i| (batch, i))).collect();
    let get = |row: usize| rows[row].0.get(rows[row].1);
    assert_eq!((get(0).key, get(0).value), (None, Some(&b"plain"[..])));
    assert_eq!((get(1).key, get(1).value), (Some(&b"k"[..]), Some(&b"full"[..])));
    assert_eq!((get(2).key, get(2).value), (Some(&b"k"[..]), None));
    for (row, (batch, index)) in rows.iter().enumerate() {
        assert_eq!(batch.integer(TIMESTAMP, *index), Some(7 + row as i64));
        assert_eq!(batch.text(TIMESTAMP_TYPE, *index), Some("CreateTime"));
        assert_eq!(batch.integer(LEADER_EPOCH, *index), Some(0));
        let headers: Vec<_> = batch.headers(*index).map(|header| (header.name, header.value)).collect();
        let wanted: &[_] = if row == 1 { &[("trace", Some(&b"a"[..])), ("trace", None)] } else { &[] };
        assert_eq!(headers, wanted, "{HEADERS} of row {row}");
    }
    host.close().await;
}

async fn positions() {
    create("prefixes", 1).await;
    produce("prefixes", 0, "a", 0..100);
    let mut host = Host::start(&options("prefixes"), 1);
    host.until(|host| host.rows.len() == 100).await;
    let rows = host.batches.last().unwrap().iter().len();
    for unemitted in [0, 1, rows / 2, rows] {
        let reader = host.readers[0].as_mut().unwrap();
        let id = connector_api::id::CheckpointId(unemitted as u64 + 1);
        let splits = connector_api::source::SourceReader::snapshot(reader, id, unemitted).unwrap();
        assert_eq!(splits[0].next.unwrap_or(0), 100 - unemitted as i64);
    }
    host.close().await;
}

async fn pause() {
    create("paused", 2).await;
    produce("paused", 0, "a", 0..20_000);
    produce("paused", 1, "b", 0..10);
    let mut host = Host::start(&options("paused"), 1);
    host.until(|host| host.rows.iter().any(|row| row.text.starts_with('a'))).await;
    let id = vec![SplitId::new("paused:0")];
    for round in 0..5 {
        host.tell(&ReaderCommand::Pause(id.clone()));
        produce("paused", 1, "b", 10 + round..11 + round);
        let wanted = 11 + round as usize;
        host.until(|host| host.rows.iter().filter(|row| row.text.starts_with('b')).count() == wanted).await;
        host.quiet(Duration::from_millis(300)).await;
        host.tell(&ReaderCommand::Resume(id.clone()));
        let before = host.rows.len();
        host.until(|host| host.rows.len() == 20_000 + wanted || host.rows.len() > before).await;
    }
    host.until_rows(20_015).await;
    let offsets: Vec<_> =
        host.rows.iter().filter(|row| row.split == "paused:0").map(|row| row.offset).collect();
    assert_eq!(offsets, (0..20_000).collect::<Vec<_>>());
    host.close().await;
}

async fn again() {
    create("again", 1).await;
    produce("again", 0, "a", 0..10);
    let mut host = Host::start(&options("again"), 1);
    host.until_rows(10).await;
    for _ in 0..3 {
        let mut split = host.snapshot(1).splits[0].clone();
        split.next = Some(5);
        host.rows.clear();
        host.tell(&ReaderCommand::RemoveSplits(vec![SplitId::new("again:0")]));
        host.tell(&ReaderCommand::AddSplits(vec![split]));
        host.until_rows(5).await;
        assert_eq!(host.texts(), texts("a", 5..10));
    }
    host.close().await;
}

async fn out_of_range() {
    create("cut", 1).await;
    produce("cut", 0, "a", 0..10);
    let mut host = Host::start(&options("cut"), 1);
    host.until_rows(10).await;
    let mut checkpoint = host.snapshot(1);
    host.close().await;
    checkpoint.splits[0].next = Some(4);
    truncate("cut", 0, 7).await;
    let error = Host::again(&options("cut"), 1, checkpoint.clone()).error().await;
    let text = error.to_string();
    assert!(text.contains("cut:0") && text.contains("offset 4") && text.contains("7 to 10"), "{text}");
    assert!(!error.is_retryable());
    // Behind the end, as after a topic was made anew.
    checkpoint.splits[0].next = Some(99);
    let text = Host::again(&options("cut"), 1, checkpoint).error().await.to_string();
    assert!(text.contains("offset 99"), "{text}");
}

async fn reset() {
    create("reset", 1).await;
    produce("reset", 0, "a", 0..10);
    let mut host = Host::start(&options("reset"), 1);
    host.until_rows(10).await;
    let mut checkpoint = host.snapshot(1);
    host.close().await;
    checkpoint.splits[0].next = Some(4);
    truncate("reset", 0, 7).await;
    let with = |on_offset_out_of_range| SourceOptions { on_offset_out_of_range, ..options("reset") };
    let mut host = Host::again(&with(OnOutOfRange::Earliest), 1, checkpoint.clone());
    host.until_rows(3).await;
    assert_eq!(host.texts(), texts("a", 7..10));
    host.close().await;
    let mut host = Host::again(&with(OnOutOfRange::Latest), 1, checkpoint);
    host.quiet(Duration::from_secs(1)).await;
    produce("reset", 0, "b", 0..1);
    host.until_rows(1).await;
    assert_eq!(host.texts(), ["b0"]);
    host.close().await;
}

async fn group() {
    create("seen", 1).await;
    produce("seen", 0, "a", 0..10);
    let options = SourceOptions { group_id: Some("watchers".into()), ..options("seen") };
    let mut host = Host::start(&options, 1);
    host.until_rows(10).await;
    host.snapshot(1);
    produce("seen", 0, "a", 10..15);
    host.until_rows(15).await;
    host.quiet(Duration::from_millis(500)).await;
    assert_eq!(committed("watchers", "seen", 0), None);
    host.complete(1);
    for _ in 0..100 {
        host.quiet(Duration::from_millis(100)).await;
        if committed("watchers", "seen", 0).is_some() {
            break;
        }
    }
    // What the checkpoint holds, not what was read since.
    assert_eq!(committed("watchers", "seen", 0), Some(10));
    host.close().await;
}
