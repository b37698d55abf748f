//! How the bytes of a file are compressed, as options say it.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the bytes of a file are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952), of any number of members.
    Gzip,
    /// Zstandard (RFC 8878), of any number of frames.
    Zstd,
}

/// How files that are read are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compressed {
    /// By the ending of each name: `.gz` or `.zst`, in any case; no other is compressed.
    #[default]
    Auto,
    /// Not at all, whatever the name.
    None,
    /// All with gzip.
    Gzip,
    /// All with Zstandard.
    Zstd,
}

impl Compression {
    /// What names of such files end with.
    pub fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

impl Compressed {
    /// How this file is compressed.
    pub fn of(self, file: &Path) -> Compression {
        let ends = |ending: &str| file.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending));
        match self {
            Self::Auto if ends("gz") => Compression::Gzip,
            Self::Auto if ends("zst") => Compression::Zstd,
            Self::Auto | Self::None => Compression::None,
            Self::Gzip => Compression::Gzip,
            Self::Zstd => Compression::Zstd,
        }
    }
}
