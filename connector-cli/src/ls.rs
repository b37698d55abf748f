//! `connect ls`: what stands in a sink's directory, or below its prefix of an object store. Moves nothing, and works while the job runs.

mod place;
mod show;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use connector_api::env::Environment;
use connector_file::sink::listing::{FileKind, ListedFile, PendingFile, SinkObjects, pending};
use connector_file::sink::{MANIFEST, Manifest};
use connector_runtime::storage::Look;
use serde::Serialize;

use crate::args::LsArgs;
use crate::failure::Failure;
use crate::load::Loaded;
use crate::registry;
use crate::tree::Value;

use place::Place;

/// The connector whose sinks write into directories.
const FILE: &str = "file";

/// Where to look.
struct Target {
    place: Place,
    /// The checkpoints of the job that writes there.
    checkpoints: Option<PathBuf>,
    /// Whether a directory that is not there is empty: the job has not begun.
    may_be_missing: bool,
}

/// What a file is to the job that writes into the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Readers of the directory see it.
    Visible,
    /// Not data, by convention: `_SUCCESS` and the like.
    Mark,
    /// Hidden, and a checkpoint that is kept names it: it will be published, merged or gone on with.
    Pending,
    /// Hidden, made by the newest attempt of a job that runs, and no checkpoint names it yet.
    InProgress,
    /// Hidden, and no checkpoint names it: the next start of the job removes it.
    Orphaned,
    /// Hidden, and of a run that these checkpoints know nothing of.
    OtherRun,
    /// Hidden, made by a sink; no checkpoints were given that would tell more.
    Hidden,
    /// Hidden, and nothing that a sink makes.
    Foreign,
}

/// A file with its state.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    state: State,
    /// Of one that is not finished: what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    bytes: u64,
    /// If the checkpoint or a manifest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u64>,
    /// The name that it will appear under.
    #[serde(skip_serializing_if = "Option::is_none")]
    becomes: Option<String>,
}

/// The job, as its checkpoints tell.
#[derive(Debug, Serialize)]
struct Job {
    checkpoints: String,
    /// How many checkpoints and savepoints are kept.
    kept: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    attempt: u64,
    /// The process that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<u32>,
}

/// Everything.
#[derive(Debug, Serialize)]
struct Listing {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<Job>,
    files: Vec<Entry>,
}

/// Lists a sink's directory.
pub(crate) fn ls(args: &LsArgs) -> Result<(), Failure> {
    let env = connector_runtime::local::environment();
    let listing = look(&env, &target(args, &env)?)?;
    if args.json {
        show::json(&listing);
    } else {
        show::text(&listing);
    }
    Ok(())
}

fn target(args: &LsArgs, env: &Environment) -> Result<Target, Failure> {
    let here = |path: &Path| {
        std::path::absolute(path).map_err(|e| Failure::Configuration(format!("{}: {e}", path.display())))
    };
    if let Some(path) = &args.path {
        let refuse = |reason: String| Failure::Configuration(format!("{}: {reason}", path.display()));
        let place = match SinkObjects::at(path).map_err(|e| refuse(e.to_string()))? {
            Some(objects) => Place::objects(objects).map_err(refuse)?,
            None => Place::Local(env.fs.clone(), here(path)?),
        };
        let checkpoints = args.checkpoints.as_deref().map(here).transpose()?;
        return Ok(Target { place, checkpoints, may_be_missing: false });
    }
    let file = args.file.as_deref().unwrap_or(Path::new(""));
    let loaded = Loaded::read(file, &args.settings, &registry::registries())?;
    let (document, sink) = (&loaded.document, &loaded.sink);
    if sink.connector != FILE {
        let reason =
            format!("`connect ls` looks at what `{FILE}` writes, and this sink is `{}`", sink.connector);
        return Err(document.error("sink.connector", &reason));
    }
    let place = match document.root.find("sink.path").0.map(|node| &node.value) {
        Some(Value::Text(path)) if path.contains("://") => {
            let objects = SinkObjects::of(&sink.options, Path::new("")).map_err(|e| loaded.explain(e))?;
            let local = || document.error("sink.path", "is no URL of an object store");
            let objects = objects.ok_or_else(local)?;
            Place::objects(objects).map_err(|reason| document.error("sink.path", &reason))?
        }
        Some(Value::Text(path)) => Place::Local(env.fs.clone(), document.resolve(Path::new(path))),
        _ => {
            return Err(
                document.error("sink.path", "is missing; allowed: the directory that the files appear in")
            );
        }
    };
    let checkpoints = Some(document.resolve(&loaded.config.checkpoint.dir));
    Ok(Target { place, checkpoints, may_be_missing: true })
}

