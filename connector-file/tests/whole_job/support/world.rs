//! A machine with its files over several processes, and the job that is run on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::factory::ByteSize;
use connector_api::source::erase;
use connector_api::{Error, MessageBatch, Result};
use connector_file::sink::{Compaction, FileSink, Merge, Rolling, SinkOptions};
use connector_file::source::{FileSource, SourceOptions};
use connector_runtime::{
    CheckpointConfig, Job, JobConfig, JobEnd, JobHandle, JobReport, OnLost, Pipeline, RestartStrategy,
    StartOptions,
};
use testkit::crash::CrashRecorder;
use testkit::fs::{PowerCut, SimFs};
use testkit::sim;

use super::input::{self, IN};
use super::slow::slow;
use super::twin::Twin;
use super::watch::{OUT, Seen, Watched, lines, lines_of, output};

pub const CKPT: &str = "/ckpt";

/// What of the job differs from test to test.
#[derive(Clone, Debug)]
pub struct Setup {
    pub on_checkpoint: bool,
    pub compaction: Option<Compaction>,
    pub retain: usize,
    pub restarts: u32,
    pub interval: Duration,
}

impl Setup {
    pub fn new(on_checkpoint: bool, compacted: bool) -> Self {
        let merge = Merge { checkpoints: 2, size: Some(ByteSize(300)), ..Merge::default() };
        let compaction = compacted.then_some(Compaction::Merge(merge));
        let interval = Duration::from_millis(15);
        Self { on_checkpoint, compaction, retain: 2, restarts: 0, interval }
    }

    /// Rolling at checkpoints or not, compacted or not.
    pub fn all() -> [Self; 4] {
        [(true, false), (true, true), (false, false), (false, true)]
            .map(|(roll, compact)| Self::new(roll, compact))
    }

    fn pipeline(&self, twin: Twin) -> Result<Pipeline> {
        let source = SourceOptions { split_size: ByteSize(input::SPLIT_SIZE), ..SourceOptions::lines(IN) };
        let rolling = Rolling { size: ByteSize(120), age: None, on_checkpoint: self.on_checkpoint };
        let sink = SinkOptions {
            suffix: ".txt".into(),
            rolling,
            compaction: self.compaction.clone(),
            ..SinkOptions::lines(OUT)
        };
        let base = Path::new("/");
        let source = Pipeline::source::<MessageBatch>("source", erase(FileSource::new(&source, base)?));
        let source = source.map_batches(move |batch| Ok(twin.rows(batch)));
        Ok(source.sink("sink", Box::new(FileSink::new(&sink, base)?)))
    }

    fn config(&self, scale: Scale) -> JobConfig {
        let Scale(source_parallelism, sink_parallelism, committer_parallelism) = scale;
        let restart = match self.restarts {
            0 => RestartStrategy::None,
            attempts => RestartStrategy::FixedDelay { attempts, delay: Duration::from_millis(10) },
        };
        JobConfig {
            name: "lines".to_owned(),
            source_parallelism,
            sink_parallelism,
            committer_parallelism,
            checkpoint: CheckpointConfig {
                interval: self.interval,
                dir: PathBuf::from(CKPT),
                retain: self.retain,
                timeout: Duration::from_secs(60),
            },
            restart,
            on_lost: OnLost::Fail,
            identity: BTreeMap::from([("source.path".to_owned(), IN.to_owned())]),
            close_timeout: Duration::from_secs(5),
        }
    }
}

/// Readers, writers, committers.
#[derive(Clone, Copy, Debug)]
pub struct Scale(pub u32, pub u32, pub u32);

/// 1 -> 3 -> 2: each reader with its writer in one task, or rows dealt from readers to writers.
pub fn scales(dealt: bool) -> [Scale; 3] {
    if dealt {
        [Scale(1, 2, 1), Scale(3, 2, 3), Scale(2, 1, 2)]
    } else {
        [Scale(1, 1, 1), Scale(3, 3, 3), Scale(2, 2, 2)]
    }
}

/// How long a job is let run.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    End,
    /// Then it is stopped with a savepoint.
    Stop(Duration),
    /// Then it is given up.
    Abort(Duration),
}

pub fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How a process ends, with its machine or without.
#[derive(Clone, Copy, Debug)]
pub enum Death {
    Crash,
    PowerCut(PowerCut),
}

impl Death {
    pub fn all(seed: u64) -> [Self; 3] {
        [Self::Crash, Self::PowerCut(PowerCut::SyncedOnly), Self::PowerCut(PowerCut::Seeded(seed))]
    }
}

/// A machine with the input on its disk.
#[derive(Debug)]
pub struct World {
    pub setup: Setup,
    pub fs: SimFs,
    seed: u64,
    twin: Twin,
    seen: Arc<Mutex<Seen>>,
    processes: u64,
}

impl World {
    pub fn new(setup: &Setup, seed: u64) -> Self {
        Self::with_twin(setup, seed, Twin::Sound)
    }

    pub fn with_twin(setup: &Setup, seed: u64, twin: Twin) -> Self {
        let fs = SimFs::new();
        input::put(&fs);
        Self { setup: setup.clone(), fs, seed, twin, seen: Arc::default(), processes: 0 }
    }

    /// From now on a line may be visible twice.
    pub fn accept_duplicates(&self) {
        self.seen.lock().unwrap().duplicates = true;
    }

