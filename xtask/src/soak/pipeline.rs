//! The pipeline under test, and one run of it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{Result, python, shell};

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
    /// Of the server, where there is one.
    endpoint: Option<String>,
}

/// Lists what the sink has published.
fn listing(endpoint: &str) -> std::io::Result<usize> {
    let address = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let bucket = python::S3::BUCKET;
    write!(
        stream,
        "GET /{bucket}?list-type=2&prefix=out/part HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).matches("<Key>").count())
}

impl Pipeline {
    /// In an empty directory.
    pub(super) fn new(dir: PathBuf, connect: PathBuf, target: &Target) -> Result<Self> {
        shell::write_file(&dir.join("soak.toml"), target.pipeline())?;
        let endpoint = match target {
            Target::Bucket { endpoint, .. } => Some(endpoint.clone()),
            Target::Lines | Target::Parquet => None,
        };
        Ok(Self { dir, connect, endpoint })
    }

    /// How many files of a bucket are visible: by a listing, long before a scan over the server has read them. 0 elsewhere, and
    /// while the server does not answer.
    pub(super) fn published(&self) -> usize {
        self.endpoint.as_deref().and_then(|endpoint| listing(endpoint).ok()).unwrap_or(0)
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
