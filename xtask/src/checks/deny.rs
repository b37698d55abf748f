//! cargo-deny: advisories, licences, duplicate versions, sources. Its rules are in deny.toml.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::tools::Tool;
use crate::{Result, shell};

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };
/// How long fetching the database of advisories may take before it counts as unreachable.
const FETCH: Duration = Duration::from_secs(120);

/// The program, if an earlier [`install`] put it into the cache.
pub(crate) fn installed() -> Option<PathBuf> {
    DENY.installed()
}

/// The program, installed if need be (some minutes, once).
pub(crate) fn install() -> Result<PathBuf> {
    DENY.install()
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
