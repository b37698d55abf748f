//! `connect` against a bare program that does the same: what they have in common whatever they move.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::child::Cost;
use crate::pairs::Spread;

/// What the pairs say.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// The bare program's wall time by ours.
    pub speed: Spread,
    /// Processor time of ours by the bare program's.
    pub cpu: Spread,
    /// The most memory that `connect` had resident at once, in MiB.
    pub peak: Spread,
}

/// Prints the pairs and what they say. `bytes` is the size of the input.
pub fn report(bytes: u64, pairs: &[(Cost, Cost)]) -> Summary {
    println!("pair | connect: wall s  cpu s  peak MiB | bare: wall s  cpu s  peak MiB | speed ratio");
    for (index, (ours, theirs)) in pairs.iter().enumerate() {
        println!(
            "{:4} | {:15.2} {:6.2} {:9.1} | {:12.2} {:6.2} {:9.1} | {:11.3}",
            index + 1,
            ours.wall,
            ours.cpu,
            ours.peak_mib,
            theirs.wall,
            theirs.cpu,
            theirs.peak_mib,
            theirs.wall / ours.wall
        );
    }
    let of = |value: fn(&(Cost, Cost)) -> f64| Spread::of(pairs.iter().map(value).collect());
    let speed = of(|(ours, theirs)| theirs.wall / ours.wall);
    println!("speed ratio (bare wall / connect wall): {speed}");
    let cpu = of(|(ours, theirs)| ours.cpu / theirs.cpu);
    println!("cpu ratio (connect cpu / bare cpu):     {cpu}");
    println!(
        "connect MB/s:                           {}",
        of(|(ours, _)| 1.0 / ours.wall).scaled(bytes as f64 / 1e6)
    );
    Summary { speed, cpu, peak: of(|(ours, _)| ours.peak_mib) }
}

/// Nothing left of the run before in `dir`, on the disk or on its way there.
///
/// # Errors
///
/// The file system's.
pub fn fresh(dir: &Path) -> Result {
    for name in ["out", "ckpt"] {
        let path = dir.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    let status = Command::new("sync").status().map_err(|e| format!("sync: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("sync: {status}")) }
}

/// Writes a file.
///
/// # Errors
///
/// The file system's.
#[allow(clippy::disallowed_methods)]
pub fn write(path: &Path, content: &[u8]) -> Result {
    fs::write(path, content).map_err(|e| format!("{}: {e}", path.display()))
}
