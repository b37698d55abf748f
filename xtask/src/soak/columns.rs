//! Watches visible Parquet files through a reader that is not ours: python/watch.py.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::scan::Scan;
use crate::{Result, python};

/// The reader, in a process of its own.
pub(super) struct ColumnScanner {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    rows: u64,
    input: u64,
    visible: u64,
    scans: u64,
}

impl ColumnScanner {
    /// For `rows` rows of `input` bytes, in a directory, or in a bucket behind an endpoint.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub(super) fn start(
        programs: &Path,
        rows: u64,
        input: u64,
        place: &str,
        endpoint: Option<&str>,
    ) -> Result<Self> {
        let mut command = Command::new(programs.join("python"));
        command.arg(python::script("watch.py")).arg(rows.to_string()).arg(place).args(endpoint);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("watch.py: {e}"))?;
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("watch.py has no output")?);
        let mut scanner = Self { child, questions, answers, rows, input, visible: 0, scans: 0 };
        // It takes a second to load; the rounds must not run unseen meanwhile.
        scanner.scan()?;
        Ok(scanner)
    }

    fn ask(&mut self, question: &str) -> Result {
        let failed = |e: std::io::Error| format!("watch.py: {e}");
        let questions = self.questions.as_mut().ok_or("watch.py has no input")?;
        writeln!(questions, "{question}").and_then(|()| questions.flush()).map_err(failed)?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(failed)?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|e| format!("watch.py said `{line}`: {e}"))?;
        self.visible = answer.get("rows").and_then(Value::as_u64).unwrap_or(self.visible);
        self.scans += 1;
        match answer.get("wrong").and_then(Value::as_str) {
            Some(wrong) => Err(wrong.to_owned()),
            None => Ok(()),
        }
    }
}

impl Scan for ColumnScanner {
    fn scan(&mut self) -> Result {
        self.ask("scan")
    }

    fn finish(&mut self) -> Result {
        self.ask("finish")
    }

    fn bytes(&self) -> u64 {
        (u128::from(self.input) * u128::from(self.visible) / u128::from(self.rows.max(1))) as u64
    }

    fn scans(&self) -> u64 {
        self.scans
    }
}

impl Drop for ColumnScanner {
    fn drop(&mut self) {
        // It ends with its input.
        self.questions = None;
        let _ = self.child.wait();
    }
}
