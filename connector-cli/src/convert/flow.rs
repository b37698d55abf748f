//! Both ends of a pipeline, made, with what flows between them.

use connector_api::factory::{FactoryContext, Payload, SinkFactory, SourceFactory};
use connector_api::sink::Sink;
use connector_api::source::BoxSource;
use connector_api::{Error, MessageBatch, Result, RowBatch};

use super::plan::{Carried, Misfit, Plan, decide};
use crate::load::{Endpoint, Loaded};
use crate::registry::{Columns, Registries, Sinks, Sources};

/// A source and a sink.
pub(crate) struct Ends<A, B> {
    pub(crate) source: BoxSource<A>,
    pub(crate) sink: Box<dyn Sink<B>>,
}

/// What flows, from which source into which sink.
pub(crate) enum Flow {
    /// Messages, as they are.
    Messages(Ends<MessageBatch, MessageBatch>),
    /// Columns, as they are.
    Columns(Ends<Columns, Columns>),
    /// JSON objects become columns.
    ToColumns(Ends<MessageBatch, Columns>),
    /// Columns become JSON objects.
    ToMessages(Ends<Columns, MessageBatch>),
    /// Records become JSON objects.
    RecordsToMessages(Ends<MessageBatch, MessageBatch>),
    /// Records become columns.
    RecordsToColumns(Ends<MessageBatch, Columns>),
}

impl Flow {
    /// Decides what flows, and makes both ends. No input or output.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] naming the option, also when nothing can stand between the ends.
    pub(crate) fn make(loaded: &Loaded, registries: &Registries, context: &FactoryContext) -> Result<Self> {
        let sources = registries.source(&loaded.source.connector, "source.connector")?;
        let sinks = registries.sink(&loaded.sink.connector, "sink.connector")?;
        let plan = decide(of_source(&sources, loaded, context)?, of_sink(&sinks, loaded, context)?)
            .map_err(|misfit| refused(loaded, misfit))?;
        if let Some(table) = &loaded.config.convert {
            table.check_for(plan)?;
        }
        let (source, sink) = (&loaded.source, &loaded.sink);
        Ok(match plan {
            Plan::Messages => Self::Messages(ends(sources.messages, source, sinks.messages, sink, context)?),
            Plan::Columns => Self::Columns(ends(sources.columns, source, sinks.columns, sink, context)?),
            Plan::ToColumns => Self::ToColumns(ends(sources.messages, source, sinks.columns, sink, context)?),
            Plan::ToMessages => {
                Self::ToMessages(ends(sources.columns, source, sinks.messages, sink, context)?)
            }
            Plan::RecordsToMessages => {
                Self::RecordsToMessages(ends(sources.messages, source, sinks.messages, sink, context)?)
            }
            Plan::RecordsToColumns => {
                Self::RecordsToColumns(ends(sources.messages, source, sinks.columns, sink, context)?)
            }
        })
    }

    /// Checks that both ends can be reached. The error comes with the end that it is about.
    pub(crate) async fn check<'a>(
        &self,
        loaded: &'a Loaded,
        registries: &Registries,
        context: &FactoryContext,
    ) -> Result<(), (&'a Endpoint, Error)> {
        let end = &loaded.source;
        let factories = registries.source(&end.connector, "source.connector").map_err(|e| (end, e))?;
        let checked = match (self, factories.messages, factories.columns) {
            (Self::Columns(_) | Self::ToMessages(_), _, Some(factory)) => {
                factory.check(&end.options, context).await
            }
            (_, Some(factory), _) => factory.check(&end.options, context).await,
            _ => Ok(()),
        };
        checked.map_err(|e| (end, e))?;
        let end = &loaded.sink;
        let factories = registries.sink(&end.connector, "sink.connector").map_err(|e| (end, e))?;
        let checked = match (self, factories.messages, factories.columns) {
            (Self::Messages(_) | Self::ToMessages(_) | Self::RecordsToMessages(_), Some(factory), _) => {
                factory.check(&end.options, context).await
            }
            (_, _, Some(factory)) => factory.check(&end.options, context).await,
            _ => Ok(()),
        };
        checked.map_err(|e| (end, e))
    }

    /// What is converted, for people; none when nothing is.
    pub(crate) fn conversion(&self) -> Option<&'static str> {
        match self {
            Self::Messages(_) | Self::Columns(_) => None,
            Self::ToColumns(_) => Some("JSON objects become columns"),
            Self::ToMessages(_) => Some("columns become JSON objects"),
            Self::RecordsToMessages(_) => Some(
                "records become JSON objects of key, value, topic, partition, offset, timestamp and headers",
            ),
            Self::RecordsToColumns(_) => {
                Some("records become the columns key, value, topic, partition, offset, timestamp and headers")
            }
        }
    }
}

