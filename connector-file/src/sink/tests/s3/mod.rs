//! The sink and the source over a server that speaks S3: moto, as a child process.
//!
//! It keeps everything in memory: one that was killed comes back empty, as a store whose lifecycle rule ended all uploads does.

mod cutter;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use connector_api::env::Environment;
use connector_api::id::AttemptId;
use connector_api::sink::{
    BatchCommitter, CommitBatch, CommitRequest, CommittingWriter, Flush, Outcome, Proof, References,
    SinkWriter, SweepOrphans, WriterContext,
};
use connector_api::{Batch, Error, MessageBatch};

use super::{RUN, batch, files};
use crate::input::Input;
use crate::sink::committable::{FileCommittable, Staged, StagedFile};
use crate::sink::committer::FileCommitter;
use crate::sink::config::{Compaction, Merge, SinkConfig, SinkOptions};
use crate::sink::sweep::FileSweep;
use crate::sink::writer::FileWriter;
use crate::source::{SourceOptions, cut};

use cutter::Cutter;
use server::Moto;

const MERGE: Compaction =
    Compaction::Merge(Merge { checkpoints: 1, size: None, keep_size: None, rate: None });

fn store(port: u16) -> crate::place::StoreOptions {
    serde_json::from_value(serde_json::json!({
        "endpoint": format!("http://127.0.0.1:{port}"), "region": "us-east-1", "allow_http": true,
        "access_key_id": "key", "secret_access_key": "secret", "timeout": "10s", "retry_timeout": "1s",
    }))
    .unwrap()
}

fn config(port: u16, compaction: Option<Compaction>) -> Arc<SinkConfig> {
    let options =
        SinkOptions { compaction, store: Some(store(port)), ..SinkOptions::lines("s3://bucket/out") };
    let error = |name: &str, reason| Error::config(name, reason);
    Arc::new(options.checked::<MessageBatch>(Path::new("/"), &error).unwrap())
}

fn context(env: &Environment, number: u64) -> WriterContext {
    let attempt = AttemptId { run: RUN, number };
    WriterContext::first(env.clone(), attempt)
}

/// Stages 6 MB in a part that is uploaded in pieces, or one line.
async fn staged(config: &Arc<SinkConfig>, context: &WriterContext, lines: usize) -> StagedFile {
    let mut writer = FileWriter::<MessageBatch>::open(context.clone(), config.clone(), vec![]).await.unwrap();
    let text = "x".repeat(999);
    let lines: Vec<String> = (0..lines).map(|line| format!("{line:06}{}", &text[6..])).collect();
    for lines in lines.chunks(500) {
        writer.write(Batch::new(batch(lines, "\n"))).await.unwrap();
    }
    writer.flush(Flush::Checkpoint).await.unwrap();
    let mut files = files(writer.prepare_commit().await.unwrap());
    writer.close().await.unwrap();
    files.remove(0)
}

async fn commit(
    config: &Arc<SinkConfig>,
    context: &WriterContext,
    file: &StagedFile,
) -> Outcome<FileCommittable> {
    let checkpoint = connector_api::id::CheckpointId(1);
    let request = CommitRequest { committable: file.clone().into(), checkpoint, retries: 0 };
    let mut committer = FileCommitter::new(context, config.clone());
    committer.commit_batch(CommitBatch::new(vec![request])).await.into_outcomes().remove(0)
}

/// What is visible, as the source lists and reads it.
async fn read_back(env: &Environment, port: u16) -> Vec<u8> {
    let options = SourceOptions { store: Some(store(port)), ..SourceOptions::lines("s3://bucket/out") };
    let config = options.checked::<MessageBatch>(Path::new("/"), &str::to_owned).unwrap();
    let job_env = env.clone();
    let read = move || {
        let mut content = Vec::new();
        for found in config.place.list(&config.selection, &job_env, false, &AtomicBool::new(false))? {
            let split = cut(&found.path, found.file, u64::MAX, 0).remove(0);
            let input: Box<dyn Input> = config.place.open(&config.selection, &job_env, &split)?;
            let mut buffer = vec![0; usize::try_from(input.len()).unwrap()];
            // In small steps, so that ranges are read ahead.
            let mut at = 0;
            while at < buffer.len() {
                let end = buffer.len().min(at + 100_000);
                at += input.read(&mut buffer[at..end], at as u64)?;
            }
            input.check_name(input.len())?;
            content.append(&mut buffer);
        }
        Ok(content)
    };
    env.blocking("read back", read).await.unwrap()
}

