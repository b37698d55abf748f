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
    use connector_api::Stored;

    /// The bytes that version 1 wrote. If this fails, checkpoints of users can't be read any more.
    #[test]
    fn version_1_reads_its_frozen_bytes() {
        let committable = FileCommittable {
            staged: ".a.inprogress".into(),
            name: "a".into(),
            length: 300,
            inputs: vec![".b".into()],
        };
        let payload = b"\x0d.a.inprogress\x01a\xac\x02\x01\x02.b";
        assert_eq!(committable.encode().unwrap(), payload);
        assert_eq!(FileCommittable::decode(1, payload).unwrap(), committable);
        let state =
            WriterState { staged: ".a.inprogress".into(), name: "a".into(), length: 300, created_at: -1 };
        let payload = b"\x0d.a.inprogress\x01a\xac\x02\x01";
        assert_eq!(state.encode().unwrap(), payload);
        assert_eq!(WriterState::decode(1, payload).unwrap(), state);
    }
}
