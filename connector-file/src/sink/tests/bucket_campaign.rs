//! Random jobs with buckets and random deaths: every line exactly once in its bucket, and what is said of a finished bucket is
//! true.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::factory::ByteSize;
use connector_api::id::CheckpointId;
use connector_api::sink::{
    Checkpoint, Flush, Operator, Output, Parallelism, Partition, Prepare, Sink, SinkPlan, Topology,
};
use connector_api::{Batch, Error, MessageBatch, Result};
use testkit::crash::CrashRecorder;
use testkit::random::SeededRandom;
use testkit::sim;

use self::world::World;
use super::host::{Attempt, Start, Stored};
use super::{DIR, batch};
use crate::sink::config::{Compaction, Merge, Rolling, SinkOptions};
use crate::sink::finish::Finisher;
use crate::sink::{
    BucketOptions, CRASH_POINTS, FINISHER_UID, FileCommittable, FinishedBucket, MANIFEST, Manifest,
    OnFinished, SUCCESS, naming,
};

const LINES: usize = 60;
const HOUR: i64 = 3_600_000;
/// 2026-10-24T20:00:00Z: the night in which Berlin's clocks go back is ahead.
const START: i64 = 1_792_872_000_000;

fn time(i: usize) -> i64 {
    START + i as i64 * 13 * 60_000
}

