//! The reader by itself: no host, no threads, simulated files.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use connector_api::env::Environment;
use connector_api::id::{AttemptId, ReaderId, RunId};
use connector_api::source::{ReaderContext, Source};
use testkit::drive::{Drive, DriveError};
use testkit::fs::SimFs;
use testkit::{TestBatch, drive, files, sim};
use tutorial::record;
use tutorial::source::{JournalSource, JournalSplit};

/// A journal of these texts, as a split read up to `position`.
fn journal(env: &Environment, texts: &[&str], position: u64) -> JournalSplit {
    let mut bytes = Vec::new();
    for text in texts {
        record::put(&mut bytes, 1, Some(text.as_bytes())).unwrap();
    }
    files::append(&*env.fs, Path::new("/in/log-0.bin"), &bytes).unwrap();
    JournalSplit { name: "log-0.bin".into(), end: bytes.len() as u64, position }
}

fn reader(env: &Environment) -> Drive<<JournalSource as Source>::Reader> {
    let attempt = AttemptId { run: RunId(1), number: 1 };
    let context = ReaderContext { env: env.clone(), reader: ReaderId(0), parallelism: 1, attempt };
    drive(JournalSource { dir: PathBuf::from("/in") }.reader(context).unwrap())
}

/// The texts that a reader gives for this split, and the split as it is stored then.
async fn read(env: &Environment, split: JournalSplit) -> Result<(Vec<String>, JournalSplit), DriveError> {
    let mut reader = reader(env);
    reader.add([split])?;
    reader.no_more_splits()?;
    let mut texts = Vec::new();
    while let Some((_, batch)) = reader.next_batch().await? {
        texts.extend(batch.rows.texts()?);
    }
    Ok((texts, reader.snapshot(0)?.remove(0)))
}

#[test]
fn a_journal_is_read_to_its_end() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let split = journal(&env, &["a", "b"], 0);
        let (texts, stored) = read(&env, split).await.unwrap();
        assert_eq!((texts, stored.position), (vec!["a".into(), "b".into()], stored.end));
    });
}

#[test]
fn a_restored_split_goes_on_at_its_position() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let split = journal(&env, &["a", "b"], 13);
        assert_eq!(read(&env, split).await.unwrap().0, ["b"]);
    });
}

#[test]
fn rows_that_were_not_emitted_are_behind_the_position() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let split = journal(&env, &["a", "b", "c"], 0);
        let mut reader = reader(&env);
        reader.add([split]).unwrap();
        assert_eq!(reader.next_batch().await.unwrap().unwrap().1.rows.texts().unwrap().len(), 3);
        assert_eq!(reader.snapshot(2).unwrap()[0].position, 13);
    });
}

#[test]
fn a_torn_record_is_an_error_that_names_file_and_offset() {
    sim::run(async {
        let env = sim::environment(&SimFs::new(), 1);
        let split = journal(&env, &["a", "b"], 0);
        let torn = JournalSplit { end: split.end - 1, ..split };
        let error = read(&env, torn).await.unwrap_err().to_string();
        assert!(error.contains("/in/log-0.bin") && error.contains("13"), "{error}");
    });
}
