//! The store in this process.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector_api::env::{Access, Environment, FileLock, FileSystem, Rename};
use connector_api::state::{Envelope, seal};
use futures::channel::oneshot;

use crate::client::{
    OpenTransactionInfo, SegmentInfo, SegmentPart, StoreClient, StreamInfo, Successor, Written,
};
use crate::container::{self, Ack, Appended, Container, Read, Salvaged, StoreStats, Verified};
use crate::cut::StreamCut;
use crate::error::{Error, Result};
use crate::id::{SegmentId, SegmentName, StreamName, TransactionId, WriterId, check_scope};
use crate::key_range::KeyRange;
use crate::memory::MemoryFs;
use crate::model::{Mark, StreamOp, TransactionState};
use crate::options::{Durability, StoreOptions};
use crate::{log, object};

const KIND: &str = "segment-store";
const VERSION: u16 = 1;
/// How often the directory is asked for, and how long is waited in between.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// A store of streams in a directory, open in this process and in no other. Cloning is cheap; the directory is given back when
/// the last clone is dropped, better by [`close`](Self::close).
#[derive(Clone)]
pub struct Store {
    container: Arc<Container>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("dir", &self.container.dir).finish_non_exhaustive()
    }
}

/// The file that says that a directory is a store.
pub(crate) fn identity_path(dir: &Path) -> PathBuf {
    dir.join("store")
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

/// Which store a directory is; none when it is none.
pub(crate) fn identity(fs: &dyn FileSystem, dir: &Path) -> Result<Option<u128>> {
    let path = identity_path(dir);
    let file = match fs.open(&path, Access::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("open", &path)(e)),
    };
    let mut bytes = [0; 256];
    let read = file.read_full_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
    let envelope = Envelope::open(&bytes[..read]).map_err(|e| Error::corrupt(&path, 0, e.to_string()))?;
    match (envelope.kind, envelope.version, <[u8; 16]>::try_from(envelope.payload)) {
        (KIND, VERSION, Ok(id)) => Ok(Some(u128::from_le_bytes(id))),
        (KIND, found, _) if found > VERSION => Err(Error::Version { path, found, known: VERSION }),
        _ => Err(Error::corrupt(&path, 0, "it names no store")),
    }
}

fn make_identity(fs: &dyn FileSystem, dir: &Path, id: u128) -> Result<()> {
    for files in [log::dir(dir), object::dir(dir), container::snapshot_dir(dir)] {
        fs.create_dir_all(&files).map_err(Error::io("make", &files))?;
        if !fs.list(&files).map_err(Error::io("list", &files))?.is_empty() {
            let what = "it is missing, and there are files of a store";
            return Err(Error::corrupt(&identity_path(dir), 0, what));
        }
    }
    write_identity(fs, dir, id)
}

fn write_identity(fs: &dyn FileSystem, dir: &Path, id: u128) -> Result<()> {
    let path = identity_path(dir);
    let bytes =
        seal(KIND, VERSION, &id.to_le_bytes()).map_err(|e| Error::invalid("a store", e.to_string()))?;
    let unfinished = path.with_extension("tmp");
    (|| {
        let file = fs.open(&unfinished, Access::CreateOrTruncate)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        fs.rename(&unfinished, &path, Rename::Replace)?;
        fs.sync_dir(dir)
    })()
    .map_err(Error::io("make", &path))
}

/// Takes the directory for this process, or says who has it.
fn take(fs: &dyn FileSystem, dir: &Path) -> Result<Box<dyn FileLock>> {
    let path = lock_path(dir);
    match fs.lock(&path) {
        Ok(lock) => {
            lock.set_content(format!("{}\n", std::process::id()).as_bytes())
                .map_err(Error::io("write", &path))?;
            Ok(lock)
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            Err(Error::Locked { dir: dir.to_path_buf(), holder: holder(fs, &path) })
        }
        Err(e) => Err(Error::io("lock", &path)(e)),
    }
}

