//! A machine with numbered lines in a few files, and the job that is run on it, one process after the other.

mod slow;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use connector_api::factory::ByteSize;
use connector_api::source::erase;
use connector_api::{Error, MessageBatch, Result};
use connector_file::sink::{Compaction, FileSink, Merge, Rolling, SinkOptions};
use connector_file::source::{FileSource, SourceOptions};
use connector_runtime::storage::CheckpointStore;
use connector_runtime::{CheckpointConfig, JobConfig, OnLost, RestartStrategy, StartOptions};
use mailbox_host::{End, Job, StopFlag};
use testkit::fs::{PowerCut, SimFs};
use testkit::sim;

use slow::slow;

const LINES: usize = 120;

/// Readers, writers, committers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale(pub(crate) u32, pub(crate) u32, pub(crate) u32);

pub(crate) struct World {
    pub(crate) fs: SimFs,
    pub(crate) restart: RestartStrategy,
    seed: u64,
    compacted: bool,
    processes: u64,
}

fn line(i: usize) -> String {
    format!("{i:05}-{}", "x".repeat(i * 7 % 23))
}

impl World {
    pub(crate) fn new(seed: u64, compacted: bool) -> Self {
        let fs = SimFs::new();
        for (name, lines) in [("a", 0..50), ("b", 50..75), ("c", 75..LINES)] {
            let text: String = lines.map(|i| line(i) + "\n").collect();
            fs.put(format!("/in/{name}"), text.as_bytes()).unwrap();
        }
        Self { fs, restart: RestartStrategy::None, seed, compacted, processes: 0 }
    }

    fn job(&self, Scale(readers, writers, committers): Scale) -> Result<Job<MessageBatch>> {
        let base = Path::new("/");
        let source = SourceOptions { split_size: ByteSize(128), ..SourceOptions::lines("/in") };
        let merge = Merge { checkpoints: 2, size: Some(ByteSize(300)), ..Merge::default() };
        let sink = SinkOptions {
            rolling: Rolling { size: ByteSize(150), age: None, on_checkpoint: self.seed.is_multiple_of(2) },
            compaction: self.compacted.then_some(Compaction::Merge(merge)),
            ..SinkOptions::lines("/out")
        };
        Ok(Job {
            source: erase(FileSource::new(&source, base)?),
            sink: Box::new(FileSink::new(&sink, base)?),
            config: JobConfig {
                name: "lines".to_owned(),
                source_parallelism: readers,
                sink_parallelism: writers,
                committer_parallelism: committers,
                checkpoint: CheckpointConfig {
                    interval: Duration::from_millis(10),
                    dir: PathBuf::from("/checkpoints"),
                    retain: 2,
                    timeout: Duration::from_secs(60),
                },
                restart: self.restart,
                on_lost: OnLost::Fail,
                identity: BTreeMap::new(),
                close_timeout: Duration::from_secs(5),
            },
            start: StartOptions::default(),
            max_rows: NonZeroUsize::new(3).unwrap(),
        })
    }

    /// A process that runs the job.
    pub(crate) fn run(&mut self, scale: Scale) -> Result<End> {
        self.run_stopped(scale, &StopFlag::new(), Duration::MAX)
    }

    /// A process that runs the job, and a user who stops it with a savepoint.
    pub(crate) fn run_stopped(&mut self, scale: Scale, stop: &StopFlag, after: Duration) -> Result<End> {
        self.processes += 1;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.processes);
        self.fs.seed(seed);
        sim::run(async {
            let env = slow(sim::environment(&self.fs, seed), seed);
            let (clock, user) = (env.clock.clone(), stop.clone());
            let _user = env.spawner.spawn(
                "user",
                Box::pin(async move {
                    clock.sleep(after).await;
                    user.stop_with_savepoint();
                }),
            );
            let job = self.job(scale)?;
            let hangs = || Error::contract("the host", "hangs: an hour has gone by");
            let life = mailbox_host::run(&job, &env, stop);
            tokio::time::timeout(Duration::from_secs(3_600), life).await.unwrap_or_else(|_| Err(hangs()))
        })
    }

    /// The process dies, or the machine does.
    pub(crate) fn die(&mut self, power: Option<PowerCut>) {
        self.fs = match power {
            Some(how) => self.fs.power_cut(how),
            None => self.fs.process_crash(),
        };
    }

    pub(crate) fn has_checkpoint(&self) -> bool {
        self.fs.files().iter().any(|path| path.extension().is_some_and(|e| e == "ckpt"))
    }

    /// How many attempts the job had: the number in the newest checkpoint.
    pub(crate) fn attempts(&self) -> u64 {
        let copy = std::sync::Arc::new(self.fs.process_crash());
        let store = CheckpointStore::open(copy, Path::new("/checkpoints"), 9).unwrap();
        store.latest().unwrap().map_or(0, |record| record.attempt)
    }

    /// The visible lines; `Err` when one is there twice or not wholly.
    fn visible(&self) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for path in self.fs.files() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.starts_with("/out") && !name.starts_with('.') {
                let content =
                    String::from_utf8(self.fs.content(&path).unwrap()).map_err(|e| e.to_string())?;
                found.extend(content.lines().map(str::to_owned));
            }
        }
        found.sort();
        match found.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("{:?} is visible twice", pair[0])),
            None => Ok(found),
        }
    }

    /// What is visible now is right as far as it goes.
    pub(crate) fn check(&self) -> Result<(), String> {
        let all: Vec<String> = (0..LINES).map(line).collect();
        match self.visible()?.into_iter().find(|line| !all.contains(line)) {
            Some(line) => Err(format!("{line:?} is no line of the input")),
            None => Ok(()),
        }
    }

    /// Every line is visible, and nothing hidden is left.
    pub(crate) fn check_end(&self) -> Result<(), String> {
        let visible = self.visible()?;
        if let Some(missing) = (0..LINES).map(line).find(|line| !visible.contains(line)) {
            return Err(format!("{missing:?} is missing; {} are there", visible.len()));
        }
        let hidden = |path: &PathBuf| {
            path.starts_with("/out") && path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'))
        };
        match self.fs.files().into_iter().find(hidden) {
            Some(path) => Err(format!("{} is left", path.display())),
            None => self.check(),
        }
    }
}
