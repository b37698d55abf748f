//! What source and sink have in common: where the store is and how it keeps what it is given.

use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use segment_store::{Durability, StoreOptions};
use serde::{Deserialize, Serialize};

/// When what is written counts as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DurabilityOption {
    /// When it is on the disk: survives the machine's power.
    #[default]
    Sync,
    /// When the operating system has it: survives the process.
    Os,
    /// At once: survives nothing; the directory is not touched.
    Memory,
}

impl From<DurabilityOption> for Durability {
    fn from(option: DurabilityOption) -> Self {
        match option {
            DurabilityOption::Sync => Self::Sync,
            DurabilityOption::Os => Self::Os,
            DurabilityOption::Memory => Self::Memory,
        }
    }
}

/// Which store, and how it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreAt {
    /// The directory, absolute and in one form.
    pub(crate) dir: PathBuf,
    pub(crate) options: StoreOptions,
    /// Whether a store is made where there is none.
    pub(crate) makes: bool,
}

impl StoreAt {
    pub(crate) fn new(dir: &Path, base: &Path, durability: DurabilityOption, makes: bool) -> Self {
        let options = StoreOptions { durability: durability.into(), ..StoreOptions::default() };
        // What is in memory alone begins empty in each process.
        let makes = makes || durability == DurabilityOption::Memory;
        Self { dir: one_form(&base.join(dir)), options, makes }
    }
}

/// The path without `.` and `..`. Links are not followed: two ways to one directory through a link are two stores, of which the second
/// is refused because the directory is locked.
fn one_form(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_form() {
        for path in ["/a/b", "/a/./b", "/a/c/../b/", "/../a/b"] {
            let at = StoreAt::new(Path::new(path), Path::new("/x"), DurabilityOption::Sync, false);
            let form = if path.starts_with("/..") { "/../a/b" } else { "/a/b" };
            assert_eq!(at.dir, Path::new(form));
        }
        let relative = StoreAt::new(Path::new("b"), Path::new("/a"), DurabilityOption::Sync, false);
        assert_eq!(relative.dir, Path::new("/a/b"));
    }
}
