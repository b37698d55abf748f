//! A directory with inputs, a pipeline and its output, and ways to run `connect` in it.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pipeline of the tests: the one of the documentation with short intervals.
pub const PIPELINE: &str = r#"name = "lines"
parallelism = 2
checkpoint = { interval = "20ms", dir = "ckpt", retain = 2, timeout = "10m" }
restart = { strategy = "none" }
on_lost = "fail"

[source]
connector = "file"
path = "in"
format = "lines"

[sink]
connector = "file"
path = "out"
format = "lines"
rolling = { size = "8 MiB", on_checkpoint = true }
compaction = { checkpoints = 2, size = "64 MiB" }
"#;

/// A directory of its own.
pub struct Place(TempDir);

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Place {
    /// With `p.toml` as [`PIPELINE`] and an empty `in`.
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(place.path("in")).unwrap();
        place.write("p.toml", PIPELINE);
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// `p.toml` with one text replaced by another.
    pub fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path("p.toml")).unwrap();
        assert!(text.contains(from), "nothing to edit: {from}");
        self.write("p.toml", &text.replace(from, to));
    }

    /// A file of lines `first..first + count`, 100 bytes each.
    pub fn lines(&self, name: &str, first: u64, count: u64) {
        let mut file = BufWriter::new(std::fs::File::create(self.path(name)).unwrap());
        for n in first..first + count {
            writeln!(file, "{n:099}").unwrap();
        }
        file.flush().unwrap();
    }

    /// An input that takes long enough to be interrupted: a great many small parts have to be made of it.
    pub fn long_input(&self) -> u64 {
        let count = 60_000;
        self.lines("in/a.txt", 0, count);
        self.lines("in/b.txt", count, count);
        self.edit("size = \"8 MiB\"", "size = \"4 KiB\"");
        2 * count
    }

    /// `connect` with these arguments, in this directory.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_connect"));
        command.args(args).current_dir(self.0.path()).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn connect(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs `p.toml` with a report in JSON and these further arguments.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.connect(&[&["run", "p.toml", "--report", "json"], args].concat())
    }

    /// Starts the same and returns while it runs, after `ready` holds.
    pub fn start(&self, args: &[&str], ready: impl Fn(&Child) -> bool) -> Child {
        let mut child =
            self.command(&[&["run", "p.toml", "--report", "json"], args].concat()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !ready(&child) {
            if let Some(status) = child.try_wait().unwrap() {
                panic!(
                    "ended before it was ready: {status}, {:?}",
                    Ran::of(child.wait_with_output().unwrap())
                );
            }
            assert!(Instant::now() < deadline, "never ready");
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }

    /// Whether a file in the checkpoint directory names the process: it holds the lock.
    pub fn is_locked_by(&self, child: &Child) -> bool {
        let pid = child.id().to_string();
        files(&self.path("ckpt"))
            .iter()
            .any(|file| std::fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(&pid)))
    }

    /// Whether anything can be seen in the output.
    pub fn has_output(&self) -> bool {
        files(&self.path("out")).iter().any(|file| !is_hidden(file))
    }

    /// All visible lines of an output, as numbers in order; and no hidden file may be there.
    pub fn numbers(&self, output: &str) -> Vec<u64> {
        let files = files(&self.path(output));
        let hidden: Vec<_> = files.iter().filter(|file| is_hidden(file)).collect();
        assert!(hidden.is_empty(), "left behind: {hidden:?}");
        let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let mut numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Asserts that the output has each of `0..count` exactly once.
    pub fn assert_exactly_once(&self, output: &str, count: u64) {
        let numbers = self.numbers(output);
        assert_eq!(numbers.len() as u64, count);
        assert!(numbers.iter().copied().eq(0..count), "not each line exactly once");
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The last line on standard output.
    pub fn report(&self) -> serde_json::Value {
        serde_json::from_str(self.stdout.lines().last().unwrap_or(""))
            .unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The one line on standard error that begins with `error: `, without that.
    pub fn error(&self) -> &str {
        let mut errors = self.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
        let error = errors.next().unwrap_or_else(|| panic!("no error: {self:?}"));
        assert_eq!(errors.next(), None, "more than one message: {self:?}");
        error
    }

    pub fn assert_done(&self) -> &Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Asserts the exit code and that the error has these parts.
    pub fn assert_error(&self, code: i32, parts: &[&str]) -> &Self {
        assert_eq!(self.code, code, "{self:?}");
        let error = self.error();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
        self
    }
}

/// Sends a signal by name: `TERM`.
pub fn signal(child: &Child, name: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status().unwrap();
    assert!(sent.success());
}

/// Waits for the end.
pub fn finish(child: Child) -> Ran {
    Ran::of(child.wait_with_output().unwrap())
}

/// All files below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn is_hidden(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '_'])
}
