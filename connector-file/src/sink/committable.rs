//! What passes from the writers to the committer: staged files, each with the name that it will appear under.

use serde::{Deserialize, Serialize};

/// A staged file. Its bytes alone are enough to commit it, by another process and at any later time.
///
/// All names are within the sink's base directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCommittable {
    /// The hidden name that it has.
    pub staged: String,
    /// The name under which it becomes visible.
    pub name: String,
    /// Its length in bytes.
    pub length: u64,
    /// Hidden files whose content it stands for: removed once it is visible, durably.
    pub inputs: Vec<String>,
}

connector_api::stored!(FileCommittable, "file-committable");

/// What a writer needs to go on with a part that a checkpoint left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterState {
    /// The hidden name of the part.
    pub staged: String,
    /// The name under which it becomes visible.
    pub name: String,
    /// The bytes of it that belong to the checkpoint, all durable.
    pub length: u64,
    /// When its first record was written, in milliseconds since the Unix epoch.
    pub created_at: i64,
}

connector_api::stored!(WriterState, "file-writer");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use testkit::golden::Broken;

    #[test]
    fn committables_of_every_version_are_read() -> Result<(), Broken> {
        let alone = FileCommittable {
            staged: ".a.inprogress".into(),
            name: "a".into(),
            length: 300,
            inputs: Vec::new(),
        };
        let merged = FileCommittable { inputs: vec![".b".into()], ..alone.clone() };
        golden().value("alone", alone).value("merged", merged).check()
    }

    #[test]
    fn writer_states_of_every_version_are_read() -> Result<(), Broken> {
        let open =
            WriterState { staged: ".a.inprogress".into(), name: "a".into(), length: 300, created_at: -1 };
        golden().value("open", open).check()
    }
}
