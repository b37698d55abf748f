//! Random jobs with random deaths: every line visible exactly once, and nothing hidden left.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::factory::{ByteSize, Span};
use connector_api::sink::{Flush, References, Sink};
use connector_api::{Error, MessageBatch, Result};
use testkit::crash::CrashRecorder;
use testkit::fs::{Fault, OpKind, PowerCut, Rule, SimFs};
use testkit::random::SeededRandom;
use testkit::sim;

use super::host::{Attempt, Start, Stored};
use super::{DIR, batch, context, names, visible};
use crate::sink::config::{Compaction, Merge, Rolling, SinkOptions};
use crate::sink::{CRASH_POINTS, FileSink};

const LINES: usize = 60;

fn line(i: usize) -> String {
    format!("line-{i:04}-{}", "x".repeat(i * 7 % 23))
}

/// How one attempt came to its end.
#[derive(Debug, PartialEq)]
enum End {
    /// All input is committed, and nothing is pending anywhere.
    Finished,
    /// It died or failed.
    Failed,
}

struct Job {
    coins: SeededRandom,
    fs: SimFs,
    options: SinkOptions,
    retained: Vec<Stored>,
    attempts: u64,
    last_id: u64,
    seen: BTreeSet<String>,
    points_hit: BTreeSet<&'static str>,
    /// Whether this job sometimes goes back to an older checkpoint, with duplicates accepted.
    goes_back: bool,
    /// The checkpoint that it went back to, until a later one is complete.
    went_back_to: Option<u64>,
}

impl Job {
    fn new(seed: u64) -> Self {
        let coins = SeededRandom::new(seed);
        let size = [40, 150, 400, 5_000][coins.below(4) as usize];
        let age = coins.chance(30).then_some(Span(Duration::from_millis(50)));
        let rolling = Rolling { size: ByteSize(size), age, on_checkpoint: coins.chance(50) };
        let merge = Merge {
            checkpoints: 1 + coins.below(3) as u32,
            size: coins.chance(60).then_some(ByteSize(size * (1 + coins.below(4)))),
            ..Merge::default()
        };
        let compaction = coins.chance(75).then_some(Compaction::Merge(merge));
        let options = SinkOptions { suffix: ".txt".into(), rolling, compaction, ..SinkOptions::lines(DIR) };
        Self {
            coins,
            fs: SimFs::new(),
            options,
            retained: Vec::new(),
            attempts: 0,
            last_id: 0,
            seen: BTreeSet::new(),
            points_hit: BTreeSet::new(),
            goes_back: false,
            went_back_to: None,
        }
    }

    fn going_back(seed: u64) -> Self {
        Self { goes_back: true, ..Self::new(seed) }
    }

    /// What any reader may see at any moment: no line twice, and none gone that was there.
    fn scan(&mut self) {
        let lines = visible(&self.fs);
        let distinct: BTreeSet<String> = lines.iter().cloned().collect();
        assert!(self.goes_back || lines.len() == distinct.len(), "a line is visible twice: {lines:?}");
        let gone: Vec<_> = self.seen.difference(&distinct).collect();
        assert!(gone.is_empty(), "lines were visible and are gone: {gone:?}");
        self.seen = distinct;
    }

    /// After the power came back: what was visible but not yet durable may be hidden again.
    fn forget_what_was_not_committed(&mut self) {
        self.seen.clear();
    }

