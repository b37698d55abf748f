//! `connect check`: the options, and whether what they point at can be reached. Moves and creates nothing.

use std::path::Path;

use connector_api::factory::{FactoryContext, Registry};
use connector_api::sink::Sink;
use connector_api::source::BoxSource;
use connector_api::{Error, MessageBatch};

use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::load::{Endpoint, Loaded};
use crate::{output, registry};

/// Both ends of a pipeline, made and found reachable.
pub(crate) struct Ends {
    pub(crate) source: BoxSource<MessageBatch>,
    pub(crate) sink: Box<dyn Sink<MessageBatch>>,
}

/// Checks a pipeline and says what it found.
pub(crate) async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let registry = registry::registry();
    let loaded = Loaded::read(&args.file, &args.settings, &registry)?;
    reach(&loaded, &registry, &connector_runtime::local::environment()).await?;
    let (source, sink) = (&loaded.source.connector, &loaded.sink.connector);
    output::line(&format!(
        "{}: job `{}` is fine: source `{source}` and sink `{sink}` can be reached",
        args.file.display(),
        loaded.config.name
    ));
    Ok(())
}

/// Makes both ends and checks that they, and the place for checkpoints, can be reached.
///
/// # Errors
///
/// [`Failure::Configuration`] with place and key.
pub(crate) async fn reach(
    loaded: &Loaded,
    registry: &Registry<MessageBatch>,
    env: &connector_api::env::Environment,
) -> Result<Ends, Failure> {
    let context = FactoryContext { env: env.clone(), base_dir: loaded.document.base_dir.clone() };
    let explain = |e| loaded.explain(e);
    let end = &loaded.source;
    let source_factory = registry::source(registry, &end.connector, "source.connector").map_err(explain)?;
    let source = source_factory.create(&end.options, &context).map_err(explain)?;
    let end = &loaded.sink;
    let sink_factory = registry::sink(registry, &end.connector, "sink.connector").map_err(explain)?;
    let sink = sink_factory.create(&end.options, &context).map_err(explain)?;
    // The plan says whether options contradict each other; the runtime asks for its own.
    let _ = sink.plan().map_err(explain)?;
    checkpoint_dir(loaded, env)?;
    let end = &loaded.source;
    source_factory.check(&end.options, &context).await.map_err(|e| unreachable_end(loaded, end, e))?;
    let end = &loaded.sink;
    sink_factory.check(&end.options, &context).await.map_err(|e| unreachable_end(loaded, end, e))?;
    Ok(Ends { source, sink })
}

/// An error of a check that names no option: at the option whose value is its path, or at the table of the end.
fn unreachable_end(loaded: &Loaded, end: &Endpoint, error: Error) -> Failure {
    let Error::Io { path, .. } = &error else {
        return match error {
            Error::Config { .. } => loaded.explain(error),
            other => loaded.document.error(end.prefix, &other.to_string()),
        };
    };
    let is_path = |name: &str| {
        let node = loaded.document.root.find(&format!("{}.{name}", end.prefix)).0;
        matches!(node.map(|node| &node.value), Some(crate::tree::Value::Text(text))
            if !text.is_empty() && path.starts_with(loaded.document.resolve(Path::new(text))))
    };
    let option = end.specs.0.iter().find(|spec| is_path(&spec.name));
    let option = option.map_or(end.prefix.to_owned(), |spec| format!("{}.{}", end.prefix, spec.name));
    loaded.document.error(&option, &error.to_string())
}

/// The nearest directory on the way to the place for checkpoints must be a directory.
fn checkpoint_dir(loaded: &Loaded, env: &connector_api::env::Environment) -> Result<(), Failure> {
    let dir = loaded.document.resolve(&loaded.config.checkpoint.dir);
    for ancestor in dir.ancestors() {
        let reason = match env.fs.metadata(ancestor) {
            Ok(found) if found.is_dir => return Ok(()),
            Ok(_) => format!("{} is not a directory", ancestor.display()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => continue,
            Err(e) => format!("{}: {e}", ancestor.display()),
        };
        return Err(loaded.document.error("checkpoint.dir", &reason));
    }
    Ok(())
}
