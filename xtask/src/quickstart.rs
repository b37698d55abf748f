//! `cargo xtask quickstart`: the first thing a new user types.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, shell};

const PIPELINE: &str = "examples/quickstart.toml";
/// How many lines and files are shown.
const SHOWN: usize = 5;

/// Builds `connect`, runs the example and shows what came out.
pub(crate) fn run() -> Result {
    let root = shell::root();
    let file = root.join(PIPELINE);
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{PIPELINE}: {e}"))?;
    let pipeline: toml::Table = text.parse().map_err(|e| format!("{PIPELINE}: {e}"))?;
    let connect = shell::build_release(&["connector-cli"], &[])?.join("connect");
    println!("$ connect run {PIPELINE}");
    let mut command = Command::new(connect);
    command.args(["run", PIPELINE]).current_dir(&root);
    shell::run(command)?;
    let base = file.parent().unwrap_or(&root).to_path_buf();
    let path = |side: &str| {
        let path = pipeline.get(side).and_then(|table| table.get("path")).and_then(toml::Value::as_str);
        path.map(|path| base.join(path)).ok_or_else(|| format!("{PIPELINE}: `{side}.path` is no text"))
    };
    let excluded =
        pipeline.get("source").and_then(|table| table.get("exclude")).and_then(toml::Value::as_array);
    let excluded = excluded.into_iter().flatten().filter_map(toml::Value::as_str).map(Into::into).collect();
    show(visible(&path("source")?, &excluded)?, visible(&path("sink")?, &BTreeSet::new())?, &path("sink")?)
}

fn show(input: Files, files: Files, output: &Path) -> Result {
    println!("\n{} file(s) in {}:", files.len(), shown(output));
    for (path, lines) in files.iter().take(SHOWN) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!("  {name}  {} lines", lines.len());
    }
    if let Some((path, lines)) = files.iter().next() {
        println!("\nThe first lines of {} that are not empty:", shown(path));
        for line in lines.iter().filter(|line| !line.trim_ascii().is_empty()).take(SHOWN) {
            println!("  {}", String::from_utf8_lossy(line));
        }
    }
    let (came_in, came_out) = (count(input), count(files));
    let (rows_in, rows_out) = (came_in.values().sum::<u64>(), came_out.values().sum::<u64>());
    if came_in != came_out {
        return Err(format!("{rows_in} lines went in, {rows_out} other ones came out"));
    }
    println!("\n{rows_in} lines went in; the same {rows_out} came out, each exactly once.");
    Ok(())
}

/// Relative to the repository, where the user stands.
fn shown(path: &Path) -> String {
    path.strip_prefix(shell::root()).unwrap_or(path).display().to_string()
}

type Files = BTreeMap<PathBuf, Vec<Vec<u8>>>;

/// The lines of each file that is neither hidden nor excluded by its name, below a directory or of one file.
fn visible(path: &Path, excluded: &BTreeSet<OsString>) -> Result<Files> {
    let at = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut found = BTreeMap::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(at)? {
            let entry = entry.map_err(at)?;
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with(['.', '_']) && !excluded.contains(&name) {
                found.extend(visible(&entry.path(), excluded)?);
            }
        }
        return Ok(found);
    }
    let content = std::fs::read(path).map_err(at)?;
    let lines = content.split_inclusive(|b| *b == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line).to_vec()
    });
    found.insert(path.to_path_buf(), lines.collect());
    Ok(found)
}

fn count(files: Files) -> BTreeMap<Vec<u8>, u64> {
    let mut counts = BTreeMap::new();
    for line in files.into_values().flatten() {
        *counts.entry(line).or_default() += 1;
    }
    counts
}
