//! cargo-deny: advisories, licences, duplicate versions, sources. Its rules are in deny.toml.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Result, shell};

const VERSION: &str = "0.20.2";
/// How long fetching the database of advisories may take before it counts as unreachable.
const FETCH: Duration = Duration::from_secs(120);

/// A directory that outlives clones and build directories: `$XDG_CACHE_HOME/connector-sdk`.
fn cache_dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("connector-sdk"))
        .ok_or_else(|| "neither HOME nor XDG_CACHE_HOME is set".to_owned())
}

fn place() -> Result<PathBuf> {
    Ok(cache_dir()?.join(format!("cargo-deny-{VERSION}")))
}

/// The program, if an earlier [`install`] put it into the cache.
pub(crate) fn installed() -> Option<PathBuf> {
    let program = place().ok()?.join("bin/cargo-deny");
    program.is_file().then_some(program)
}

/// The program, installed if need be (some minutes, once).
pub(crate) fn install() -> Result<PathBuf> {
    if let Some(program) = installed() {
        return Ok(program);
    }
    let mut command = shell::cargo(["install", "--locked", "cargo-deny", "--version", VERSION, "--root"]);
    shell::run({
        command.arg(place()?);
        command
    })?;
    installed().ok_or_else(|| "cargo install left no cargo-deny behind".to_owned())
}

/// Runs all checks; those of advisories only when their database can be fetched, and says so plainly when it can't.
pub(crate) fn run(program: &Path) -> Result {
    let checks: &[&str] = if fetch(program)? {
        &["advisories", "bans", "licenses", "sources"]
    } else {
        println!("advisories not checked: database unreachable");
        &["bans", "licenses", "sources"]
    };
    let mut command = deny(program);
    command.arg("check").args(checks);
    shell::run(command)
}

fn fetch(program: &Path) -> Result<bool> {
    let mut command = deny(program);
    command.args(["fetch", "db"]).stdout(Stdio::null());
    let child = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
    ends_well_within(child, FETCH)
}

fn deny(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(shell::root());
    command
}

fn ends_well_within(mut child: Child, limit: Duration) -> Result<bool> {
    let started = shell::now();
    loop {
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            return Ok(status.success());
        }
        if started.elapsed() > limit {
            child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
            return Ok(false);
        }
        shell::sleep(Duration::from_millis(50));
    }
}
