//! Counts what a connector holds and does: open files, running tasks, calls that block where none may.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use connector_api::env::{
    Access, DirEntry, Environment, File, FileLock, FileSystem, Metadata, Rename, Spawner, TaskHandle,
};
use futures::future::BoxFuture;

thread_local! {
    static INSIDE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Ends a call that may not block.
struct Inside(Option<&'static str>);

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// What one process of a check holds and has done. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    dead: AtomicBool,
    files: AtomicU64,
    calls: AtomicU64,
    read: AtomicU64,
    tasks: Mutex<Vec<String>>,
    blocking: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    /// Puts the counting between an environment and whoever uses it.
    pub fn over(&self, env: &Environment) -> Environment {
        Environment {
            fs: Arc::new(MeteredFs { inner: env.fs.clone(), meter: self.clone() }),
            spawner: Arc::new(MeteredSpawner { inner: env.spawner.clone(), meter: self.clone() }),
            ..env.clone()
        }
    }

    /// Runs a call that may not block. What it does with files, on this thread, is noted under `what`.
    pub fn must_not_block<T>(&self, what: &'static str, call: impl FnOnce() -> T) -> T {
        // Also when the call unwinds.
        let _inside = Inside(INSIDE.replace(Some(what)));
        call()
    }

    /// What was done with files in calls that may not block: `<call>: <operation>`.
    pub fn blocking_calls(&self) -> Vec<String> {
        locked(&self.0.blocking).clone()
    }

    /// Open files and locks.
    pub fn open_files(&self) -> u64 {
        self.0.files.load(Ordering::Relaxed)
    }

    /// The names of the tasks that run, and of blocking work.
    pub fn tasks(&self) -> Vec<String> {
        locked(&self.0.tasks).clone()
    }

    /// How often the file system was called.
    pub fn file_system_calls(&self) -> u64 {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// The bytes that were read from files.
    pub fn bytes_read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// The process is dead: no task of it goes on.
    pub(crate) fn kill(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Relaxed)
    }

    fn called(&self, operation: &str, path: &Path) {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        if let Some(inside) = INSIDE.get() {
            locked(&self.0.blocking).push(format!("{inside}: {operation} {}", path.display()));
        }
    }
}

#[derive(Debug)]
struct MeteredFs {
    inner: Arc<dyn FileSystem>,
    meter: Meter,
}

impl FileSystem for MeteredFs {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        self.meter.called("open", path);
        let inner = self.inner.open(path, access)?;
        self.meter.0.files.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(MeteredFile { inner, meter: self.meter.clone() }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.meter.called("metadata", path);
        self.inner.metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.meter.called("list", dir);
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.meter.called("create_dir_all", dir);
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        self.meter.called("rename", from);
        self.inner.rename(from, to, how)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.meter.called("remove_file", path);
        self.inner.remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.meter.called("sync_dir", dir);
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.meter.called("lock", path);
        let inner = self.inner.lock(path)?;
        self.meter.0.files.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(MeteredLock { inner, meter: self.meter.clone() }))
    }
}

#[derive(Debug)]
struct MeteredLock {
    inner: Box<dyn FileLock>,
    meter: Meter,
}

impl FileLock for MeteredLock {
    fn set_content(&self, content: &[u8]) -> io::Result<()> {
        self.inner.set_content(content)
    }
}

impl Drop for MeteredLock {
    fn drop(&mut self) {
        self.meter.0.files.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct MeteredFile {
    inner: Box<dyn File>,
    meter: Meter,
}

impl MeteredFile {
    fn called(&self, operation: &str) {
        self.meter.called(operation, Path::new("(an open file)"));
    }
}

impl File for MeteredFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.called("read");
        let read = self.inner.read_at(buffer, offset)?;
        self.meter.0.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.called("write");
        self.inner.write_all_at(data, offset)
    }

    fn copy_range(&self, from: &dyn File, from_offset: u64, offset: u64, length: u64) -> io::Result<()> {
        self.called("copy");
        let from = from.as_any().downcast_ref::<Self>().map_or(from, |metered| &*metered.inner);
        self.inner.copy_range(from, from_offset, offset, length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.called("set_len");
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.called("sync_data");
        self.inner.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.called("sync_all");
        self.inner.sync_all()
    }

    fn metadata(&self) -> io::Result<Metadata> {
        self.called("metadata");
        self.inner.metadata()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl Drop for MeteredFile {
    fn drop(&mut self) {
        self.meter.0.files.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct MeteredSpawner {
    inner: Arc<dyn Spawner>,
    meter: Meter,
}

impl Spawner for MeteredSpawner {
    fn spawn(&self, name: &str, task: BoxFuture<'static, ()>) -> Box<dyn TaskHandle> {
        let running = Running::new(&self.meter, name);
        self.inner.spawn(name, Box::pin(Mortal { task: Some(task), running }))
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        let running = Running::new(&self.meter, "blocking work");
        self.inner.spawn_blocking(Box::new(move || {
            if !running.meter.is_dead() {
                work();
            }
            drop(running);
        }));
    }
}

/// In the list of running tasks as long as it lives.
struct Running {
    meter: Meter,
    name: String,
}

impl Running {
    fn new(meter: &Meter, name: &str) -> Self {
        locked(&meter.0.tasks).push(name.to_owned());
        Self { meter: meter.clone(), name: name.to_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut tasks = locked(&self.meter.0.tasks);
        if let Some(at) = tasks.iter().position(|name| *name == self.name) {
            tasks.swap_remove(at);
        }
    }
}

/// A task that ends with its process.
struct Mortal {
    task: Option<BoxFuture<'static, ()>>,
    running: Running,
}

impl Future for Mortal {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.running.meter.is_dead() {
            self.task = None;
        }
        let Some(task) = &mut self.task else { return Poll::Ready(()) };
        let poll = task.as_mut().poll(cx);
        if poll.is_ready() {
            self.task = None;
        }
        poll
    }
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.running.name)
    }
}
