//! What the stages keep and what passes between them.

use connector_api::state::{from_payload, to_payload};
use connector_api::{Result, Stored};
use serde::{Deserialize, Serialize};

use crate::sink::committable::{FileCommittable, StagedFile, v1};

/// What the coordinator holds back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CoordinatorState {
    /// Checkpoints since the first of the held parts came.
    pub(crate) checkpoints: u32,
    /// The parts.
    pub(crate) held: Vec<StagedFile>,
}

impl Stored for CoordinatorState {
    const KIND: &'static str = "file-compaction-coordinator";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        if version == 1 {
            let (checkpoints, held): (_, Vec<v1::File>) = from_payload(payload)?;
            return Ok(Self { checkpoints, held: all(held) });
        }
        from_payload(payload)
    }
}

/// From the coordinator to a compactor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Commit it as it is.
    Pass(FileCommittable),
    /// Merge these, in this order; two or more of one bucket.
    Merge(Vec<StagedFile>),
}

impl Stored for Request {
    const KIND: &'static str = "file-compaction-request";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        enum V1 {
            Pass(v1::File),
            Merge(Vec<v1::File>),
        }
        if version == 1 {
            return Ok(match from_payload(payload)? {
                V1::Pass(file) => Self::Pass(StagedFile::from(file).into()),
                V1::Merge(files) => Self::Merge(all(files)),
            });
        }
        from_payload(payload)
    }
}

impl Request {
    pub(crate) fn into_files(self) -> Vec<StagedFile> {
        match self {
            Self::Pass(committable) => committable.into_file().into_iter().collect(),
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
    pub(crate) inputs: Vec<StagedFile>,
}

impl Stored for CompactorState {
    const KIND: &'static str = "file-compactor";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        if version == 1 {
            let (checkpoint, inputs): (_, Vec<v1::File>) = from_payload(payload)?;
            return Ok(Self { checkpoint, inputs: all(inputs) });
        }
        from_payload(payload)
    }
}

fn all(files: Vec<v1::File>) -> Vec<StagedFile> {
    files.into_iter().map(StagedFile::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use crate::sink::committable::Staged;
    use testkit::golden::Broken;

    /// `rows` is 0 in what version 1 stored.
    fn file(rows: u64) -> StagedFile {
        let staged = Staged::Hidden(".a".into());
        StagedFile { staged, name: "a".into(), length: 5, rows, parts: 1, inputs: Vec::new() }
    }

    #[test]
    fn states_of_the_coordinator_of_every_version_are_read() -> Result<(), Broken> {
        let state = |rows| CoordinatorState { checkpoints: 2, held: vec![file(rows)] };
        golden().earlier(1, "one", state(0)).value("one", state(7)).check()
    }

    #[test]
    fn requests_of_every_version_are_read() -> Result<(), Broken> {
        let (merge, pass) =
            (|rows| Request::Merge(vec![file(rows)]), |rows| Request::Pass(file(rows).into()));
        golden()
            .earlier(1, "merge", merge(0))
            .earlier(1, "pass", pass(0))
            .value("merge", merge(7))
            .value("pass", pass(7))
            .check()
    }

    #[test]
    fn states_of_compactors_of_every_version_are_read() -> Result<(), Broken> {
        let state = |rows| CompactorState { checkpoint: 7, inputs: vec![file(rows)] };
        golden().earlier(1, "one", state(0)).value("one", state(7)).check()
    }
}
