//! Jobs on simulated files and simulated time: every row is visible exactly once, whatever happens.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use connector_api::Error;
use connector_runtime::{JobConfig, JobEnd, OnLost, StartFrom, StartOptions};
use support::{Numbers, Outside, Shape, Twin, config, from, job, pipeline, restarting, run_to_end};
use testkit::fs::SimFs;
use testkit::random::SeededRandom;

fn all(count: u64) -> Vec<u64> {
    (0..count).collect()
}

#[test]
fn a_bounded_job_ends_with_everything_committed() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(500, 5));
    let outside = Outside::new(&fs);
    let report = run_to_end(&numbers, &outside, config(), &fs, 1).unwrap();
    assert_eq!(outside.visible(), all(500));
    assert_eq!((report.end, report.records_in, report.records_out), (JobEnd::Finished, 500, 500));
    assert_eq!((report.pending, report.lost, report.restarts), (0, 0, 0));
    assert!(report.checkpoints > 2);
}

#[test]
fn more_readers_than_splits_end_too() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(10, 1));
    let outside = Outside::new(&fs);
    let config =
        JobConfig { source_parallelism: 5, sink_parallelism: 3, committer_parallelism: 4, ..config() };
    run_to_end(&numbers, &outside, config, &fs, 1).unwrap();
    assert_eq!(outside.visible(), all(10));
}

#[test]
fn an_empty_source_ends() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(0, 1));
    let report = run_to_end(&numbers, &Outside::new(&fs), config(), &fs, 1).unwrap();
    assert_eq!((report.end, report.records_in), (JobEnd::Finished, 0));
}

#[test]
fn a_finished_job_says_so_and_does_nothing() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(50, 2));
    let outside = Outside::new(&fs);
    run_to_end(&numbers, &outside, config(), &fs, 1).unwrap();
    let report = run_to_end(&numbers, &outside, config(), &fs, 2).unwrap();
    assert_eq!((report.end, report.records_in), (JobEnd::AlreadyFinished, 0));
    assert_eq!(outside.visible(), all(50));
}

#[test]
fn a_reader_that_fails_is_restarted_and_its_splits_are_given_back() {
    let fs = SimFs::new();
    let numbers = Numbers::new(1_000, 8).failing_at(&[3, 40, 90, 130]);
    let outside = Outside::new(&fs);
    let report = run_to_end(&numbers, &outside, restarting(4), &fs, 3).unwrap();
    assert_eq!(outside.visible(), all(1_000));
    assert_eq!(report.restarts, 4);
    assert_eq!((report.records_in, report.records_out), (1_000, 1_000), "replayed rows count once");
    assert_eq!(numbers.enumerators.load(Ordering::Relaxed), 1, "the enumerator lives on");
    assert!(numbers.given_back.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_failure_past_the_strategy_ends_the_job_and_a_later_start_goes_on() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(600, 4).failing_at(&[30, 31, 60]));
    let outside = Outside::new(&fs);
    assert!(run_to_end(&numbers, &outside, config(), &fs, 1).is_err());
    assert!(run_to_end(&numbers, &outside, config(), &fs, 2).is_err());
    while run_to_end(&numbers, &outside, config(), &fs, 3).is_err() {}
    assert_eq!(outside.visible(), all(600));
}

#[test]
fn a_writer_that_fails_behind_an_exchange_is_restarted() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(500, 5));
    let outside = Outside::new(&fs);
    outside.state.lock().unwrap().writes_until_failure = Some(20);
    let config = JobConfig { source_parallelism: 2, sink_parallelism: 3, ..restarting(3) };
    let report = run_to_end(&numbers, &outside, config, &fs, 1).unwrap();
    assert_eq!((outside.visible(), report.restarts), (all(500), 1));
}

#[test]
fn a_commit_that_is_retried_holds_no_barrier_and_is_not_lost_at_the_end() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(400, 2));
    let outside = Outside::new(&fs);
    outside.state.lock().unwrap().flaky = 12;
    let report = run_to_end(&numbers, &outside, config(), &fs, 1).unwrap();
    assert_eq!(outside.visible(), all(400));
    assert!(report.checkpoints > 3, "{report:?}");
}

#[test]
fn a_loss_ends_the_job_past_every_restart_strategy() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(200, 2));
    let outside = Outside::new(&fs);
    outside.state.lock().unwrap().lose = 1;
    let error = run_to_end(&numbers, &outside, restarting(9), &fs, 1).unwrap_err();
    assert!(matches!(&error, Error::Lost(reason) if reason.contains("expired")), "{error}");
    // It stayed in the state: a later start tries again, and here it works.
    run_to_end(&numbers, &outside, config(), &fs, 2).unwrap();
    assert_eq!(outside.visible(), all(200));
}

