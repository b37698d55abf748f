//! The state machines in a crate of their own: they need no runtime, so a mutant of them needs no build of one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Result, shell};

/// Where they are, in the repository and in the crate.
const SOURCES: &str = "connector-runtime/src";
/// What they need beside connector-api.
const DEPENDENCIES: &[&str] = &["bytes", "futures", "serde", "tracing"];

/// Writes the crate anew; gives its directory.
pub(super) fn make(dir: &Path) -> Result<PathBuf> {
    let root = shell::root();
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    copy(&root.join(SOURCES).join("coordinate"), &dir.join(SOURCES).join("coordinate"))?;
    copy_file(&root.join(SOURCES).join("config.rs"), &dir.join(SOURCES).join("config.rs"))?;
    copy_file(&root.join("Cargo.lock"), &dir.join("Cargo.lock"))?;
    shell::write_file(&dir.join(SOURCES).join("lib.rs"), "pub mod config;\npub mod coordinate;\n")?;
    let workspace = root.join("Cargo.toml");
    let workspace = fs::read_to_string(&workspace).map_err(|e| format!("{}: {e}", workspace.display()))?;
    let mut manifest = format!(
        "[package]\nname = \"state-machines\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[lib]\npath = \"{SOURCES}/lib.rs\"\n\
         [dependencies]\nconnector-api = {{ path = \"{}\" }}\n",
        root.join("connector-api").display()
    );
    for name in DEPENDENCIES {
        let line = workspace.lines().find(|line| line.starts_with(&format!("{name} = ")));
        manifest += line.ok_or_else(|| format!("Cargo.toml has no version of {name}"))?;
        manifest.push('\n');
    }
    shell::write_file(&dir.join("Cargo.toml"), manifest)?;
    Ok(dir.to_path_buf())
}

fn copy(from: &Path, to: &Path) -> Result {
    let entries = fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for entry in entries {
        let entry = entry.map_err(|e| format!("{}: {e}", from.display()))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to)? } else { copy_file(&from, &to)? }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result {
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    fs::copy(from, to).map(drop).map_err(|e| format!("{}: {e}", from.display()))
}
