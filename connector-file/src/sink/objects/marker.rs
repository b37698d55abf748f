//! The marker of an upload.

use serde::{Deserialize, Serialize};

/// What a marker says. Names are below the sink's prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// The name of the object that is uploaded.
    pub(crate) name: String,
    /// The id that the store gave.
    pub(crate) id: String,
}

connector_api::stored!(Marker, "file-upload");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_every_version_are_read() -> Result<(), testkit::golden::Broken> {
        let marker = Marker { name: "day=1/a".into(), id: "u".into() };
        crate::golden().value("one", marker).check()
    }
}
