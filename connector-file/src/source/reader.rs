//! The reader: the lines of a byte range.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use connector_api::env::{Access, Environment, File, FileSystem, Metadata};
use connector_api::{Error, MessageBatch, Result};
use connector_base::format::{BufferPool, LineBuffer, LineOptions};
use connector_base::reader::{Fetched, SplitReader, SplitReaderFactory};

use super::config::SourceConfig;
use super::listing::locate;
use super::split::FileSplit;

/// What one read asks for: large enough that the hand-over between threads does not show, small enough for a cache.
const CHUNK: usize = 256 << 10;

/// Buffers kept for the next reads of a reader.
const KEPT_BUFFERS: usize = 8;

/// What is read behind the end of a range at once, to find the end of the last record.
const BEYOND: u64 = 4 << 10;

/// Opens splits of files.
#[derive(Debug)]
pub struct FileSplits {
    config: Arc<SourceConfig>,
    env: Environment,
    pool: BufferPool,
}

impl FileSplits {
    pub(super) fn new(config: Arc<SourceConfig>, env: Environment) -> Self {
        Self { config, env, pool: BufferPool::new(CHUNK, KEPT_BUFFERS) }
    }
}

#[async_trait]
impl SplitReaderFactory for FileSplits {
    type Split = FileSplit;
    type Reader = FileReader;

    async fn open(&self, split: &FileSplit) -> Result<FileReader> {
        if split.is_finished() {
            // Read to its end before: the file need not be there any more.
            return Ok(FileReader { env: self.env.clone(), open: None });
        }
        let (config, fs, pool, split) =
            (Arc::clone(&self.config), Arc::clone(&self.env.fs), self.pool.clone(), split.clone());
        let open = self.env.blocking("opening", move || Open::new(&config, fs, pool, split)).await?;
        Ok(FileReader { env: self.env.clone(), open: Some(Box::new(open)) })
    }

    fn advance(&self, split: &mut FileSplit, position: u64, _skip: u64) {
        split.position = Some(position);
    }

    fn skip(&self, _: &FileSplit) -> u64 {
        0
    }
}

/// Reads the records that start in a byte range of a file.
#[derive(Debug)]
pub struct FileReader {
    env: Environment,
    /// None at the end.
    open: Option<Box<Open>>,
}

#[async_trait]
impl SplitReader for FileReader {
    type Batch = MessageBatch;
    type Position = u64;

    async fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        let Some(mut open) = self.open.take() else { return Ok(None) };
        let work = move || {
            let fetched = open.fetch()?;
            Ok((open, fetched))
        };
        let (open, fetched) = self.env.blocking("reading", work).await?;
        if !open.at_end {
            self.open = Some(open);
        }
        Ok(fetched)
    }
}

/// An open file. Its calls block.
#[derive(Debug)]
struct Open {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    file: Box<dyn File>,
    split: FileSplit,
    lines: LineBuffer,
    at_end: bool,
}

impl Open {
    fn new(
        config: &SourceConfig,
        fs: Arc<dyn FileSystem>,
        pool: BufferPool,
        split: FileSplit,
    ) -> Result<Self> {
        let path = locate(&config.selection, &*fs, split.path.as_path())?;
        let file = fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
        let (offset, inside) = match split.position {
            Some(position) => (position, false),
            // A record that ends right before the range is told from one that reaches into it by its terminator.
            None if split.offset > 0 => (split.offset - 1, true),
            None => (0, false),
        };
        let origin = path.display().to_string();
        let options =
            LineOptions { origin, offset, inside, limit: split.end(), max_record: config.max_record };
        let open = Self { fs, path, file, split, lines: LineBuffer::new(pool, options), at_end: false };
        open.check()?;
        Ok(open)
    }

    fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        while !self.lines.is_done() {
            let ended = self.fill()?;
            if let Some(lines) = self.lines.take(ended)? {
                self.split.position = Some(lines.position(usize::MAX));
                return Ok(Some(lines.into_fetched()));
            }
        }
        self.at_end = true;
        self.check_name()?;
        if self.split.is_finished() {
            return Ok(None);
        }
        // No record starts in the range: the split still remembers that it was read.
        Ok(Some(Fetched::Position(self.split.end())))
    }

    /// Reads the next bytes; says whether the file ends behind them.
    fn fill(&mut self) -> Result<bool> {
        let at = self.lines.next_offset();
        let left_in_file = self.split.file.len.saturating_sub(at);
        let useful = self.split.end().saturating_sub(at).saturating_add(BEYOND).min(left_in_file);
        let room = self.lines.room();
        let length = usize::try_from(useful).unwrap_or(usize::MAX).min(room.len());
        let read = self.file.read_full_at(&mut room[..length], at).map_err(Error::io("read", &self.path))?;
        self.lines.filled(read);
        self.check()?;
        if read < length {
            return Err(self.changed(at + read as u64, "it ends before its size"));
        }
        Ok(read as u64 == left_in_file)
    }

    /// Whether the open file is still what was found.
    fn check(&self) -> Result<()> {
        self.compare(&self.file.metadata().map_err(Error::io("read metadata of", &self.path))?)
    }

    /// Whether the name still stands for the file that was found.
    fn check_name(&self) -> Result<()> {
        self.compare(&self.fs.metadata(&self.path).map_err(Error::io("find again", &self.path))?)
    }

    fn compare(&self, now: &Metadata) -> Result<()> {
        match self.split.file.difference(now) {
            Some(difference) => Err(self.changed(self.lines.next_offset(), &difference)),
            None => Ok(()),
        }
    }

    fn changed(&self, offset: u64, how: &str) -> Error {
        let reason = format!("the file changed since it was found: {how}");
        Error::data(self.path.display().to_string(), Some(offset), reason)
    }
}