fn look(env: &Environment, target: &Target) -> Result<Listing, Failure> {
    let (fs, place) = (&*env.fs, &target.place);
    // The files first: what they were is then known to the checkpoints, or has been settled since.
    let listed = place.list(target.may_be_missing)?;
    let counted = counted(place, &listed)?;
    let entry = |file: ListedFile, state, about| {
        let records = counted.get(&file.name).copied();
        entry(file, state, about, records)
    };
    let Some(checkpoints) = &target.checkpoints else {
        let files = listed.into_iter().map(|file| entry(file, State::Hidden, None)).collect();
        return Ok(Listing { path: place.name(), job: None, files });
    };
    if let (Err(e), false) = (fs.metadata(checkpoints), target.may_be_missing) {
        return Err(Failure::Configuration(format!("{}: {e}", checkpoints.display())));
    }
    let look = Look::at(fs, checkpoints)?;
    let known = pending(&look.references())?;
    let process = look.holder.filter(|pid| runs(*pid));
    let mut files = Vec::new();
    for file in listed {
        let state = state(&file, &look, process.is_some(), &known);
        // An orphan that is gone by now was none: it was published, merged or swept since it was listed.
        if state == State::Orphaned && place.is_gone(&file.name)? {
            continue;
        }
        let about = known.get(file.known_as());
        files.push(entry(file, state, about));
    }
    let job = Job {
        checkpoints: checkpoints.display().to_string(),
        kept: look.checkpoints.len(),
        run: look.run.map(|run| run.to_string()),
        attempt: look.attempts,
        process,
    };
    Ok(Listing { path: place.name(), job: Some(job), files })
}

/// The state of a hidden file.
fn state(file: &ListedFile, look: &Look, is_running: bool, known: &BTreeMap<String, PendingFile>) -> State {
    let Some(attempt) = file.kind.attempt() else { return State::Foreign };
    if known.contains_key(file.known_as()) {
        State::Pending
    } else if look.run == Some(attempt.run) {
        let is_newest = attempt.number >= look.attempts;
        if is_running && is_newest { State::InProgress } else { State::Orphaned }
    } else if look.ancestors.contains(&attempt.run) {
        State::Orphaned
    } else {
        State::OtherRun
    }
}

/// The records of visible files, as the manifests of their buckets say.
fn counted(place: &Place, listed: &[ListedFile]) -> Result<BTreeMap<String, u64>, Failure> {
    let mut counted = BTreeMap::new();
    for file in listed {
        let (bucket, name) =
            file.name.rsplit_once('/').map_or(("", &*file.name), |(bucket, name)| (bucket, name));
        if name != MANIFEST {
            continue;
        }
        let Some(content) = place.read(&file.name)? else { continue };
        let below = if bucket.is_empty() { String::new() } else { format!("{bucket}/") };
        let manifest = Manifest::read(&content, &format!("{}/{}", place.name(), file.name))?;
        counted
            .extend(manifest.files.into_iter().map(|file| (format!("{below}{}", file.name), file.records)));
    }
    Ok(counted)
}

fn entry(file: ListedFile, hidden: State, about: Option<&PendingFile>, counted: Option<u64>) -> Entry {
    let (state, kind) = match file.kind {
        FileKind::Visible => (State::Visible, None),
        FileKind::Mark => (State::Mark, None),
        FileKind::InProgress(_) => (hidden, Some("part")),
        FileKind::Merging(_) => (hidden, Some("merge")),
        FileKind::Uploading(_) => (hidden, Some("upload")),
        _ => (State::Foreign, None),
    };
    let attempt = file.kind.attempt();
    Entry {
        name: file.name,
        state,
        kind,
        bytes: match file.kind {
            // The marker's own length says nothing.
            FileKind::Uploading(_) => about.map_or(0, |about| about.bytes),
            _ => file.bytes,
        },
        records: about.map(|about| about.records).or(counted).filter(|records| *records > 0),
        run: attempt.map(|attempt| attempt.run.to_string()),
        attempt: attempt.map(|attempt| attempt.number),
        becomes: about.and_then(|about| about.becomes.clone()),
    }
}

/// Whether a process is there. Where that can't be told, it is taken to be.
fn runs(pid: u32) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(pid.to_string()).exists()
}
