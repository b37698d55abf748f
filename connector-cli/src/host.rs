//! The one place that knows the runtime: what a pipeline's file says, in its words.

use connector_api::Result;
use connector_api::env::Environment;
use connector_file::bad::BadRecords;
use connector_runtime::{CheckpointConfig, Job, JobConfig, JobHandle, Pipeline, StartOptions};

use crate::check;
use crate::convert::{self, ConvertTable, Flow, ValueEncoding};
use crate::load::Loaded;
use crate::registry::Registries;

/// Opens the checkpoint directory, restores, and lets the job run.
///
/// # Errors
///
/// What the runtime refuses, and when there are no columns to convert to; then nothing was moved.
pub(crate) async fn start(
    loaded: &Loaded,
    registries: &Registries,
    flow: Flow,
    options: StartOptions,
    env: Environment,
) -> Result<JobHandle> {
    let (source, sink) = (loaded.source.uid.clone(), loaded.sink.uid.clone());
    let pipeline = match flow {
        Flow::Messages(ends) => Pipeline::source(source, ends.source).sink(sink, ends.sink),
        Flow::Columns(ends) => Pipeline::source(source, ends.source).sink(sink, ends.sink),
        Flow::ToMessages(ends) => {
            Pipeline::source(source, ends.source).map_batches(convert::to_messages).sink(sink, ends.sink)
        }
        Flow::RecordsToMessages(ends) => {
            let (encoding, bad) = records(loaded, &env);
            let step = convert::records_to_messages(encoding, bad);
            Pipeline::source(source, ends.source).map_batches(step).sink(sink, ends.sink)
        }
        Flow::RecordsToColumns(ends) => {
            let (encoding, bad) = records(loaded, &env);
            let step = convert::records_to_columns(encoding, bad);
            Pipeline::source(source, ends.source).map_batches(step).sink(sink, ends.sink)
        }
        Flow::ToColumns(ends) => {
            let context = check::context(loaded, &env);
            let found = convert::for_run(loaded, registries, &context, &options).await?;
            tracing::info!("columns: {}", found.describe());
            let default = ConvertTable::default();
            let table = loaded.config.convert.as_ref().unwrap_or(&default);
            let bad = table.bad_records(&context.base_dir, &env);
            let step = convert::to_columns(&found.schema, bad)?;
            Pipeline::source(source, ends.source).map_batches(step).sink(sink, ends.sink)
        }
    };
    Job::new(pipeline, config(loaded), env).start(options).await
}

/// How records of a message system are written, and where those go that can't be.
fn records(loaded: &Loaded, env: &Environment) -> (ValueEncoding, BadRecords) {
    let default = ConvertTable::default();
    let table = loaded.config.convert.as_ref().unwrap_or(&default);
    (table.value_encoding, table.bad_records(&check::context(loaded, env).base_dir, env))
}

/// What the job is run with.
fn config(loaded: &Loaded) -> JobConfig {
    let config = &loaded.config;
    JobConfig {
        name: config.name.clone(),
        source_parallelism: config.parallelism.source,
        sink_parallelism: config.parallelism.sink,
        committer_parallelism: config.parallelism.committer,
        checkpoint: CheckpointConfig {
            interval: config.checkpoint.interval.0,
            dir: loaded.document.resolve(&config.checkpoint.dir),
            retain: config.checkpoint.retain,
            timeout: config.checkpoint.timeout.0,
        },
        restart: config.restart.strategy(),
        on_lost: config.on_lost.into(),
        identity: loaded.identity(),
        close_timeout: config.close_timeout.0,
    }
}
