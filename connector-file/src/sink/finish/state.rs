//! What both stages keep.

use connector_api::state::{from_payload, to_payload};
use connector_api::{Result, Stored};
use serde::{Deserialize, Serialize};

use super::manifest::ManifestFile;

/// A bucket that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrackerState {
    pub(crate) bucket: String,
    /// The parts that went by since it was finished last.
    pub(crate) parts: u64,
}

impl Stored for TrackerState {
    const KIND: &'static str = "file-bucket-tracker";
    const VERSION: u16 = 1;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(_: u16, payload: &[u8]) -> Result<Self> {
        from_payload(payload)
    }
}

/// A bucket that is not marked as finished.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinisherState {
    pub(crate) bucket: String,
    /// How many parts must be visible; 0 as long as it has not ended.
    pub(crate) expected: u64,
    /// How many are.
    pub(crate) visible: u64,
    /// The visible files that no manifest lists yet.
    pub(crate) files: Vec<ManifestFile>,
}

impl Stored for FinisherState {
    const KIND: &'static str = "file-bucket-finisher";
    const VERSION: u16 = 1;

    fn encode(&self) -> Result<Vec<u8>> {
        to_payload(self)
    }

    fn decode(_: u16, payload: &[u8]) -> Result<Self> {
        from_payload(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;
    use testkit::golden::Broken;

    #[test]
    fn states_of_the_tracker_of_every_version_are_read() -> Result<(), Broken> {
        golden().value("one", TrackerState { bucket: "day=1".into(), parts: 3 }).check()
    }

    #[test]
    fn states_of_the_finisher_of_every_version_are_read() -> Result<(), Broken> {
        let file = ManifestFile { name: "a".into(), bytes: 300, records: 7 };
        let open = FinisherState { bucket: "day=1".into(), expected: 0, visible: 1, files: vec![file] };
        let ended = FinisherState { bucket: "day=2".into(), expected: 2, visible: 1, files: Vec::new() };
        golden().value("open", open).value("ended", ended).check()
    }
}
