//! A reader in another process looks at any moment.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it fails")]
#![allow(unreachable_pub, reason = "nothing here is public")]

mod support;

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};
use segment_store::client::StoreClient;
use segment_store::{Error, Store, StoreOptions, holds};
use support::events::{check, fill, last, logs, made, write};
use support::{env, open, small, stream};
use testkit::fs::SimFs;
use testkit::sim;

/// One disk up to some look at it, then the same disk later.
#[derive(Clone, Debug)]
struct Moving {
    before: SimFs,
    after: SimFs,
    left: Arc<AtomicU64>,
}

#[derive(Debug)]
struct MovingFile(Moving, PathBuf);

impl Moving {
    fn now(&self) -> &SimFs {
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { &self.before } else { &self.after }
    }
}

impl FileSystem for Moving {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.now().open(path, access)?;
        Ok(Box::new(MovingFile(self.clone(), path.into())))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.now().metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.now().list(dir)
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _: &Path, _: &Path, _: Rename) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn FileLock>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl MovingFile {
    /// One that got another name meanwhile is open still.
    fn opened(&self) -> io::Result<Box<dyn File>> {
        let Self(disks, path) = self;
        disks.now().open(path, Access::Read).or_else(|_| disks.before.open(path, Access::Read))
    }
}

impl File for MovingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.opened()?.read_at(buffer, offset)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn copy_range(&self, _: &dyn File, _: u64, _: u64, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.opened()?.metadata()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn a_reader_that_looks_while_another_process_writes_sees_no_damage() {
    sim::run(async {
        // Within a file of the log, and over the beginning of the next one.
        for (first, second) in [(3, 6), (3, 40), (30, 60)] {
            let fs = SimFs::new();
            let options = StoreOptions { log_files: 10, snapshot_every: 1 << 40, ..small() };
            let store = Store::open(env(&fs, 1), "s", options.clone()).await.unwrap();
            store.create_scope("a").await.unwrap();
            store.create_stream(&stream("a/b"), 1).await.unwrap();
            fill(&store, 0, first).await;
            let before = fs.process_crash();
            let after = before.process_crash();
            let store = Store::open(env(&after, 1), "s", options).await.unwrap();
            fill(&store, first, second).await;
            let after = after.process_crash();
            for looks in 0..40 {
                let left = Arc::new(AtomicU64::new(looks));
                let (before, after) = (before.process_crash(), after.process_crash());
                let mut env = env(&after, 1);
                env.fs = Arc::new(Moving { before, after, left: left.clone() });
                let reader = Store::attach(env, "s").await.unwrap();
                let there = last(&reader).await.unwrap() + 1;
                assert!((first..=second).contains(&there), "{there}");
                left.store(0, Ordering::Relaxed);
                reader.refresh().await.unwrap();
                check(&reader, second).await;
            }
        }
    });
}

/// On disks that refuse to be written.
#[test]
fn whether_a_stream_is_there_is_told_without_writing_while_another_process_writes() {
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        fill(&store, 0, 30).await;
        let before = fs.process_crash();
        let after = before.process_crash();
        let store = open(&after).await.unwrap();
        fill(&store, 30, 120).await;
        // The first files are given back.
        store.upkeep().await.unwrap();
        store.create_stream(&stream("a/late"), 1).await.unwrap();
        let after = after.process_crash();
        assert!(logs(&before).first() < logs(&after).first(), "{:?}", logs(&after));
        for looks in 0..80 {
            let left = Arc::new(AtomicU64::new(looks));
            let (before, after) = (before.process_crash(), after.process_crash());
            let mut env = env(&after, 1);
            env.fs = Arc::new(Moving { before, after, left: left.clone() });
            let dir = Path::new("s");
            assert!(holds(&env, dir, &stream("a/b")).unwrap(), "after {looks} looks");
            assert!(holds(&env, dir, &stream("a/late")).is_ok());
            assert!(!holds(&env, dir, &stream("a/none")).unwrap());
            assert!(!holds(&env, dir, &stream("none/b")).unwrap());
            left.store(0, Ordering::Relaxed);
            assert!(holds(&env, dir, &stream("a/late")).unwrap());
            let error = holds(&env, Path::new("none"), &stream("a/b")).unwrap_err();
            assert!(matches!(error, Error::NoStore { .. }), "{error}");
        }
    });
}

#[test]
fn a_second_process_is_refused_until_the_first_one_is_gone() {
    sim::run(async {
        let fs = SimFs::new();
        let store = made(&fs).await;
        fill(&store, 0, 3).await;
        let error = open(&fs).await.unwrap_err();
        assert!(
            matches!(&error, Error::Locked { holder, .. } if *holder == Some(std::process::id())),
            "{error}"
        );
        let reader = Store::attach(env(&fs, 1), "s").await.unwrap();
        check(&reader, 3).await;
        assert!(matches!(write(&reader, 3).await, Err(Error::ReadOnly)));
        fill(&store, 3, 5).await;
        reader.refresh().await.unwrap();
        check(&reader, 5).await;
        store.close().await.unwrap();
        drop(store);
        tokio::time::sleep(Duration::from_secs(1)).await;
        check(&open(&fs).await.unwrap(), 5).await;
    });
}
