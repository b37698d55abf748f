//! A source or a sink factory, called alike.

use connector_api::env::Environment;
use connector_api::factory::{ConnectorFactory, FactoryContext, OptionSet, OptionSpec, Options};
use connector_api::{Error, Result, RowBatch};
use serde_json::{Map, Value};

use super::{Example, FactorySubject, Values};

/// What options stand under: no connector can have it by heart.
pub(super) const PREFIX: &str = "under_test";

/// Which end of a pipeline a factory makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Sink,
}

/// One end of a connector: its factory, its example, its options.
pub(super) struct End<B> {
    kind: Kind,
    factory: Box<dyn ConnectorFactory<B>>,
    pub(super) example: Example,
    pub(super) set: OptionSet,
}

impl<B: RowBatch> End<B> {
    pub(super) fn source(subject: &impl FactorySubject<Batch = B>) -> Option<Self> {
        let (factory, example) = (subject.factory(), subject.source()?);
        let set = factory.source()?.options();
        Some(Self { kind: Kind::Source, factory, example, set })
    }

    pub(super) fn sink(subject: &impl FactorySubject<Batch = B>) -> Option<Self> {
        let (factory, example) = (subject.factory(), subject.sink()?);
        let set = factory.sink()?.options();
        Some(Self { kind: Kind::Sink, factory, example, set })
    }

    pub(super) fn of(subject: &impl FactorySubject<Batch = B>, kind: Kind) -> Option<Self> {
        match kind {
            Kind::Source => Self::source(subject),
            Kind::Sink => Self::sink(subject),
        }
    }

    /// The options whose values must not be shown.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &OptionSpec> {
        self.set.0.iter().filter(|spec| spec.kind == "secret")
    }

    /// Makes the connector, and what it says about itself: a sink shows its plan.
    pub(super) fn create(&self, values: &Values, env: &Environment) -> Result<String> {
        let (options, context) = (options(values), context(env));
        match (self.kind, self.factory.source(), self.factory.sink()) {
            (Kind::Source, Some(factory), _) => {
                factory.create(&options, &context).map(|source| format!("{:?}", source.boundedness()))
            }
            (Kind::Sink, _, Some(factory)) => {
                factory.create(&options, &context)?.plan().map(|plan| format!("{plan:?}"))
            }
            _ => Err(Error::contract("factory", "it had this end a moment ago")),
        }
    }

    pub(super) async fn check(&self, values: &Values, env: &Environment) -> Result<()> {
        let (options, context) = (options(values), context(env));
        match (self.kind, self.factory.source(), self.factory.sink()) {
            (Kind::Source, Some(factory), _) => factory.check(&options, &context).await,
            (Kind::Sink, _, Some(factory)) => factory.check(&options, &context).await,
            _ => Err(Error::contract("factory", "it had this end a moment ago")),
        }
    }

    /// The example with this put over it.
    pub(super) fn with(&self, changes: &Values) -> Values {
        let mut values = self.example.options.clone();
        values.extend(changes.clone());
        values
    }

    /// Whether the example gives a value below this table: what is required in it is required then.
    pub(super) fn has_table(&self, table: &str) -> bool {
        let mut at = self.example.options.get(table.split('.').next().unwrap_or_default());
        for part in table.split('.').skip(1) {
            at = at.and_then(|value| value.get(part));
        }
        at.is_some_and(Value::is_object)
    }
}

pub(super) fn options(values: &Values) -> Options {
    Options::new(PREFIX, values.clone())
}

fn context(env: &Environment) -> FactoryContext {
    FactoryContext { env: env.clone(), base_dir: "/base".into() }
}

/// The table that an option's path `a.b.c` ends in, made where it is missing, and the last name.
fn table<'v, 'n>(values: &'v mut Values, path: &'n str) -> (&'v mut Values, &'n str) {
    match path.split_once('.') {
        None => (values, path),
        Some((first, rest)) => {
            let entry = values.entry(first).or_insert(Value::Null);
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            match entry {
                Value::Object(inner) => table(inner, rest),
                // It was made an object a line above.
                _ => unreachable!("a value that is an object and is none"),
            }
        }
    }
}

/// The options with this one set.
pub(super) fn set(values: &Values, path: &str, value: Value) -> Values {
    let mut values = values.clone();
    let (table, name) = table(&mut values, path);
    table.insert(name.to_owned(), value);
    values
}

/// The options without this one.
pub(super) fn without(values: &Values, path: &str) -> Values {
    let mut values = values.clone();
    let (table, name) = table(&mut values, path);
    table.remove(name);
    values
}
