//! Random jobs over files that come at any moment, under a host in which everything goes wrong now and then.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::Environment;
use connector_api::factory::{ByteSize, Span};
use connector_api::sink::Sink;
use connector_api::source::{BoxSource, erase};
use connector_api::{Error, MessageBatch, Result};
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use testkit::fs::PowerCut;
use testkit::history::{self, History};
use testkit::lockstep::{self, Adversity, Options, Pair};
use testkit::random::SeededRandom;
use testkit::reference::Ledger;
use testkit::surroundings::{Death, Surroundings};
use testkit::{TestRow, files, sim};

use super::watch::SECOND;
use crate::source::*;
use crate::store::{Fault, Op, TestStore};

/// How many jobs a test runs for each kind.
const SEEDS: u64 = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    continuous: bool,
    after: Option<&'static str>,
    /// Whether the files are objects of a store.
    objects: bool,
}

const KINDS: [Kind; 8] = [
    Kind { continuous: true, after: None, objects: false },
    Kind { continuous: true, after: Some("delete"), objects: false },
    Kind { continuous: true, after: Some("move:/done"), objects: false },
    Kind { continuous: false, after: Some("delete"), objects: false },
    Kind { continuous: false, after: Some("move:/done"), objects: false },
    Kind { continuous: true, after: Some("delete"), objects: true },
    Kind { continuous: true, after: Some("move:/done"), objects: true },
    Kind { continuous: false, after: Some("move:/done"), objects: true },
];

struct World {
    kind: Kind,
    ledger: Ledger,
    split_size: u64,
    /// Files to come, and at which step.
    coming: Vec<(u64, PathBuf, Vec<TestRow>)>,
    expected: Vec<String>,
    /// Whether a file is left where files come.
    left: bool,
    store: TestStore,
    random: SeededRandom,
    faults: u32,
}

impl World {
    fn new(kind: Kind, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        let (mut coming, mut expected) = (Vec::new(), Vec::new());
        for file in 0..4 + random.below(6) as u32 {
            let rows = TestRow::range(file, 0..random.below(30));
            expected.extend(rows.iter().map(|row| row.text.clone()));
            let at = if kind.continuous { random.below(600) } else { 0 };
            // Names are used again once they are free.
            let name = if kind.after.is_some() && kind.continuous { file % 3 } else { file };
            coming.push((at, PathBuf::from(format!("/in/d{}/{name}", name % 2)), rows));
        }
        let split_size = 20 + random.below(60);
        let store = TestStore::default();
        Self {
            kind,
            ledger: Ledger::new(),
            split_size,
            coming,
            expected,
            left: true,
            store,
            random,
            faults: 0,
        }
    }
}

fn key(path: &Path) -> Key {
    Key::from(path.to_str().unwrap())
}

impl World {
    async fn is_there(&self, env: &Environment, path: &Path) -> bool {
        if self.kind.objects {
            return self.store.memory.head(&key(path)).await.is_ok();
        }
        env.fs.metadata(path).is_ok()
    }

    async fn remove(&self, env: &Environment, path: &Path) -> Result<()> {
        if self.kind.objects {
            self.store.memory.delete(&key(path)).await.unwrap();
            return Ok(());
        }
        env.fs.remove_file(path).map_err(Error::io("remove", path))?;
        env.fs.sync_dir(path.parent().unwrap()).map_err(Error::io("sync", path))
    }
}

#[async_trait]
impl Pair<MessageBatch> for World {
    fn source(&mut self, _: &Environment) -> Result<BoxSource<MessageBatch>> {
        let options = SourceOptions {
            split_size: ByteSize(self.split_size),
            discovery_interval: self.kind.continuous.then_some(Span(SECOND / 50)),
            after_read: self.kind.after.map(|after| after.to_owned().try_into().unwrap()),
            ..SourceOptions::lines("/in")
        };
        if self.kind.objects {
            let options = SourceOptions { path: "in".into(), ..options };
            return Ok(erase(FileSource::on(Arc::new(self.store.clone()), &options)?));
        }
        Ok(erase(FileSource::new(&options, Path::new("/"))?))
    }

