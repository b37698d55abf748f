//! What every answer of a broker means for a commit: two tables, which the README prints.
//!
//! A commit looks before it acts. What DescribeTransactions says of the id is [judged](judge) first; only a transaction that is still
//! the prepared one is ended, and an answer of EndTxn that is neither yes nor wait leads back to looking.

use super::committable::KafkaCommittable;
use crate::wire::Described;

/// How the transaction of a committable stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Prepared, as it was left.
    Open,
    /// Its commit is decided, and under way to the partitions.
    Committing,
    /// Committed.
    Committed,
    /// Its producer has gone on to a later transaction in the same epoch.
    Followed,
    /// Aborted.
    Aborted,
    /// The cluster does not know the id.
    Unknown,
    /// Another producer has the id: whether ours was committed before can't be told.
    Fenced,
    /// The coordinator refuses to tell.
    Refused,
}

/// A row of the table of standings.
pub(crate) struct StandingRow {
    #[cfg_attr(not(test), expect(dead_code, reason = "a test sees that every standing has its row"))]
    pub(crate) standing: Standing,
    pub(crate) found: &'static str,
    pub(crate) outcome: &'static str,
    pub(crate) shown: &'static str,
}

/// What DescribeTransactions may say, and what follows.
pub(crate) const STANDINGS: &[StandingRow] = &[
    StandingRow {
        standing: Standing::Open,
        found: "`Ongoing`; same producer, epoch and begin",
        outcome: "EndTxn is sent; its answer decides (below)",
        shown: "broker",
    },
    StandingRow {
        standing: Standing::Committing,
        found: "`PrepareCommit`; same producer, epoch and begin",
        outcome: "waits for `CompleteCommit`, then `AlreadyCommitted`; `Retry` after 10 s",
        shown: "injected",
    },
    StandingRow {
        standing: Standing::Committed,
        found: "`CompleteCommit`; same producer, epoch and begin",
        outcome: "`AlreadyCommitted`",
        shown: "broker",
    },
    StandingRow {
        standing: Standing::Followed,
        found: "any state; same producer and epoch, a later begin (only the producer itself goes on without a new epoch, and it does so \
                after its commit)",
        outcome: "`AlreadyCommitted`",
        shown: "broker",
    },
    StandingRow {
        standing: Standing::Aborted,
        found: "`PrepareAbort`, `CompleteAbort` or `PrepareEpochFence`; same producer and begin, in this epoch or a later one (the time-out)",
        outcome: "`Lost`",
        shown: "broker",
    },
    StandingRow {
        standing: Standing::Unknown,
        found: "TRANSACTIONAL_ID_NOT_FOUND: the cluster has forgotten the id, days after its last use",
        outcome: "`Lost`; after going back `AlreadyCommitted`, with a warning",
        shown: "broker",
    },
    StandingRow {
        standing: Standing::Fenced,
        found: "anything else: another producer or epoch has the id",
        outcome: "`Fatal`, naming both; after going back `AlreadyCommitted`, with a warning",
        shown: "broker",
    },
    StandingRow {
        standing: Standing::Refused,
        found: "an error that waiting does not change, such as TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        outcome: "`Fatal`",
        shown: "injected",
    },
];

const TRANSACTIONAL_ID_NOT_FOUND: i16 = 105;

/// How a transaction stands, by what its coordinator says of the id.
pub(crate) fn judge(committable: &KafkaCommittable, found: &Described) -> Standing {
    match found.code {
        0 => {}
        TRANSACTIONAL_ID_NOT_FOUND => return Standing::Unknown,
        _ => return Standing::Refused,
    }
    let same_producer = found.producer_id == committable.producer_id;
    let same_epoch = same_producer && found.epoch == committable.epoch;
    let same_begin = found.started_at == committable.started_at;
    match &*found.state {
        "Ongoing" if same_epoch && same_begin => Standing::Open,
        "PrepareCommit" if same_epoch && same_begin => Standing::Committing,
        "CompleteCommit" if same_epoch && same_begin => Standing::Committed,
        "PrepareAbort" | "CompleteAbort" | "PrepareEpochFence"
            if same_producer && same_begin && found.epoch >= committable.epoch =>
        {
            Standing::Aborted
        }
        _ if same_epoch && found.started_at > committable.started_at => Standing::Followed,
        _ => Standing::Fenced,
    }
}

/// What follows from an answer to EndTxn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is decided.
    Done,
    /// Ask again, soon.
    Again,
    /// The transaction is not what it was a moment ago: look again.
    Look,
    /// `Fatal`.
    Refuse,
}

/// A row of the table of answers.
pub(crate) struct AnswerRow {
    pub(crate) code: i16,
    pub(crate) name: &'static str,
    pub(crate) next: Next,
    pub(crate) shown: &'static str,
}

const fn row(code: i16, name: &'static str, next: Next, shown: &'static str) -> AnswerRow {
    AnswerRow { code, name, next, shown }
}

