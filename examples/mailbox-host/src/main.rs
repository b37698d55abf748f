//! Moves the lines of files into other files: `mailbox-host IN OUT CHECKPOINTS`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use connector_api::source::erase;
use connector_api::{Error, MessageBatch, Result};
use connector_file::sink::{FileSink, SinkOptions};
use connector_file::source::{FileSource, SourceOptions};
use connector_runtime::{CheckpointConfig, JobConfig, OnLost, RestartStrategy, StartOptions, local};
use mailbox_host::{Job, StopFlag};

fn job(from: &str, to: &str, checkpoints: &str) -> Result<Job<MessageBatch>> {
    let base = Path::new(".");
    let identity = [("source.path", from), ("sink.path", to)];
    Ok(Job {
        source: erase(FileSource::new(&SourceOptions::lines(from), base)?),
        sink: Box::new(FileSink::new(&SinkOptions::lines(to), base)?),
        config: JobConfig {
            name: "lines".to_owned(),
            source_parallelism: 2,
            sink_parallelism: 2,
            committer_parallelism: 1,
            checkpoint: CheckpointConfig {
                interval: Duration::from_secs(1),
                dir: PathBuf::from(checkpoints),
                retain: 2,
                timeout: Duration::from_secs(600),
            },
            restart: RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_secs(1) },
            on_lost: OnLost::Fail,
            identity: BTreeMap::from(identity.map(|(key, value)| (key.to_owned(), value.to_owned()))),
            close_timeout: Duration::from_secs(10),
        },
        start: StartOptions::default(),
        max_rows: NonZeroUsize::MIN.saturating_add(4_095),
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, checkpoints] = arguments.as_slice() else {
        eprintln!("usage: mailbox-host IN OUT CHECKPOINTS");
        return ExitCode::FAILURE;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(Error::io("start", Path::new("a runtime")));
    let end = runtime.and_then(|runtime| {
        let env = local::environment_on(runtime.handle());
        runtime.block_on(mailbox_host::run(&job(from, to, checkpoints)?, &env, &StopFlag::new()))
    });
    match end {
        Ok(end) => {
            println!("{end:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