    fn sink(&mut self, _: &Environment) -> Result<Box<dyn Sink<MessageBatch>>> {
        Ok(Box::new(self.ledger.sink()))
    }

    async fn meanwhile(&mut self, env: &Environment, steps: u64) -> Result<()> {
        let mut later = Vec::new();
        for (at, path, rows) in std::mem::take(&mut self.coming) {
            // A moved file is not replaced: a name is free when it is free in both places.
            let moved = Path::new("/done").join(path.strip_prefix("/in").unwrap());
            if at > steps || self.is_there(env, &path).await {
                later.push((at, path, rows));
            } else if self.is_there(env, &moved).await {
                self.remove(env, &moved).await?;
                later.push((at, path, rows));
            } else {
                let text: String = rows.iter().map(|row| format!("{}\n", row.text)).collect();
                if self.kind.objects {
                    self.store.memory.put(&key(&path), text.into()).await.unwrap();
                } else {
                    files::append(&*env.fs, &path, text.as_bytes())?;
                }
            }
        }
        self.coming = later;
        if self.kind.objects {
            if self.faults < 4 && !self.store.will_fail() && self.random.chance(5) {
                // Fewer than are tried again: each may hit the same file.
                self.faults += 1;
                let fault = [Fault::Before, Fault::After][self.random.below(2) as usize];
                self.store.fail([Op::Copy, Op::Delete][self.random.below(2) as usize], fault);
            }
            self.left = !self.store.names("in").await.is_empty();
            return Ok(());
        }
        let names = |dir: &str| files::names(&*env.fs, Path::new(dir));
        self.left = !(names("/in/d0")?.is_empty() && names("/in/d1")?.is_empty());
        Ok(())
    }

    fn is_enough(&mut self, _: &History) -> bool {
        let nothing_left = self.kind.after.is_none() || !self.left;
        self.kind.continuous
            && self.coming.is_empty()
            && self.ledger.len() >= self.expected.len()
            && nothing_left
    }
}

/// Runs a job to its end and judges what it left.
fn run(kind: Kind, seed: u64, death: Death) {
    sim::run(async {
        let mut around = Surroundings::simulated(seed);
        let mut world = World::new(kind, seed);
        let env = around.env().clone();
        env.fs.create_dir_all(Path::new("/in")).unwrap();
        world.meanwhile(&env, 0).await.unwrap();
        let adversity = Adversity { death, ..Adversity::ALL };
        let options = Options { adversity, rule: "R-2", ..Options::adverse(seed) };
        let what = format!("{kind:?}, seed {seed}, {death:?}");
        let ran = match lockstep::run(&mut world, &mut around, options).await {
            Ok(ran) => ran,
            Err(failed) => panic!("{what}: {:?}\n{}", failed.broken, failed.ran.log),
        };
        let judged = history::exactly_once("R-2", &world.expected, &world.ledger.visible());
        assert!(judged.is_ok(), "{what}: {judged:?}\n{}", ran.log);
        if kind.after.is_some() {
            let env = around.env().clone();
            world.meanwhile(&env, u64::MAX).await.unwrap();
            assert!(!world.left, "{what}\n{}", ran.log);
        }
    });
}

fn all(death: impl Fn(u64) -> Death) {
    for kind in KINDS {
        (0..SEEDS).for_each(|seed| run(kind, seed, death(seed)));
    }
}

#[test]
fn every_record_of_every_file_arrives_once_and_disposed_files_are_gone_whatever_goes_wrong() {
    all(|_| Death::Crash);
}

#[test]
fn power_cuts_lose_and_double_nothing() {
    all(|_| Death::PowerCut(PowerCut::SyncedOnly));
    all(|seed| Death::PowerCut(PowerCut::Seeded(seed)));
}
