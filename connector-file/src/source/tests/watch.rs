//! The continuous source in virtual time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::factory::{ByteSize, Span};
use connector_api::id::CheckpointId;
use connector_api::source::{Boundedness, SplitEnumerator};
use connector_api::{Error, Stored};
use connector_runtime::local::LocalFs;
use tempfile::TempDir;
use testkit::fs::{Fault, OpKind, Rule, SimFs};
use testkit::sim;

use super::host::*;
use crate::source::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

fn options(change: impl FnOnce(&mut SourceOptions)) -> SourceOptions {
    let mut options = SourceOptions::lines("in");
    options.discovery_interval = Some(Span(SECOND));
    change(&mut options);
    options
}

fn source(change: impl FnOnce(&mut SourceOptions)) -> FileSource {
    FileSource::new(&options(change), Path::new("/")).unwrap()
}

/// What comes until nothing has come for a while, in order.
async fn quiet(host: &mut Host) -> Result<Vec<String>> {
    let mut records = Vec::new();
    while let Ok(next) = tokio::time::timeout(5 * SECOND, host.next()).await {
        records.extend(texts(&next?.expect("a continuous source does not end").1));
    }
    Ok(records)
}

async fn sorted(host: &mut Host) -> Vec<String> {
    let mut records = quiet(host).await.unwrap();
    records.sort();
    records
}

/// Ten records of four bytes.
fn ten(name: &str) -> (String, Vec<String>) {
    let records: Vec<String> = (0..10).map(|i| format!("{name}-{i}")).collect();
    (records.join("\n") + "\n", records)
}

#[test]
fn files_that_appear_are_read_once_with_every_split_of_them() {
    // Flink's continuous enumerator deals the first split of a file and forgets the others.
    let fs = SimFs::new();
    let (mut expected, source) = (Vec::new(), source(|o| o.split_size = ByteSize(8)));
    assert_eq!(source.boundedness(), Boundedness::Unbounded);
    sim::run(async {
        fs.put("/in/a", ten("a").0.as_bytes()).unwrap();
        let mut host = Host::within(sim::environment(&fs, 1), &source, 2, None);
        for name in ["a", "b", "c", "d"] {
            let (text, records) = ten(name);
            fs.put(format!("/in/{name}"), text.as_bytes()).unwrap();
            expected.extend(records);
            let came = sorted(&mut host).await;
            assert_eq!(came, expected[expected.len() - 10..], "{name}");
        }
        assert_eq!(host.finished.len(), 4 * 5);
        assert!(host.told.is_empty() && host.ended.is_empty());
        assert_eq!(host.context.total_bytes(), None);
        assert_eq!(host.context.unassigned(), Some(0));
    });
}

#[test]
fn a_restored_source_reads_what_was_not_found_before() {
    let fs = SimFs::new();
    let source = source(|_| {});
    let state = sim::run(async {
        fs.put("/in/a", b"a\n").unwrap();
        let mut host = Host::within(sim::environment(&fs, 1), &source, 1, None);
        assert_eq!(sorted(&mut host).await, ["a"]);
        host.enumerator.snapshot(CheckpointId(1)).unwrap()
    });
    let state = FileEnumeratorState::from_bytes(&state.to_bytes().unwrap()).unwrap();
    fs.put("/in/b", b"b\n").unwrap();
    sim::run(async {
        let mut host = Host::within(sim::environment(&fs, 2), &source, 3, Some(state));
        assert_eq!(sorted(&mut host).await, ["b"]);
    });
}

#[test]
fn a_state_that_remembers_no_paths_is_refused_and_not_read_again() {
    let listed = FileEnumeratorState { listed: true, ..Default::default() };
    sim::run(async {
        let setup = |env: Environment| connector_api::source::EnumeratorSetup {
            env,
            parallelism: 1,
            attempt: connector_api::id::AttemptId { run: connector_api::id::RunId(1), number: 1 },
        };
        let env = sim::environment(&SimFs::new(), 1);
        let refused = source(|_| {}).enumerator(setup(env.clone()), Some(listed.clone()));
        assert!(matches!(&refused, Err(Error::State { .. })), "{refused:?}");
        // The other way round it is the end of what was found.
        let bounded = source(|o| o.discovery_interval = None);
        assert_eq!(bounded.boundedness(), Boundedness::Bounded);
        assert!(
            bounded.enumerator(setup(env), Some(FileEnumeratorState { remembers: true, ..listed })).is_ok()
        );
    });
}

