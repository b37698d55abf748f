//! What the stages keep and what passes between them.

use serde::{Deserialize, Serialize};

use crate::sink::committable::FileCommittable;

/// What the coordinator holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CoordinatorState {
    /// Checkpoints since the first of the held parts came.
    pub(crate) checkpoints: u32,
    /// The parts.
    pub(crate) held: Vec<FileCommittable>,
}

connector_api::stored!(CoordinatorState, "file-compaction-coordinator");

/// From the coordinator to a compactor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Commit it as it is.
    Pass(FileCommittable),
    /// Merge these, in this order; two or more.
    Merge(Vec<FileCommittable>),
}

connector_api::stored!(Request, "file-compaction-request");

impl Request {
    pub(crate) fn into_files(self) -> Vec<FileCommittable> {
        match self {
            Self::Pass(file) => vec![file],
            Self::Merge(files) => files,
        }
    }
}

/// One merge that a compactor has not handed over: held, under way or finished, which a restore does not tell apart. The
/// inputs stay until the result is committed, so it can be done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompactorState {
    /// The checkpoint that must be complete before it begins.
    pub(crate) checkpoint: u64,
    /// What to merge.
    pub(crate) inputs: Vec<FileCommittable>,
}

connector_api::stored!(CompactorState, "file-compactor");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use testkit::golden::Broken;

    fn file() -> FileCommittable {
        FileCommittable { staged: ".a".into(), name: "a".into(), length: 5, inputs: Vec::new() }
    }

    #[test]
    fn states_of_the_coordinator_of_every_version_are_read() -> Result<(), Broken> {
        golden().value("one", CoordinatorState { checkpoints: 2, held: vec![file()] }).check()
    }

    #[test]
    fn requests_of_every_version_are_read() -> Result<(), Broken> {
        golden().value("merge", Request::Merge(vec![file()])).value("pass", Request::Pass(file())).check()
    }

    #[test]
    fn states_of_compactors_of_every_version_are_read() -> Result<(), Broken> {
        golden().value("one", CompactorState { checkpoint: 7, inputs: vec![file()] }).check()
    }
}