    async fn run(&mut self, deaths: u64) {
        for death in 0.. {
            assert!(death < 200, "the job makes no progress");
            if self.options.compaction.is_some() && self.attempts > 4 && self.coins.chance(10) {
                self.options.compaction = Some(Compaction::Drain);
            }
            let recorder = CrashRecorder::new();
            if death < deaths {
                self.choose_death(&recorder);
            }
            let ended = self.attempt(&recorder).await;
            self.points_hit.extend(recorder.hits().into_keys());
            match ended {
                Ok(End::Finished) => break,
                Ok(End::Failed) => {}
                Err(e) if self.fs.is_frozen() || is_injected(&e) => {}
                Err(e) => panic!("{e}"),
            }
            self.fs.clear_faults();
            if self.fs.is_frozen() {
                if self.coins.chance(50) {
                    self.fs = self.fs.process_crash();
                    self.scan();
                } else {
                    self.fs = self.fs.power_cut(PowerCut::Seeded(self.coins.below(u64::MAX)));
                    self.forget_what_was_not_committed();
                }
            }
            self.scan();
        }
        if self.goes_back {
            self.sweep().await;
        }
        self.scan();
        let expected: Vec<_> = (0..LINES).map(line).collect();
        let mut found = visible(&self.fs);
        if self.goes_back {
            found.dedup();
        }
        assert_eq!(found, expected);
        assert_eq!(names(&self.fs, true), [""; 0], "hidden files are left");
    }

    /// What the host does when the job has ended.
    async fn sweep(&mut self) {
        if self.fs.is_frozen() {
            self.fs = self.fs.process_crash();
        }
        let plan = FileSink::<MessageBatch>::new(&self.options, Path::new("/"))
            .and_then(|sink| sink.plan())
            .unwrap();
        let context = context(&sim::environment(&self.fs, 0), u64::MAX, 0, 1);
        plan.sweep.unwrap().sweep(context, References::new(Vec::new())).await.unwrap();
    }

    fn choose_death(&self, recorder: &CrashRecorder) {
        let below = |n| self.coins.below(n);
        match below(10) {
            0..4 => {
                let point = CRASH_POINTS[below(CRASH_POINTS.len() as u64) as usize];
                recorder.kill_at(point, 1 + below(4), &self.fs);
            }
            4..7 => self.fs.freeze_at(self.fs.operations() + 1 + below(150)),
            7 | 8 => {
                let kinds = [
                    OpKind::Create,
                    OpKind::Rename,
                    OpKind::Remove,
                    OpKind::SyncDir,
                    OpKind::Write,
                    OpKind::Copy,
                    OpKind::SetLen,
                    OpKind::Sync,
                ];
                let faults = [
                    Fault::Eio,
                    Fault::NoSpace,
                    Fault::Short { bytes: 10 },
                    Fault::Torn,
                    Fault::SyncLoss { forget: false },
                    Fault::SyncLoss { forget: true },
                ];
                let rule = Rule::on(kinds[below(8) as usize], faults[below(6) as usize]);
                self.fs.inject(rule.nth(1 + below(12)));
            }
            _ => {}
        }
    }

    async fn attempt(&mut self, recorder: &CrashRecorder) -> Result<End> {
        self.attempts += 1;
        let mut env = sim::environment(&self.fs, self.coins.below(u64::MAX));
        env.crash = recorder.points();
        let plan = FileSink::<MessageBatch>::new(&self.options, Path::new("/"))?.plan()?;
        if self.goes_back && self.retained.len() > 1 && self.coins.chance(40) {
            self.retained.pop();
            self.went_back_to = self.retained.last().map(|stored| stored.id);
        }
        let from = self.retained.last().cloned();
        let start = Start {
            env: &env,
            number: self.attempts,
            writers: 1 + self.coins.below(3) as u32,
            compactors: 1 + self.coins.below(3) as u32,
            from: from.as_ref(),
            going_back: self.went_back_to.is_some(),
            retained: &self.retained,
        };
        let mut attempt = start.open(&plan).await?;
        self.scan();
        let position = from.as_ref().map_or(0, |from| from.position);
        let ended = self.drive(&env, &mut attempt, position).await;
        // A process that is killed closes nothing; one that fails does.
        if !self.fs.is_frozen() {
            attempt.close().await;
        }
        ended
    }