/// Takes a directory, and makes it a store if it is none.
fn take_store(fs: &dyn FileSystem, dir: &Path, new: u128) -> Result<(Box<dyn FileLock>, u128)> {
    fs.create_dir_all(dir).map_err(Error::io("make", dir))?;
    let lock = take(fs, dir)?;
    let id = match identity(fs, dir)? {
        Some(id) => {
            // Whoever made it may have died before its name was durable.
            fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
            id
        }
        None => {
            make_identity(fs, dir, new)?;
            new
        }
    };
    Ok((lock, id))
}

/// When nobody writes, nobody says what is durable: then it is made so.
fn settle(env: &Environment, dir: &Path, id: u128) -> Result<()> {
    match env.fs.lock(&lock_path(dir)) {
        Ok(_lock) => Container::settle(env, dir, id),
        // Somebody writes, and says how far; or we may not, and take what was said last.
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(e) if matches!(e.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) => Ok(()),
        Err(e) => Err(Error::io("lock", &lock_path(dir))(e)),
    }
}

fn holder(fs: &dyn FileSystem, path: &Path) -> String {
    let mut bytes = [0; 32];
    let read = fs.open(path, Access::Read).and_then(|file| file.read_at(&mut bytes, 0)).unwrap_or(0);
    match std::str::from_utf8(&bytes[..read]).map(str::trim) {
        Ok(pid) if !pid.is_empty() => format!("process {pid}"),
        _ => "another process".into(),
    }
}

impl Store {
    /// Opens the store in a directory, which is made a store if it is none.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] naming who has it open; [`Error::Corrupt`] when what is stored is damaged; the system's.
    pub async fn open(env: Environment, dir: impl Into<PathBuf>, options: StoreOptions) -> Result<Self> {
        options.check()?;
        let (mut env, dir) = (env, dir.into());
        if options.durability == Durability::Memory {
            env.fs = Arc::new(MemoryFs::default());
        }
        let new_id = u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64());
        let mut tries = 0;
        let (lock, id) = loop {
            let (sender, taken) = oneshot::channel();
            let (fs, at) = (env.fs.clone(), dir.clone());
            // Whoever asked may be gone.
            let work = move || drop(sender.send(take_store(&*fs, &at, new_id)));
            env.spawner.spawn_blocking(Box::new(work));
            match taken.await.unwrap_or(Err(Error::Closed)) {
                // One who attaches has it for a moment.
                Err(Error::Locked { .. }) if tries < LOCK_TRIES => {
                    tries += 1;
                    env.clock.sleep(LOCK_PAUSE).await;
                }
                taken => break taken?,
            }
        };
        let container = Container::open(env, dir, id, options, Some(lock)).await?;
        Ok(Self { container })
    }

    /// Opens a store that is there.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`], and those of [`open`](Self::open).
    pub async fn open_existing(
        env: Environment,
        dir: impl Into<PathBuf>,
        options: StoreOptions,
    ) -> Result<Self> {
        let dir = dir.into();
        match identity(&*env.fs, &dir)? {
            Some(_) => Self::open(env, dir, options).await,
            None => Err(Error::NoStore { dir }),
        }
    }

    /// Opens a store that is there for reading only, also while another process has it open. What that one has made durable shows up within
    /// a moment.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`]; [`Error::Corrupt`] when what is stored is damaged; the system's.
    pub async fn attach(env: Environment, dir: impl Into<PathBuf>) -> Result<Self> {
        let dir = dir.into();
        let id = identity(&*env.fs, &dir)?.ok_or_else(|| Error::NoStore { dir: dir.clone() })?;
        let (sender, settled) = oneshot::channel();
        let (edges, at) = (env.clone(), dir.clone());
        env.spawner.spawn_blocking(Box::new(move || {
            // Whoever asked may be gone.
            let _ = sender.send(settle(&edges, &at, id));
        }));
        settled.await.unwrap_or(Err(Error::Closed))?;
        let container = Container::open(env, dir, id, StoreOptions::default(), None).await?;
        Ok(Self { container })
    }

    /// Of a store that is open for reading only: reads what was written since.
    ///
    /// # Errors
    ///
    /// As [`attach`](Self::attach).
    pub async fn refresh(&self) -> Result<()> {
        self.container.refresh().await
    }

    /// Makes a snapshot, so that the next opening replays nothing.
    ///
    /// # Errors
    ///
    /// When it could not be stored; nothing is lost then.
    pub async fn snapshot(&self) -> Result<()> {
        self.container.ready().await?;
        self.container.snapshot_now().await
    }

    /// Moves what is due out of the log, as happens by itself whenever a file of it is full.
    ///
    /// # Errors
    ///
    /// When it could not be done; nothing is lost then.
    pub async fn upkeep(&self) -> Result<()> {
        self.container.ready().await?;
        self.container.upkeep().await
    }

    /// Waits for what is under way, makes a snapshot and closes the store for all clones.
    ///
    /// # Errors
    ///
    /// When something could not be stored; the store is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let made = self.snapshot().await;
        self.container.close().await;
        match made {
            Err(Error::Closed) => Ok(()),
            made => made,
        }
    }

    /// What the store takes.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn stats(&self) -> Result<StoreStats> {
        self.container.stats()
    }

    /// All segments that a stream ever had, oldest first: what there is to draw.
    ///
    /// # Errors
    ///
    /// [`Error::NoStream`].
    pub async fn history(&self, stream: &StreamName) -> Result<Vec<SegmentHistory>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                let segment = |(id, record): (SegmentId, &crate::model::SegmentRecord)| {
                    let stored = state.segment(&name(stream, id)).ok()?.1;
                    Some(SegmentHistory {
                        id,
                        range: record.range,
                        made_at: record.made_at,
                        sealed_at: record.sealed_at,
                        start: stored.start,
                        length: stored.length,
                    })
                };
                Ok(found.segments().filter_map(segment).collect())
            })
            .await
    }

    fn now(&self) -> i64 {
        self.container.env.clock.now_millis()
    }
}

