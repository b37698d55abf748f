//! An environment for tests of this crate: tokio's tasks, no files.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connector_api::env::{
    Access, Clock, CrashPoints, DirEntry, Environment, File, FileLock, FileSystem, Metadata, Random, Rename,
    Spawner, TaskHandle,
};
use futures::future::BoxFuture;

#[derive(Debug)]
struct World(AtomicU64);

impl Clock for World {
    fn now_millis(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

impl Random for World {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Task(tokio::task::AbortHandle);

impl TaskHandle for Task {
    fn abort(&self) {
        self.0.abort();
    }
}

impl Spawner for World {
    fn spawn(&self, _name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        Box::new(Task(tokio::spawn(task).abort_handle()))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        tokio::task::spawn_blocking(work);
    }
}

fn no_files<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

impl FileSystem for World {
    fn open(&self, _: &Path, _: Access) -> io::Result<Box<dyn File>> {
        no_files()
    }
    fn metadata(&self, _: &Path) -> io::Result<Metadata> {
        no_files()
    }
    fn list(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
        no_files()
    }
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        no_files()
    }
    fn rename(&self, _: &Path, _: &Path, _: Rename) -> io::Result<()> {
        no_files()
    }
    fn remove_file(&self, _: &Path) -> io::Result<()> {
        no_files()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        no_files()
    }
    fn lock(&self, _: &Path) -> io::Result<Box<dyn FileLock>> {
        no_files()
    }
}

/// The environment; call it inside a tokio runtime.
pub(crate) fn environment() -> Environment {
    let world = Arc::new(World(AtomicU64::new(1)));
    Environment {
        clock: world.clone(),
        random: world.clone(),
        fs: world.clone(),
        spawner: world,
        crash: CrashPoints::none(),
    }
}
