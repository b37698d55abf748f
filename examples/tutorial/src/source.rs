//! The source: reads every journal that lies in a directory, to the end that it had when it was found.

use std::path::{Path, PathBuf};
use std::task::Context;

use async_trait::async_trait;
use bytes::Bytes;
use connector_api::env::{Access, Environment, FileSystem};
use connector_api::id::{CheckpointId, SplitId};
use connector_api::message::Span;
use connector_api::source::{
    Boundedness, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderContext, Source, Split,
    SplitEnumerator,
};
use connector_api::{Batch, Error, MessageBatch, Result, stored};
use connector_base::enumerator::{Background, PendingSplits};
use connector_base::reader::{
    Fetched, Positions, ReaderOptions, SplitFetchReader, SplitReader, SplitReaderFactory,
};
use serde::{Deserialize, Serialize};

use crate::record::{self, HEAD, LARGEST};

/// What one read asks for, in bytes: at least one record.
const CHUNK: usize = 4 * LARGEST;

/// A journal, and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalSplit {
    /// The file's name.
    pub name: String,
    /// Its length when it was found, in bytes.
    pub end: u64,
    /// Where the next record begins.
    pub position: u64,
}
stored!(JournalSplit, "tutorial-journal-split");

impl Split for JournalSplit {
    fn id(&self) -> SplitId {
        SplitId::new(self.name.as_str())
    }
}

/// What the enumerator keeps in checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Whether the directory was listed. It is listed once, whatever happens.
    pub listed: bool,
    /// The splits that no reader has.
    pub pending: Vec<JournalSplit>,
}
stored!(Found, "tutorial-journals-found");

/// Finds the journals and hands them out.
#[derive(Debug)]
pub struct JournalEnumerator {
    dir: PathBuf,
    env: Environment,
    listing: Background<Vec<JournalSplit>>,
    pending: PendingSplits<JournalSplit>,
}

impl SplitEnumerator for JournalEnumerator {
    type Split = JournalSplit;
    type State = Found;

    fn handle(
        &mut self,
        command: EnumeratorCommand<JournalSplit>,
        context: &mut EnumeratorContext<JournalSplit>,
    ) -> Result<()> {
        if command == EnumeratorCommand::Start && !self.pending.is_complete() {
            let (fs, dir) = (self.env.fs.clone(), self.dir.clone());
            self.listing = Background::blocking(&self.env, "list journals", move || list(&*fs, &dir));
        }
        self.pending.handle(command, context)
    }

    fn poll(&mut self, cx: &mut Context<'_>, context: &mut EnumeratorContext<JournalSplit>) -> Result<()> {
        if let Some(splits) = self.listing.poll(cx)? {
            self.pending.add_last(splits, context);
        }
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> Result<Found> {
        Ok(Found { listed: self.pending.is_complete(), pending: self.pending.to_vec() })
    }
}

/// The journals of a directory, in the order of their names.
fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<JournalSplit>> {
    let mut splits = Vec::new();
    for entry in fs.list(dir).map_err(Error::io("list", dir))? {
        let name = entry.name.to_string_lossy().into_owned();
        if name.starts_with("log-") && name.ends_with(".bin") {
            let path = dir.join(&entry.name);
            let end = fs.metadata(&path).map_err(Error::io("measure", &path))?.len;
            splits.push(JournalSplit { name, end, position: 0 });
        }
    }
    splits.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(splits)
}

/// Opens journals.
#[derive(Debug)]
pub struct Journals {
    dir: PathBuf,
    env: Environment,
}

#[async_trait]
impl SplitReaderFactory for Journals {
    type Split = JournalSplit;
    type Reader = JournalReader;

    async fn open(&self, split: &JournalSplit) -> Result<JournalReader> {
        let path = self.dir.join(&split.name);
        Ok(JournalReader { env: self.env.clone(), path, split: split.clone() })
    }

    fn advance(&self, split: &mut JournalSplit, position: u64, _skip: u64) {
        split.position = position;
    }

    fn skip(&self, _: &JournalSplit) -> u64 {
        0
    }
}

/// Reads one journal. The file is opened for each chunk, so nothing is held while the host is busy elsewhere.
#[derive(Debug)]
pub struct JournalReader {
    env: Environment,
    path: PathBuf,
    split: JournalSplit,
}

#[async_trait]
impl SplitReader for JournalReader {
    type Batch = MessageBatch;
    type Position = u64;

    async fn fetch(&mut self) -> Result<Option<Fetched<MessageBatch, u64>>> {
        let JournalSplit { position: at, end, .. } = self.split;
        if at >= end {
            return Ok(None);
        }
        let (fs, path) = (self.env.fs.clone(), self.path.clone());
        let read = move || {
            let mut chunk = vec![0; CHUNK.min((end - at) as usize)];
            let file = fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
            let length = file.read_full_at(&mut chunk, at).map_err(Error::io("read", &path))?;
            chunk.truncate(length);
            Ok(Bytes::from(chunk))
        };
        let chunk = self.env.blocking("read a journal", read).await?;
        let (mut spans, mut times, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let mut read = 0;
        while let Some((millis, length)) = record::first(&chunk[read..]) {
            let begin = read + HEAD;
            read = begin + length;
            spans.push(Span::new(begin as u32, read as u32));
            times.push(millis);
            positions.push(at + read as u64);
        }
        if read == 0 {
            return Err(Error::data(self.path.display().to_string(), Some(at), "no whole record is there"));
        }
        self.split.position = at + read as u64;
        let batch = Batch::with_timestamps(MessageBatch::from_spans(chunk, spans)?, times)?;
        Ok(Some(Fetched::rows(batch, Positions::Each(positions))))
    }
}

/// A bounded source over the journals of a directory.
#[derive(Clone, Debug)]
pub struct JournalSource {
    /// The directory.
    pub dir: PathBuf,
}

impl Source for JournalSource {
    type Enumerator = JournalEnumerator;
    type Reader = SplitFetchReader<Journals>;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, setup: EnumeratorSetup, restored: Option<Found>) -> Result<JournalEnumerator> {
        let Found { listed, pending } = restored.unwrap_or_default();
        let (listing, pending) = (Background::idle(), PendingSplits::new(pending, listed));
        Ok(JournalEnumerator { dir: self.dir.clone(), env: setup.env, listing, pending })
    }

    fn reader(&self, context: ReaderContext) -> Result<Self::Reader> {
        let journals = Journals { dir: self.dir.clone(), env: context.env.clone() };
        Ok(SplitFetchReader::new(journals, context.env, ReaderOptions::default()))
    }
}
