//! A system as a child process.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::cache::Library;
use super::error::doing;
use super::recipe::{Node, Program, Recipe};
use super::watcher::Watcher;
use super::{BrokerError, real};

const POLL: Duration = Duration::from_millis(10);
/// How long a program that runs once may take.
const ONCE: Duration = Duration::from_secs(120);
/// How long the threads of a loaded machine may take to notice a SIGSTOP.
const PAUSE: Duration = Duration::from_secs(30);

/// A data directory and at most one process on it.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    node: Node,
    log: PathBuf,
    library: Library,
    /// Those that only the system itself gets, not what runs once.
    main_options: Vec<String>,
    child: Option<Child>,
    watcher: Watcher,
    keep: bool,
}

impl Process {
    /// Prepares everything; nothing runs yet.
    pub(crate) fn new(
        recipe: &dyn Recipe,
        node: Node,
        library: Library,
        main_options: Vec<String>,
    ) -> Result<Self, BrokerError> {
        let keep = std::env::var_os("TESTKIT_KEEP").is_some_and(|value| value == "1");
        let watcher = Watcher::start((!keep).then_some(node.dir()));
        let watcher = watcher.map_err(doing("start /bin/sh"))?;
        let log = node.dir().join("console.log");
        let name = recipe.name();
        Ok(Self { name, node, log, library, main_options, child: None, watcher, keep })
    }

    /// Runs what is to be run once.
    pub(crate) fn once(&mut self, recipe: &dyn Recipe) -> Result<(), BrokerError> {
        self.write_files(recipe)?;
        for program in recipe.once(&self.node) {
            self.spawn(&program, &[])?;
            let status = self.wait(ONCE)?;
            if !status.is_some_and(|status| status.success()) {
                self.kill()?;
                let how = status.map_or_else(|| "took too long".to_owned(), |status| status.to_string());
                return Err(BrokerError::Command { command: program.name, how, output: self.log_tail(20) });
            }
        }
        Ok(())
    }

    /// Starts the system; it isn't ready yet.
    pub(crate) fn start(&mut self, recipe: &dyn Recipe) -> Result<(), BrokerError> {
        if self.child.is_some() {
            return Err(self.state("is already running"));
        }
        self.write_files(recipe)?;
        self.spawn(&recipe.main(&self.node), &self.main_options.clone())
    }

    fn write_files(&self, recipe: &dyn Recipe) -> Result<(), BrokerError> {
        for (name, content) in recipe.files(&self.node) {
            let path = self.node.dir().join(name);
            real::write(&path, &content).map_err(doing(format!("write {}", path.display())))?;
        }
        Ok(())
    }

    fn spawn(&mut self, program: &Program, options: &[String]) -> Result<(), BrokerError> {
        let open = || File::options().create(true).append(true).open(&self.log);
        let streams = open().and_then(|out| Ok((out, open()?)));
        let (out, err) = streams.map_err(doing(format!("open {}", self.log.display())))?;
        let mut child = self
            .library
            .command(program, options)
            .current_dir(self.node.dir())
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(doing("start /bin/sh"))?;
        let gate = child.stdin.take();
        let watched = self.watcher.watch(Some(child.id()));
        self.child = Some(child);
        let opened = watched.and_then(|()| match gate {
            Some(mut gate) => gate.write_all(b"go\n"),
            None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        });
        opened.map_err(doing(format!("start {}", program.name)))
    }

    /// Has it ended by itself?
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>, BrokerError> {
        let Some(child) = &mut self.child else { return Err(self.state("isn't running")) };
        let status = child.try_wait().map_err(doing("wait for a child"))?;
        if status.is_some() {
            self.forget()?;
        }
        Ok(status)
    }

    /// Waits for the end; `None` when it doesn't come in time.
    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>, BrokerError> {
        let deadline = real::now() + limit;
        loop {
            let status = self.ended()?;
            if status.is_some() || real::now() >= deadline {
                return Ok(status);
            }
            real::sleep(POLL);
        }
    }

    /// SIGKILL, and reaped.
    pub(crate) fn kill(&mut self) -> Result<(), BrokerError> {
        let Some(child) = &mut self.child else { return Ok(()) };
        child.kill().map_err(doing("kill a child"))?;
        child.wait().map_err(doing("wait for a child"))?;
        self.forget()
    }

    /// SIGTERM; gives the exit status.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Result<ExitStatus, BrokerError> {
        self.signal(Signal::TERM)?;
        self.wait(limit)?.ok_or_else(|| self.state("did not end in time after SIGTERM"))
    }

    /// Sends a signal to the system.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), BrokerError> {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(child.id().cast_signed()));
        let pid = pid.ok_or_else(|| self.state("isn't running"))?;
        kill_process(pid, signal).map_err(|e| doing("send a signal")(e.into()))
    }

    /// SIGSTOP; returns when every thread stands still: the signal alone takes effect some time after it was sent.
    pub(crate) fn pause(&self) -> Result<(), BrokerError> {
        self.signal(Signal::STOP)?;
        let pid = self.pid().ok_or_else(|| self.state("isn't running"))?;
        let deadline = real::now() + PAUSE;
        while !stands_still(pid).map_err(doing("look at the threads of a child"))? {
            if real::now() >= deadline {
                return Err(self.state("did not stand still in time after SIGSTOP"));
            }
            real::sleep(POLL);
        }
        Ok(())
    }

    fn forget(&mut self) -> Result<(), BrokerError> {
        self.child = None;
        self.watcher.watch(None).map_err(doing("tell the watcher"))
    }

    fn state(&self, what: &'static str) -> BrokerError {
        BrokerError::State { name: self.name, what }
    }

    /// The process id of the system, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    pub(crate) fn log_tail(&self, lines: usize) -> String {
        real::tail(&self.log, lines)
    }
}

/// Are all threads stopped (or gone)? The state is the first word behind the name in parentheses; see proc(5).
fn stands_still(pid: u32) -> io::Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended between the listing and the look does nothing any more.
        let Ok(stat) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        if !matches!(state, Some('T' | 'Z' | 'X')) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Drop for Process {
    fn drop(&mut self) {
        let killed = self.kill();
        let dir = self.node.dir();
        if self.keep {
            eprintln!("{} (TESTKIT_KEEP): data and log are in {}", self.name, dir.display());
        } else if let Err(error) = std::fs::remove_dir_all(dir) {
            eprintln!("{}: {} is left behind: {error}", self.name, dir.display());
        }
        if let Err(error) = killed {
            eprintln!("{}: {error}", self.name);
        }
    }
}