/// What EndTxn may be answered. Any other code is refused: a path for it would be a guess.
pub(crate) const ANSWERS: &[AnswerRow] = &[
    row(0, "NONE", Next::Done, "broker"),
    row(51, "CONCURRENT_TRANSACTIONS", Next::Again, "injected"),
    row(14, "COORDINATOR_LOAD_IN_PROGRESS", Next::Again, "injected"),
    row(15, "COORDINATOR_NOT_AVAILABLE", Next::Again, "injected"),
    row(16, "NOT_COORDINATOR", Next::Again, "injected"),
    row(7, "REQUEST_TIMED_OUT", Next::Again, "injected"),
    row(48, "INVALID_TXN_STATE", Next::Look, "broker"),
    row(90, "PRODUCER_FENCED", Next::Look, "broker"),
    row(47, "INVALID_PRODUCER_EPOCH", Next::Look, "injected"),
    row(49, "INVALID_PRODUCER_ID_MAPPING", Next::Look, "broker"),
    row(59, "UNKNOWN_PRODUCER_ID", Next::Look, "injected"),
    row(105, "TRANSACTIONAL_ID_NOT_FOUND", Next::Look, "injected"),
    row(120, "TRANSACTION_ABORTABLE", Next::Look, "injected"),
    row(53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Next::Refuse, "injected"),
    row(31, "CLUSTER_AUTHORIZATION_FAILED", Next::Refuse, "injected"),
    row(35, "UNSUPPORTED_VERSION", Next::Refuse, "injected"),
    row(42, "INVALID_REQUEST", Next::Refuse, "injected"),
];

/// What follows from an answer to EndTxn.
pub(crate) fn next(code: i16) -> Next {
    ANSWERS.iter().find(|row| row.code == code).map_or(Next::Refuse, |row| row.next)
}

impl Next {
    const fn outcome(self) -> &'static str {
        match self {
            Self::Done => "waits for `CompleteCommit`, then `Committed`; `Retry` after 10 s",
            Self::Again => "asked again, for at most 30 s; then `Retry`",
            Self::Look => "looked at again, and judged by the table above; still open: `Fatal`",
            Self::Refuse => "`Fatal`",
        }
    }
}

/// Both tables, as the README prints them: what every answer of a broker means for a commit.
pub fn outcome_tables() -> String {
    let mut text = String::from("| DescribeTransactions says | outcome | shown by |\n|---|---|---|\n");
    for StandingRow { found, outcome, shown, .. } in STANDINGS {
        text += &format!("| {found} | {outcome} | {shown} |\n");
    }
    text += "\n| EndTxn is answered | code | what follows | shown by |\n|---|---|---|---|\n";
    for AnswerRow { code, name, next, shown } in ANSWERS {
        text += &format!("| {name} | {code} | {} | {shown} |\n", next.outcome());
    }
    text += &format!("| any other | | {} | injected |\n", Next::Refuse.outcome());
    text
}

#[cfg(test)]
mod tests {
    use super::super::committable::TransactionVersion;
    use super::*;
    use kafka_protocol::ResponseError;

    fn committable() -> KafkaCommittable {
        KafkaCommittable {
            cluster_id: "c".into(),
            transactional_id: "t".into(),
            producer_id: 4,
            epoch: 7,
            started_at: 1_000,
            version: TransactionVersion::SameEpoch,
        }
    }

    fn found(state: &str, producer_id: i64, epoch: i16, started_at: i64) -> Described {
        let (state, id) = (state.to_owned(), "t".to_owned());
        Described { code: 0, id, state, timeout_ms: 1, started_at, producer_id, epoch }
    }

    #[test]
    fn each_standing_is_told_from_the_others() {
        let cases = [
            (found("Ongoing", 4, 7, 1_000), Standing::Open),
            (found("PrepareCommit", 4, 7, 1_000), Standing::Committing),
            (found("CompleteCommit", 4, 7, 1_000), Standing::Committed),
            (found("Ongoing", 4, 7, 2_000), Standing::Followed),
            (found("CompleteAbort", 4, 7, 2_000), Standing::Followed),
            (found("CompleteAbort", 4, 7, 1_000), Standing::Aborted),
            (found("CompleteAbort", 4, 8, 1_000), Standing::Aborted),
            (found("PrepareEpochFence", 4, 8, 1_000), Standing::Aborted),
            (found("Empty", 4, 8, -1), Standing::Fenced),
            (found("CompleteCommit", 4, 8, 1_000), Standing::Fenced),
            (found("CompleteCommit", 5, 7, 1_000), Standing::Fenced),
            (found("Ongoing", 4, 8, 2_000), Standing::Fenced),
            (found("Empty", 4, 7, -1), Standing::Fenced),
            (Described { code: 105, ..found("", 0, 0, 0) }, Standing::Unknown),
            (Described { code: 53, ..found("", 0, 0, 0) }, Standing::Refused),
        ];
        for (found, standing) in cases {
            assert_eq!(judge(&committable(), &found), standing, "{found:?}");
        }
        for row in STANDINGS {
            assert!(STANDINGS.iter().filter(|other| other.standing == row.standing).count() == 1);
        }
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for code in i16::MIN..=i16::MAX {
            assert_eq!(next(code) == Next::Done, code == 0, "{code}");
        }
    }

    #[test]
    fn the_names_are_those_of_the_codes() {
        for AnswerRow { code, name, .. } in ANSWERS {
            let known = ResponseError::try_from_code(*code).map(|error| error.to_string());
            let known = known.unwrap_or_else(|| "None".to_owned()).to_uppercase();
            assert_eq!(known, name.replace('_', ""), "{code}");
        }
    }

    #[test]
    fn the_readme_prints_the_tables() {
        let readme = include_str!("../../README.md");
        assert!(readme.contains(&outcome_tables()), "put this into the README:\n{}", outcome_tables());
    }
}
