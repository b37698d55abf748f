//! What a run did, step by step.

use std::fmt;

use crate::surroundings::Surroundings;

/// Lines with virtual times. The same seed writes the same lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log(Vec<String>);

impl Log {
    pub(crate) fn line(&mut self, around: &Surroundings, text: impl fmt::Display) {
        let millis = around.env().clock.monotonic().as_millis();
        self.0.push(format!("{:06} {millis:>6} ms  {text}", self.0.len()));
    }

    /// All lines.
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// The last lines.
    pub fn tail(&self, count: usize) -> String {
        self.0[self.0.len().saturating_sub(count)..].join("\n")
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
