//! Labels of transactions: `connector-<run>_<attempt>.<writer>.<count>`.
//!
//! A run's number is random, so that jobs on one stream don't take each other's transactions for their own.

use std::fmt;
use std::str::FromStr;

use connector_api::id::AttemptId;
use connector_api::sink::WriterContext;

const START: &str = "connector-";

/// Who began a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) attempt: AttemptId,
    pub(super) writer: u32,
    pub(super) count: u64,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, writer, count } = self;
        write!(f, "{START}{attempt}.{writer}.{count}")
    }
}

impl FromStr for Label {
    type Err = ();

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, ()> {
        let read = || {
            let mut parts = text.strip_prefix(START)?.splitn(3, '.');
            let (attempt, writer, count) = (parts.next()?, parts.next()?, parts.next()?);
            let (writer, count) = (writer.parse().ok()?, count.parse().ok()?);
            let label = Self { attempt: attempt.parse().ok()?, writer, count };
            (label.to_string() == text).then_some(label)
        };
        read().ok_or(())
    }
}

impl Label {
    /// Whether a dead attempt made it: an earlier one of this run, or one of a run that this one comes from.
    pub(super) fn is_dead(&self, context: &WriterContext) -> bool {
        self.attempt.is_before(context.attempt)
            || (self.attempt.run != context.attempt.run && context.ancestors.contains(&self.attempt.run))
    }
}

#[cfg(test)]
mod tests {
    use connector_api::id::RunId;

    use super::*;

    #[test]
    fn a_label_tells_who_began() {
        let label = Label { attempt: AttemptId { run: RunId(7), number: 3 }, writer: 1, count: 12 };
        assert_eq!(label.to_string(), "connector-0000000000000007_3.1.12");
        assert_eq!(label.to_string().parse(), Ok(label));
        for foreign in ["", "x", "connector-", "connector-7_3.1.12", "connector-0000000000000007_3.1.012"] {
            assert_eq!(foreign.parse::<Label>(), Err(()), "{foreign}");
        }
    }
}
