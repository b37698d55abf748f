//! Running commands, and where things are.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Result;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(here);
    root.pop();
    root
}

/// Where cargo builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let metadata = metadata()?;
    let dir = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    dir.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target directory".to_owned())
}

/// What cargo knows of the members of the workspace.
pub(crate) fn metadata() -> Result<serde_json::Value> {
    let text = output(cargo(["metadata", "--format-version", "1", "--no-deps"]))?;
    serde_json::from_str(&text).map_err(|e| format!("cargo metadata: {e}"))
}

/// A call of cargo in the root of the repository.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// Builds programs in release form, with these features (`package/feature`), and says where they are.
pub(crate) fn build_release(packages: &[&str], features: &[&str]) -> Result<PathBuf> {
    let mut command = cargo(["build", "--release"]);
    for package in packages {
        command.args(["-p", package]);
    }
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    run(command)?;
    Ok(target_dir()?.join("release"))
}

/// Builds `connect` with every feature, in the form that the tests have built anyway, and says where it is.
pub(crate) fn build_connect() -> Result<PathBuf> {
    // With the features that the whole workspace has: those of one package alone would build its dependencies again.
    run(cargo(["build", "--workspace", "--all-features", "--bin", "connect"]))?;
    Ok(target_dir()?.join("debug").join("connect"))
}

/// Builds an example of a member with every feature, as [`build_connect`] does, and says where it is.
pub(crate) fn build_example(name: &str) -> Result<PathBuf> {
    run(cargo(["build", "--workspace", "--all-features", "--example", name]))?;
    Ok(target_dir()?.join("debug").join("examples").join(name))
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let words = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(program).chain(words).collect::<Vec<_>>().join(" ")
}

/// Runs a command with its output going where ours goes.
pub(crate) fn run(mut command: Command) -> Result {
    let status = command.status().map_err(|e| format!("{}: {e}", shown(&command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", shown(&command))) }
}

/// Runs a command and gives its standard output.
pub(crate) fn output(mut command: Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().map_err(|e| format!("{}: {e}", shown(&command)))?;
    if !output.status.success() {
        return Err(format!("`{}` ended with {}", shown(&command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("{}: {e}", shown(&command)))
}

/// The one place that reads the clock: xtask is a program that measures, no library that is simulated.
#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets the calling thread wait.
#[allow(clippy::disallowed_methods)]
pub(crate) fn sleep(duration: std::time::Duration) {
    std::thread::sleep(duration);
}

/// Writes a file whose loss at a power cut would not matter.
#[allow(clippy::disallowed_methods)]
pub(crate) fn write_file(path: &std::path::Path, content: impl AsRef<[u8]>) -> Result {
    std::fs::write(path, content).map_err(|e| format!("write {}: {e}", path.display()))
}
