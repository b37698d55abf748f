//! A host as small as can be: one thread of control over an enumerator and its readers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::id::{AttemptId, CheckpointId, ReaderId, RunId, SplitId};
use connector_api::source::{
    EnumeratorAction, EnumeratorCommand, EnumeratorContext, EnumeratorSetup, ReaderCommand, ReaderContext,
    ReaderEvent, Source, SourceReader, SplitEnumerator,
};
use connector_api::{MessageBatch, Result, RowBatch};
use connector_base::reader::SplitFetchReader;
use connector_kafka::source::{
    KafkaEnumerator, KafkaEnumeratorState, KafkaSource, KafkaSplit, KafkaSplits, OFFSET, PARTITION,
    SourceOptions, TIMESTAMP, TOPIC,
};

/// How long something that must come may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A row, as a test sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) split: String,
    pub(crate) offset: i64,
    pub(crate) text: String,
    pub(crate) reader: u32,
}

/// What a checkpoint holds.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) state: KafkaEnumeratorState,
    pub(crate) splits: Vec<KafkaSplit>,
}

type Reader = SplitFetchReader<KafkaSplits>;

pub(crate) struct Host {
    enumerator: KafkaEnumerator,
    context: EnumeratorContext<KafkaSplit>,
    pub(crate) readers: Vec<Option<Reader>>,
    commands: VecDeque<EnumeratorCommand<KafkaSplit>>,
    pub(crate) rows: Vec<Row>,
    pub(crate) batches: Vec<MessageBatch>,
    pub(crate) finished: Vec<SplitId>,
    ended: usize,
    dealt: usize,
}

pub(crate) fn env() -> Environment {
    connector_runtime::local::environment()
}

impl Host {
    pub(crate) fn start(options: &SourceOptions, readers: u32) -> Self {
        Self::restore(&KafkaSource::new(options).unwrap(), readers, None)
    }

    pub(crate) fn again(options: &SourceOptions, readers: u32, checkpoint: Checkpoint) -> Self {
        Self::restore(&KafkaSource::new(options).unwrap(), readers, Some(checkpoint))
    }

    pub(crate) fn restore(source: &KafkaSource, readers: u32, checkpoint: Option<Checkpoint>) -> Self {
        let attempt = AttemptId { run: RunId(1), number: 1 };
        let (state, splits) = checkpoint.map_or((None, Vec::new()), |c| (Some(c.state), c.splits));
        let setup = EnumeratorSetup { env: env(), parallelism: readers, attempt };
        let enumerator = source.enumerator(setup, state).unwrap();
        let mut context = EnumeratorContext::new(readers);
        let mut all = Vec::new();
        let mut commands = VecDeque::from([EnumeratorCommand::Start]);
        for reader in 0..readers {
            let id = ReaderId(reader);
            let setup = ReaderContext { env: env(), reader: id, parallelism: readers, attempt };
            let mut made = source.reader(setup).unwrap();
            let dealt = splits.iter().skip(reader as usize).step_by(readers as usize).cloned().collect();
            made.handle(ReaderCommand::AddSplits(dealt)).unwrap();
            all.push(Some(made));
            context.reader_added(id);
            commands.push_back(EnumeratorCommand::AddReader(id));
        }
        Self {
            enumerator,
            context,
            readers: all,
            commands,
            rows: Vec::new(),
            batches: Vec::new(),
            finished: Vec::new(),
            ended: 0,
            dealt: 0,
        }
    }

