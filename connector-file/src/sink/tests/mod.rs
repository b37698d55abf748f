//! Tests of the sink as a whole: its plan, driven by hand over simulated files.

mod bucket_campaign;
mod campaign;
mod committer;
mod compaction;
mod factory;
mod finish;
mod host;
mod objects;
#[cfg(feature = "s3")]
mod s3;
mod sweep;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::factory::{ByteSize, Span as Age};
use connector_api::id::{AttemptId, CheckpointId, RunId};
use connector_api::message::Span;
use connector_api::sink::{
    BatchCommitter, Checkpoint, CommitBatch, CommitRequest, Outcome, Restored, WriterContext,
};
use connector_api::{Error, MessageBatch};
use testkit::fs::SimFs;
use testkit::sim;

use crate::sink::committable::{FileCommittable, Staged, StagedFile};
use crate::sink::committer::FileCommitter;
use crate::sink::config::{Rolling, SinkConfig, SinkOptions};
use crate::sink::naming::{self, Uid};
use crate::store;

const DIR: &str = "/out";
const RUN: RunId = RunId(0xfeed);

/// The names below the sink's directory, visible ones or hidden ones; not the marks of finished buckets.
fn names(fs: &SimFs, hidden: bool) -> Vec<String> {
    let files = fs.files().into_iter();
    let names = files.filter_map(|path| Some(path.strip_prefix(DIR).ok()?.to_str()?.to_owned()));
    let is_wanted = |name: &String| {
        let (_, file) = naming::split(name);
        file.starts_with('.') == hidden && !file.starts_with('_')
    };
    names.filter(is_wanted).collect()
}

/// The lines in visible files, sorted.
fn visible(fs: &SimFs) -> Vec<String> {
    let mut lines = Vec::new();
    for name in names(fs, false) {
        let content = String::from_utf8(fs.content(Path::new(DIR).join(&name)).unwrap()).unwrap();
        assert!(content.ends_with('\n'), "{name} ends within a line or is empty: {content:?}");
        lines.extend(content.lines().map(str::to_owned));
    }
    lines.sort_unstable();
    lines
}

/// A batch of lines that stand in the buffer with this between them.
fn batch(lines: &[String], between: &str) -> MessageBatch {
    let mut buffer = String::from("head of the buffer");
    let mut spans = Vec::new();
    for line in lines {
        let start = buffer.len() as u32;
        buffer.push_str(line);
        spans.push(Span::new(start, buffer.len() as u32));
        buffer.push_str(between);
    }
    MessageBatch::from_spans(Bytes::from(buffer), spans).unwrap()
}

fn context(env: &Environment, number: u64, subtask: u32, parallelism: u32) -> WriterContext {
    let attempt = AttemptId { run: RUN, number };
    WriterContext { subtask, parallelism, ..WriterContext::first(env.clone(), attempt) }
}

const CHECKPOINT: Checkpoint = Checkpoint { id: CheckpointId(1), savepoint: false };

fn config(size: u64, age: Option<u64>, on_checkpoint: bool) -> Arc<SinkConfig> {
    let age = age.map(|millis| Age(Duration::from_millis(millis)));
    let rolling = Rolling { size: ByteSize(size), age, on_checkpoint };
    let options = SinkOptions { rolling, ..SinkOptions::lines(DIR) };
    Arc::new(
        options.checked::<MessageBatch>(Path::new("/"), &|name, reason| Error::config(name, reason)).unwrap(),
    )
}

fn going_back(context: WriterContext) -> WriterContext {
    let restored = Restored { checkpoint: CheckpointId(1), going_back: true };
    WriterContext { restored: Some(restored), ..context }
}

async fn commit(context: &WriterContext, files: &[StagedFile]) -> Vec<Outcome<FileCommittable>> {
    let requests = files.iter().map(|file| CommitRequest {
        committable: file.clone().into(),
        checkpoint: CheckpointId(1),
        retries: 0,
    });
    let mut committer = FileCommitter::new(context, config(1, None, true));
    committer.commit_batch(CommitBatch::new(requests.collect())).await.into_outcomes()
}

fn staged(fs: &SimFs, name: &str, content: &str) -> StagedFile {
    let file = named(name.to_owned(), content.len() as u64);
    fs.put(Path::new(DIR).join(file.hidden().unwrap()), content.as_bytes()).unwrap();
    file
}

fn named(name: String, length: u64) -> StagedFile {
    let staged = Staged::Hidden(naming::hidden(&name));
    StagedFile { staged, name, length, rows: 1, parts: 1, inputs: vec![] }
}

fn part(attempt: u64, subtask: u32, counter: u64) -> String {
    let uid = Uid { attempt: AttemptId { run: RUN, number: attempt }, subtask };
    config(1, None, true).names.part(uid, counter)
}

fn simulated<F: Future<Output = ()>>(test: impl FnOnce(SimFs, Environment) -> F) {
    let fs = SimFs::new();
    sim::run(async { test(fs.clone(), sim::environment(&fs, 7)).await });
}

/// The files among committables.
fn files(committables: Vec<FileCommittable>) -> Vec<StagedFile> {
    committables.into_iter().filter_map(FileCommittable::into_file).collect()
}