    fn environment(&mut self, recorder: &CrashRecorder) -> Environment {
        self.processes += 1;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.processes);
        self.fs.seed(seed);
        let mut env = slow(sim::environment(&self.fs, seed), seed);
        let (disk, seen) = (self.fs.clone(), self.seen.clone());
        env.fs = Arc::new(Watched { inner: self.twin.over(&self.fs), disk, seen });
        env.crash = recorder.points();
        env
    }

    /// Runs a process with the job in it, from the newest checkpoint.
    pub fn run(&mut self, scale: Scale, until: Until) -> Result<JobReport> {
        self.run_from(scale, until, StartOptions::default(), &CrashRecorder::new())
    }

    pub fn run_recorded(
        &mut self,
        scale: Scale,
        until: Until,
        recorder: &CrashRecorder,
    ) -> Result<JobReport> {
        self.run_from(scale, until, StartOptions::default(), recorder)
    }

    pub fn run_from(
        &mut self,
        scale: Scale,
        until: Until,
        from: StartOptions,
        recorder: &CrashRecorder,
    ) -> Result<JobReport> {
        self.run_with(scale, from, recorder, async move |env, handle| match until {
            Until::End => {}
            Until::Stop(after) => {
                env.clock.sleep(after).await;
                handle.stop_with_savepoint();
            }
            Until::Abort(after) => {
                env.clock.sleep(after).await;
                handle.abort();
            }
        })
    }

    /// `meanwhile` is what the user does while the job runs.
    pub fn run_with(
        &mut self,
        scale: Scale,
        from: StartOptions,
        recorder: &CrashRecorder,
        meanwhile: impl AsyncFnOnce(&Environment, &JobHandle),
    ) -> Result<JobReport> {
        sim::run(async {
            let env = self.environment(recorder);
            let job = Job::new(self.setup.pipeline(self.twin)?, self.setup.config(scale), env.clone());
            let life = async {
                let mut handle = job.start(from).await?;
                meanwhile(&env, &handle).await;
                handle.wait().await
            };
            let hangs = || Error::contract("the job", "hangs: an hour has gone by");
            tokio::time::timeout(Duration::from_secs(3_600), life).await.unwrap_or_else(|_| Err(hangs()))
        })
    }

    /// The process, or the whole machine, dies; then what is visible is looked at.
    pub fn die(&mut self, death: Death) -> Result<(), String> {
        let mut seen = self.seen.lock().unwrap();
        match death {
            Death::Crash => self.fs = self.fs.process_crash(),
            Death::PowerCut(how) => {
                // What was not durable yet may be hidden again, and comes back; what was durable stays as it is.
                let durable = output(&self.fs.power_cut(PowerCut::SyncedOnly)).0;
                let was = std::mem::take(&mut seen.files);
                self.fs = self.fs.power_cut(how);
                let now = output(&self.fs).0;
                for (name, content) in &now {
                    if was.get(name).is_some_and(|before| before != content) {
                        return Err(format!("{name} was visible and has changed by the power cut"));
                    }
                }
                seen.files = durable;
            }
        }
        seen.scan(&self.fs);
        drop(seen);
        self.check()
    }

    /// Whether everything that was seen so far was right.
    pub fn check(&self) -> Result<(), String> {
        let mut seen = self.seen.lock().unwrap();
        seen.scan(&self.fs);
        seen.violation.clone().map_or(Ok(()), Err)
    }

    /// Runs the job to its end, which must not fail, and looks at the result.
    pub fn finish(&mut self, scale: Scale) -> Result<(), String> {
        let report = self.run(scale, Until::End).map_err(|e| format!("the last run failed: {e}"))?;
        if !matches!(report.end, JobEnd::Finished | JobEnd::AlreadyFinished) {
            return Err(format!("the job did not finish: {report:?}"));
        }
        if (report.pending, report.lost) != (0, 0) {
            return Err(format!("something is pending or lost: {report:?}"));
        }
        self.check_end()?;
        let report =
            self.run(scale, Until::End).map_err(|e| format!("a finished job does not start: {e}"))?;
        if report.end != JobEnd::AlreadyFinished {
            return Err(format!("a finished job ran again: {report:?}"));
        }
        self.check_end()
    }

    /// Every line is visible, once, and nothing is hidden.
    pub fn check_end(&self) -> Result<(), String> {
        self.check()?;
        let duplicates = self.seen.lock().unwrap().duplicates;
        let (visible, hidden) = output(&self.fs);
        if !hidden.is_empty() {
            return Err(format!("hidden files are left: {hidden:?}"));
        }
        let found = lines(&visible, duplicates)?;
        if let Some(missing) = input::all().into_iter().find(|line| !found.contains(line)) {
            return Err(format!("{missing:?} and perhaps others are missing of {}", input::COUNT));
        }
        if self.setup.on_checkpoint && self.setup.compaction.is_none() {
            for (name, content) in &visible {
                in_order(name, &lines_of(name, content)?)?;
            }
        }
        Ok(())
    }

    /// The lines that are visible now.
    pub fn visible(&self) -> std::collections::BTreeSet<String> {
        lines(&output(&self.fs).0, true).unwrap()
    }

    /// How many lines are visible, the same line twice counted twice.
    pub fn rows(&self) -> usize {
        output(&self.fs).0.iter().map(|(name, content)| lines_of(name, content).unwrap().len()).sum()
    }
}

/// Lines of one split stand in a part one after the other, without a gap.
fn in_order(name: &str, lines: &[String]) -> Result<(), String> {
    let mut last = BTreeMap::new();
    for line in lines {
        let number: usize = line[..5].parse().map_err(|_| format!("{line:?} has no number"))?;
        if let Some(before) = last.insert(input::split_of(line), number)
            && before + 1 != number
        {
            return Err(format!("in {name}, {line:?} of a split stands behind its line {before}"));
        }
    }
    Ok(())
}