#[test]
fn a_loss_that_is_skipped_is_counted() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(200, 2));
    let outside = Outside::new(&fs);
    outside.state.lock().unwrap().lose = 1;
    let config = JobConfig { on_lost: OnLost::Skip, ..config() };
    let report = run_to_end(&numbers, &outside, config, &fs, 1).unwrap();
    assert_eq!((report.lost, report.pending), (1, 0));
    assert!(outside.visible().len() < 200);
}

#[test]
fn checkpoints_that_time_out_are_aborted_and_lose_nothing() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(300, 3));
    let outside = Outside::new(&fs);
    outside.state.lock().unwrap().flush_delay = Duration::from_millis(80);
    let mut config = config();
    config.checkpoint.timeout = Duration::from_millis(60);
    let report = run_to_end(&numbers, &outside, config, &fs, 1).unwrap();
    assert_eq!((outside.visible(), report.end), (all(300), JobEnd::Finished));
}

#[test]
fn rows_of_one_key_reach_one_writer() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(300, 3));
    let outside = Outside::new(&fs);
    testkit::sim::run(async {
        let source = connector_api::source::erase(numbers.clone());
        let pipeline = connector_runtime::Pipeline::source("numbers", source)
            .filter(|n| !n.is_multiple_of(3))
            .flat_map::<Vec<u64>>(|n, out| {
                out.extend([*n, *n]);
                Ok(())
            })
            .map::<Vec<u64>>(|n| Ok(n + 1_000))
            .key_by(|n| *n % 10)
            .sink("outside", outside.sink(Shape::Plain));
        let config = JobConfig { sink_parallelism: 3, ..config() };
        let job = connector_runtime::Job::new(pipeline, config, testkit::sim::environment(&fs, 1));
        job.start(StartOptions::default()).await.unwrap().wait().await.unwrap();
    });
    let expected: Vec<u64> = (0..300).filter(|n| n % 3 != 0).flat_map(|n| [n + 1_000, n + 1_000]).collect();
    assert_eq!(outside.visible(), expected);
}

#[test]
fn watermarks_reach_the_writer_and_never_pass_the_slowest_split() {
    let fs = SimFs::new();
    let numbers = Numbers { timed: true, ..Numbers::new(400, 4) };
    let outside = Outside::new(&fs);
    testkit::sim::run(async {
        let source = connector_api::source::erase(numbers.clone());
        let pipeline = connector_runtime::Pipeline::source("numbers", source)
            .watermarks(connector_runtime::WatermarkStrategy::BoundedOutOfOrderness(Duration::ZERO))
            .sink("outside", outside.sink(Shape::Plain));
        let job = connector_runtime::Job::new(pipeline, config(), testkit::sim::environment(&fs, 1));
        job.start(StartOptions::default()).await.unwrap().wait().await.unwrap();
    });
    let state = outside.state.lock().unwrap();
    assert!(!state.watermarks.is_empty());
    for watermarks in state.watermarks.values() {
        assert!(watermarks.is_sorted() && watermarks.iter().all(|w| *w < 400), "{watermarks:?}");
    }
}

fn stop_after(
    numbers: &Numbers,
    outside: &Outside,
    config: JobConfig,
    fs: &SimFs,
    after: Duration,
) -> JobEnd {
    testkit::sim::run(async {
        let env = testkit::sim::environment(fs, 5);
        let clock = env.clock.clone();
        let mut handle = job(numbers, outside, config, env).start(StartOptions::default()).await.unwrap();
        clock.sleep(after).await;
        handle.stop_with_savepoint();
        handle.wait().await.unwrap().end
    })
}

#[test]
fn a_stop_makes_a_savepoint_from_which_a_rescaled_job_goes_on() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(2_000, 6));
    let outside = Outside::new(&fs);
    let JobEnd::Stopped { savepoint } =
        stop_after(&numbers, &outside, config(), &fs, Duration::from_millis(120))
    else {
        panic!("not stopped")
    };
    let before = outside.visible().len();
    assert!(before > 0 && before < 2_000, "{before}: all that was read is committed, and not all was read");
    let config =
        JobConfig { source_parallelism: 3, sink_parallelism: 1, committer_parallelism: 2, ..config() };
    testkit::sim::run(async {
        let env = testkit::sim::environment(&fs, 6);
        let mut handle =
            job(&numbers, &outside, config, env).start(from(StartFrom::Path(savepoint))).await.unwrap();
        handle.wait().await.unwrap();
    });
    assert_eq!(outside.visible(), all(2_000));
}