/// A segment, over the life of its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentHistory {
    /// The segment.
    pub id: SegmentId,
    /// Its keys.
    pub range: KeyRange,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// When it was sealed.
    pub sealed_at: Option<i64>,
    /// Its first offset that was not truncated.
    pub start: u64,
    /// Where it ends.
    pub length: u64,
}

/// Reads everything that a store holds, which nobody has open, and compares it with what the store says of it. Changes nothing.
/// Blocks.
///
/// # Errors
///
/// [`Error::Locked`], [`Error::NoStore`], the system's. What is broken is in the answer.
pub fn verify(env: &Environment, dir: &Path) -> Result<Verified> {
    let id = identity(&*env.fs, dir)?.ok_or_else(|| Error::NoStore { dir: dir.to_path_buf() })?;
    let _lock = take(&*env.fs, dir)?;
    container::verify(&env.fs, dir, id)
}

/// Makes a new store at `to` of what can be read of a damaged one: everything up to the first damage of the log, of every segment all that
/// comes before the first byte that can't be read. The damaged store stays as it is. Blocks.
///
/// # Errors
///
/// [`Error::Exists`] when `to` holds something; [`Error::Locked`], [`Error::NoStore`], the system's.
pub fn salvage(env: &Environment, dir: &Path, to: &Path) -> Result<Salvaged> {
    let id = identity(&*env.fs, dir)?.ok_or_else(|| Error::NoStore { dir: dir.to_path_buf() })?;
    let _lock = take(&*env.fs, dir)?;
    env.fs.create_dir_all(to).map_err(Error::io("make", to))?;
    if !env.fs.list(to).map_err(Error::io("list", to))?.is_empty() {
        return Err(Error::Exists(to.display().to_string()));
    }
    let new = u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64());
    for files in [log::dir(to), object::dir(to), container::snapshot_dir(to)] {
        env.fs.create_dir_all(&files).map_err(Error::io("make", &files))?;
    }
    let saved = container::salvage(&env.fs, dir, id, to, new, StoreOptions::default().log_file_size)?;
    // Without it the rest is no store.
    write_identity(&*env.fs, to, new)?;
    Ok(saved)
}

fn name(stream: &StreamName, id: SegmentId) -> SegmentName {
    SegmentName::new(stream.clone(), id)
}

#[async_trait]
impl StoreClient for Store {
    async fn create_scope(&self, scope: &str) -> Result<()> {
        check_scope(scope)?;
        self.container.change(StreamOp::CreateScope { scope: scope.into() }, |_| Ok(())).await
    }

