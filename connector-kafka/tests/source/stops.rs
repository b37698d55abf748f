//! Where reading stops, each way, and that nothing hangs before it.

use std::time::Duration;

use connector_kafka::source::{Ends, Fallback, Isolation, Offsets, SourceOptions};

use super::Test;
use super::broker::{Transaction, address, block_on, commit, create, produce, until_stable};
use super::host::{Host, texts};

pub(crate) const TESTS: &[Test] = &[
    ("a_bounded_source_ends_at_the_ends_of_its_start", || block_on(latest())),
    ("an_empty_topic_ends_at_once", || block_on(empty())),
    ("markers_of_transactions_before_the_stop_hold_nothing_up", || block_on(markers())),
    ("an_open_transaction_is_behind_the_stop_of_read_committed", || block_on(open_transaction())),
    ("stops_by_time_group_and_offset_leave_out_what_lies_behind", || block_on(others())),
    ("a_stop_beyond_the_end_is_waited_for_and_reached_over_markers", || block_on(beyond())),
    ("a_finished_split_is_restored_as_finished", || block_on(finished())),
    ("an_unbounded_source_goes_on_behind_its_stops", || block_on(unbounded())),
];

fn options(topic: &str, stop: Offsets) -> SourceOptions {
    SourceOptions { stop: Some(stop), ..SourceOptions::topics(address(), [topic]) }
}

async fn latest() {
    create("ends", 3).await;
    produce("ends", 0, "a", 0..5);
    produce("ends", 1, "b", 0..5);
    let mut host = Host::start(&options("ends", Offsets::Latest), 2);
    host.until(|host| !host.rows.is_empty()).await;
    // Behind the stop, which was resolved before the first row.
    produce("ends", 0, "late", 0..5);
    produce("ends", 2, "late", 0..5);
    host.until_end().await;
    assert_eq!(host.texts(), [texts("a", 0..5), texts("b", 0..5)].concat());
    host.close().await;
}

async fn empty() {
    create("empty", 2).await;
    // More readers than partitions: each is told the end.
    let mut host = Host::start(&options("empty", Offsets::Latest), 3);
    host.until_end().await;
    assert_eq!((host.rows.len(), host.finished.len()), (0, 2));
    host.close().await;
}

async fn markers() {
    create("markers", 2).await;
    let first = Transaction::begin("markers-1");
    first.send("markers", 0, "a", 0..3);
    first.commit();
    let second = Transaction::begin("markers-2");
    second.send("markers", 0, "aborted", 0..3);
    // Nothing but an aborted transaction.
    second.send("markers", 1, "aborted", 0..3);
    second.abort();
    until_stable("markers", 0, 8).await;
    until_stable("markers", 1, 4).await;
    let mut host = Host::start(&options("markers", Offsets::Latest), 1);
    host.until_end().await;
    assert_eq!(host.texts(), texts("a", 0..3));
    let splits = host.snapshot(1).splits;
    assert_eq!(splits.iter().map(|split| split.next).collect::<Vec<_>>(), [Some(8), Some(4)]);
    host.close().await;
}

async fn open_transaction() {
    create("open", 1).await;
    produce("open", 0, "a", 0..3);
    let open = Transaction::begin("open-1");
    open.send("open", 0, "open", 0..2);
    let mut host = Host::start(&options("open", Offsets::Latest), 1);
    host.until_end().await;
    assert_eq!(host.texts(), texts("a", 0..3));
    host.close().await;
    let uncommitted =
        SourceOptions { isolation: Isolation::ReadUncommitted, ..options("open", Offsets::Latest) };
    let mut host = Host::start(&uncommitted, 1);
    host.until_end().await;
    assert_eq!(host.rows.len(), 5);
    host.close().await;
    open.abort();
}

async fn others() {
    create("others", 2).await;
    produce("others", 0, "a", 0..10);
    produce("others", 1, "b", 0..2);
    let mut host = Host::start(&options("others", Offsets::Timestamp(1004)), 1);
    host.until_end().await;
    assert_eq!(host.texts(), [texts("a", 0..4), texts("b", 0..2)].concat());
    host.close().await;

    commit("group-of-stops", "others", 0, 6);
    let by_group = SourceOptions {
        group_id: Some("group-of-stops".into()),
        ..options("others", Offsets::Committed(Fallback::Earliest))
    };
    let mut host = Host::start(&by_group, 1);
    host.until_end().await;
    assert_eq!(host.texts(), texts("a", 0..6));
    host.close().await;

    let offsets = |all: &[(&str, u64)]| {
        Offsets::Offsets(all.iter().map(|(at, offset)| ((*at).to_owned(), *offset)).collect())
    };
    let mut host = Host::start(&options("others", offsets(&[("others:0", 7), ("others:1", 0)])), 1);
    host.until_end().await;
    assert_eq!(host.texts(), texts("a", 0..7));
    host.close().await;
    let error = Host::start(&options("others", offsets(&[("others:0", 7)])), 1).error().await.to_string();
    assert!(error.contains("stop.offsets") && error.contains("others:1"), "{error}");
}

async fn beyond() {
    create("beyond", 1).await;
    produce("beyond", 0, "a", 0..3);
    // Offsets 3 and 4 will be a record and a marker.
    let stop = Offsets::Offsets([("beyond:0".to_owned(), 5)].into());
    let mut host = Host::start(&options("beyond", stop), 1);
    host.until_rows(3).await;
    host.quiet(Duration::from_secs(1)).await;
    assert_eq!(host.finished.len(), 0);
    let last = Transaction::begin("beyond-1");
    last.send("beyond", 0, "b", 0..1);
    last.commit();
    host.until_end().await;
    assert_eq!(host.texts(), ["a0", "a1", "a2", "b0"]);
    host.close().await;
}

async fn finished() {
    create("finished", 1).await;
    produce("finished", 0, "a", 0..3);
    let mut host = Host::start(&options("finished", Offsets::Latest), 1);
    host.until(|host| host.finished.len() == 1).await;
    let checkpoint = host.snapshot(1);
    host.close().await;
    produce("finished", 0, "late", 0..3);
    let mut host = Host::again(&options("finished", Offsets::Latest), 1, checkpoint);
    host.until_end().await;
    assert_eq!((host.rows.len(), host.finished.len()), (0, 1));
    host.close().await;
}

async fn unbounded() {
    create("goes-on", 1).await;
    produce("goes-on", 0, "a", 0..3);
    let options = SourceOptions { ends: Ends::Unbounded, ..options("goes-on", Offsets::Latest) };
    let mut host = Host::start(&options, 1);
    host.until(|host| host.finished.len() == 1).await;
    produce("goes-on", 0, "late", 0..3);
    host.quiet(Duration::from_secs(1)).await;
    assert_eq!(host.texts(), texts("a", 0..3));
    host.close().await;
}
