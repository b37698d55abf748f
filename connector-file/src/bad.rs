//! Records that can't be read, and what becomes of them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use connector_api::env::{Access, Environment, File};
use connector_api::{Error, Result, metrics as names};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How many bad records of a reader are logged one by one, and every how many after them.
const LOGGED: u64 = 10;
const LOGGED_AFTER: u64 = 1_000;
/// What is gathered before it is written, so that a fetch of nothing but bad records takes little memory.
const ENOUGH: usize = 256 << 10;

/// What becomes of a record that can't be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRecord {
    /// It ends the job, with file and offset.
    #[default]
    Fail,
    /// It is left out: counted (`numRecordsInErrors`), and the first ten of a reader and every 1,000th after them are logged.
    Skip,
    /// It is left out in the same way, and appended to a file in this directory as a line of JSON: `file`, `offset`,
    /// `reason`, and `record` as text, or `record_base64` where it is not UTF-8.
    DeadLetter(PathBuf),
}

/// How the table reads in documentation.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "stands for `OnBadRecord::DeadLetter` in the schema, where options are documented by field"
)]
struct ToDeadLetters {
    /// A directory, made when missing; relative to the pipeline's file. Each reader of each attempt appends bad records to a file
    /// of its own in it, durably before it emits rows behind them, so at least once after a crash.
    dead_letter: PathBuf,
}

impl JsonSchema for OnBadRecord {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "OnBadRecord".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let letters = generator.subschema_for::<ToDeadLetters>();
        json_schema!({ "oneOf": [{ "const": "fail" }, { "const": "skip" }, letters] })
    }
}

/// Takes the bad records of one reader. Cloning shares it.
///
/// # Contract
///
/// Whoever decodes calls [`refuse`](Self::refuse) for a record that it can't decode and goes on behind it, and
/// [`settle`](Self::settle) before it hands over rows behind it. Both block.
///
/// # Dead letters
///
/// Each reader of each attempt appends to a file of its own, which is made at its first bad record. After `settle`, what was refused
/// is durable. After a crash, records behind the last checkpoint are read again, so a bad one of them is found in a second file, too: at
/// least once, and the same `file` and `offset` in both.
#[derive(Clone, Debug)]
pub struct BadRecords {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    policy: OnBadRecord,
    env: Environment,
    connector: &'static str,
    owner: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    /// Lines that were not written yet.
    lines: Vec<u8>,
    letters: Option<Letters>,
    is_synced: bool,
}

/// A file of dead letters.
#[derive(Debug)]
struct Letters {
    file: Box<dyn File>,
    path: PathBuf,
    length: u64,
}

/// One of its lines.
#[derive(Debug, Serialize)]
struct Letter<'a> {
    file: &'a str,
    offset: u64,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_base64: Option<String>,
}

impl BadRecords {
    /// For one reader. `connector` is its label in metrics; `owner` names its files and must differ between readers
    /// and attempts.
    pub fn new(
        policy: OnBadRecord,
        env: Environment,
        connector: &'static str,
        owner: impl Into<String>,
    ) -> Self {
        let owner = owner.into();
        Self { shared: Arc::new(Shared { policy, env, connector, owner, state: Mutex::default() }) }
    }

    /// Takes a record that can't be read: `record` is its bytes, `offset` where it begins in `file`.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] when bad records end the job; those of writing dead letters.
    pub fn refuse(&self, file: &str, offset: u64, reason: &str, record: &[u8]) -> Result<()> {
        if self.shared.policy == OnBadRecord::Fail {
            return Err(Error::data(file, Some(offset), reason));
        }
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        metrics::counter!(names::NUM_RECORDS_IN_ERRORS, "connector" => self.shared.connector).increment(1);
        if state.count <= LOGGED || state.count.is_multiple_of(LOGGED_AFTER) {
            tracing::warn!(file, offset, reason, count = state.count, "left a bad record out");
        }
        if let OnBadRecord::DeadLetter(_) = self.shared.policy {
            let text = std::str::from_utf8(record).ok();
            let record_base64 = text.is_none().then(|| STANDARD.encode(record));
            let letter = Letter { file, offset, reason, record: text, record_base64 };
            serde_json::to_writer(&mut state.lines, &letter)
                .map_err(|e| Error::data(file, Some(offset), format!("can't be made a dead letter: {e}")))?;
            state.lines.push(b'\n');
            if state.lines.len() >= ENOUGH {
                self.shared.write(&mut state)?;
            }
        }
        Ok(())
    }

