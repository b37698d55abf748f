//! moto's server as a child process, installed once into a cache that outlives clones.
#![allow(clippy::disallowed_methods, reason = "a foreign process lives by the real clock and the real disk")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "5.1.22";
const START: Duration = Duration::from_secs(60);

/// Ends when its parent does: the pipe behind its standard input closes. moto answers 500 when an upload is completed that it
/// does not know, where S3 answers 404 `NoSuchUpload`; mended here.
const PROGRAM: &str = r#"
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.s3.models import S3Backend
from moto.s3.exceptions import NoSuchUpload
inner = S3Backend.complete_multipart_upload
def complete(self, bucket_name, multipart_id, *rest, **named):
    if multipart_id not in self.get_bucket(bucket_name).multiparts:
        raise NoSuchUpload(upload_id=multipart_id)
    return inner(self, bucket_name, multipart_id, *rest, **named)
S3Backend.complete_multipart_upload = complete
from moto.server import main
main(['-H', '127.0.0.1', '-p', sys.argv[1]])
"#;

/// A server with one bucket, `bucket`.
pub(super) struct Moto {
    pub(super) port: u16,
    python: PathBuf,
    child: Option<Child>,
}

impl Moto {
    /// Starts one; says why it can't, in one line. In continuous integration that fails the test.
    pub(super) fn start() -> Option<Self> {
        match install() {
            Ok(python) => {
                let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                let port = free.local_addr().unwrap().port();
                drop(free);
                let mut moto = Self { port, python, child: None };
                moto.restart();
                Some(moto)
            }
            Err(why) => {
                let why =
                    format!("the S3 server can't start here: {why} (Debian: apt-get install python3-venv)");
                assert!(std::env::var_os("CI").is_none(), "{why}");
                println!("not tried: {why}");
                None
            }
        }
    }

    /// Starts it again, empty, on the same port; waits until it answers, and makes the bucket.
    pub(super) fn restart(&mut self) {
        let mut command = Command::new(&self.python);
        command.args(["-c", PROGRAM, &self.port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let deadline = Instant::now() + START;
        while let Err(why) = self.make_bucket() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "moto: {why}, {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn make_bucket(&self) -> Result<(), String> {
        let ask = || {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            stream.write_all(
                b"PUT /bucket HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer: String = ask().map_err(|e: std::io::Error| e.to_string())?;
        if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer) }
    }

    /// SIGKILL, and reaped.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The interpreter of an environment that has moto.
fn install() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let base = base.ok_or("there is no place for it, set HOME")?.join("connector-sdk");
    let (place, done) = (base.join(format!("moto-{VERSION}")), base.join(format!("moto-{VERSION}.done")));
    let python = place.join("bin/python");
    let io = |e: std::io::Error| e.to_string();
    fs::create_dir_all(&base).map_err(io)?;
    // One test installs, the others wait; released when the file is closed.
    let lock = File::create(base.join("moto.lock")).map_err(io)?;
    lock.lock().map_err(io)?;
    if !done.is_file() {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
        run(Command::new(&python).args(["-m", "pip", "install", "-q", &format!("moto[server]=={VERSION}")]))?;
        fs::write(&done, "").map_err(io)?;
    }
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} failed: {}", said.lines().last().unwrap_or_default()))
}
