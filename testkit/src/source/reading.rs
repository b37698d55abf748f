//! A reader driven by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_api::Batch;
use connector_api::id::{ReaderId, SplitId};
use connector_api::source::{
    Boundedness, BoxReader, DynSplit, ReaderCommand, ReaderContext, ReaderEvent, Split,
};

use super::desk::all_splits;
use super::support::{ROWS, fill};
use crate::broken::Broken;
use crate::context::SourceContext;
use crate::drive::{Drive, SILENCE, drive};
use crate::history;
use crate::lab::Subject;
use crate::rows::TestBatch;

/// How long an unbounded reader must be silent after the last row that is expected.
pub(super) const QUIET: Duration = Duration::from_secs(2);

/// Rows by split.
pub(super) type Rows = BTreeMap<SplitId, Vec<String>>;

pub(super) struct Reading<B: TestBatch> {
    pub(super) drive: Drive<BoxReader<B>>,
    pub(super) is_bounded: bool,
}

impl<B: TestBatch> Reading<B> {
    /// A reader without splits.
    pub(super) fn open<C: SourceContext<Batch = B>>(subject: &mut Subject<C>) -> Result<Self, Broken> {
        let (env, attempt) = (subject.env(), subject.around.next_attempt());
        let source = subject.context.source(&env).map_err(Broken::by("K-4", "making the source"))?;
        let is_bounded = source.boundedness() == Boundedness::Bounded;
        let context = ReaderContext { env, reader: ReaderId(0), parallelism: 1, attempt };
        let reader = source.reader(context).map_err(Broken::by("R-11", "making a reader"))?;
        Ok(Self { drive: drive(reader).metered(subject.around.meter()), is_bounded })
    }

    /// One with these splits.
    pub(super) fn of<C: SourceContext<Batch = B>>(
        subject: &mut Subject<C>,
        splits: impl IntoIterator<Item = DynSplit>,
    ) -> Result<Self, Broken> {
        let mut this = Self::open(subject)?;
        this.add(splits)?;
        Ok(this)
    }

    pub(super) fn add(&mut self, splits: impl IntoIterator<Item = DynSplit>) -> Result<(), Broken> {
        self.drive.add(splits).map_err(|error| error.as_broken("R-3"))
    }

    pub(super) fn tell(
        &mut self,
        rule: &'static str,
        command: ReaderCommand<DynSplit>,
    ) -> Result<(), Broken> {
        self.drive.handle(command).map_err(|error| error.as_broken(rule))
    }

    pub(super) fn no_more(&mut self) -> Result<(), Broken> {
        self.tell("R-6", ReaderCommand::NoMoreSplits)
    }

    /// The next event; none at the end, and when nothing comes for `patience`.
    pub(super) async fn within(&mut self, patience: Duration) -> Result<Option<ReaderEvent<B>>, Broken> {
        self.drive.next_within(patience).await.map_err(|error| error.as_broken("R-5"))
    }

    /// The next event; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<ReaderEvent<B>>, Broken> {
        self.drive.next().await.map_err(|error| error.as_broken("R-5"))
    }

    /// The next batch.
    pub(super) async fn batch(&mut self) -> Result<(SplitId, Batch<B>), Broken> {
        while let Some(event) = self.next().await? {
            if let ReaderEvent::Batch { split, batch } = event {
                return Ok((split, batch));
            }
        }
        Err(Broken::new("R-5", "no batch comes from splits that have rows"))
    }

    pub(super) fn snapshot(&mut self, unemitted: usize) -> Result<Vec<DynSplit>, Broken> {
        self.drive.snapshot(unemitted).map_err(|error| error.as_broken("R-2"))
    }

    pub(super) async fn close(&mut self) -> Result<(), Broken> {
        self.drive.close().await.map_err(|error| error.as_broken("R-12"))
    }

    /// The rest of a bounded source, to its end; of an unbounded one, until it has given this many rows and is silent.
    pub(super) async fn rest(&mut self, expected: usize) -> Result<Rows, Broken> {
        if self.is_bounded {
            self.no_more()?;
        }
        let mut rows = Rows::new();
        let mut count = 0;
        loop {
            let patience = if count < expected { SILENCE } else { QUIET };
            let next = if self.is_bounded { self.next().await? } else { self.within(patience).await? };
            match next {
                Some(ReaderEvent::Batch { split, batch }) => {
                    count += texts(&batch.rows)?.len();
                    rows.entry(split).or_default().extend(texts(&batch.rows)?);
                }
                Some(_) => {}
                None => return Ok(rows),
            }
        }
    }
}

pub(super) fn texts<B: TestBatch>(rows: &B) -> Result<Vec<String>, Broken> {
    rows.texts().map_err(Broken::by("R-1", "reading a batch"))
}

/// The rows that a fresh reader gives from these splits.
pub(super) async fn rows_of<C: SourceContext>(
    subject: &mut Subject<C>,
    splits: Vec<DynSplit>,
    expected: usize,
) -> Result<Rows, Broken> {
    let mut reading = Reading::of(subject, splits)?;
    let rows = reading.rest(expected).await?;
    reading.close().await?;
    Ok(rows)
}

/// All splits at their beginning, and what they hold.
pub(super) struct Whole {
    pub(super) splits: Vec<DynSplit>,
    pub(super) rows: Rows,
}

impl Whole {
    /// Writes test data and reads it, every split in a reader of its own.
    pub(super) async fn read<C: SourceContext>(subject: &mut Subject<C>) -> Result<Self, Broken> {
        let written = fill(subject, 0..ROWS).await?;
        let splits = all_splits(subject).await?;
        let mut rows = Rows::new();
        for split in &splits {
            let all = rows_of(subject, vec![split.clone()], 1).await?;
            for (id, mut more) in all {
                rows.entry(id).or_default().append(&mut more);
            }
        }
        let all: Vec<String> = rows.values().flatten().cloned().collect();
        history::exactly_once("R-5", &written, &all)?;
        Ok(Self { splits, rows })
    }

    pub(super) fn count(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    /// Splits that have rows in more than one batch, or just rows: at most so many.
    pub(super) fn some(&self, count: usize) -> Vec<DynSplit> {
        let full = self.splits.iter().filter(|split| self.of(&split.id()).len() > 1);
        full.take(count).cloned().collect()
    }

    pub(super) fn of(&self, id: &SplitId) -> &[String] {
        self.rows.get(id).map_or(&[], Vec::as_slice)
    }

    /// How many rows these splits hold.
    pub(super) fn size(&self, splits: &[DynSplit]) -> usize {
        splits.iter().map(|split| self.of(&split.id()).len()).sum()
    }

    /// Compares what came from these splits with what they hold.
    pub(super) fn compare(
        &self,
        rule: &'static str,
        splits: &[DynSplit],
        came: &Rows,
        when: &str,
    ) -> Result<(), Broken> {
        for split in splits {
            let id = split.id();
            let (expected, found) = (self.of(&id), came.get(&id).map_or(&[][..], Vec::as_slice));
            if let Some(what) = difference(expected, found) {
                return Err(Broken::new(rule, format!("split {id}, {when}: {what}")));
            }
        }
        Ok(())
    }
}

/// Where two sequences of rows part.
pub(super) fn difference(expected: &[String], found: &[String]) -> Option<String> {
    if expected == found {
        return None;
    }
    let at = expected.iter().zip(found).take_while(|(a, b)| a == b).count();
    let end = || "the end".to_owned();
    let (expected, found) = (expected.get(at).cloned(), found.get(at).cloned());
    Some(format!("`{}` instead of `{}`", found.unwrap_or_else(end), expected.unwrap_or_else(end)))
}