    /// Makes the dead letters of all records refused so far durable.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn settle(&self) -> Result<()> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.write(&mut state)?;
        match &state.letters {
            Some(letters) if !state.is_synced => {
                letters.file.sync_data().map_err(Error::io("fdatasync", &letters.path))?;
                state.is_synced = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Shared {
    fn write(&self, state: &mut State) -> Result<()> {
        if state.lines.is_empty() {
            return Ok(());
        }
        let OnBadRecord::DeadLetter(dir) = &self.policy else { return Ok(()) };
        if state.letters.is_none() {
            state.letters = Some(self.create(dir)?);
        }
        let Some(letters) = &mut state.letters else { return Ok(()) };
        let lines = std::mem::take(&mut state.lines);
        letters.file.write_all_at(&lines, letters.length).map_err(Error::io("write", &letters.path))?;
        letters.length += lines.len() as u64;
        state.is_synced = false;
        Ok(())
    }

    /// A new file; a host that makes a reader anew within an attempt finds the first name taken.
    fn create(&self, dir: &Path) -> Result<Letters> {
        self.env.fs.create_dir_all(dir).map_err(Error::io("make directory", dir))?;
        let mut number = 0_u32;
        loop {
            let path = dir.join(format!("bad-{}-{number}.jsonl", self.owner));
            match self.env.fs.open(&path, Access::CreateNew) {
                Ok(file) => {
                    self.env.fs.sync_dir(dir).map_err(Error::io("sync", dir))?;
                    return Ok(Letters { file, path, length: 0 });
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists && number < u32::MAX => number += 1,
                Err(e) => return Err(Error::io("create", &path)(e)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
    use testkit::fs::{PowerCut, SimFs};
    use testkit::sim;

    use super::*;

    fn simulated(test: impl FnOnce(&SimFs, &dyn Fn(OnBadRecord) -> BadRecords)) {
        let fs = SimFs::new();
        sim::run(async {
            let env = sim::environment(&fs, 1);
            test(&fs, &|policy| BadRecords::new(policy, env.clone(), "test", "1_2"));
        });
    }

    #[test]
    fn a_bad_record_ends_the_job_with_file_and_offset() {
        simulated(|_, bad| {
            let error = bad(OnBadRecord::Fail).refuse("in/a", 7, "is no number", b"x").unwrap_err();
            assert_eq!(error.to_string(), "in/a at offset 7: is no number");
        });
    }

    #[test]
    fn skipped_records_leave_no_file() {
        simulated(|fs, bad| {
            let bad = bad(OnBadRecord::Skip);
            bad.refuse("in/a", 7, "is no number", b"x").unwrap();
            bad.settle().unwrap();
            assert!(fs.files().is_empty());
        });
    }

    /// Adds up all that is counted.
    #[derive(Debug, Default)]
    struct Counted(Arc<AtomicU64>);

    impl metrics::Recorder for Counted {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            assert_eq!(key.name(), names::NUM_RECORDS_IN_ERRORS);
            Counter::from_arc(self.0.clone())
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn each_record_that_is_left_out_is_counted_once() {
        for (policy, counts) in [
            (OnBadRecord::Skip, true),
            (OnBadRecord::DeadLetter("/dead".into()), true),
            (OnBadRecord::Fail, false),
        ] {
            let counted = Counted::default();
            metrics::with_local_recorder(&counted, || {
                simulated(|_, bad| {
                    let bad = bad(policy.clone());
                    for offset in 0..1_234 {
                        assert_eq!(bad.refuse("in/a", offset, "is no number", b"x").is_ok(), counts);
                    }
                    bad.settle().unwrap();
                });
            });
            assert_eq!(counted.0.load(Ordering::Relaxed), if counts { 1_234 } else { 0 }, "{policy:?}");
        }
    }

    #[test]
    fn dead_letters_are_durable_once_settled_and_readers_share_no_file() {
        simulated(|fs, bad| {
            let policy = || OnBadRecord::DeadLetter("/dead".into());
            let (first, again) = (bad(policy()), bad(policy()));
            first.refuse("in/a", 7, "is no number", b"x\"").unwrap();
            first.settle().unwrap();
            first.refuse("in/a", 9, "is no text", b"\xff").unwrap();
            first.settle().unwrap();
            first.refuse("in/a", 11, "was not settled", b"").unwrap();
            again.refuse("in/b", 1, "is empty", b"").unwrap();
            again.settle().unwrap();
            let left = fs.power_cut(PowerCut::SyncedOnly);
            let lines = left.content("/dead/bad-1_2-0.jsonl").unwrap();
            let expected = concat!(
                r#"{"file":"in/a","offset":7,"reason":"is no number","record":"x\""}"#,
                "\n",
                r#"{"file":"in/a","offset":9,"reason":"is no text","record_base64":"/w=="}"#,
                "\n"
            );
            assert_eq!(String::from_utf8(lines).unwrap(), expected);
            assert!(left.content("/dead/bad-1_2-1.jsonl").is_ok_and(|c| c.ends_with(b"\"record\":\"\"}\n")));
        });
    }
}