#[test]
fn listings_that_fail_are_tried_again_and_fail_the_job_in_the_end() {
    for (failures, fails) in [(5, false), (6, true)] {
        let fs = SimFs::new();
        fs.put("/in/a", b"a\n").unwrap();
        let (again, source) = (fs.clone(), source(|_| {}));
        sim::run(async {
            let mut host = Host::within(sim::environment(&fs, 1), &source, 1, None);
            assert_eq!(sorted(&mut host).await, ["a"]);
            for k in 1..=failures {
                fs.inject(Rule::on(OpKind::List, Fault::Eio).nth(k));
            }
            fs.put("/in/b", b"b\n").unwrap();
            let clock = host.env().clock.monotonic();
            let next = tokio::time::timeout(100 * SECOND, host.next()).await.unwrap();
            match next {
                Ok(Some((_, batch))) => assert!(!fails && texts(&batch) == ["b"]),
                Err(error) => assert!(fails && error.to_string().starts_with("list /in: "), "{error}"),
                Ok(None) => panic!("it ended"),
            }
            // 0.5, 1, 2, 4 and 8 seconds.
            let waited = host.env().clock.monotonic() - clock;
            assert!(waited >= Duration::from_millis(15_500), "{waited:?}");
        });
        again.clear_faults();
    }
}

#[test]
fn failures_count_in_a_row_only() {
    let fs = SimFs::new();
    fs.put("/in/a", b"a\n").unwrap();
    let source = source(|o| o.discovery_retries = 1);
    sim::run(async {
        let mut host = Host::within(sim::environment(&fs, 1), &source, 1, None);
        assert_eq!(sorted(&mut host).await, ["a"]);
        for k in [1, 3, 5, 7] {
            fs.inject(Rule::on(OpKind::List, Fault::Eio).nth(k));
        }
        assert!(
            tokio::time::timeout(30 * SECOND, host.next()).await.is_err(),
            "none of them is the second in a row"
        );
    });
}

#[test]
fn a_path_that_is_missing_fails_the_first_listing_at_once_and_later_ones_after_retries() {
    let source = source(|_| {});
    sim::run(async {
        let fs = SimFs::new();
        let mut host = Host::within(sim::environment(&fs, 1), &source, 1, None);
        let error = host.next().await.unwrap_err();
        assert!(matches!(&error, Error::Config { option, .. } if option == "path"), "{error}");
        assert_eq!(host.env().clock.monotonic(), Duration::ZERO);
    });
    sim::run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut options = options(|_| {});
        options.path = dir.path().join("in");
        write(&dir, "in/a", "a\n", 1);
        let source = FileSource::new(&options, Path::new("/")).unwrap();
        let mut host = Host::within(real(1), &source, 1, None);
        assert_eq!(sorted(&mut host).await, ["a"]);
        rename(&dir, "in", "away");
        assert!(tokio::time::timeout(5 * SECOND, host.next()).await.is_err(), "it is tried again");
        rename(&dir, "away", "in");
        write(&dir, "in/b", "b\n", 1);
        assert_eq!(sorted(&mut host).await, ["b"]);
        rename(&dir, "in", "away");
        let error = host.next().await.unwrap_err();
        assert!(matches!(&error, Error::Config { option, .. } if option == "path"), "{error}");
    });
}

/// Real files, since their times can be set, in virtual time.
fn real(seed: u64) -> Environment {
    Environment { fs: Arc::new(LocalFs), ..sim::environment(&SimFs::new(), seed) }
}

/// Writes a file that was modified this many seconds before the beginning of simulated time.
#[allow(clippy::disallowed_methods)] // The test stands for the producer of the files.
fn write(dir: &TempDir, name: &str, content: &str, seconds_ago: u64) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    let start = std::time::UNIX_EPOCH + Duration::from_millis(sim::START_MILLIS as u64);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(start - Duration::from_secs(seconds_ago)).unwrap();
}

#[allow(clippy::disallowed_methods)]
fn rename(dir: &TempDir, from: &str, to: &str) {
    std::fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
}

fn remove(dir: &TempDir, name: &str) {
    std::fs::remove_file(dir.path().join(name)).unwrap();
}

fn source_in(dir: &TempDir, change: impl FnOnce(&mut SourceOptions)) -> FileSource {
    FileSource::new(&options(change), dir.path()).unwrap()
}

#[test]
fn files_younger_than_the_age_are_left_for_a_later_listing() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir, "in/old", "old\n", 100);
    write(&dir, "in/young", "young\n", 90);
    let source = source_in(&dir, |o| o.min_age = Some(Span(100 * SECOND)));
    sim::run(async {
        let mut host = Host::within(real(1), &source, 1, None);
        assert_eq!(sorted(&mut host).await, ["old"]);
        // Written again: it is young again.
        write(&dir, "in/young", "longer than before\n", 80);
        assert!(tokio::time::timeout(14 * SECOND, host.next()).await.is_err());
        assert_eq!(sorted(&mut host).await, ["longer than before"]);
    });
}

