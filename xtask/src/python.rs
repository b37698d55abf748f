//! Programs in Python: readers of Parquet that are not ours, and a server that speaks S3.
//!
//! They come from the package index into an environment of their own in the cache directory, once for each set of versions.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Result, shell, tools};

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");
/// What a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// A server that speaks S3, all in memory. It ends with this value.
pub(crate) struct S3 {
    child: Child,
    /// Where it listens.
    pub(crate) endpoint: String,
}

impl S3 {
    /// Starts one on a free port, with a bucket.
    ///
    /// # Errors
    ///
    /// When it does not come up.
    pub(crate) fn start(programs: &Path, bucket: &str, log: &Path) -> Result<Self> {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).map_err(|e| e.to_string())?.port();
        let log = std::fs::File::create(log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut command = Command::new(programs.join("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|e| format!("moto_server: {e}"))?;
        let mut server = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let started = shell::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("moto_server ended with {status}"));
            }
            if started.elapsed() > PATIENCE {
                return Err("moto_server does not answer".into());
            }
            shell::sleep(Duration::from_millis(50));
        }
        let mut make = Command::new(programs.join("python"));
        make.arg("-c").arg(
            "import sys, boto3\n\
             boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', \
             aws_secret_access_key='test').create_bucket(Bucket=sys.argv[2])",
        );
        make.args([&server.endpoint, bucket]);
        shell::run(make)?;
        Ok(server)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
