//! What a run did, for people and for programs.

use std::path::PathBuf;
use std::time::Duration;

use connector_runtime::{JobEnd, JobReport, Progress};
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use crate::args::ReportFormat;
use crate::failure::Failure;
use crate::metrics::Totals;
use crate::output;

/// The report. The names of its keys are a contract: add, don't rename.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) records_in: u64,
    pub(crate) records_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) checkpoints: u64,
    pub(crate) restarts: u64,
    pub(crate) files_written: u64,
    pub(crate) files_compacted: u64,
    pub(crate) pending_files: u64,
    pub(crate) lost: u64,
    pub(crate) seconds: f64,
    pub(crate) stopped: bool,
    pub(crate) savepoint: Option<PathBuf>,
    /// `finished`, `already_finished`, `stopped` or `failed`.
    pub(crate) end: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

impl Report {
    /// Of a job that ended well.
    pub(crate) fn ended(job: JobReport, totals: &Totals) -> Self {
        let (end, savepoint) = match job.end {
            JobEnd::Finished => ("finished", None),
            JobEnd::AlreadyFinished => ("already_finished", None),
            JobEnd::Stopped { savepoint } => ("stopped", Some(savepoint)),
        };
        Self {
            records_in: job.records_in,
            records_out: job.records_out,
            bytes_in: job.bytes_in,
            bytes_out: job.bytes_out,
            checkpoints: job.checkpoints,
            restarts: job.restarts,
            files_written: totals.files_written(),
            files_compacted: totals.files_compacted(),
            pending_files: job.pending,
            lost: job.lost,
            seconds: seconds(job.elapsed),
            stopped: savepoint.is_some(),
            savepoint,
            end,
            error: None,
        }
    }

    /// Of a job that failed, with what is known of it.
    pub(crate) fn failed(last: &Progress, totals: &Totals, elapsed: Duration, failure: &Failure) -> Self {
        Self {
            records_in: last.records_in,
            records_out: last.records_out,
            bytes_in: last.bytes_in,
            bytes_out: last.bytes_out,
            checkpoints: last.checkpoints,
            restarts: last.restarts,
            files_written: totals.files_written(),
            files_compacted: totals.files_compacted(),
            pending_files: last.pending,
            lost: last.lost,
            seconds: seconds(elapsed),
            stopped: false,
            savepoint: None,
            end: "failed",
            error: Some(failure.to_string()),
        }
    }

    /// Writes it to standard output.
    pub(crate) fn print(&self, job: &str, format: ReportFormat) {
        match format {
            ReportFormat::Text => output::line(&self.text(job)),
            // A struct of numbers and texts always serializes; a report must not be lost if a path is no text.
            ReportFormat::Json => output::line(&self.json()),
        }
    }

    /// Writes it after a failure: people read the error instead of a report of nothing.
    pub(crate) fn print_failure(&self, job: &str, format: ReportFormat) {
        if format == ReportFormat::Json || self.checkpoints > 0 || self.records_in > 0 {
            self.print(job, format);
        }
    }

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| {
            let lossy = |path: &PathBuf| PathBuf::from(path.to_string_lossy().into_owned());
            let readable = Self { savepoint: self.savepoint.as_ref().map(lossy), ..self.clone() };
            serde_json::to_string(&readable).unwrap_or_default()
        })
    }

    fn text(&self, job: &str) -> String {
        let mut text = match self.end {
            "already_finished" => return format!("job `{job}` had finished before: nothing to do"),
            "stopped" => format!("job `{job}` stopped with a savepoint after {} s\n", self.seconds),
            "finished" => format!("job `{job}` finished after {} s\n", self.seconds),
            _ => format!("job `{job}` failed after {} s\n", self.seconds),
        };
        let moved = |records, bytes| format!("{} records, {}", HumanCount(records), HumanBytes(bytes));
        text += &format!("  read         {}\n", moved(self.records_in, self.bytes_in));
        text += &format!("  written      {}\n", moved(self.records_out, self.bytes_out));
        text += &format!(
            "  files        {} written, {} compacted, {} pending\n",
            self.files_written, self.files_compacted, self.pending_files
        );
        text += &format!(
            "  checkpoints  {}, with {} restarts and {} lost committables",
            self.checkpoints, self.restarts, self.lost
        );
        if let Some(savepoint) = &self.savepoint {
            text += &format!("\n  savepoint    {}", savepoint.display());
        }
        text
    }
}

fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(end: JobEnd) -> JobReport {
        JobReport {
            records_in: 1,
            bytes_in: 2,
            records_out: 3,
            bytes_out: 4,
            checkpoints: 5,
            restarts: 6,
            committed: 7,
            pending: 8,
            lost: 9,
            elapsed: Duration::from_micros(1_234_567),
            end,
        }
    }

    #[test]
    fn the_keys_of_the_report_are_the_contract() {
        let stopped = job(JobEnd::Stopped { savepoint: "/x/sp".into() });
        let line = Report::ended(stopped, &Totals::default()).json();
        assert_eq!(
            line,
            "{\"records_in\":1,\"records_out\":3,\"bytes_in\":2,\"bytes_out\":4,\"checkpoints\":5,\"restarts\":6,\
             \"files_written\":0,\"files_compacted\":0,\"pending_files\":8,\"lost\":9,\"seconds\":1.235,\
             \"stopped\":true,\"savepoint\":\"/x/sp\",\"end\":\"stopped\"}"
        );
        let finished = Report::ended(job(JobEnd::Finished), &Totals::default()).json();
        assert!(finished.contains("\"stopped\":false,\"savepoint\":null"), "{finished}");
    }

    #[test]
    fn a_failed_run_reports_what_is_known_and_why() {
        let failure = Failure::Surroundings("no \"luck\"".into());
        let last = Progress { records_in: 7, ..Progress::default() };
        let report = Report::failed(&last, &Totals::default(), Duration::from_secs(1), &failure);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&json["records_in"], &json["error"]), (&7.into(), &"no \"luck\"".into()));
    }

    #[test]
    fn a_savepoint_whose_path_is_no_text_does_not_lose_the_report() {
        use std::os::unix::ffi::OsStringExt;
        let path = std::ffi::OsString::from_vec(b"/x/\xff".to_vec());
        let report = Report::ended(job(JobEnd::Stopped { savepoint: path.into() }), &Totals::default());
        assert!(report.json().contains("\"savepoint\":\"/x/\u{fffd}\""), "{}", report.json());
    }
}
