//! From a pipeline's file to checked options: everything that can be told without touching what they point at.

use std::collections::BTreeMap;
use std::path::Path;

use connector_api::factory::{OptionSet, Options};
use connector_api::{Error, Result};
use serde_json::Value as Json;

use crate::convert::ValueEncoding;
use crate::failure::Failure;
use crate::file::Document;
use crate::pipeline::PipelineConfig;
use crate::registry::Registries;
use crate::secrets;
use crate::set::Setting;
use crate::tree::{Value, entries_to_json};

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
    pub(crate) fn read(file: &Path, settings: &[Setting], registries: &Registries) -> Result<Self, Failure> {
        Self::from_document(Document::read(file, settings)?, registries)
    }

    pub(crate) fn from_document(mut document: Document, registries: &Registries) -> Result<Self, Failure> {
        let values = match &document.root.value {
            Value::Table(entries) => entries_to_json(entries),
            _ => serde_json::Map::new(),
        };
        let config =
            PipelineConfig::parse(values).map_err(|e| document.explain(e, "", &PipelineConfig::options()))?;
        let source = endpoint(&mut document, "source", |name| {
            registries.source(name, "source.connector")?;
            Ok(registries.get(name, "source.connector")?.source.unwrap_or_default())
        })?;
        let sink = endpoint(&mut document, "sink", |name| {
            registries.sink(name, "sink.connector")?;
            Ok(registries.get(name, "sink.connector")?.sink.unwrap_or_default())
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
        // What another schema makes of the same input is another table. One that was inferred is kept beside the checkpoints.
        if let Some(schema) = self.config.convert.as_ref().and_then(|convert| convert.schema.as_ref()) {
            identity.insert("convert.schema".to_owned(), schema.text());
        }
        let encoding = self.config.convert.as_ref().map(|convert| convert.value_encoding).unwrap_or_default();
        if encoding != ValueEncoding::default() {
            identity.insert("convert.value_encoding".to_owned(), format!("{encoding:?}").to_lowercase());
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

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use connector_api::MessageBatch;
    use connector_api::factory::{ConnectorFactory, FactoryContext, Registry, SinkFactory, SourceFactory};
    use connector_api::secret::Secret;
    use connector_api::sink::Sink;
    use connector_api::source::BoxSource;

    /// A connector that is never made: only its options are looked at.
    struct Sample;

    /// Its options.
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct SampleOptions {
        /// Which one.
        #[schemars(extend("x-identity" = true))]
        topic: String,
        /// What opens it.
        #[serde(default)]
        password: Option<Secret>,
    }

    impl ConnectorFactory<MessageBatch> for Sample {
        fn identifier(&self) -> &'static str {
            "sample"
        }

        fn about(&self) -> &'static str {
            "a sample"
        }

        fn source(&self) -> Option<&dyn SourceFactory<MessageBatch>> {
            Some(self)
        }

        fn sink(&self) -> Option<&dyn SinkFactory<MessageBatch>> {
            Some(self)
        }
    }

    #[async_trait]
    impl SourceFactory<MessageBatch> for Sample {
        fn options(&self) -> OptionSet {
            OptionSet::of::<SampleOptions>()
        }

        fn create(&self, options: &Options, _: &FactoryContext) -> Result<BoxSource<MessageBatch>> {
            options.parse::<SampleOptions>()?;
            Err(options.error("topic", "is only a sample"))
        }

        async fn check(&self, _: &Options, _: &FactoryContext) -> Result<()> {
            Ok(())
        }
    }

    #[async_trait]
    impl SinkFactory<MessageBatch> for Sample {
        fn options(&self) -> OptionSet {
            OptionSet::of::<SampleOptions>()
        }

        fn create(&self, options: &Options, _: &FactoryContext) -> Result<Box<dyn Sink<MessageBatch>>> {
            options.parse::<SampleOptions>()?;
            Err(options.error("topic", "is only a sample"))
        }

        async fn check(&self, _: &Options, _: &FactoryContext) -> Result<()> {
            Ok(())
        }
    }

    const TEXT: &str = "name = 'x'\ncheckpoint = { dir = 'c' }\n[source]\nconnector = 'sample'\ntopic = 'a'\n\
                        password = { file = 'pw' }\n[sink]\nconnector = 'sample'\nuid = 'last'\ntopic = 'b'\n";

    fn loaded(text: &str) -> Result<Loaded, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(dir.path().join("pw")).unwrap();
        std::io::Write::write_all(&mut file, b"hunter2").unwrap();
        let document = Document::parse(Path::new("p.toml"), dir.path().into(), text.to_owned(), &[]);
        let registries = Registries { messages: Registry::new().with(Sample), columns: Registry::new() };
        Loaded::from_document(document.map_err(|e| e.to_string())?, &registries).map_err(|e| e.to_string())
    }

    #[test]
    fn secrets_reach_the_connector_and_nothing_else() {
        let loaded = loaded(TEXT).unwrap();
        let options: SampleOptions = loaded.source.options.parse().unwrap();
        assert_eq!(options.password, Some(Secret::new("hunter2")));
        assert!(!format!("{loaded:?}").contains("hunter2"));
        let plain = self::loaded(&TEXT.replace("{ file = 'pw' }", "'hunter2'")).unwrap();
        assert!(!format!("{plain:?}").contains("hunter2"));
        assert!(!format!("{:?}", loaded.identity()).contains("hunter2"));
    }

    #[test]
    fn the_identity_is_connectors_uids_and_identity_options() {
        let identity = loaded(TEXT).unwrap().identity();
        let pairs: Vec<_> = identity.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = [
            ("sink.connector", "sample"),
            ("sink.topic", "b"),
            ("sink.uid", "last"),
            ("source.connector", "sample"),
            ("source.topic", "a"),
            ("source.uid", "source"),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn a_connectors_refusal_is_put_to_its_line_with_what_is_allowed() {
        let loaded = loaded(&TEXT.replace("topic = 'b'", "topic = 7")).unwrap();
        let refused = loaded.sink.options.parse::<SampleOptions>().map(|_| ()).unwrap_err();
        let message = loaded.explain(refused).to_string();
        assert!(message.starts_with("p.toml:10: option `sink.topic`: invalid type"), "{message}");
        assert!(message.ends_with("allowed: string (Which one)"), "{message}");
    }

    #[test]
    fn a_connector_and_a_uid_must_be_what_they_can_be() {
        let cases = [
            (
                "connector = 'sample'\ntopic = 'a'",
                "topic = 'a'",
                "p.toml:3: option `source.connector`: is missing",
            ),
            (
                "connector = 'sample'\ntopic = 'a'",
                "connector = 1\ntopic = 'a'",
                "p.toml:4: option `source.connector`",
            ),
            (
                "'sample'\nuid",
                "'simple'\nuid",
                "p.toml:8: option `sink.connector`: there is no connector `simple`",
            ),
            ("uid = 'last'", "uid = '../x'", "p.toml:9: option `sink.uid`: allowed"),
        ];
        for (from, to, expected) in cases {
            let message = loaded(&TEXT.replace(from, to)).map(|_| ()).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
