//! How far a writer is, on the clock that ends its buckets.

use connector_api::sink::{Flush, WriterContext};

use crate::sink::buckets::Clock;
use crate::sink::committable::Mark;
use crate::sink::config::SinkConfig;

/// What a writer knows of its progress.
#[derive(Debug)]
pub(crate) struct Progress {
    clock: Clock,
    /// Whether rows carry the time at which they were dealt to the writers, which lies before they came.
    stamped: bool,
    writer: u32,
    of: u32,
    watermark: i64,
    /// When the last flush began.
    flushed: i64,
    passed: i64,
}

impl Progress {
    pub(crate) fn new(config: &SinkConfig, context: &WriterContext) -> Self {
        Self {
            clock: config.buckets.clock(),
            stamped: config.shuffle,
            writer: context.subtask,
            of: context.parallelism,
            watermark: i64::MIN,
            flushed: i64::MIN,
            passed: i64::MIN,
        }
    }

    pub(crate) fn watermark(&mut self, millis: i64) {
        self.watermark = self.watermark.max(millis);
    }

    /// A flush begins, at this time of day.
    pub(crate) fn flush(&mut self, why: Flush, now: i64) {
        // Rows that were dealt before the barrier are here. Those to come were dealt behind it: after the flush before,
        // since a checkpoint begins when the one before has ended.
        let before = std::mem::replace(&mut self.flushed, now);
        self.passed = match (why, self.clock) {
            (Flush::EndOfInput, _) => i64::MAX,
            // Rows *at* the watermark are late.
            (_, Clock::Event) => self.watermark.saturating_add(i64::from(self.watermark > i64::MIN)),
            (_, Clock::Processing) if self.stamped => before,
            (_, Clock::Processing) => now,
            (_, Clock::None) => i64::MIN,
        };
    }

    /// No later record goes to a bucket that ends at or before this.
    pub(crate) fn passed(&self) -> i64 {
        self.passed
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { writer: self.writer, of: self.of, watermark: self.passed }
    }
}
