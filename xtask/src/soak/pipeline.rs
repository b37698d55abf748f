//! The pipeline under test, and one run of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Result, shell};

/// Small parts, short checkpoints and much compaction: many crash points within a short time.
const PIPELINE: &str = r#"name = "soak"
parallelism = 1
checkpoint = { interval = "50ms", dir = "ckpt", retain = 2, timeout = "1m" }
restart = { strategy = "none" }

[source]
connector = "file"
path = "in"
format = "lines"

[sink]
connector = "file"
path = "out"
format = "lines"
rolling = { size = "32 KiB", on_checkpoint = true }
compaction = { checkpoints = 2, size = "256 KiB" }
"#;

/// A directory with a pipeline, its input, its output and its logs.
pub(super) struct Pipeline {
    pub(super) dir: PathBuf,
    connect: PathBuf,
}

impl Pipeline {
    /// Makes the directory anew.
    pub(super) fn new(dir: PathBuf, connect: PathBuf) -> Result<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        }
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        shell::write_file(&dir.join("soak.toml"), PIPELINE)?;
        Ok(Self { dir, connect })
    }

    pub(super) fn input(&self) -> PathBuf {
        self.dir.join("in")
    }

    pub(super) fn output(&self) -> PathBuf {
        self.dir.join("out")
    }

    /// Starts `connect`; what it prints goes to the files of this round.
    pub(super) fn start(&self, round: u32, parallelism: u32) -> Result<Run> {
        let log = self.dir.join(format!("round-{round:04}.log"));
        let report = self.dir.join(format!("round-{round:04}.json"));
        let open = |path: &Path| File::create(path).map_err(|e| format!("{}: {e}", path.display()));
        let mut command = Command::new(&self.connect);
        command
            .args(["run", "soak.toml", "--report", "json", "--set"])
            .arg(format!("parallelism={parallelism}"))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(open(&report)?)
            .stderr(open(&log)?);
        let child = command.spawn().map_err(|e| format!("{}: {e}", self.connect.display()))?;
        Ok(Run { child, log, report })
    }
}

/// A running or ended `connect`.
pub(super) struct Run {
    pub(super) child: Child,
    log: PathBuf,
    report: PathBuf,
}

impl Run {
    /// The report: the last line on standard output.
    pub(super) fn report(&self) -> Result<serde_json::Value> {
        let wrong = |what: String| format!("{}: {what}", self.report.display());
        let text = std::fs::read_to_string(&self.report).map_err(|e| wrong(e.to_string()))?;
        let last = text.lines().last().ok_or_else(|| wrong("is empty".into()))?;
        serde_json::from_str(last).map_err(|e| wrong(format!("`{last}`: {e}")))
    }

    /// The end of the log, for a message.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }
}
