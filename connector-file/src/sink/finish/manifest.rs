//! The manifest of a bucket.

use connector_api::{Error, Result};
use serde::{Deserialize, Serialize};

/// The name of the mark of a finished bucket.
pub const SUCCESS: &str = "_SUCCESS";
/// The name of a bucket's manifest.
pub const MANIFEST: &str = "_manifest.json";

/// The only version so far.
const VERSION: u32 = 1;

/// The content of `_manifest.json`: the visible files of a finished bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 1.
    pub version: u32,
    /// The bucket's directory, below the base directory.
    pub bucket: String,
    /// The files, in the order of their names.
    pub files: Vec<ManifestFile>,
}

/// A file of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name in the bucket's directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// The number of its records; 0 when it was staged by a version that did not count.
    pub records: u64,
}

impl Manifest {
    pub(crate) fn new(bucket: &str) -> Self {
        Self { version: VERSION, bucket: bucket.to_owned(), files: Vec::new() }
    }

    /// Reads a manifest; `origin` names it.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] when it is none, or one of a later version.
    pub fn read(content: &[u8], origin: &str) -> Result<Self> {
        let manifest: Self = serde_json::from_slice(content)
            .map_err(|e| Error::data(origin, None, format!("is no manifest: {e}")))?;
        if manifest.version != VERSION {
            let reason = format!("is a manifest of version {}, and {VERSION} is known", manifest.version);
            return Err(Error::data(origin, None, reason));
        }
        Ok(manifest)
    }

    /// Adds files, each name once; says whether that changed it.
    pub(crate) fn extend(&mut self, files: impl IntoIterator<Item = ManifestFile>) -> bool {
        let before = self.files.len();
        for file in files {
            if let Err(at) = self.files.binary_search_by(|f| f.name.cmp(&file.name)) {
                self.files.insert(at, file);
            }
        }
        self.files.len() > before
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let written = serde_json::to_vec_pretty(self);
        let mut json = written.map_err(|e| Error::data(MANIFEST, None, e.to_string()))?;
        json.push(b'\n');
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> ManifestFile {
        ManifestFile { name: name.into(), bytes: 5, records: 1 }
    }

    #[test]
    fn a_manifest_is_a_set_of_names_that_reads_back() {
        let mut manifest = Manifest::new("day=1");
        assert!(manifest.extend([file("b"), file("a"), file("b")]));
        assert!(!manifest.extend([file("a")]));
        let json = manifest.to_json().unwrap();
        assert_eq!(Manifest::read(&json, "m").unwrap(), manifest);
        assert_eq!(manifest.files, [file("a"), file("b")]);
    }

    #[test]
    fn what_is_no_manifest_of_a_known_version_is_refused_by_name() {
        for content in ["", "{}", "[]", r#"{"version": 2, "bucket": "x", "files": []}"#] {
            let error = Manifest::read(content.as_bytes(), "/out/x/_manifest.json").unwrap_err().to_string();
            assert!(error.contains("/out/x/_manifest.json"), "{error}");
        }
    }
}
