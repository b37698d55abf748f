//! Whole jobs in processes that are killed: each row once, for a reader in another language.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connector_api::MessageBatch;
use connector_api::env::CrashPoints;
use connector_api::factory::Span;
use connector_api::source::erase;
use connector_kafka::sink::{CRASH_POINTS, KafkaSink, SinkOptions};
use connector_runtime::{
    CheckpointConfig, Job, JobConfig, JobEnd, JobReport, OnLost, Pipeline, RestartStrategy, StartOptions,
};
use libtest_mimic::{Failed, Trial};
use testkit::TestRow;
use testkit::reference::Numbers;

use super::broker::{self, ensure};
use super::hand;

const CHILD: &str = "KAFKA_SINK_TEST_JOB";
const SPLITS: u32 = 4;
const ROWS: u64 = 400;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        broker::trial("rows_are_there_once_whichever_crash_point_a_process_dies_at", at_every_point),
        broker::trial("rows_are_there_once_whenever_a_process_is_killed", at_any_moment),
    ]
}

/// What a child is told: where, under which name, in which directory, with how many writers, and at which point it dies. A
/// transaction that nobody ends is aborted after so many seconds; 0 leaves that to the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) bootstrap: String,
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) writers: u32,
    pub(crate) point: String,
    pub(crate) nth: u64,
    pub(crate) timeout: u64,
}

impl Order {
    fn text(&self) -> String {
        let Self { bootstrap, name, dir, writers, point, nth, timeout } = self;
        format!("{bootstrap} {name} {} {writers} {point} {nth} {timeout}", dir.display())
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut next = || words.next().map(str::to_owned);
        Some(Self {
            bootstrap: next()?,
            name: next()?,
            dir: next()?.into(),
            writers: next()?.parse().ok()?,
            point: next()?,
            nth: next()?.parse().ok()?,
            timeout: next()?.parse().ok()?,
        })
    }
}

pub(crate) fn child() -> Option<ExitCode> {
    let order = Order::read(&std::env::var(CHILD).ok()?);
    let run = |order: Order| -> Result<(), Failed> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        match runtime.block_on(run(&order, OnLost::Fail))? {
            report if matches!(report.end, JobEnd::Finished | JobEnd::AlreadyFinished) => Ok(()),
            report => Err(format!("the job ended by {:?}", report.end).into()),
        }
    };
    Some(match order.ok_or_else(|| Failed::from("no order")).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("child: {}", error.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    })
}

/// Runs the job in this process.
pub(crate) async fn run(order: &Order, on_lost: OnLost) -> connector_api::Result<JobReport> {
    let numbers = Numbers::new();
    (0..SPLITS).for_each(|split| numbers.append(split, &TestRow::range(split, 0..ROWS)));
    let timeout = (order.timeout > 0).then(|| Span(Duration::from_secs(order.timeout)));
    let options = SinkOptions::topic(&order.bootstrap, &order.name).exactly_once(&order.name);
    let options = SinkOptions { transaction_timeout: timeout, ..options };
    let source = Pipeline::source::<MessageBatch>("source", erase(numbers.source::<MessageBatch>()));
    let pipeline = source.sink("sink", Box::new(KafkaSink::new(&options)?));
    let config = JobConfig {
        name: order.name.clone(),
        source_parallelism: order.writers,
        sink_parallelism: order.writers,
        committer_parallelism: 1,
        checkpoint: CheckpointConfig {
            interval: Duration::from_millis(60),
            dir: order.dir.clone(),
            retain: 2,
            timeout: Duration::from_secs(60),
        },
        restart: RestartStrategy::None,
        on_lost,
        identity: Default::default(),
        close_timeout: Duration::from_secs(5),
    };
    let mut env = hand::env();
    let (hits, order) = (AtomicU64::new(0), order.clone());
    env.crash = CrashPoints::new(move |point| {
        if point == order.point && hits.fetch_add(1, Ordering::SeqCst) + 1 == order.nth {
            std::process::abort();
        }
    });
    let mut handle = Job::new(pipeline, config, env).start(StartOptions::default()).await?;
    handle.wait().await
}