    /// Goes on as far as it can at once.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<()> {
        loop {
            while let Some(command) = self.commands.pop_front() {
                self.enumerator.handle(command, &mut self.context)?;
            }
            self.enumerator.poll(cx, &mut self.context)?;
            for action in self.context.take_actions() {
                let (id, command) = match action {
                    EnumeratorAction::Assign(reader, splits) => {
                        self.dealt += splits.len();
                        (reader, ReaderCommand::AddSplits(splits))
                    }
                    EnumeratorAction::NoMoreSplits(reader) => (reader, ReaderCommand::NoMoreSplits),
                    other => panic!("{other:?}"),
                };
                self.readers[id.0 as usize].as_mut().unwrap().handle(command)?;
            }
            let mut is_still = true;
            for index in 0..self.readers.len() {
                let Some(reader) = &mut self.readers[index] else { continue };
                // One event each, so that none is starved.
                if let Poll::Ready(event) = reader.poll_next(cx) {
                    is_still = false;
                    self.take(index as u32, event?);
                }
            }
            if is_still {
                return Ok(());
            }
        }
    }

    fn take(&mut self, reader: u32, event: ReaderEvent<MessageBatch>) {
        match event {
            ReaderEvent::Batch { split, batch } => {
                for (index, message) in batch.rows.iter().enumerate() {
                    let integer = |name| batch.rows.integer(name, index).unwrap();
                    let at = format!("{}:{}", batch.rows.text(TOPIC, index).unwrap(), integer(PARTITION));
                    assert_eq!(at, split.as_str());
                    let text = String::from_utf8_lossy(message.value.unwrap_or(b"-")).into_owned();
                    self.rows.push(Row { split: at, offset: integer(OFFSET), text, reader });
                }
                let times: Vec<_> =
                    (0..batch.rows.rows()).map(|i| batch.rows.integer(TIMESTAMP, i)).collect();
                assert_eq!(times, batch.timestamps.iter().copied().map(Some).collect::<Vec<_>>());
                assert!(batch.rows.rows() > 0);
                self.batches.push(batch.rows);
            }
            ReaderEvent::SplitFinished(split) => {
                self.commands.push_back(EnumeratorCommand::SplitFinished(ReaderId(reader), split.clone()));
                self.finished.push(split);
            }
            ReaderEvent::EndOfInput => self.ended += 1,
            _ => {}
        }
    }

    /// Goes on until `done`, or an error.
    pub(crate) async fn until_or_error(&mut self, mut done: impl FnMut(&Self) -> bool) -> Result<()> {
        let going = poll_fn(|cx| {
            if done(self) {
                return Poll::Ready(Ok(()));
            }
            if let Err(error) = self.step(cx) {
                return Poll::Ready(Err(error));
            }
            if done(self) { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        match tokio::time::timeout(PATIENCE, going).await {
            Ok(result) => result,
            Err(_) => panic!("it hangs with {} rows, finished {:?}", self.rows.len(), self.finished),
        }
    }

    pub(crate) async fn until(&mut self, done: impl FnMut(&Self) -> bool) {
        self.until_or_error(done).await.unwrap();
    }

    pub(crate) async fn until_rows(&mut self, rows: usize) {
        self.until(|host| host.rows.len() >= rows).await;
        assert_eq!(self.rows.len(), rows, "{:?}", self.rows.last());
    }

    pub(crate) async fn until_end(&mut self) {
        self.until(|host| host.ended == host.readers.len()).await;
    }

    /// The error that it must meet.
    pub(crate) async fn error(&mut self) -> connector_api::Error {
        self.until_or_error(|_| false).await.expect_err("an error must come")
    }

    /// Goes on for a while, in which no row may come.
    pub(crate) async fn quiet(&mut self, time: Duration) {
        let rows = self.rows.len();
        let going =
            poll_fn(|cx| self.step(cx).map_or_else(|e| Poll::Ready(Err::<(), _>(e)), |()| Poll::Pending));
        if let Ok(ended) = tokio::time::timeout(time, going).await {
            ended.unwrap();
        }
        assert_eq!(self.rows.len(), rows, "{:?}", self.rows.last());
    }

    pub(crate) fn snapshot(&mut self, checkpoint: u64) -> Checkpoint {
        let id = CheckpointId(checkpoint);
        let state = self.enumerator.snapshot(id).unwrap();
        let splits = self.readers.iter_mut().flatten().flat_map(|reader| reader.snapshot(id, 0).unwrap());
        Checkpoint { state, splits: splits.collect() }
    }

    pub(crate) fn complete(&mut self, checkpoint: u64) {
        self.tell(&ReaderCommand::CheckpointComplete(CheckpointId(checkpoint)));
    }

    pub(crate) fn tell(&mut self, command: &ReaderCommand<KafkaSplit>) {
        for reader in self.readers.iter_mut().flatten() {
            reader.handle(command.clone()).unwrap();
        }
    }

    pub(crate) async fn close(mut self) {
        for mut reader in self.readers.iter_mut().filter_map(Option::take) {
            let closed = poll_fn(|cx| reader.poll_close(cx));
            tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it closes in time").unwrap();
        }
    }

    /// Whether partitions were found and each has a reader.
    pub(crate) fn is_dealt(&self) -> bool {
        self.dealt > 0 && self.context.unassigned() == Some(0)
    }

    /// Texts in order of split and offset.
    pub(crate) fn texts(&self) -> Vec<&str> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort();
        rows.iter().map(|row| row.text.as_str()).collect()
    }
}

/// The texts `prefix + number`.
pub(crate) fn texts(prefix: &str, numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("{prefix}{number}")).collect()
}