#[test]
fn going_back_is_refused_unless_duplicates_are_accepted() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(2_000, 6));
    let outside = Outside::new(&fs);
    let JobEnd::Stopped { savepoint } =
        stop_after(&numbers, &outside, config(), &fs, Duration::from_millis(60))
    else {
        panic!("not stopped")
    };
    stop_after(&numbers, &outside, config(), &fs, Duration::from_millis(200));
    testkit::sim::run(async {
        let start = |options: StartOptions| {
            job(&numbers, &outside, config(), testkit::sim::environment(&fs, 7)).start(options)
        };
        let refused = start(from(StartFrom::Path(savepoint.clone()))).await.unwrap_err().to_string();
        assert!(refused.contains("--accept-duplicates"), "{refused}");
        let options = StartOptions { from: StartFrom::Path(savepoint), accept_duplicates: true };
        start(options).await.unwrap().wait().await.unwrap();
    });
    let visible = outside.visible();
    let mut once = visible.clone();
    once.dedup();
    assert_eq!(once, all(2_000), "nothing is missing");
    assert!(visible.len() > once.len(), "and the user got the duplicates that were accepted");
}

#[test]
fn an_edited_identity_is_refused_by_its_key() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(50, 2));
    let outside = Outside::new(&fs);
    let with =
        |path: &str| JobConfig { identity: [("source.path".to_owned(), path.to_owned())].into(), ..config() };
    run_to_end(&numbers, &outside, with("in"), &fs, 1).unwrap();
    let error = run_to_end(&numbers, &outside, with("other"), &fs, 2).unwrap_err();
    assert!(matches!(&error, Error::Config { option, .. } if option == "source.path"), "{error}");
}

#[test]
fn state_of_a_stage_that_is_left_out_is_refused_with_the_hint() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(2_000, 6));
    let outside = Outside::new(&fs);
    testkit::sim::run(async {
        let env = testkit::sim::environment(&fs, 5);
        let clock = env.clock.clone();
        let staged =
            connector_runtime::Job::new(pipeline(&numbers, &outside, Shape::Staged), config(), env.clone());
        let mut handle = staged.start(StartOptions::default()).await.unwrap();
        clock.sleep(Duration::from_millis(75)).await;
        handle.abort();
        assert!(matches!(handle.wait().await, Err(Error::Cancelled(_))));
        let unstaged =
            connector_runtime::Job::new(pipeline(&numbers, &outside, Shape::Unstaged), config(), env);
        let error = unstaged.start(StartOptions::default()).await.unwrap_err().to_string();
        assert!(error.contains("group") && error.contains("drain"), "{error}");
    });
}

#[test]
fn restored_commits_come_before_any_input() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(2_000, 3));
    let outside = Outside::new(&fs);
    // Every commit is put off, so that the last checkpoint holds committables when the process dies.
    outside.state.lock().unwrap().flaky = u64::MAX;
    testkit::sim::run(async {
        let env = testkit::sim::environment(&fs, 5);
        let clock = env.clock.clone();
        let _handle = job(&numbers, &outside, config(), env).start(StartOptions::default()).await.unwrap();
        clock.sleep(Duration::from_millis(130)).await;
        fs.freeze();
    });
    let after = fs.process_crash();
    let outside = outside.for_process(&after);
    {
        let mut state = outside.state.lock().unwrap();
        state.flaky = 0;
        state.events.clear();
    }
    run_to_end(&numbers, &outside, config(), &after, 2).unwrap();
    let events = outside.state.lock().unwrap().events.clone();
    assert_eq!(events.first().map(String::as_str), Some("commit"));
    assert!(events.iter().any(|event| event == "write"), "there was input left to come before");
    assert_eq!(outside.visible(), all(2_000));
}

#[test]
fn a_panic_is_a_failure_and_not_a_hang() {
    let (fs, numbers) = (SimFs::new(), Numbers::new(100, 2));
    let outside = Outside::new(&fs);
    testkit::sim::run(async {
        let source = connector_api::source::erase(numbers);
        let pipeline = connector_runtime::Pipeline::source("numbers", source)
            .map::<Vec<u64>>(|n| if *n == 50 { panic!("fifty") } else { Ok(*n) })
            .sink("outside", outside.sink(Shape::Plain));
        let job = connector_runtime::Job::new(pipeline, config(), testkit::sim::environment(&fs, 1));
        let error = job.start(StartOptions::default()).await.unwrap().wait().await.unwrap_err().to_string();
        assert!(error.contains("fifty"), "{error}");
    });
}