pub(crate) fn start(order: &Order) -> Result<Child, Failed> {
    Ok(Command::new(std::env::current_exe()?).env(CHILD, order.text()).stdout(Stdio::null()).spawn()?)
}

pub(crate) fn order(name: &str, dir: &Path) -> Result<Order, Failed> {
    broker::create_topic(name, 3)?;
    let (bootstrap, name, point) = (broker::bootstrap()?, name.to_owned(), "-".to_owned());
    Ok(Order { bootstrap, name, dir: dir.to_owned(), writers: 1, point, nth: 0, timeout: 0 })
}

/// All values, sorted.
pub(crate) fn expected() -> Vec<String> {
    let rows = (0..SPLITS).flat_map(|split| TestRow::range(split, 0..ROWS));
    let mut values: Vec<String> = rows.map(|row| row.text).collect();
    values.sort_unstable();
    values
}

/// Lets the job run to its end, and judges what a Java reader of committed records sees.
pub(crate) async fn finish(order: &Order) -> Result<(), Failed> {
    let calm = Order { point: "-".to_owned(), ..order.clone() };
    let ended = start(&calm)?.wait()?;
    ensure!(ended.success(), "the last process ended by {ended}");
    let expected = expected();
    let values = super::java_values(&order.name)?;
    let twice = values.windows(2).filter(|pair| pair[0] == pair[1]).count();
    ensure!(values == expected, "{} values in place of {}, {twice} twice", values.len(), expected.len());
    let open = broker::transactions()?.list(&format!("{}-", order.name)).await?;
    let open: Vec<_> = open.into_iter().filter(|found| found.is_open()).collect();
    ensure!(open.is_empty(), "left open: {open:?}");
    Ok(())
}

/// Dies at each point in turn, at the first and at a later time that it is met, under changing numbers of writers.
async fn at_every_point() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let mut order = order("every-point", dir.path())?;
    let (mut deaths, mut met) = (0, std::collections::BTreeSet::new());
    for (round, (point, nth)) in CRASH_POINTS.iter().flat_map(|point| [(point, 1), (point, 2)]).enumerate() {
        order.writers = [4, 1, 3][round % 3];
        (order.point, order.nth) = ((*point).to_owned(), nth);
        let mut child = start(&order)?;
        // The points of a recovery are met by some processes only: such a one is killed after a while.
        let mut left = 30;
        let ended = loop {
            match child.try_wait()? {
                Some(ended) => break ended,
                None if left == 0 => child.kill()?,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            left -= 1;
        };
        ensure!(!ended.success() || deaths > 3, "the job ended before processes could die");
        ensure!(ended.code().is_none_or(|code| code == 0), "a process failed by itself at {point}: {ended}");
        if left > 0 && ended.code().is_none() {
            met.insert(*point);
        }
        deaths += u32::from(ended.code().is_none());
        if ended.success() {
            break;
        }
    }
    eprintln!("{deaths} deaths, at {met:?}");
    finish(&order).await
}

/// `KAFKA_KILLS` says how many.
async fn at_any_moment() -> Result<(), Failed> {
    let kills: u64 = std::env::var("KAFKA_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let (mut killed, mut jobs, mut state) = (0, 0, 88_172_645_463_325_252_u64);
    while killed < kills {
        let dir = tempfile::tempdir()?;
        let mut order = order(&format!("any-moment-{jobs}"), dir.path())?;
        jobs += 1;
        for round in 0..16 {
            order.writers = [4, 1, 3][round % 3];
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let mut child = start(&order)?;
            tokio::time::sleep(Duration::from_millis(150 + state % 900)).await;
            if let Some(ended) = child.try_wait()? {
                ensure!(ended.success(), "a process failed by itself: {ended}");
                break;
            }
            child.kill()?;
            child.wait()?;
            killed += 1;
        }
        finish(&order).await?;
    }
    eprintln!("{killed} kills in {jobs} jobs");
    Ok(())
}
