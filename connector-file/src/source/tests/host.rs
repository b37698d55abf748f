//! A host on one task, that a test steps.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, ReaderId, RunId};
use connector_api::source::{
    EnumeratorAction, EnumeratorCommand, EnumeratorContext, ReaderCommand, ReaderEvent, SourceReader,
    SplitEnumerator,
};

use crate::source::*;

/// A host on one task.
pub(super) struct Host {
    pub(super) enumerator: FileEnumerator,
    pub(super) context: EnumeratorContext<FileSplit>,
    pub(super) readers: BTreeMap<ReaderId, Reader>,
    env: Environment,
    pub(super) ended: BTreeSet<ReaderId>,
    pub(super) told: Vec<ReaderId>,
    pub(super) finished: Vec<String>,
    /// What readers said and the enumerator was not told yet.
    pub(super) asked: Vec<EnumeratorCommand<FileSplit>>,
}

type Reader = SplitFetchReader<FileSplits<MessageBatch>>;

fn attempt() -> AttemptId {
    AttemptId { run: RunId(1), number: 1 }
}

pub(super) fn environment() -> Environment {
    connector_runtime::local::environment()
}

pub(super) fn reader_of(source: &FileSource, reader: ReaderId, env: Environment) -> Reader {
    source.reader(ReaderContext { env, reader, parallelism: 2, attempt: attempt() }).unwrap()
}

impl Host {
    /// On real files.
    pub(super) fn new(source: &FileSource, parallelism: u32, restored: Option<FileEnumeratorState>) -> Self {
        Self::within(environment(), source, parallelism, restored)
    }

    pub(super) fn within(
        env: Environment,
        source: &FileSource,
        parallelism: u32,
        restored: Option<FileEnumeratorState>,
    ) -> Self {
        let setup = EnumeratorSetup { env: env.clone(), parallelism, attempt: attempt() };
        let enumerator = source.enumerator(setup, restored).unwrap();
        let mut host = Self {
            enumerator,
            context: EnumeratorContext::new(parallelism),
            readers: BTreeMap::new(),
            env,
            ended: BTreeSet::new(),
            told: Vec::new(),
            finished: Vec::new(),
            asked: Vec::new(),
        };
        host.tell(EnumeratorCommand::Start).unwrap();
        for reader in (0..parallelism).map(ReaderId) {
            host.add(source, reader);
        }
        host
    }

    pub(super) fn env(&self) -> &Environment {
        &self.env
    }

    pub(super) fn add(&mut self, source: &FileSource, reader: ReaderId) {
        self.readers.insert(reader, reader_of(source, reader, self.env.clone()));
        self.context.reader_added(reader);
        self.tell(EnumeratorCommand::AddReader(reader)).unwrap();
    }

    pub(super) fn tell(&mut self, command: EnumeratorCommand<FileSplit>) -> Result<()> {
        self.enumerator.handle(command, &mut self.context)?;
        self.deliver()
    }

    pub(super) fn deliver(&mut self) -> Result<()> {
        for action in self.context.take_actions() {
            match action {
                EnumeratorAction::Assign(reader, splits) => {
                    self.readers.get_mut(&reader).unwrap().handle(ReaderCommand::AddSplits(splits))?;
                }
                EnumeratorAction::NoMoreSplits(reader) => {
                    self.told.push(reader);
                    self.readers.get_mut(&reader).unwrap().handle(ReaderCommand::NoMoreSplits)?;
                }
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }

    /// The next batch, or none at the end of all readers.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<(ReaderId, Batch)>>> {
        loop {
            self.enumerator.poll(cx, &mut self.context)?;
            self.deliver()?;
            for (id, reader) in &mut self.readers {
                while let Poll::Ready(event) = reader.poll_next(cx)? {
                    match event {
                        ReaderEvent::Batch { batch, .. } => return Poll::Ready(Ok(Some((*id, batch.rows)))),
                        ReaderEvent::SplitRequest => self.asked.push(EnumeratorCommand::SplitRequest(*id)),
                        ReaderEvent::SplitFinished(split) => {
                            self.finished.push(split.to_string());
                            self.asked.push(EnumeratorCommand::SplitFinished(*id, split));
                        }
                        ReaderEvent::EndOfInput => assert!(self.ended.insert(*id), "the end came twice"),
                        other => panic!("{other:?}"),
                    }
                }
            }
            if self.asked.is_empty() {
                let all = self.ended.len() == self.readers.len();
                return if all { Poll::Ready(Ok(None)) } else { Poll::Pending };
            }
            std::mem::take(&mut self.asked).into_iter().try_for_each(|command| self.tell(command))?;
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<(ReaderId, Batch)>> {
        let next = poll_fn(|cx| self.poll(cx));
        tokio::time::timeout(Duration::from_secs(120), next).await.expect("the host hangs")
    }

    pub(super) async fn rest(&mut self) -> Result<Vec<String>> {
        let mut records = Vec::new();
        while let Some((_, batch)) = self.next().await? {
            records.extend(texts(&batch));
        }
        Ok(records)
    }
}

type Batch = MessageBatch;

pub(super) fn texts(batch: &MessageBatch) -> Vec<String> {
    batch.iter().map(|m| String::from_utf8_lossy(m.value.unwrap()).into_owned()).collect()
}
