//! Where a random job writes to: local files, or objects of a store that dies with the process.

use std::path::Path;
use std::sync::Arc;

use connector_api::factory::ByteSize;
use connector_api::{MessageBatch, Result};
use testkit::crash::CrashRecorder;
use testkit::fs::{Fault, OpKind, PowerCut, Rule, SimFs};
use testkit::random::SeededRandom;

use super::super::store::{self, Op, TestStore};
use super::super::{DIR, names};
use crate::place::{UploadOptions, wait};
use crate::sink::config::SinkOptions;
use crate::sink::{CRASH_POINTS, FileSink, naming};

pub(super) struct World {
    /// The process and its disk.
    pub(super) fs: SimFs,
    store: Option<TestStore>,
}

impl World {
    pub(super) fn local() -> Self {
        Self { fs: SimFs::new(), store: None }
    }

    pub(super) fn objects(conditional: bool) -> Self {
        let fs = SimFs::new();
        let store = TestStore::default().within(&fs);
        if !conditional {
            store.without_conditional_copies();
            store.without_conditional_puts();
        }
        Self { fs, store: Some(store) }
    }

    pub(super) fn is_local(&self) -> bool {
        self.store.is_none()
    }

    /// These options as they are for this place.
    pub(super) fn fit(&self, mut options: SinkOptions) -> SinkOptions {
        if !self.is_local() {
            options.path = "out".into();
            options.rolling.on_checkpoint = true;
            options.upload = Some(UploadOptions { part_size: ByteSize(48), max_uploads: 2 });
        }
        options
    }

    pub(super) fn sink(&self, options: &SinkOptions) -> Result<FileSink<MessageBatch>> {
        match &self.store {
            None => FileSink::new(options, Path::new("/")),
            Some(store) => FileSink::on(Arc::new(store.clone()), options),
        }
    }

    /// The names below the sink's path, visible ones or hidden ones; not the marks of finished buckets.
    pub(super) fn names(&self, hidden: bool) -> Vec<String> {
        let Some(store) = &self.store else { return names(&self.fs, hidden) };
        let mut names = wait(store.names("out")).unwrap();
        names.retain(|name| {
            let (_, file) = naming::split(name);
            file.starts_with('.') == hidden && !file.starts_with('_')
        });
        names
    }

    /// The content of a file; none when it is not there.
    pub(super) fn content(&self, name: &str) -> Option<Vec<u8>> {
        match &self.store {
            None => self.fs.content(Path::new(DIR).join(name)).ok(),
            Some(store) => {
                let key = object_store::path::Path::parse(format!("out/{name}")).unwrap();
                let found = wait(object_store::ObjectStoreExt::get(&store.memory, &key)).unwrap().ok()?;
                Some(wait(found.bytes()).unwrap().unwrap().to_vec())
            }
        }
    }

    pub(super) fn choose_death(&self, coins: &SeededRandom, recorder: &CrashRecorder) {
        let below = |n| coins.below(n);
        match (below(10), &self.store) {
            (0..5, _) => {
                let point = CRASH_POINTS[below(CRASH_POINTS.len() as u64) as usize];
                recorder.kill_at(point, 1 + below(4), &self.fs);
            }
            (5..8, None) => self.fs.freeze_at(self.fs.operations() + 1 + below(250)),
            (5..8, Some(store)) => {
                let faults = [store::Fault::Before, store::Fault::After];
                store.die_at(1 + below(250), faults[below(2) as usize]);
            }
            (8, None) => {
                let kinds = [OpKind::Create, OpKind::Rename, OpKind::SyncDir, OpKind::Write, OpKind::Sync];
                let faults = [Fault::Eio, Fault::NoSpace, Fault::SyncLoss { forget: true }];
                let rule = Rule::on(kinds[below(5) as usize], faults[below(3) as usize]);
                self.fs.inject(rule.nth(1 + below(20)));
            }
            (8, Some(store)) => {
                let ops = [Op::Create, Op::PutPart, Op::Complete, Op::Put, Op::Get, Op::Delete, Op::Copy];
                let faults = [store::Fault::Before, store::Fault::After];
                store.fail(ops[below(7) as usize], faults[below(2) as usize]);
            }
            _ => {}
        }
    }

    /// The next process, or the next attempt in the same one, finds this.
    pub(super) fn go_on(&mut self, coins: &SeededRandom) {
        self.fs.clear_faults();
        if self.fs.is_frozen() {
            self.fs = if !self.is_local() || coins.chance(50) {
                self.fs.process_crash()
            } else {
                self.fs.power_cut(PowerCut::Seeded(coins.below(u64::MAX)))
            };
        }
        // What a dead process left behind goes on with its own store, in vain.
        self.store = self.store.as_ref().map(|store| store.within(&self.fs));
    }
}
