//! How far each split was read: what a snapshot holds.

use std::collections::BTreeMap;

use connector_api::id::CheckpointId;
use connector_api::source::Split;
use connector_api::{Error, Result};

use super::author::{PositionOf, Prefixes, SplitReaderFactory};
use super::task::Key;

/// The splits of a reader with their positions.
///
/// The position of the split that gave the last batch stands *before* that batch until the next one is emitted: only then
/// is it certain that the host holds no part of it back.
pub(super) struct Progress<F: SplitReaderFactory> {
    reading: BTreeMap<Key, F::Split>,
    finished: BTreeMap<Key, Finished<F::Split>>,
    last: Option<Last<PositionOf<F>>>,
}

/// A split that was read to its end, kept until a checkpoint that holds this end is complete: the enumerator may have been
/// snapshotted before it heard of the end, and an aborted checkpoint proves nothing.
struct Finished<S> {
    split: S,
    /// The first checkpoint that holds the split at its end.
    held_by: Option<CheckpointId>,
}

/// The last batch that was emitted.
struct Last<P> {
    key: Key,
    rows: usize,
    prefixes: Prefixes<P>,
    /// A position behind the whole batch that came after it.
    end: Option<P>,
}

impl<P: Clone> Last<P> {
    /// The position when the last `unemitted` rows don't count; none when none does.
    fn without(&self, unemitted: usize) -> Option<(P, u64)> {
        match (self.rows - unemitted, &self.end) {
            (0, _) => None,
            (n, Some(end)) if n == self.rows => Some((end.clone(), 0)),
            (n, _) => Some(self.prefixes.after(n)),
        }
    }
}

impl<F: SplitReaderFactory> Progress<F> {
    pub(super) fn new() -> Self {
        Self { reading: BTreeMap::new(), finished: BTreeMap::new(), last: None }
    }

    /// A split that is read from now on. An earlier end of the same split is forgotten: this one stands for it.
    pub(super) fn add(&mut self, key: Key, split: F::Split) {
        let id = split.id();
        self.finished.retain(|_, f| f.split.id() != id);
        self.reading.insert(key, split);
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.reading.remove(&key);
    }

    /// A batch is emitted.
    pub(super) fn emitted(
        &mut self,
        factory: &F,
        key: Key,
        rows: usize,
        prefixes: Prefixes<PositionOf<F>>,
    ) -> Result<()> {
        self.settle(factory)?;
        self.last = Some(Last { key, rows, prefixes, end: None });
        Ok(())
    }

    /// A split moved on without rows.
    pub(super) fn moved(&mut self, factory: &F, key: Key, position: PositionOf<F>) -> Result<()> {
        match &mut self.last {
            Some(last) if last.key == key => last.end = Some(position),
            _ => {
                if let Some(split) = self.reading.get_mut(&key) {
                    advance(factory, split, position, 0)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, key: Key) {
        if let Some(split) = self.reading.remove(&key) {
            self.finished.insert(key, Finished { split, held_by: None });
        }
    }

    /// Everything with its position; see [`SourceReader::snapshot`](connector_api::source::SourceReader::snapshot).
    pub(super) fn snapshot(
        &mut self,
        factory: &F,
        checkpoint: CheckpointId,
        unemitted: usize,
    ) -> Result<Vec<F::Split>> {
        let rows = self.last.as_ref().map_or(0, |last| last.rows);
        if unemitted > rows {
            let reason =
                format!("it says that {unemitted} of the {rows} rows of the last batch are not emitted");
            return Err(Error::contract("host", reason));
        }
        let last = self.last.as_ref();
        let mut splits = Vec::with_capacity(self.reading.len() + self.finished.len());
        let finished = self.finished.iter().map(|(key, f)| (key, &f.split));
        for (key, split) in self.reading.iter().chain(finished) {
            let mut split = split.clone();
            if let Some((position, skip)) =
                last.filter(|last| last.key == *key).and_then(|last| last.without(unemitted))
            {
                advance(factory, &mut split, position, skip)?;
            }
            splits.push(split);
        }
        for (key, finished) in &mut self.finished {
            let at_its_end = unemitted == 0 || last.is_none_or(|last| last.key != *key);
            if at_its_end && finished.held_by.is_none() {
                finished.held_by = Some(checkpoint);
            }
        }
        Ok(splits)
    }

    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        self.finished.retain(|_, f| f.held_by.is_none_or(|held_by| held_by > checkpoint));
    }

    /// Moves the split of the last batch behind that batch.
    fn settle(&mut self, factory: &F) -> Result<()> {
        let Some(last) = self.last.take() else { return Ok(()) };
        let Some((position, skip)) = last.without(0) else { return Ok(()) };
        let finished = self.finished.get_mut(&last.key).map(|f| &mut f.split);
        match self.reading.get_mut(&last.key).or(finished) {
            Some(split) => advance(factory, split, position, skip),
            None => Ok(()),
        }
    }
}

fn advance<F: SplitReaderFactory>(
    factory: &F,
    split: &mut F::Split,
    position: PositionOf<F>,
    skip: u64,
) -> Result<()> {
    factory.advance(split, position, skip);
    let stored = factory.skip(split);
    if stored == skip {
        return Ok(());
    }
    // Rows would be read twice after a restore.
    Err(Error::contract(
        format!("split {}", split.id()),
        format!("`advance` was told to skip {skip} rows, `skip` says {stored}"),
    ))
}
