//! The pipeline under test, and one run of it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Result, shell};

/// Small parts, short checkpoints and much compaction: many crash points within a short time.
const LINES: &str = r#"name = "soak"
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

/// The same for Parquet, with columns made of JSON.
const PARQUET: &str = r#"name = "soak"
parallelism = 1
checkpoint = { interval = "100ms", dir = "ckpt", retain = 2, timeout = "1m" }
restart = { strategy = "none" }

[source]
connector = "file"
path = "in"
format = "json"

[convert]
schema = { n = "int64", text = "string" }

[sink]
connector = "file"
path = "PATH"
format = "parquet"
suffix = ".parquet"
rolling = { size = "64 KiB" }
compaction = { checkpoints = 2, size = "512 KiB" }
"#;

/// What the sink of a bucket needs besides.
const STORE: &str = r#"
[sink.store]
endpoint = "ENDPOINT"
region = "us-east-1"
access_key_id = "test"
secret_access_key = "test"
allow_http = true
"#;

/// Where the output goes, and as what.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Lines in local files.
    Lines,
    /// Parquet in local files.
    Parquet,
    /// Parquet in a bucket behind this endpoint: fewer parts, for each costs some requests.
    Bucket { url: String, endpoint: String },
}

impl Target {
    fn pipeline(&self) -> String {
        match self {
            Self::Lines => LINES.to_owned(),
            Self::Parquet => PARQUET.replace("PATH", "out"),
            Self::Bucket { url, endpoint } => {
                let parquet =
                    PARQUET.replace("PATH", url).replace("64 KiB", "256 KiB").replace("512 KiB", "1 MiB");
                parquet + &STORE.replace("ENDPOINT", endpoint)
            }
        }
    }
}

/// A directory with a pipeline, its input, its output and its logs.
pub(super) struct Pipeline {
    pub(super) dir: PathBuf,
    connect: PathBuf,
}

impl Pipeline {
    /// In an empty directory.
    pub(super) fn new(dir: PathBuf, connect: PathBuf, target: &Target) -> Result<Self> {
        shell::write_file(&dir.join("soak.toml"), target.pipeline())?;
        Ok(Self { dir, connect })
    }

    /// The newest checkpoint on disk; 0 before the first.
    pub(super) fn checkpoint(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(self.dir.join("ckpt")) else {
            return 0;
        };
        let number = |entry: std::fs::DirEntry| {
            entry.file_name().to_str()?.strip_prefix("chk-")?.strip_suffix(".ckpt")?.parse().ok()
        };
        entries.flatten().filter_map(number).max().unwrap_or(0)
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
