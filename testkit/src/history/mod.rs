//! What happened in a run, and the checkers that judge it.
//!
//! A host records events in their order; a checker is a function over them. Any host may record: the deterministic one of
//! testkit, the runtime, or another engine's.

mod checkers;

use std::fmt;

use connector_api::id::CheckpointId;

pub use checkers::{at_least_once, exactly_once, order, order_per_key, visibility, watermarks};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An attempt began, from this checkpoint or from nothing.
    Began {
        /// The number of the attempt.
        attempt: u64,
        /// What it was restored from.
        restored: Option<CheckpointId>,
    },
    /// Rows left the source.
    Emitted {
        /// Of which split.
        split: String,
        /// In order.
        rows: Vec<String>,
        /// Their event times; empty when they have none.
        times: Vec<i64>,
    },
    /// A split said that no later row is at or below this time.
    SplitWatermark {
        /// Of which split; all of a reader's, when none is named.
        split: Option<String>,
        /// The reader.
        reader: u32,
        /// Milliseconds since the Unix epoch.
        millis: i64,
    },
    /// A writer took rows.
    Written {
        /// Which.
        writer: u32,
        /// In order.
        rows: Vec<String>,
    },
    /// A watermark reached a writer.
    Watermark {
        /// Which.
        writer: u32,
        /// Milliseconds since the Unix epoch.
        millis: i64,
    },
    /// A writer staged what it took for a checkpoint.
    Staged {
        /// Which.
        writer: u32,
        /// For which checkpoint.
        checkpoint: CheckpointId,
    },
    /// A checkpoint is durable: what it covers may become visible.
    Completed(CheckpointId),
    /// The output, as a reader of it sees it.
    Visible(Vec<String>),
    /// The attempt ended without finishing: it failed, or its process died.
    Ended {
        /// How.
        why: String,
    },
}

/// The events of a run, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Vec<Event>);

impl History {
    /// Nothing has happened.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    pub fn push(&mut self, event: Event) {
        self.0.push(event);
    }

    /// All events.
    pub fn events(&self) -> &[Event] {
        &self.0
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|event| writeln!(f, "{event:?}"))
    }
}
