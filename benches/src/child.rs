//! Other programs, measured.
//!
//! The program `measure` stands between: it has one child, so that what the system says of "all children" is said of that
//! one, and it is small, so that its own memory does not count as the child's.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::{Result, now};

/// What a run cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds by the clock on the wall.
    pub wall: f64,
    /// Seconds of processors, in the program and in the system on its behalf.
    pub cpu: f64,
    /// Most memory resident at once, in MiB.
    pub peak_mib: f64,
}

/// A program next to this one.
///
/// # Errors
///
/// When this program's own place can't be told.
pub fn sibling(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|e| format!("own path: {e}"))?;
    Ok(own.with_file_name(name))
}

/// Runs a program to its end in `dir`.
///
/// # Errors
///
/// When it does not end well.
pub fn run<S: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
    dir: &Path,
) -> Result<Cost> {
    let mut command = Command::new(sibling("measure")?);
    command.arg(program).args(arguments).current_dir(dir).stderr(Stdio::inherit());
    let output = command.output().map_err(|e| format!("measure: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("{}: {}", program.display(), output.status));
    }
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|e| format!("measure said `{last}`: {e}"))
}

/// What `measure` does: runs the child and prints its cost as the last line.
///
/// # Errors
///
/// When it does not end well.
pub fn measure(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().ok_or("measure PROGRAM [ARGUMENTS]")?;
    let mut command = Command::new(&program);
    // What the child says is not measured by anybody.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let started = crate::now();
    let status = command.status().map_err(|e| format!("{}: {e}", program.display()))?;
    let wall = started.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{}: {status}", program.display()));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(|e| format!("getrusage: {e}"))?;
    // Linux counts `ru_maxrss` in KiB.
    let cost = Cost { wall, cpu: cpu(&usage), peak_mib: usage.max_rss() as f64 / 1024.0 };
    let text = serde_json::to_string(&cost).map_err(|e| e.to_string())?;
    println!("{text}");
    Ok(())
}

/// Seconds of processors that this process has used.
///
/// # Errors
///
/// The system's.
pub fn own_cpu() -> Result<f64> {
    getrusage(UsageWho::RUSAGE_SELF).map(|usage| cpu(&usage)).map_err(|e| format!("getrusage: {e}"))
}

/// What some work within this process cost.
#[derive(Clone, Copy, Debug)]
pub struct OwnCost {
    /// Seconds by the clock on the wall.
    pub wall: f64,
    /// Seconds of processors.
    pub cpu: f64,
}

/// Does some work within this process.
///
/// # Errors
///
/// Those of the work; the system's.
pub fn measured(work: impl FnOnce() -> Result) -> Result<OwnCost> {
    let (started, before) = (now(), own_cpu()?);
    work()?;
    Ok(OwnCost { wall: started.elapsed().as_secs_f64(), cpu: own_cpu()? - before })
}

fn cpu(usage: &Usage) -> f64 {
    let seconds = |t: nix::sys::time::TimeVal| t.tv_sec() as f64 + t.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}
