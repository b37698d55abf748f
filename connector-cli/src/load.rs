//! From a pipeline's file to checked options: everything that can be told without touching what they point at.

use std::collections::BTreeMap;
use std::path::Path;

use connector_api::factory::{OptionSet, Options, Registry};
use connector_api::{Error, MessageBatch, Result};
use serde_json::Value as Json;

use crate::failure::Failure;
use crate::file::Document;
use crate::pipeline::PipelineConfig;
use crate::set::Setting;
use crate::tree::{Value, entries_to_json};
use crate::{registry, secrets};

/// A pipeline whose file was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) document: Document,
    pub(crate) config: PipelineConfig,
    pub(crate) source: Endpoint,
    pub(crate) sink: Endpoint,
}

/// One end of the pipeline.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `source` or `sink`.
    pub(crate) prefix: &'static str,
    pub(crate) connector: String,
    /// Names the state in checkpoints.
    pub(crate) uid: String,
    /// The connector's documentation of its options.
    pub(crate) specs: OptionSet,
    /// The options, without `connector` and `uid`, secrets resolved.
    pub(crate) options: Options,
}

impl Loaded {
    /// Reads the file, applies the settings, and resolves secrets.
    ///
    /// # Errors
    ///
    /// [`Failure::Configuration`] with place, key and what is allowed.
    pub(crate) fn read(
        file: &Path,
        settings: &[Setting],
        registry: &Registry<MessageBatch>,
    ) -> Result<Self, Failure> {
        Self::from_document(Document::read(file, settings)?, registry)
    }

    pub(crate) fn from_document(
        mut document: Document,
        registry: &Registry<MessageBatch>,
    ) -> Result<Self, Failure> {
        let values = match &document.root.value {
            Value::Table(entries) => entries_to_json(entries),
            _ => serde_json::Map::new(),
        };
        let config =
            PipelineConfig::parse(values).map_err(|e| document.explain(e, "", &PipelineConfig::options()))?;
        let source = endpoint(&mut document, "source", |name| {
            registry::source(registry, name, "source.connector").map(|factory| factory.options())
        })?;
        let sink = endpoint(&mut document, "sink", |name| {
            registry::sink(registry, name, "sink.connector").map(|factory| factory.options())
        })?;
        Ok(Self { document, config, source, sink })
    }

    /// An error of the runtime or a connector, with its place in the file if it names an option.
    pub(crate) fn explain(&self, error: Error) -> Failure {
        let named = |end: &Endpoint| matches!(&error, Error::Config { option, .. } if option.split('.').next() == Some(end.prefix));
        let end = [&self.source, &self.sink].into_iter().find(|end| named(end));
        match end {
            Some(end) => self.document.explain(error, end.prefix, &end.specs),
            None => self.document.explain(error, "", &PipelineConfig::options()),
        }
    }

    /// What makes stored state belong to this pipeline: connectors, uids and identity options.
    pub(crate) fn identity(&self) -> BTreeMap<String, String> {
        let mut identity = BTreeMap::new();
        for end in [&self.source, &self.sink] {
            identity.insert(format!("{}.connector", end.prefix), end.connector.clone());
            identity.insert(format!("{}.uid", end.prefix), end.uid.clone());
            identity.extend(end.specs.identity(&end.options));
        }
        identity
    }
}

fn endpoint(
    document: &mut Document,
    prefix: &'static str,
    options: impl FnOnce(&str) -> Result<OptionSet>,
) -> Result<Endpoint, Failure> {
    let option = format!("{prefix}.connector");
    let connector = match document.root.find(&option).0.map(|node| &node.value) {
        Some(Value::Text(name)) => name.clone(),
        Some(other) => {
            let reason =
                format!("is {}; allowed: the name of a connector (see `connect list`)", other.kind());
            return Err(document.error(&option, &reason));
        }
        None => {
            let reason = "is missing; allowed: the name of a connector (see `connect list`)";
            return Err(document.error(&option, reason));
        }
    };
    let specs = options(&connector).map_err(|e| document.explain(e, prefix, &OptionSet::default()))?;
    secrets::resolve(document, prefix, &specs)?;
    let option = format!("{prefix}.uid");
    let uid = match document.root.find(&option).0.map(|node| &node.value) {
        None => prefix.to_owned(),
        Some(Value::Text(uid)) if is_uid(uid) => uid.clone(),
        Some(_) => {
            let reason = "allowed: a text of 1 to 64 letters, digits, `-` and `_`";
            return Err(document.error(&option, reason));
        }
    };
    let mut values = match document.root.find(prefix).0.map(|node| &node.value) {
        Some(Value::Table(entries)) => entries_to_json(entries),
        _ => serde_json::Map::<String, Json>::new(),
    };
    values.remove("connector");
    values.remove("uid");
    Ok(Endpoint { prefix, connector, uid, specs, options: Options::new(prefix, values) })
}

fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
