//! Cleans up after a test that died.
//!
//! `PR_SET_PDEATHSIG` would not do: it fires when the *thread* that started the child ends, and test threads end early. So a
//! small `sh` reads a pipe whose other end only this process holds. When this process goes, however it goes, the read ends;
//! the `sh` then kills the child that it was last told of and removes the data directory.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// `$1` is the directory to remove, or empty. Lines read: a process id, `-` when nothing runs, `end` when nothing is left to do.
/// The process that was killed is some other's child, so it is not waited for but watched, for 10 s at most.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
pid=-
while read -r line; do pid=$line; done
case $pid in
end) exit 0 ;;
-) ;;
*) kill -KILL "$pid" 2>/dev/null
   tries=0
   while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done ;;
esac
[ -z "$1" ] || rm -rf -- "$1"
"#;

/// The `sh` that outlives this process.
#[derive(Debug)]
pub(crate) struct Watcher {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watcher {
    /// Watches nothing yet; `dir` is what to remove.
    pub(crate) fn start(dir: Option<&Path>) -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "testkit-watcher"])
            .arg(dir.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A Ctrl-C of the terminal is for the test alone.
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// From now on this child, or none, is to be killed.
    pub(crate) fn watch(&mut self, child: Option<u32>) -> io::Result<()> {
        self.say(&child.map_or_else(|| "-".to_owned(), |pid| pid.to_string()))
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        match &mut self.pipe {
            // One write: a line is never seen in halves.
            Some(pipe) => pipe.write_all(format!("{line}\n").as_bytes()),
            None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // Whatever fails here leaves a `sh` that finds its pipe closed and ends by itself.
        let _ = self.say("end");
        self.pipe = None;
        let _ = self.shell.wait();
    }
}
