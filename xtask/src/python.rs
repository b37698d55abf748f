//! Programs in Python: readers of Parquet that are not ours; and, of testkit, a server that speaks S3.
//!
//! The readers come from the package index into an environment of their own in the cache directory, once for each set of versions.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::{Result, shell, tools};

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// Where a script of ours is.
pub(crate) fn script(name: &str) -> PathBuf {
    shell::root().join("xtask/python").join(name)
}

/// The folder of the environment's programs; made when it is missing.
///
/// # Errors
///
/// When it can't be made: says what is missing.
pub(crate) fn programs() -> Result<PathBuf> {
    let dir = tools::cache_dir()?.join("python");
    let done = dir.join("complete");
    if std::fs::read_to_string(&done).ok().as_deref() != Some(REQUIREMENTS) {
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        }
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&dir);
        shell::run(make).map_err(|e| format!("{e}; Python 3 with its module venv is needed"))?;
        let mut install = Command::new(dir.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        install.arg(script("requirements.txt"));
        shell::run(install)?;
        shell::write_file(&done, REQUIREMENTS)?;
    }
    Ok(dir.join("bin"))
}

/// testkit's server that speaks S3, with its one bucket. It ends with this value, and with this process.
pub(crate) struct S3 {
    child: Child,
    /// Where it listens.
    pub(crate) endpoint: String,
}

impl S3 {
    /// The bucket.
    pub(crate) const BUCKET: &'static str = "bucket";

    /// Builds and starts it.
    ///
    /// # Errors
    ///
    /// When it does not come up: says what is missing.
    pub(crate) fn start() -> Result<Self> {
        let mut command = Command::new(shell::build_example("s3")?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("the S3 server: {e}"))?;
        let mut address = String::new();
        let output = child.stdout.take().ok_or("the S3 server has no output")?;
        BufReader::new(output).read_line(&mut address).map_err(|e| format!("the S3 server: {e}"))?;
        let server = Self { child, endpoint: format!("http://{}", address.trim()) };
        if address.is_empty() { Err("the S3 server did not start".into()) } else { Ok(server) }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        // The end of its input is what ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
