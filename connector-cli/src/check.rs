//! `connect check`: the options, and whether what they point at can be reached. Moves and creates nothing.

use std::path::Path;

use connector_api::Error;
use connector_api::env::Environment;
use connector_api::factory::FactoryContext;

use crate::args::CheckArgs;
use crate::convert::{self, Flow};
use crate::failure::Failure;
use crate::load::{Endpoint, Loaded};
use crate::output;
use crate::registry::{self, Registries};

/// Checks a pipeline and says what it found.
pub(crate) async fn check(args: &CheckArgs) -> Result<(), Failure> {
    let registries = registry::registries();
    let loaded = Loaded::read(&args.file, &args.settings, &registries)?;
    let env = connector_runtime::local::environment();
    let flow = reach(&loaded, &registries, &env).await?;
    let (source, sink) = (&loaded.source.connector, &loaded.sink.connector);
    output::line(&format!(
        "{}: job `{}` is fine: source `{source}` and sink `{sink}` can be reached",
        args.file.display(),
        loaded.config.name
    ));
    if let Some(conversion) = flow.conversion() {
        output::line(conversion);
    }
    if let Flow::ToColumns(_) = flow {
        let found = convert::for_check(&loaded, &registries, &context(&loaded, &env)).await;
        output::line(&format!("columns: {}", found.map_err(|e| of_schema(&loaded, e))?.describe()));
    }
    Ok(())
}

/// What factories are called with.
pub(crate) fn context(loaded: &Loaded, env: &Environment) -> FactoryContext {
    FactoryContext { env: env.clone(), base_dir: loaded.document.base_dir.clone() }
}

/// Why there are no columns: with its place, whatever kind of error it is.
pub(crate) fn of_schema(loaded: &Loaded, error: Error) -> Failure {
    match error {
        Error::Data { .. } => loaded.document.error("source", &error.to_string()),
        other => loaded.explain(other),
    }
}

/// Makes both ends and checks that they, and the place for checkpoints, can be reached.
///
/// # Errors
///
/// [`Failure::Configuration`] with place and key.
pub(crate) async fn reach(
    loaded: &Loaded,
    registries: &Registries,
    env: &Environment,
) -> Result<Flow, Failure> {
    let context = context(loaded, env);
    let flow = Flow::make(loaded, registries, &context).map_err(|e| loaded.explain(e))?;
    checkpoint_dir(loaded, env)?;
    flow.check(loaded, registries, &context).await.map_err(|(end, e)| unreachable_end(loaded, end, e))?;
    Ok(flow)
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
fn checkpoint_dir(loaded: &Loaded, env: &Environment) -> Result<(), Failure> {
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