#[test]
fn splits_are_dealt_in_the_order_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    for (name, ago) in [("c", 30), ("a", 20), ("b", 20), ("d", 40)] {
        write(&dir, &format!("in/{name}"), name, ago);
    }
    for interval in [None, Some(Span(SECOND))] {
        for (order, expected) in
            [(Order::Path, ["a", "b", "c", "d"]), (Order::Modified, ["d", "c", "a", "b"])]
        {
            let source = source_in(&dir, |o| (o.order, o.discovery_interval) = (order, interval));
            sim::run(async {
                let mut host = Host::within(real(1), &source, 1, None);
                for expected in expected {
                    assert_eq!(texts(&host.next().await.unwrap().unwrap().1), [expected], "{order:?}");
                }
            });
        }
    }
}

#[test]
fn a_path_is_forgotten_when_it_is_gone_and_before_the_horizon() {
    let dir = tempfile::tempdir().unwrap();
    for (name, ago) in [("gone-old", 100), ("there-old", 100), ("gone-young", 50), ("new", 10)] {
        write(&dir, &format!("in/{name}"), name, ago);
    }
    let source = source_in(&dir, |o| o.horizon = Some(Span(60 * SECOND)));
    sim::run(async {
        let mut host = Host::within(real(1), &source, 1, None);
        assert_eq!(sorted(&mut host).await.len(), 4);
        remove(&dir, "in/gone-old");
        remove(&dir, "in/gone-young");
        assert!(sorted(&mut host).await.is_empty());
        let state = host.enumerator.snapshot(CheckpointId(1)).unwrap();
        assert_eq!(state.seen.len(), 3);
        // It is remembered still, and there again.
        write(&dir, "in/gone-young", "gone-young", 50);
        assert!(sorted(&mut host).await.is_empty());
        // A newer file moves the horizon.
        remove(&dir, "in/gone-young");
        write(&dir, "in/newer", "newer", 0);
        write(&dir, "in/newest", "newest", 0);
        tokio::time::sleep(45 * SECOND).await;
        assert_eq!(sorted(&mut host).await, ["newer", "newest"]);
        assert_eq!(host.enumerator.snapshot(CheckpointId(2)).unwrap().seen.len(), 4 + 1);
        assert_eq!(host.enumerator.snapshot(CheckpointId(2)).unwrap().newest, start());
    });
}

fn start() -> Duration {
    Duration::from_millis(sim::START_MILLIS as u64)
}

#[test]
fn late_files_fail_or_are_read_or_skipped_once() {
    for (late, seconds) in
        [(LateFiles::Fail, 61), (LateFiles::Read, 61), (LateFiles::Skip, 61), (LateFiles::Fail, 60)]
    {
        let dir = tempfile::tempdir().unwrap();
        // Before the first listing nothing was forgotten, so nothing is late.
        write(&dir, "in/first", "first", 1000);
        write(&dir, "in/new", "new", 0);
        let source = source_in(&dir, |o| (o.horizon, o.late_files) = (Some(Span(60 * SECOND)), Some(late)));
        sim::run(async {
            let mut host = Host::within(real(1), &source, 1, None);
            assert_eq!(sorted(&mut host).await, ["first", "new"]);
            write(&dir, "in/late", "late", seconds);
            let came = quiet(&mut host).await;
            match late {
                LateFiles::Fail if seconds > 60 => {
                    let error = came.unwrap_err();
                    assert!(
                        error.to_string().starts_with("late: the file is late: it was modified 1s before"),
                        "{error}"
                    );
                    assert!(!error.is_retryable());
                }
                LateFiles::Fail | LateFiles::Read => assert_eq!(came.unwrap(), ["late"]),
                LateFiles::Skip => {
                    assert!(came.unwrap().is_empty());
                    assert_eq!(host.enumerator.snapshot(CheckpointId(1)).unwrap().seen.len(), 3);
                }
            }
        });
    }
}

#[test]
fn files_under_one_name_one_after_another_have_splits_of_different_names() {
    let dir = tempfile::tempdir().unwrap();
    let source = source_in(&dir, |o| {
        (o.horizon, o.late_files) = (Some(Span(Duration::ZERO)), Some(LateFiles::Read));
    });
    sim::run(async {
        write(&dir, "in/a", "first", 100);
        let mut host = Host::within(real(1), &source, 1, None);
        assert_eq!(sorted(&mut host).await, ["first"]);
        remove(&dir, "in/a");
        write(&dir, "in/b", "b", 50);
        assert_eq!(sorted(&mut host).await, ["b"]);
        write(&dir, "in/a", "second", 40);
        assert_eq!(sorted(&mut host).await, ["second"]);
        let mut ids: BTreeMap<&str, u32> = BTreeMap::new();
        host.finished.iter().for_each(|id| *ids.entry(id).or_default() += 1);
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), [("a:0#1", 1), ("a:0#3", 1), ("b:0#2", 1)]);
    });
}
