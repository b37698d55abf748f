//! How a writer goes on from parts that a checkpoint left open.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::{Access, Environment};
use connector_api::sink::WriterContext;
use connector_api::{Error, Result};

use super::file::{PartFile, Piece, buckets, concatenate, look, shorter, sync_dirs};
use crate::sink::committable::WriterState;
use crate::sink::config::SinkConfig;
use crate::sink::naming::{self, Uid};

/// How long an attempt waits for its predecessor to let go of a part. Within one process that is one write or sync.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the part of a state, cut to the length in it, durably.
///
/// After going back to an older checkpoint, the file may belong to a later one as well: then it is left as it is, for the
/// sweep that knows whether a checkpoint still names it, and its beginning is copied to a part of this attempt, of number
/// `counter`. A part that is gone has become visible then: none.
///
/// # Errors
///
/// [`Error::Lost`] when the file is missing or shorter than the state says, naming it; an I/O error of kind `WouldBlock`
/// when an earlier attempt still holds it.
pub(crate) async fn reopen(
    context: &WriterContext,
    config: &Arc<SinkConfig>,
    state: WriterState,
    counter: u64,
) -> Result<Option<(PartFile, WriterState)>> {
    let env = &context.env;
    let going_back = context.restored.is_some_and(|restored| restored.going_back);
    let path = naming::path_in(&config.dir, &state.staged)?;
    naming::path_in(&config.dir, &state.name)?;
    let probe = (env.clone(), path.clone());
    let found = env.blocking("look at a part", move || look(&probe.0, &probe.1)).await?;
    match found {
        None if going_back => {
            tracing::warn!(part = %path.display(), "part is gone: it became visible after the checkpoint that the job went back to");
            return Ok(None);
        }
        None => {
            return Err(Error::Lost(format!(
                "the part in progress {} is gone, with {} bytes that the checkpoint counts on (it was to appear as {})",
                path.display(),
                state.length,
                state.name
            )));
        }
        Some(found) if found.len < state.length => return Err(shorter(&path, found.len, state.length)),
        Some(_) => {}
    }
    let (job_env, config) = (env.clone(), config.clone());
    if going_back {
        let uid = Uid { attempt: context.attempt, subtask: context.subtask };
        return env
            .blocking("copy a part", move || copy(&job_env, &config, state, uid, counter).map(Some))
            .await;
    }
    let give_up = env.clock.monotonic() + PATIENCE;
    let lock = loop {
        match env.fs.lock(&path) {
            Ok(lock) => break lock,
            Err(e) if e.kind() == ErrorKind::WouldBlock && env.clock.monotonic() < give_up => {
                env.clock.sleep(Duration::from_millis(20)).await;
            }
            Err(e) => return Err(Error::io("take over from an earlier attempt", &path)(e)),
        }
    };
    env.blocking("cut a part", move || {
        let file = job_env.fs.open(&path, Access::ReadWrite).map_err(Error::io("open", &path))?;
        let part = PartFile { file, path, _lock: Some(lock) };
        cut(&job_env, &part, state.length)?;
        Ok(Some((part, state)))
    })
    .await
}

fn cut(env: &Environment, part: &PartFile, length: u64) -> Result<()> {
    part.file.set_len(length).map_err(Error::io("cut", &part.path))?;
    env.crash.hit("file-writer/after-cut");
    part.sync(env)
}

fn copy(
    env: &Environment,
    config: &SinkConfig,
    mut state: WriterState,
    uid: Uid,
    counter: u64,
) -> Result<(PartFile, WriterState)> {
    let dir: &Path = &config.dir;
    let (bucket, _) = naming::split(&state.name);
    let name = naming::within(bucket, &config.names.part(uid, counter));
    let staged = naming::hidden(&name);
    let part = PartFile::create(env, dir, &staged, !config.rolling.on_checkpoint)?;
    let pieces = [Piece { name: state.staged.clone(), length: state.length }];
    concatenate(env, dir, &pieces, &part, || Ok(()))?;
    sync_dirs(env, &buckets(dir, [staged.as_str()])?)?;
    (state.staged, state.name) = (staged, name);
    Ok((part, state))
}
