//! Which bucket a record goes to.
//!
//! A bucket is a directory below the base directory. Its name has a part per level of the option `buckets`: a time, formatted
//! by a pattern in a zone, or the value of a field. [`Buckets`] deals the rows of a batch; a batch that belongs to one bucket as a whole
//! passes as it is, and one whose buckets lie one behind the other is only cut.

mod escape;
mod level;
mod options;
mod shuffle;
mod time;

use std::collections::HashMap;
use std::sync::Arc;

use connector_api::{Batch, Error, Result};

use level::Level;
pub use options::{BucketLevel, BucketOptions, BucketTime};
pub(crate) use options::{BucketRules, Clock};
pub(crate) use shuffle::{SharedClock, partitioner};

use crate::format::FileBatch;

/// The index of a bucket, and how many rows of it follow one another.
type Run = (u32, usize);

/// Deals the records of a batch to buckets. Without options there is one bucket: the base directory itself.
#[derive(Debug)]
pub(crate) struct Buckets {
    levels: Vec<Level>,
    /// The bucket of the row before.
    last: Arc<str>,
    /// Whether batches come with the time that tells their bucket also where that is the time of writing, because those
    /// who dealt them to the writers have set it.
    stamped: bool,
}

impl Buckets {
    pub(crate) fn new(rules: &BucketRules, stamped: bool) -> Self {
        Self { levels: rules.levels.iter().map(Level::new).collect(), last: "".into(), stamped }
    }

    /// The parts of a batch with the bucket of each, in no particular order; the records of a bucket keep theirs. `now` is
    /// the time of day in milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// When the bucket of a row can't be told; names the row and the option.
    pub(crate) fn deal<B: FileBatch>(
        &mut self,
        batch: Batch<B>,
        now: i64,
    ) -> Result<Vec<(Arc<str>, Batch<B>)>> {
        self.try_deal(batch, now).map_err(|(_, error)| error)
    }

    /// Like [`deal`](Self::deal), giving the batch back with the error.
    #[expect(clippy::type_complexity, reason = "what is dealt, or what was to be dealt and why it was not")]
    fn try_deal<B: FileBatch>(
        &mut self,
        batch: Batch<B>,
        now: i64,
    ) -> Result<Vec<(Arc<str>, Batch<B>)>, (Batch<B>, Error)> {
        if self.levels.is_empty() {
            return Ok(vec![(self.last.clone(), batch)]);
        }
        if batch.rows.rows() == 0 {
            return Ok(Vec::new());
        }
        match self.runs(&batch, now) {
            Ok((buckets, runs)) => Ok(cut(batch, buckets, runs)),
            Err(error) => Err((batch, error)),
        }
    }

    /// The buckets of a batch, and stretches of rows with the index of the bucket of each.
    fn runs<B: FileBatch>(&mut self, batch: &Batch<B>, now: i64) -> Result<(Vec<Arc<str>>, Vec<Run>)> {
        let mut buckets: Vec<Arc<str>> = Vec::new();
        let mut known: HashMap<Arc<str>, u32> = HashMap::new();
        let mut runs: Vec<Run> = Vec::new();
        for row in 0..batch.rows.rows() {
            let mut same = true;
            for level in &mut self.levels {
                same &= level.is_same(batch, row, now, self.stamped)?;
            }
            if let (true, Some((_, count))) = (same, runs.last_mut()) {
                *count += 1;
                continue;
            }
            if !same {
                let mut name = String::new();
                for level in &self.levels {
                    if !name.is_empty() {
                        name.push('/');
                    }
                    name.push_str(level.name());
                }
                self.last = name.into();
            }
            let index = match known.get(&self.last) {
                Some(index) => *index,
                None => {
                    let index = buckets.len() as u32;
                    buckets.push(self.last.clone());
                    known.insert(self.last.clone(), index);
                    index
                }
            };
            runs.push((index, 1));
        }
        Ok((buckets, runs))
    }
}

/// Cuts a batch into its buckets: at the ends of stretches where each bucket has one, else after sorting the rows by bucket.
fn cut<B: FileBatch>(
    mut batch: Batch<B>,
    buckets: Vec<Arc<str>>,
    runs: Vec<Run>,
) -> Vec<(Arc<str>, Batch<B>)> {
    let mut counts = vec![0; buckets.len()];
    for (bucket, count) in &runs {
        counts[*bucket as usize] += count;
    }
    if runs.len() > buckets.len() {
        let mut next: Vec<usize> = Vec::with_capacity(counts.len());
        let mut total = 0;
        for count in &counts {
            next.push(total);
            total += count;
        }
        let mut order = vec![0; total];
        let mut row = 0;
        for (bucket, count) in runs {
            let next = &mut next[bucket as usize];
            for place in &mut order[*next..*next + count] {
                *place = row;
                row += 1;
            }
            *next += count;
        }
        batch = batch.select(&order);
    }
    let mut parts = Vec::with_capacity(buckets.len());
    let mut left = buckets.into_iter().zip(counts).peekable();
    while let Some((bucket, count)) = left.next() {
        if left.peek().is_none() {
            parts.push((bucket, batch));
            break;
        }
        parts.push((bucket, batch.take_front(count)));
    }
    parts
}