fn of_source(sources: &Sources<'_>, loaded: &Loaded, context: &FactoryContext) -> Result<Carried> {
    let options = &loaded.source.options;
    let messages = sources.messages.map_or(Ok(None), |factory| factory.payload(options))?;
    let columns = sources.columns.map_or(Ok(None), |factory| factory.payload(options))?.is_some();
    if messages.is_some() || columns {
        return Ok(Carried { messages, columns });
    }
    // The connector knows why.
    match (sources.messages, sources.columns) {
        (Some(factory), _) => factory.create(options, context).map(drop)?,
        (_, Some(factory)) => factory.create(options, context).map(drop)?,
        _ => {}
    }
    Err(Error::config("source", "carries nothing with these options"))
}

fn of_sink(sinks: &Sinks<'_>, loaded: &Loaded, context: &FactoryContext) -> Result<Carried> {
    let options = &loaded.sink.options;
    let messages = sinks.messages.map_or(Ok(None), |factory| factory.payload(options))?;
    let columns = sinks.columns.map_or(Ok(None), |factory| factory.payload(options))?.is_some();
    if messages.is_some() || columns {
        return Ok(Carried { messages, columns });
    }
    // The connector knows why.
    match (sinks.messages, sinks.columns) {
        (Some(factory), _) => factory.create(options, context).map(drop)?,
        (_, Some(factory)) => factory.create(options, context).map(drop)?,
        _ => {}
    }
    Err(Error::config("sink", "takes nothing with these options"))
}

/// One sentence that names both ends, what they carry, and what would work.
fn refused(loaded: &Loaded, Misfit { carries, takes }: Misfit) -> Error {
    let (source, sink) = (&loaded.source, &loaded.sink);
    let format = source.specs.0.iter().any(|spec| spec.name == "format");
    let what_works = match (carries, takes) {
        (Payload::Bytes, Payload::Json | Payload::Columns) if format => {
            "; if its records are JSON objects, say so with `format = \"json\"`"
        }
        _ => "",
    };
    let option = if format { "source.format" } else { "source.connector" };
    let reason = format!(
        "source `{}` carries {carries}, which can't be made the {takes} that sink `{}` takes{what_works}",
        source.connector, sink.connector
    );
    Error::config(option, reason)
}

fn ends<A: RowBatch, B: RowBatch>(
    sources: Option<&dyn SourceFactory<A>>,
    source: &Endpoint,
    sinks: Option<&dyn SinkFactory<B>>,
    sink: &Endpoint,
    context: &FactoryContext,
) -> Result<Ends<A, B>> {
    let absent = |option: &str| Error::config(option, "carries something else");
    let source = sources.ok_or_else(|| absent("source.connector"))?.create(&source.options, context)?;
    let sink = sinks.ok_or_else(|| absent("sink.connector"))?.create(&sink.options, context)?;
    // The plan says whether options contradict each other; the runtime asks for its own.
    let _ = sink.plan()?;
    Ok(Ends { source, sink })
}
