//! What the probes do by themselves.

use std::collections::BTreeMap;
use std::time::Duration;

/// How splits are dealt to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dealing {
    /// One per request.
    OnRequest,
    /// All of them, in turn, when every reader is there.
    AtOnce,
    /// One after each of these spans, and one in the poll that follows each snapshot, to readers in turn.
    Every(Duration),
}

/// What a reader does before it emits a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Says a watermark of the split.
    Watermark(i64),
    /// Says that the split is idle.
    Idle,
    /// Says that it is active again.
    Active,
    /// Reads nothing of the split for so long.
    Wait(Duration),
}

/// A split.
#[derive(Clone, Debug, Default)]
pub(super) struct SplitScript {
    pub(super) rows: u64,
    /// The event time of row k is `first_time + k * time_step`; none without.
    pub(super) first_time: Option<i64>,
    pub(super) time_step: i64,
    /// By the number of the row before which they are carried out.
    pub(super) marks: BTreeMap<u64, Vec<Mark>>,
}

/// Which stages the sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Writers and a committer.
    Plain,
    /// A stage that groups, before the committer; one that lists, behind it.
    Staged,
    /// As `Staged`, without the grouping, which the plan calls absent.
    Unstaged,
}

/// What a user is told of state of the stage that was left out.
pub(super) const HINT: &str = "set grouping to \"drain\" first";

/// What the probes do.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) splits: Vec<SplitScript>,
    pub(super) dealing: Dealing,
    /// The enumerator answers requests in the poll after the command.
    pub(super) answers_in_poll: bool,
    /// The enumerator sends messages around its assignments.
    pub(super) sends: bool,
    /// The next command or poll of an enumerator fails.
    pub(super) enumerator_fails: bool,
    pub(super) batch: u64,
    /// Between two batches of a reader. None: batches follow each other, and no waker is ever used.
    pub(super) pause: Option<Duration>,
    pub(super) shape: Shape,
    /// How long each flush takes, for so many flushes.
    pub(super) slow_flushes: (u32, Duration),
    /// Writers don't come back from `write`.
    pub(super) writers_stuck: bool,
    /// The next so many commits ask to be tried again, after this span.
    pub(super) retries: (u32, Duration),
    /// The next so many commits find nothing.
    pub(super) losses: u32,
    /// The next so many commits can't be told.
    pub(super) fatal: u32,
}

impl Script {
    /// Splits of equal size, read at 3 ms per batch of 4 rows.
    pub(super) fn of(splits: u32, rows: u64) -> Self {
        let split = SplitScript { rows, ..SplitScript::default() };
        Self {
            splits: vec![split; splits as usize],
            dealing: Dealing::OnRequest,
            answers_in_poll: false,
            sends: false,
            enumerator_fails: false,
            batch: 4,
            pause: Some(Duration::from_millis(3)),
            shape: Shape::Plain,
            slow_flushes: (0, Duration::ZERO),
            writers_stuck: false,
            retries: (0, Duration::ZERO),
            losses: 0,
            fatal: 0,
        }
    }

    pub(super) fn dealing(self, dealing: Dealing) -> Self {
        Self { dealing, ..self }
    }

    pub(super) fn shape(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// All rows, in order.
    pub(super) fn all_rows(&self) -> Vec<(u32, u64)> {
        let splits = self.splits.iter().enumerate();
        splits.flat_map(|(i, split)| (0..split.rows).map(move |row| (i as u32, row))).collect()
    }
}