    async fn scopes(&self) -> Result<Vec<String>> {
        self.container
            .query(|state| Ok(state.streams.scopes().map(|scope| scope.to_string()).collect()))
            .await
    }

    async fn streams(&self, scope: &str) -> Result<Vec<StreamName>> {
        self.container
            .query(|state| {
                if !state.streams.has_scope(scope) {
                    return Err(Error::NoScope(scope.into()));
                }
                Ok(state.streams.streams(scope).collect())
            })
            .await
    }

    async fn create_stream(&self, stream: &StreamName, segments: u32) -> Result<()> {
        let nonce = self.container.env.random.next_u64();
        let op = StreamOp::CreateStream { stream: stream.clone(), segments, nonce, at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn stream(&self, stream: &StreamName) -> Result<StreamInfo> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                let ranges = found.current_segments().iter();
                Ok(StreamInfo {
                    current: ranges.filter_map(|&id| Some((id, found.segment(id)?.range))).collect(),
                    head: found.head(),
                    tail: found.tail(state),
                    is_sealed: found.is_sealed(),
                })
            })
            .await
    }

    async fn seal_stream(&self, stream: &StreamName) -> Result<()> {
        let op = StreamOp::SealStream { stream: stream.clone(), at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn delete_stream(&self, stream: &StreamName) -> Result<()> {
        self.container.change(StreamOp::DeleteStream { stream: stream.clone() }, |_| Ok(())).await
    }

    async fn truncate(&self, stream: &StreamName, cut: &StreamCut) -> Result<()> {
        let op = StreamOp::Truncate { stream: stream.clone(), cut: cut.clone() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn scale(
        &self,
        stream: &StreamName,
        seal: &[SegmentId],
        ranges: &[KeyRange],
    ) -> Result<Vec<(SegmentId, KeyRange)>> {
        let (seal, ranges) = (seal.to_vec(), ranges.to_vec());
        let op = StreamOp::Scale { stream: stream.clone(), seal, ranges, at: self.now() };
        self.container
            .change(op, |state| {
                let found = state.streams.stream(stream)?;
                let newest = found.epochs().last().map_or(0, |epoch| epoch.number);
                let made = found.current_segments().iter().filter(|id| id.epoch() == newest);
                Ok(made.filter_map(|&id| Some((id, found.segment(id)?.range))).collect())
            })
            .await
    }

    async fn successors(&self, stream: &StreamName, segment: SegmentId) -> Result<Vec<Successor>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                if found.segment(segment).is_none() {
                    return Err(Error::NoSegment(name(stream, segment)));
                }
                let successor = |id: SegmentId| {
                    let range = found.segment(id)?.range;
                    Some(Successor { id, range, predecessors: found.predecessors(id) })
                };
                Ok(found.successors(segment).into_iter().filter_map(successor).collect())
            })
            .await
    }

    async fn segments_between(
        &self,
        stream: &StreamName,
        from: &StreamCut,
        to: Option<&StreamCut>,
    ) -> Result<Vec<SegmentPart>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                found.check_cut(from, state)?;
                if let Some(to) = to {
                    found.check_cut(to, state)?;
                }
                let part = |(id, start, end)| SegmentPart { id, start, end };
                Ok(found.segments_between(from, to).into_iter().map(part).collect())
            })
            .await
    }

    async fn segment(&self, segment: &SegmentName) -> Result<SegmentInfo> {
        self.container
            .query(|state| {
                let (_, found) = state.segment(segment)?;
                let record = state.streams.stream(&segment.stream)?.segment(segment.id);
                Ok(SegmentInfo {
                    range: record.map_or(KeyRange::ALL, |record| record.range),
                    start: found.start,
                    length: found.length,
                    is_sealed: found.is_sealed,
                })
            })
            .await
    }

    async fn read(&self, segment: &SegmentName, offset: u64, max: usize, patience: Duration) -> Result<Read> {
        self.container.read(segment, offset, max, patience).await
    }

    async fn last_event(&self, segment: &SegmentName, writer: WriterId) -> Result<Option<i64>> {
        self.attribute(segment, writer.0).await
    }

    async fn written(&self, stream: &StreamName, writer: WriterId) -> Result<Vec<Written>> {
        self.container
            .query(|state| {
                let found = state.streams.stream(stream)?;
                let written = |(id, record): (SegmentId, &crate::model::SegmentRecord)| {
                    let (_, segment) = state.segment(&name(stream, id)).ok()?;
                    let event = *segment.attributes.get(&writer.0)?;
                    Some(Written { segment: id, range: record.range, event })
                };
                Ok(found.segments().filter_map(written).collect())
            })
            .await
    }

    async fn append(&self, segment: &SegmentName, append: Appended) -> Result<Ack> {
        self.container.append(segment, append).await
    }

    async fn attribute(&self, segment: &SegmentName, attribute: u128) -> Result<Option<i64>> {
        self.container.query(|state| Ok(state.segment(segment)?.1.attributes.get(&attribute).copied())).await
    }

    async fn set_attribute(
        &self,
        segment: &SegmentName,
        attribute: u128,
        expected: Option<i64>,
        value: Option<i64>,
    ) -> Result<()> {
        self.container.set_attribute(segment, attribute, expected, value).await
    }

    async fn begin(&self, stream: &StreamName, lease: Duration, label: &str) -> Result<TransactionId> {
        let lease_millis = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let op =
            StreamOp::Begin { stream: stream.clone(), lease_millis, label: label.into(), at: self.now() };
        let begun = self.container.change(op, |state| Ok(state.streams.stream(stream)?.last_begun())).await?;
        let id = begun.ok_or_else(|| Error::NoStream(stream.clone()))?;
        self.container.keep_transaction(stream, id, lease);
        Ok(id)
    }

    async fn ping(&self, stream: &StreamName, id: TransactionId, lease: Duration) -> Result<()> {
        match self.transaction(stream, id).await? {
            TransactionState::Open => {
                self.container.keep_transaction(stream, id, lease);
                Ok(())
            }
            TransactionState::Unknown => Err(Error::NoTransaction { stream: stream.clone(), id }),
            ended => {
                let state = if ended == TransactionState::Committed { "committed" } else { "aborted" };
                Err(Error::TransactionEnded { stream: stream.clone(), id, state })
            }
        }
    }

    async fn commit(&self, stream: &StreamName, id: TransactionId) -> Result<()> {
        let op = StreamOp::Commit { stream: stream.clone(), id, at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn abort(&self, stream: &StreamName, id: TransactionId) -> Result<()> {
        let op = StreamOp::Abort { stream: stream.clone(), id, at: self.now() };
        self.container.change(op, |_| Ok(())).await
    }

    async fn transaction(&self, stream: &StreamName, id: TransactionId) -> Result<TransactionState> {
        self.container.query(|state| Ok(state.streams.stream(stream)?.transaction(id))).await
    }

    async fn open_transactions(&self, stream: &StreamName) -> Result<Option<Vec<OpenTransactionInfo>>> {
        self.container
            .query(|state| {
                let open = state.streams.stream(stream)?.open_transactions();
                let info = |(id, open): (TransactionId, &crate::model::OpenTransaction)| {
                    OpenTransactionInfo { id, label: open.label.clone() }
                };
                Ok(Some(open.map(info).collect()))
            })
            .await
    }

    async fn note_time(
        &self,
        stream: &StreamName,
        writer: WriterId,
        millis: i64,
        cut: &StreamCut,
    ) -> Result<()> {
        let op = StreamOp::NoteTime { stream: stream.clone(), writer, millis, cut: cut.clone() };
        self.container.change(op, |_| Ok(())).await?;
        self.container.keep_time_writer(stream, writer);
        Ok(())
    }

    async fn forget_time_writer(&self, stream: &StreamName, writer: WriterId) -> Result<()> {
        let op = StreamOp::ForgetWriter { stream: stream.clone(), writer };
        self.container.change(op, |_| Ok(())).await
    }

    async fn marks(&self, stream: &StreamName) -> Result<Vec<Mark>> {
        self.container
            .query(|state| Ok(state.streams.stream(stream)?.marks().iter().cloned().collect()))
            .await
    }
}
