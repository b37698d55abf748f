//! The system outside.

use std::collections::{BTreeMap, BTreeSet};

use connector_api::id::AttemptId;

/// What outlives processes.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// Hidden parts by name.
    pub(super) staged: BTreeMap<String, Part>,
    /// The names of parts whose rows are visible, by themselves or merged.
    pub(super) committed: BTreeSet<String>,
    pub(super) visible: Vec<String>,
    pub(super) broken: bool,
}

/// A hidden part.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) made_by: AttemptId,
    pub(super) rows: Vec<String>,
}

impl Outside {
    /// Appends to a hidden part, which is made if it is not there.
    pub(super) fn append(&mut self, name: &str, made_by: AttemptId, rows: Vec<String>) -> usize {
        let part = self.staged.entry(name.to_owned()).or_insert(Part { made_by, rows: Vec::new() });
        part.rows.extend(rows);
        part.rows.len()
    }

    /// Shows the rows of a part, and says that those of its inputs are shown.
    pub(super) fn publish(&mut self, name: &str, inputs: &[String], rows: Vec<String>) {
        self.visible.extend(rows);
        self.committed.insert(name.to_owned());
        self.committed.extend(inputs.iter().cloned());
    }
}