fn on_a_server<F: Future<Output = ()>>(test: impl FnOnce(Moto, Environment) -> F) {
    let Some(moto) = Moto::start() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let env = connector_runtime::local::environment_on(runtime.handle());
    runtime.block_on(test(moto, env));
}

#[test]
fn a_server_of_s3_shows_a_part_at_its_commit_and_reads_it_back() {
    on_a_server(|moto, env| async move {
        // All of it, not its port alone.
        let _alive = &moto;
        for compaction in [None, Some(MERGE)] {
            let (config, context) = (config(moto.port, compaction.clone()), context(&env, 1));
            let before = if compaction.is_some() { read_back(&env, moto.port).await.len() } else { 0 };
            let context = WriterContext { subtask: u32::from(compaction.is_some()), ..context };
            // More than one part of 8 MiB.
            let file = staged(&config, &context, 10_000).await;
            if let Staged::Upload { parts, .. } = &file.staged {
                assert_eq!(parts.len(), 2);
            }
            let outcome = commit(&config, &context, &file).await;
            assert!(matches!(outcome, Outcome::Committed), "{outcome:?}");
            let outcome = commit(&config, &context, &file).await;
            assert!(matches!(outcome, Outcome::AlreadyCommitted { .. }), "{outcome:?}");
            assert_eq!(read_back(&env, moto.port).await.len(), before + 10_000_000);
        }
        let content = read_back(&env, moto.port).await;
        assert!(
            content
                .chunks(1_000)
                .enumerate()
                .all(|(line, text)| text.starts_with(format!("{:06}", line % 10_000).as_bytes()))
        );
    });
}

#[test]
fn an_answer_of_a_server_that_is_lost_after_the_completion_is_found_by_the_object() {
    on_a_server(|moto, env| async move {
        // All of it, not its port alone.
        let _alive = &moto;
        let cutter = Cutter::to(moto.port);
        let (config, context) = (config(cutter.port, None), context(&env, 1));
        let file = staged(&config, &context, 1).await;
        cutter.cut_completions(true);
        let outcome = commit(&config, &context, &file).await;
        assert!(cutter.has_cut(), "nothing was cut: {outcome:?}");
        assert!(matches!(outcome, Outcome::Retry { updated: None, .. }), "{outcome:?}");
        cutter.cut_completions(false);
        let outcome = commit(&config, &context, &file).await;
        assert!(matches!(outcome, Outcome::AlreadyCommitted { proof: Proof::Published }), "{outcome:?}");
        assert_eq!(read_back(&env, moto.port).await.len(), 1_000);
    });
}

#[test]
fn a_server_that_is_killed_is_waited_for_and_one_that_forgot_the_upload_has_lost_it() {
    on_a_server(|mut moto, env| async move {
        let (config, context) = (config(moto.port, None), context(&env, 1));
        let file = staged(&config, &context, 1).await;
        moto.kill();
        let outcome = commit(&config, &context, &file).await;
        assert!(matches!(outcome, Outcome::Retry { updated: None, .. }), "{outcome:?}");
        moto.restart();
        let outcome = commit(&config, &context, &file).await;
        assert!(matches!(&outcome, Outcome::Lost { reason } if reason.contains(&file.name)), "{outcome:?}");
    });
}

#[test]
fn uploads_of_dead_attempts_are_aborted_on_a_server() {
    on_a_server(|moto, env| async move {
        // All of it, not its port alone.
        let _alive = &moto;
        let config = config(moto.port, None);
        let orphan = staged(&config, &context(&env, 1), 1).await;
        let sweep = FileSweep { config: config.clone() };
        let now = context(&env, 2);
        assert_eq!(sweep.sweep(now.clone(), References::default()).await.unwrap(), 1);
        assert_eq!(sweep.sweep(now.clone(), References::default()).await.unwrap(), 0);
        let outcome = commit(&config, &now, &orphan).await;
        assert!(matches!(outcome, Outcome::Lost { .. }), "{outcome:?}");
    });
}
