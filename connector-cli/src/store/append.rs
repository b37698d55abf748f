//! Lines of standard input, appended as events.

use std::io::{Read, Write};
use std::sync::Arc;

use connector_api::env::Environment;
use segment_store::{Durability, EventWriter, StoreOptions, WriterId, WriterOptions, routing};
use tokio::sync::mpsc;

use super::args::AppendArgs;
use super::{closed, failed, opened};
use crate::failure::Failure;

/// How much is read at once.
const READ: usize = 256 * 1024;

/// Lines that are being appended.
struct Lines {
    writer: EventWriter,
    /// The number of the last line that was read.
    number: i64,
    /// The number of the last line that was acknowledged.
    told: i64,
    /// The beginning of a line whose end was not read yet.
    rest: Vec<u8>,
    acknowledges: bool,
    text: Vec<u8>,
}

pub(super) async fn append(env: &Environment, args: &AppendArgs) -> Result<(), Failure> {
    let durability = if args.durability == "os" { Durability::Os } else { Durability::Sync };
    let mut options = StoreOptions { durability, ..StoreOptions::default() };
    if let Some(size) = args.log_file_size {
        options = StoreOptions { log_file_size: size, log_files: 2, snapshot_every: size, ..options };
    }
    let store = opened(env, &args.stream.dir, options).await?;
    let client = Arc::new(store.clone());
    let (stream, id) = (args.stream.stream.clone(), WriterId::named(&args.writer));
    let writer =
        EventWriter::open(client, env.clone(), stream, id, WriterOptions::default()).await.map_err(failed)?;
    let mut lines =
        Lines { writer, number: 0, told: 0, rest: Vec::new(), acknowledges: args.ack, text: Vec::new() };
    lines.all().await?;
    closed(&store).await
}

/// Standard input, piece by piece, read on a thread of its own.
fn input() -> mpsc::Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(2);
    drop(tokio::task::spawn_blocking(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut buffer = vec![0; READ];
            let read = match input.read(&mut buffer) {
                Ok(0) => return,
                Ok(read) => {
                    buffer.truncate(read);
                    Ok(buffer)
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            let is_over = read.is_err();
            if sender.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    }));
    receiver
}

impl Lines {
    async fn all(&mut self) -> Result<(), Failure> {
        let mut input = input();
        loop {
            let read = tokio::select! {
                read = input.recv() => read,
                acked = self.writer.acked(), if !self.writer.is_settled() => {
                    acked.map_err(failed)?;
                    self.tell()?;
                    continue;
                }
            };
            let Some(read) = read else { break };
            let bytes = read.map_err(|e| Failure::Surroundings(format!("standard input: {e}")))?;
            self.take(&bytes)?;
            self.writer.ready().await.map_err(failed)?;
            self.writer.send_all().await.map_err(failed)?;
            self.tell()?;
        }
        if !self.rest.is_empty() {
            let line = std::mem::take(&mut self.rest);
            self.line(&line)?;
        }
        while let Err(error) = self.writer.flush().await {
            if !error.is_retryable() {
                return Err(failed(error));
            }
            tracing::warn!(%error, "trying again");
        }
        self.tell()
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            if self.rest.is_empty() {
                self.line(&bytes[..end])?;
            } else {
                let mut line = std::mem::take(&mut self.rest);
                line.extend_from_slice(&bytes[..end]);
                self.line(&line)?;
            }
            bytes = &bytes[end + 1..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.number += 1;
        let position = match line.iter().position(|byte| *byte == b'\t') {
            Some(tab) => routing::position(&String::from_utf8_lossy(&line[..tab])),
            None => routing::spread(self.number as u64),
        };
        let written = self.writer.push(self.number, position, line);
        written.map_err(|error| Failure::Surroundings(format!("line {}: {error}", self.number)))?;
        Ok(())
    }

    /// Prints the numbers of the lines that are durable since the last time.
    fn tell(&mut self) -> Result<(), Failure> {
        // The writer may know of later lines from an earlier run, which have not come by again.
        let durable = self.writer.acknowledged().unwrap_or(self.number).min(self.number);
        if !self.acknowledges || durable <= self.told {
            self.told = self.told.max(durable);
            return Ok(());
        }
        self.text.clear();
        for number in self.told + 1..=durable {
            // Into memory.
            let _ = writeln!(self.text, "{number}");
        }
        self.told = durable;
        let mut out = std::io::stdout().lock();
        let written = out.write_all(&self.text).and_then(|()| out.flush());
        written.map_err(|e| Failure::Surroundings(format!("standard output: {e}")))
    }
}
