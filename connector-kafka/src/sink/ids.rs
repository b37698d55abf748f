//! Transactional ids: `<prefix>-<run>-<n>`, where `<n>` is `<attempt>.<writer>.<count>`.
//!
//! The attempt in it (rule W-5) keeps attempts apart: no writer ever opens an id that a restored committable may still need, in
//! whichever process it runs. See `docs/decisions/0015-kafka-transactions.md`.

use std::fmt;

use connector_api::id::{AttemptId, RunId};

/// What the ids of a job begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(String);

/// An id that this connector made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) attempt: AttemptId,
    pub(crate) writer: u32,
    pub(crate) count: u64,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempt, writer, count } = self;
        write!(f, "{}-{}.{writer}.{count}", attempt.run, attempt.number)
    }
}

/// Whose id it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Of a job with this very prefix.
    Ours(Made),
    /// It begins as ours do, and is none of ours: another program, or a job of an older make.
    Foreign,
    /// Of a job whose prefix is longer.
    OtherPrefix,
}

impl Prefix {
    pub(crate) fn new(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    /// What every id of the job begins with.
    pub(crate) fn start(&self) -> String {
        format!("{}-", self.0)
    }

    pub(crate) fn id(&self, made: Made) -> String {
        format!("{}-{made}", self.0)
    }

    /// Whose an id is; none for one that does not begin with the prefix at all.
    pub(crate) fn whose(&self, id: &str) -> Option<Whose> {
        let rest = id.strip_prefix(&self.0)?.strip_prefix('-')?;
        if let Some(made) = read(rest) {
            return Some(Whose::Ours(made));
        }
        let mut parts = rest.rsplitn(3, '-');
        let (count, run, before) = (parts.next(), parts.next(), parts.next());
        let longer =
            before.is_some() && count.zip(run).is_some_and(|(n, run)| read(&format!("{run}-{n}")).is_some());
        Some(if longer { Whose::OtherPrefix } else { Whose::Foreign })
    }
}

/// Reads what [`Made`]'s `Display` writes, and nothing else.
fn read(text: &str) -> Option<Made> {
    let (run, n) = text.split_once('-')?;
    let mut n = n.split('.');
    let (number, writer, count) = (n.next()?, n.next()?, n.next()?);
    let attempt = AttemptId { run: RunId(u64::from_str_radix(run, 16).ok()?), number: number.parse().ok()? };
    let made = Made { attempt, writer: writer.parse().ok()?, count: count.parse().ok()? };
    // Neither signs nor leading zeros: no two texts stand for one id.
    (made.to_string() == text).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_whose_it_is() {
        let prefix = Prefix::new("copy");
        let attempt = AttemptId { run: RunId(7), number: 3 };
        let made = Made { attempt, writer: 1, count: 12 };
        let id = prefix.id(made);
        assert_eq!(id, "copy-0000000000000007-3.1.12");
        assert_eq!(prefix.whose(&id), Some(Whose::Ours(made)));
        assert_eq!(prefix.whose("copies-0000000000000007-3.1.12"), None);
        assert_eq!(prefix.whose("copy-eu-0000000000000007-3.1.12"), Some(Whose::OtherPrefix));
        for foreign in ["copy-0-1", "copy-", "copy-7-3.1.12", "copy-0000000000000007-3.1.012", "copy-eu-1"] {
            assert_eq!(prefix.whose(foreign), Some(Whose::Foreign), "{foreign}");
        }
    }
}
