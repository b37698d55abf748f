//! Tests of the sink as a whole: its plan, driven by hand over simulated files.

mod campaign;
mod host;
mod rules;

use std::path::Path;

use bytes::Bytes;
use connector_api::MessageBatch;
use connector_api::env::Environment;
use connector_api::id::{AttemptId, RunId};
use connector_api::message::Span;
use connector_api::sink::WriterContext;
use testkit::fs::SimFs;

const DIR: &str = "/out";
const RUN: RunId = RunId(0xfeed);

/// The names in the sink's directory, visible ones or hidden ones.
fn names(fs: &SimFs, hidden: bool) -> Vec<String> {
    let files = fs.files().into_iter().filter(|path| path.starts_with(DIR));
    let names = files.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
    names.filter(|name| name.starts_with('.') == hidden).collect()
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
    WriterContext { env: env.clone(), subtask, parallelism, attempt, restored: None }
}
