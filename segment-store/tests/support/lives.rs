//! Some processes, one after the other, on one disk: each dies somewhere, and the next one must find what was promised.

use std::sync::Arc;

use segment_store::client::StoreClient;
use segment_store::{Error, Store, StoreOptions};
use testkit::fs::{Fault, OpKind, PowerCut, Rule, SimFs};
use testkit::random::SeededRandom;
use testkit::sim;

use super::client::{Client, Step, Stop, shared_event, wrong};
use super::lying::{Lie, LyingFs};
use super::{read_all, small};

const CLIENTS: u64 = 3;

/// What happened in a run: a campaign in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    pub acknowledged: u64,
    pub settled: u64,
    pub deaths: u64,
    pub deaths_while_opening: u64,
    pub objects: u64,
    pub snapshots: u64,
}

struct World {
    seed: u64,
    random: SeededRandom,
    fs: SimFs,
    lie: Option<Lie>,
    life: u64,
    stats: Stats,
}

/// Some lives by this seed.
pub fn run(seed: u64, lie: Option<Lie>) -> Result<Stats, String> {
    sim::run(async {
        let random = SeededRandom::new(seed.wrapping_mul(0x9e37_79b9));
        let mut world = World { seed, random, fs: SimFs::new(), lie, life: 0, stats: Stats::default() };
        let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
        let lives = 2 + world.random.below(4);
        for life in 0..=lives {
            world.life = life;
            match world.live(&mut clients, life == lives).await {
                Ok(()) | Err(Stop::Dead) => {}
                Err(Stop::Wrong(what)) => return Err(format!("SEED={seed}, life {life}: {what}")),
            }
            world.stats.deaths += u64::from(world.fs.is_frozen());
            world.crash();
        }
        world.stats.acknowledged = clients.iter().map(|client| client.acknowledged).sum();
        world.stats.settled = clients.iter().map(|client| client.settled).sum();
        Ok(world.stats)
    })
}

impl World {
    fn crash(&mut self) {
        let files = self.fs.files();
        let count =
            |end: &str| files.iter().filter(|path| path.to_string_lossy().ends_with(end)).count() as u64;
        self.stats.objects += count(".obj");
        self.stats.snapshots += count(".snapshot");
        self.fs = match self.random.below(5) {
            0 | 1 => self.fs.process_crash(),
            2 => self.fs.power_cut(PowerCut::SyncedOnly),
            _ => self.fs.power_cut(PowerCut::Seeded(self.random.below(1 << 40))),
        };
        self.fs.seed(self.random.below(1 << 40));
    }

    async fn open(&mut self) -> Step<Store> {
        let mut env = sim::environment(&self.fs, self.random.below(1 << 40));
        if let Some(lie) = self.lie {
            env.fs = Arc::new(LyingFs { inner: self.fs.clone(), lie, writes: Arc::default() });
        }
        // With no spares, files are recycled; with some, they are removed.
        let options = StoreOptions { spare_files: self.seed as usize % 3, ..small() };
        match Store::open(env, "s", options).await {
            Ok(store) => Ok(store),
            Err(_) if self.fs.is_frozen() => Err(Stop::Dead),
            Err(error) => wrong(format!("the store does not open: {error}")),
        }
    }

    async fn live(&mut self, clients: &mut [Client], is_last: bool) -> Step {
        if !is_last && self.random.chance(30) {
            self.fs.freeze_at(1 + self.random.below(25));
        }
        let store = self.open().await.inspect_err(|_| self.stats.deaths_while_opening += 1)?;
        self.prepare(&store).await?;
        for client in &mut *clients {
            client.settle(&self.fs, &store).await?;
            client.ask_shared(&self.fs, &store).await?;
        }
        self.check_shared(&store, clients).await?;
        if is_last {
            return Ok(());
        }
        if self.random.chance(70) && !self.fs.is_frozen() {
            self.fs.freeze_at(self.fs.operations() + 1 + self.random.below(250));
        }
        if self.random.chance(50) {
            (0..1 + self.random.below(3)).for_each(|_| self.inject());
        }
        let fs = &self.fs;
        let steps = 5 + self.random.below(30);
        let living = clients.iter_mut().map(|client| async {
            for _ in 0..steps {
                client.step(fs, &store).await?;
            }
            Ok(())
        });
        let ends: Vec<Step> = futures::future::join_all(living).await;
        // What is wrong comes before who died.
        let wrong = ends.into_iter().find(|end| matches!(end, Err(Stop::Wrong(_))));
        wrong.unwrap_or(Ok(()))?;
        self.fs.clear_faults();
        if self.random.chance(30) {
            let closed = store.close().await;
            if let Err(Error::Corrupt { .. }) = closed {
                return super::client::wrong(format!("{closed:?}"));
            }
        }
        Ok(())
    }

    async fn prepare(&self, store: &Store) -> Step {
        let scope = store.create_scope("a").await;
        let stream = store.create_stream(&super::stream("a/shared"), 1).await;
        for made in [scope, stream] {
            match made {
                Ok(()) | Err(Error::Exists(_)) => {}
                Err(_) if self.fs.is_frozen() => return Err(Stop::Dead),
                Err(error) => return wrong(format!("{error}")),
            }
        }
        Ok(())
    }

    fn inject(&self) {
        let faults = [
            Fault::Eio,
            Fault::NoSpace,
            Fault::Short { bytes: self.random.below(3000) as usize },
            Fault::Torn,
            Fault::SyncLoss { forget: false },
            Fault::SyncLoss { forget: true },
        ];
        let kinds = [
            OpKind::Write,
            OpKind::Write,
            OpKind::Sync,
            OpKind::Sync,
            OpKind::Sync,
            OpKind::Rename,
            OpKind::SyncDir,
            OpKind::Create,
            OpKind::Remove,
        ];
        let paths = ["log", ".log", ".log", "objects", "snapshots", "s/"];
        let fault = faults[self.random.below(6) as usize];
        let kind = kinds[self.random.below(9) as usize];
        let path = paths[self.random.below(6) as usize];
        let nth = 1 + self.random.below(if path == ".log" { 40 } else { 6 });
        self.fs.inject(Rule::on(kind, fault).path_containing(path).nth(nth));
    }

    /// All events that all clients wrote to one segment are there, whole, once, and those of each in order.
    async fn check_shared(&self, store: &Store, clients: &[Client]) -> Step {
        let bytes = match read_all(store, &super::segment("a/shared", 0), 0).await {
            Ok(bytes) => bytes,
            Err(_) if self.fs.is_frozen() => return Err(Stop::Dead),
            Err(error) => return wrong(format!("{error}")),
        };
        let mut next = [0_i64; CLIENTS as usize];
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let client = rest[0] as usize % next.len();
            // A number may have been tried, refused and left out.
            let event = rest.get(1..9).map_or(-1, |b| i64::from_le_bytes(b.try_into().unwrap()));
            let expected = shared_event(client as u64, event);
            if event < next[client] || !rest.starts_with(&expected) {
                return wrong(format!(
                    "no event at {} of {} shared bytes",
                    bytes.len() - rest.len(),
                    bytes.len()
                ));
            }
            next[client] = event + 1;
            rest = &rest[expected.len()..];
        }
        for client in clients {
            if next[client.number as usize] - 1 != client.shared.0 {
                return wrong(format!(
                    "client {} wrote up to {:?}, not {next:?}",
                    client.number, client.shared
                ));
            }
        }
        Ok(())
    }
}
