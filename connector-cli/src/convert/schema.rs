//! Which columns a conversion to columns has: given, kept from the first start, or inferred from the first records.

use std::path::PathBuf;

use connector_api::env::Environment;
use connector_api::factory::FactoryContext;
use connector_api::{Error, Result};
use connector_runtime::storage::CheckpointStore;
use connector_runtime::{StartFrom, StartOptions};

use super::columns::infer;
use super::table::ConvertTable;
use super::{Schema, kept};
use crate::load::Loaded;
use crate::registry::Registries;

/// The columns, and where they come from.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) schema: Schema,
    /// `given`, `kept from the first start` or `inferred from the first 12 records`.
    pub(crate) origin: String,
}

impl Found {
    /// For people: the columns and where they come from.
    pub(crate) fn describe(&self) -> String {
        format!("{} ({})", self.schema.text(), self.origin)
    }

    fn kept(schema: Schema) -> Self {
        Self { schema, origin: "kept from the first start".into() }
    }
}

fn given(loaded: &Loaded) -> Option<Found> {
    let schema = loaded.config.convert.as_ref()?.schema.clone()?;
    Some(Found { schema, origin: "given".into() })
}

fn dir(loaded: &Loaded) -> PathBuf {
    loaded.document.resolve(&loaded.config.checkpoint.dir)
}

/// The columns that a start would have now. Makes and changes nothing.
///
/// # Errors
///
/// When they can't be told: no sample, or none that has columns.
pub(crate) async fn for_check(
    loaded: &Loaded,
    registries: &Registries,
    context: &FactoryContext,
) -> Result<Found> {
    if let Some(given) = given(loaded) {
        return Ok(given);
    }
    let (fs, dir) = (context.env.fs.clone(), dir(loaded));
    let kept = context.env.blocking("reading the kept columns", move || kept::find(&*fs, &dir, None)).await?;
    match kept {
        Some(schema) => Ok(Found::kept(schema)),
        None => inferred(loaded, registries, context).await,
    }
}

/// The columns of a start. What is inferred is kept, durably, before this returns.
///
/// # Errors
///
/// As [`for_check`]; when a checkpoint is to be restored and its columns are not there; those of the checkpoint directory,
/// which is held meanwhile.
pub(crate) async fn for_run(
    loaded: &Loaded,
    registries: &Registries,
    context: &FactoryContext,
    options: &StartOptions,
) -> Result<Found> {
    if let Some(given) = given(loaded) {
        return Ok(given);
    }
    let (retain, from) = (loaded.config.checkpoint.retain, options.from.clone());
    let (store, found) = opened(&context.env, dir(loaded), retain, from).await?;
    if let Some(schema) = found {
        return Ok(Found::kept(schema));
    }
    let inferred = inferred(loaded, registries, context).await?;
    let (fs, schema) = (context.env.fs.clone(), inferred.schema.clone());
    let keep = move || kept::keep(&*fs, store.dir(), store.next_checkpoint().0 - 1, &schema);
    context.env.blocking("keeping the inferred columns", keep).await?;
    Ok(inferred)
}

/// Takes the checkpoint directory and looks for the columns of what the job is to start from: none for a start from nothing.
async fn opened(
    env: &Environment,
    dir: PathBuf,
    retain: usize,
    from: StartFrom,
) -> Result<(CheckpointStore, Option<Schema>)> {
    let fs = env.fs.clone();
    let open = move || {
        let mut store = CheckpointStore::open(fs.clone(), &dir, retain)?;
        let restored = match &from {
            StartFrom::Nothing => return Ok((store, None)),
            StartFrom::Latest => store.latest()?,
            StartFrom::Path(path) => Some(store.load(path)?),
        };
        // Without a checkpoint yet, an earlier start may have written rows of columns that it inferred.
        let Some(record) = restored else {
            let found = kept::find(&*fs, &dir, None)?;
            return Ok((store, found));
        };
        let mut found = kept::find(&*fs, &dir, Some(record.checkpoint))?;
        if let (None, StartFrom::Path(path)) = (&found, &from) {
            let beside = path.parent().map(PathBuf::from).unwrap_or_default();
            found = kept::find(&*fs, &beside, Some(record.checkpoint))?;
            if let Some(schema) = &found {
                kept::keep(&*fs, &dir, record.checkpoint.saturating_sub(1), schema)?;
            }
        }
        if found.is_none() {
            let reason = format!(
                "checkpoint {} has no columns beside it that were inferred for it: its pipeline was given a schema (give it \
                 again), or the file `schema-...` of its directory was removed; `--from none` begins anew",
                record.checkpoint
            );
            return Err(Error::config("convert.schema", reason));
        }
        Ok((store, found))
    };
    env.blocking("looking for the columns", open).await
}

async fn inferred(loaded: &Loaded, registries: &Registries, context: &FactoryContext) -> Result<Found> {
    let default = ConvertTable::default();
    let convert = loaded.config.convert.as_ref().unwrap_or(&default);
    let source = &loaded.source;
    let factory = registries.source(&source.connector, "source.connector")?.messages;
    let refuse = |why: &str| {
        let reason =
            format!("the columns can't be inferred: {why}; give them, as in `schema = {{ id = \"int64\" }}`");
        Error::config("convert.schema", reason)
    };
    let sample = match factory {
        Some(factory) => factory.sample(&source.options, context, convert.infer_rows()).await?,
        None => None,
    };
    let batches = sample
        .ok_or_else(|| refuse(&format!("source `{}` gives no sample of its records", source.connector)))?;
    let rows: usize = batches.iter().map(connector_api::RowBatch::rows).sum();
    let schema = infer(&batches, convert.fails()).map_err(|e| refuse(&e.to_string()))?;
    Ok(Found { schema, origin: format!("inferred from the first {rows} records") })
}