    async fn drive(&mut self, env: &Environment, attempt: &mut Attempt, mut position: usize) -> Result<End> {
        loop {
            if self.fs.is_frozen() {
                return Ok(End::Failed);
            }
            let ended = position == LINES;
            if !ended && self.coins.chance(60) {
                let next = (position + 1 + self.coins.below(9) as usize).min(LINES);
                let lines: Vec<_> = (position..next).map(line).collect();
                let between = ["\n", "\n", "\r\n", ""][self.coins.below(4) as usize];
                attempt.write(batch(&lines, between)).await?;
                position = next;
            } else if !ended && self.coins.chance(25) {
                attempt.idle(env, 2).await?;
            } else {
                let flush = match self.coins.below(5) {
                    _ if ended => Flush::EndOfInput,
                    0 => Flush::Savepoint,
                    _ => Flush::Checkpoint,
                };
                if self.checkpoint(attempt, position, flush).await? && ended {
                    return Ok(End::Finished);
                }
            }
            self.scan();
            if self.coins.chance(1) {
                // Killed between two steps.
                self.fs.freeze();
            }
        }
    }

    /// Says whether nothing is pending any more.
    async fn checkpoint(&mut self, attempt: &mut Attempt, position: usize, flush: Flush) -> Result<bool> {
        self.last_id += 1;
        let id = self.last_id;
        let stored = attempt.checkpoint(id, position, flush).await?;
        if flush != Flush::Checkpoint {
            assert!(stored.writers.is_empty(), "a savepoint leaves a part open");
        }
        if self.coins.chance(15) || self.fs.is_frozen() {
            // Aborted: nothing is undone, and a later one stands for it.
            return Ok(false);
        }
        let is_empty = stored.stages.values().all(Vec::is_empty);
        self.went_back_to = None;
        self.retained.push(stored);
        if self.retained.len() > 2 {
            self.retained.remove(0);
        }
        if self.coins.chance(10) {
            // Killed after the completion, before any notice.
            self.fs.freeze();
        }
        let notice = !self.coins.chance(15);
        if notice && self.coins.chance(50) {
            attempt.complete(id).await?;
            attempt.commit(id).await?;
        } else {
            attempt.commit(id).await?;
            if notice {
                attempt.complete(id).await?;
            }
        }
        Ok(is_empty && attempt.pending() == 0)
    }
}

fn is_injected(error: &Error) -> bool {
    matches!(error, Error::Io { .. } | Error::Cancelled(_)) && error.is_retryable()
}

/// Seeds to run; `FILE_SINK_SEEDS=from..to` for more of them, or for one again.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("FILE_SINK_SEEDS").ok();
    let bounds = given.as_deref().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    bounds.unwrap_or(0..400)
}

#[test]
fn going_back_with_duplicates_accepted_loses_no_line() {
    for seed in seeds() {
        println!("seed {seed}");
        sim::run(async {
            let mut job = Job::going_back(seed);
            let deaths = 1 + job.coins.below(8);
            job.run(deaths).await;
        });
    }
}

/// What only object stores come by; the conformance suite lets the process die there.
pub(super) const OF_OBJECTS: [&str; 4] = ["file-upload/", "-complete", "-copy", "-abort"];

#[test]
fn every_line_is_visible_exactly_once_whenever_the_job_dies() {
    let mut hit = BTreeSet::new();
    let mut attempts = 0;
    for seed in seeds() {
        println!("seed {seed}");
        sim::run(async {
            let mut job = Job::new(seed);
            let deaths = job.coins.below(8);
            job.run(deaths).await;
            hit.extend(job.points_hit);
            attempts += job.attempts;
        });
    }
    println!("{attempts} attempts");
    if seeds().count() >= 400 {
        // Those of finished buckets are for the campaign with buckets.
        let never: Vec<_> = CRASH_POINTS
            .iter()
            .filter(|point| !point.contains("bucket") && !OF_OBJECTS.iter().any(|part| point.contains(part)))
            .filter(|point| !hit.contains(*point))
            .collect();
        assert!(never.is_empty(), "crash points that no run came by: {never:?}");
        assert!(hit.iter().all(|point| CRASH_POINTS.contains(point)), "{hit:?}");
    }
}