fn line(i: usize) -> String {
    format!(r#"{{"i":{i},"k":"{}","x":"{}"}}"#, ["a", "b/c", "..", ""][i / 3 % 4], "x".repeat(i * 7 % 23))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Field,
    Event,
    Processing,
}

struct Job {
    coins: SeededRandom,
    world: World,
    options: SinkOptions,
    by: By,
    /// Whether watermarks never pass a row that is still to come.
    is_honest: bool,
    /// Whether the finisher is one that waits for one part only.
    is_hasty: bool,
    retained: Vec<Stored>,
    attempts: u64,
    last_id: u64,
    points_hit: BTreeSet<&'static str>,
    /// Buckets that were marked as finished before the end of the input.
    finished_early: BTreeSet<String>,
}

impl Job {
    fn new(seed: u64, world: World) -> Self {
        let coins = SeededRandom::new(seed);
        let by = [By::Field, By::Event, By::Event, By::Processing][coins.below(4) as usize];
        let mut buckets = match by {
            By::Field => BucketOptions::field("k"),
            By::Event => BucketOptions::event_time("%F/%H"),
            By::Processing => BucketOptions::processing_time("%F/%H-%M/%S"),
        };
        if by == By::Event {
            buckets.0[0].zone = Some("Europe/Berlin".into());
        }
        let merge = Merge {
            checkpoints: 1 + coins.below(3) as u32,
            size: coins.chance(50).then_some(ByteSize(200)),
            ..Merge::default()
        };
        let rolling = Rolling { size: ByteSize(150), age: None, on_checkpoint: coins.chance(50) };
        let options = SinkOptions {
            buckets,
            rolling,
            max_open: 1 + coins.below(4) as u32,
            shuffle_by_bucket: coins.chance(50),
            on_finished: coins.chance(80).then(OnFinished::default),
            compaction: coins.chance(60).then_some(Compaction::Merge(merge)),
            ..SinkOptions::lines(DIR)
        };
        let is_honest = coins.chance(60);
        Self {
            coins,
            options: world.fit(options),
            world,
            by,
            is_honest,
            is_hasty: false,
            retained: Vec::new(),
            attempts: 0,
            last_id: 0,
            points_hit: BTreeSet::new(),
            finished_early: BTreeSet::new(),
        }
    }

    /// The numbers of the visible lines, by bucket.
    fn visible(&self) -> BTreeMap<String, Vec<usize>> {
        let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for name in self.world.names(false) {
            let content = String::from_utf8(self.world.content(&name).unwrap()).unwrap();
            let lines = found.entry(naming::split(&name).0.to_owned()).or_default();
            for text in content.lines() {
                let i = serde_json::from_str::<serde_json::Value>(text).unwrap()["i"].as_u64().unwrap();
                assert_eq!(text, line(i as usize));
                lines.push(i as usize);
            }
        }
        found
    }

    fn bucket(&self, i: usize) -> Option<String> {
        match self.by {
            By::Field => Some(["k=a", "k=b%2Fc", "k=%2E%2E", "k="][i / 3 % 4].to_owned()),
            By::Event => {
                let zone = jiff::tz::TimeZone::get("Europe/Berlin").unwrap();
                let at = jiff::Timestamp::from_millisecond(time(i)).unwrap().to_zoned(zone);
                Some(at.strftime("%Y-%m-%d/%H").to_string())
            }
            By::Processing => None,
        }
    }

    fn mark(&self, bucket: &str, name: &str) -> Option<Vec<u8>> {
        self.world.content(&naming::within(bucket, name))
    }

    /// What any reader may see at any moment.
    fn scan(&mut self, ended: bool) {
        let visible = self.visible();
        let mut seen = BTreeSet::new();
        for (bucket, lines) in &visible {
            for i in lines {
                assert!(seen.insert(*i), "line {i} is visible twice");
                assert!(
                    self.bucket(*i).is_none_or(|expected| expected == *bucket),
                    "line {i} is in {bucket}"
                );
            }
        }
        for (bucket, lines) in &visible {
            let mut listed = BTreeSet::new();
            if let Some(content) = self.mark(bucket, MANIFEST) {
                let manifest = Manifest::read(&content, bucket).unwrap();
                assert_eq!(manifest.bucket, *bucket);
                for file in manifest.files {
                    let content = self.world.content(&naming::within(bucket, &file.name));
                    let content = content.unwrap_or_else(|| panic!("{bucket}: {} is listed", file.name));
                    let records = content.iter().filter(|b| **b == b'\n').count() as u64;
                    assert_eq!((file.bytes, file.records), (content.len() as u64, records));
                    listed.insert(file.name);
                }
            }
            if self.mark(bucket, SUCCESS).is_none() {
                continue;
            }
            assert!(!listed.is_empty(), "{bucket} is marked without a manifest");
            if !ended {
                self.finished_early.insert(bucket.clone());
            }
            if self.by == By::Event && self.is_honest {
                let all = (0..LINES).filter(|i| self.bucket(*i).as_deref() == Some(bucket)).count();
                assert_eq!(lines.len(), all, "{bucket} is marked, and lines of it are missing");
            }
        }
    }

    fn check_the_end(&mut self) {
        self.scan(true);
        let visible = self.visible();
        let all: BTreeSet<usize> = visible.values().flatten().copied().collect();
        assert_eq!(all.len(), LINES);
        assert_eq!(self.world.names(true), [""; 0], "hidden files are left");
        for bucket in visible.keys() {
            let marked = self.mark(bucket, SUCCESS).is_some();
            assert_eq!(marked, self.options.on_finished.is_some(), "{bucket}");
            if marked {
                let manifest = Manifest::read(&self.mark(bucket, MANIFEST).unwrap(), bucket).unwrap();
                let listed: Vec<_> =
                    manifest.files.into_iter().map(|f| naming::within(bucket, &f.name)).collect();
                let mut there = self.world.names(false);
                there.retain(|name| naming::split(name).0 == bucket);
                there.sort_unstable();
                assert_eq!(listed, there, "{bucket}: the manifest lists what is there");
            }
        }
    }

    async fn run(&mut self, deaths: u64) {
        for death in 0.. {
            assert!(death < 200, "the job makes no progress");
            let recorder = CrashRecorder::new();
            if death < deaths {
                self.world.choose_death(&self.coins, &recorder);
            }
            let ended = self.attempt(&recorder).await;
            self.points_hit.extend(recorder.hits().into_keys());
            match ended {
                Ok(true) => break,
                Ok(false) => {}
                Err(e) if self.world.fs.is_frozen() || is_injected(&e) => {}
                Err(e) => panic!("{e}"),
            }
            self.world.go_on(&self.coins);
            self.scan(false);
        }
        self.check_the_end();
    }

    fn plan(&self) -> Result<SinkPlan<MessageBatch>> {
        let sink = self.world.sink(&self.options)?;
        let mut plan = sink.plan()?;
        if self.is_hasty && !plan.post_commit.is_empty() {
            let (config, on) = (sink.config.clone(), OnFinished::default());
            let twin = SinkPlan::<MessageBatch>::stateful({
                let config = config.clone();
                move |context, states| crate::sink::writer::FileWriter::open(context, config.clone(), states)
            })
            .pre_commit(Topology::<FileCommittable, FileCommittable>::new())
            .post_commit(Topology::new().stage(
                FINISHER_UID,
                Parallelism::One,
                Partition::Rebalance,
                move |context, states| {
                    let finisher = Hasty(Finisher::open(&context, &config, on.clone(), states));
                    async move { Ok(finisher) }
                },
            ))
            .committer({
                let config: Arc<_> = sink.config.clone();
                move |context| {
                    let committer = crate::sink::committer::FileCommitter::new(&context, config.clone());
                    async move { Ok(committer) }
                }
            });
            plan.post_commit = twin.post_commit;
        }
        Ok(plan)
    }

    async fn attempt(&mut self, recorder: &CrashRecorder) -> Result<bool> {
        self.attempts += 1;
        let mut env = sim::environment(&self.world.fs, self.coins.below(u64::MAX));
        env.crash = recorder.points();
        let plan = self.plan()?;
        let from = self.retained.last().cloned();
        let start = Start {
            env: &env,
            number: self.attempts,
            writers: 1 + self.coins.below(3) as u32,
            compactors: 1 + self.coins.below(3) as u32,
            from: from.as_ref(),
            going_back: false,
            retained: &self.retained,
        };
        let mut attempt = start.open(&plan).await?;
        self.scan(false);
        let mut position = from.as_ref().map_or(0, |from| from.position);
        let ended = loop {
            match self.step(&env, &mut attempt, &mut position).await {
                Ok(None) => {}
                Ok(Some(ended)) => break Ok(ended),
                Err(e) => break Err(e),
            }
        };
        if !self.world.fs.is_frozen() {
            attempt.close().await;
        }
        ended
    }

    /// One step; says whether the attempt ended, and if so whether well.
    async fn step(
        &mut self,
        env: &connector_api::env::Environment,
        attempt: &mut Attempt,
        position: &mut usize,
    ) -> Result<Option<bool>> {
        if self.world.fs.is_frozen() {
            return Ok(Some(false));
        }
        let ended = *position == LINES;
        if !ended && self.coins.chance(60) {
            let next = (*position + 1 + self.coins.below(9) as usize).min(LINES);
            let lines: Vec<_> = (*position..next).map(line).collect();
            let times = if self.by == By::Event { (*position..next).map(time).collect() } else { Vec::new() };
            attempt.write_batch(Batch::with_timestamps(batch(&lines, "\n"), times)?).await?;
            *position = next;
            // A false one makes rows of the next two hours late.
            let ahead = if self.is_honest { -1 } else { self.coins.below(2) as i64 * 2 * HOUR };
            attempt.watermark(time(next) + ahead).await?;
            env.clock.sleep(std::time::Duration::from_millis(self.coins.below(900))).await;
        } else {
            let flush = match self.coins.below(5) {
                _ if ended => Flush::EndOfInput,
                0 => Flush::Savepoint,
                _ => Flush::Checkpoint,
            };
            if self.checkpoint(attempt, *position, flush).await? && ended {
                return Ok(Some(true));
            }
        }
        self.scan(false);
        Ok(None)
    }

    /// Says whether nothing is pending any more.
    async fn checkpoint(&mut self, attempt: &mut Attempt, position: usize, flush: Flush) -> Result<bool> {
        self.last_id += 1;
        let id = self.last_id;
        let stored = attempt.checkpoint(id, position, flush).await?;
        if self.coins.chance(15) || self.world.fs.is_frozen() {
            return Ok(false);
        }
        let is_empty = stored.stages.values().all(Vec::is_empty) && stored.pending.is_empty();
        self.retained.push(stored);
        if self.retained.len() > 2 {
            self.retained.remove(0);
        }
        if self.coins.chance(10) {
            self.world.fs.freeze();
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
    matches!(error, Error::Io { .. } | Error::Cancelled(_) | Error::Connector { .. }) && error.is_retryable()
}

/// A finisher that waits for one part of a bucket, and for no merge.
#[derive(Debug)]
struct Hasty(Finisher);

#[async_trait]
impl Operator for Hasty {
    type In = FileCommittable;
    type Out = FileCommittable;
    type State = <Finisher as Operator>::State;

    async fn process(
        &mut self,
        item: FileCommittable,
        at: CheckpointId,
        out: &mut Output<FileCommittable>,
    ) -> Result<()> {
        let item = match item {
            FileCommittable::Finished(finished) => {
                FileCommittable::Finished(FinishedBucket { parts: finished.parts.min(1), ..finished })
            }
            other => other,
        };
        self.0.process(item, at, out).await
    }

    async fn prepare(&mut self, how: Prepare, out: &mut Output<FileCommittable>) -> Result<()> {
        self.0.prepare(how, out).await
    }

    fn snapshot(&mut self, at: Checkpoint) -> Result<Vec<Self::State>> {
        self.0.snapshot(at)
    }

    async fn end_of_input(&mut self, out: &mut Output<FileCommittable>) -> Result<()> {
        self.0.end_of_input(out).await
    }
}

fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("FILE_SINK_SEEDS").ok();
    let bounds = given.as_deref().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    bounds.unwrap_or(0..400)
}

#[test]
fn every_line_is_in_its_bucket_once_and_a_finished_bucket_is_whole_whenever_the_job_dies() {
    campaign(|_| World::local(), |point| super::campaign::OF_OBJECTS.iter().any(|part| point.contains(part)));
}

#[test]
fn in_an_object_store_every_line_is_in_its_bucket_once_and_a_finished_bucket_is_whole() {
    // No file is written, synced or renamed.
    let of_files = ["-write", "-sync", "-rename", "writer/after-create"];
    let is_of_files = |point: &str| {
        !point.contains("bucket") && of_files.iter().any(|part| point.contains(part))
            || point.contains("finisher") && point.contains("-rename")
    };
    campaign(|seed| World::objects(seed % 4 > 0), is_of_files);
}

/// Runs many jobs; `is_elsewhere` names the crash points that jobs in this world don't come by.
fn campaign(world: impl Fn(u64) -> World, is_elsewhere: impl Fn(&str) -> bool) {
    let mut hit = BTreeSet::new();
    let mut early = 0;
    for seed in seeds() {
        println!("seed {seed}");
        sim::run(async {
            let mut job = Job::new(seed, world(seed));
            let deaths = job.coins.below(8);
            job.run(deaths).await;
            hit.extend(job.points_hit);
            early += job.finished_early.len();
        });
    }
    if seeds().count() >= 400 {
        let never: Vec<_> = CRASH_POINTS
            .iter()
            .filter(|point| !hit.contains(*point) && !point.contains("after-cut") && !is_elsewhere(point))
            .collect();
        assert!(never.is_empty(), "crash points that no run came by: {never:?}");
        assert!(early > 100, "only {early} buckets were finished before the end of the input");
    }
}

/// Each point once, with everything on.
#[test]
fn a_death_at_each_point_leaves_every_bucket_whole() {
    for (point, make) in CRASH_POINTS.iter().flat_map(|point| {
        let worlds: [fn() -> World; 3] = [World::local, || World::objects(true), || World::objects(false)];
        worlds.map(|make| (point, make))
    }) {
        for nth in [1, 3] {
            println!("{point} {nth}");
            sim::run(async {
                let mut job = Job::new(3, make());
                job.options.on_finished = Some(OnFinished::default());
                job.options.shuffle_by_bucket = nth == 1;
                let recorder = CrashRecorder::new();
                recorder.kill_at(point, nth, &job.world.fs);
                let _ = job.attempt(&recorder).await;
                job.world.go_on(&job.coins);
                job.run(0).await;
            });
        }
    }
}

#[test]
fn a_finisher_that_does_not_wait_for_a_merge_is_caught() {
    for make in [World::local, || World::objects(true)] {
        let caught = (0..60).find(|seed| {
            let run = std::panic::AssertUnwindSafe(|| {
                sim::run(async {
                    let mut job = Job::new(*seed, make());
                    (job.is_honest, job.is_hasty) = (true, true);
                    job.options.on_finished = Some(OnFinished::default());
                    job.options.compaction = Some(Compaction::Merge(Merge {
                        checkpoints: 3,
                        size: Some(ByteSize(200)),
                        ..Merge::default()
                    }));
                    job.run(0).await;
                });
            });
            std::panic::catch_unwind(run).is_err()
        });
        assert!(caught.is_some(), "nobody noticed");
    }
}