/// Random jobs: crashes of the process at any file operation, failures of readers and writers, flaky commits, stops,
/// rescaling at every start.
#[test]
fn random_jobs_with_crashes_and_rescaling_are_exactly_once() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(150);
    let first = std::env::var("SEED").ok().and_then(|r| r.parse().ok()).unwrap_or(0);
    for seed in first..first + rounds {
        random_job(seed, Twin::Sound).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

/// Every rule that a connector can break is noticed by the random jobs.
#[test]
fn random_jobs_reject_every_twin() {
    let twins = [
        Twin::DropsGivenBack,
        Twin::ForgetsPending,
        Twin::PositionAhead,
        Twin::PositionBehind,
        Twin::EndsEarly,
        Twin::CommitsTwice,
        Twin::ClaimsCommits,
        Twin::PublishesEarly,
        Twin::StagesLate,
        Twin::ForgetsHeld,
    ];
    for twin in twins {
        let rejected = (0..60).find_map(|seed| random_job(seed, twin).err());
        assert!(rejected.is_some(), "{twin:?} was accepted 60 times");
    }
}

fn random_job(seed: u64, twin: Twin) -> Result<(), String> {
    let random = SeededRandom::new(seed);
    let count = 50 + random.below(800);
    let failures: Vec<u64> = (0..random.below(4)).map(|_| random.below(120)).collect();
    let mut numbers = Numbers::new(count, 1 + random.below(12)).failing_at(&failures);
    numbers.batch = 1 + random.below(20);
    numbers.emitted = Arc::default();
    numbers.twin = twin;
    let shape = if random.chance(50) { Shape::Plain } else { Shape::Staged };
    let mut fs = SimFs::new();
    let mut outside = Outside::new(&fs);
    outside.twin = twin;
    for start in 0..200 {
        {
            let mut state = outside.state.lock().unwrap();
            state.flaky = random.below(4);
            state.writes_until_failure = random.chance(30).then(|| 1 + random.below(60));
        }
        let config = JobConfig {
            source_parallelism: 1 + random.below(3) as u32,
            sink_parallelism: 1 + random.below(3) as u32,
            committer_parallelism: 1 + random.below(2) as u32,
            ..restarting(random.below(3) as u32)
        };
        if start < 6 && random.chance(80) {
            fs.freeze_at(fs.operations() + 1 + random.below(60));
        }
        let stop = random.chance(25).then(|| Duration::from_millis(random.below(300)));
        let result = testkit::sim::run(async {
            let env = testkit::sim::environment(&fs, random.below(u64::MAX));
            let clock = env.clock.clone();
            let job = connector_runtime::Job::new(pipeline(&numbers, &outside, shape), config, env);
            let mut handle = job.start(StartOptions::default()).await?;
            if let Some(after) = stop {
                clock.sleep(after).await;
                handle.stop_with_savepoint();
            }
            handle.wait().await
        });
        if let Ok(report) = &result
            && matches!(report.end, JobEnd::Finished | JobEnd::AlreadyFinished)
        {
            // The first process did it all: whatever was replayed meanwhile counts once.
            if start == 0 && (report.records_in, report.records_out) != (count, count) {
                let (read, written) = (report.records_in, report.records_out);
                return Err(format!("{read} rows read and {written} written are reported of {count}"));
            }
            let visible = outside.visible();
            if visible != all(count) {
                return Err(format!(
                    "start {start}: {} rows are visible of {count}, or others",
                    visible.len()
                ));
            }
            let state = outside.state.lock().unwrap();
            if shape == Shape::Staged && state.listed != state.committed {
                return Err(format!("start {start}: what was committed was not passed on"));
            }
            return Ok(());
        }
        if let Err(error) = &result
            && !fs.is_frozen()
            && !matches!(error, Error::Cancelled(_))
        {
            return Err(format!("start {start}: {error}"));
        }
        fs = if random.chance(50) {
            fs.process_crash()
        } else {
            fs.power_cut(testkit::fs::PowerCut::Seeded(seed))
        };
        outside = outside.for_process(&fs);
    }
    Err("the job never ended".to_owned())
}
