//! What is done with a store without opening it.

use std::path::Path;

use connector_api::env::Environment;

use super::identity::{identity, take, write_identity};
use crate::container::{self, Salvaged, Verified};
use crate::error::{Error, Result};
use crate::id::StreamName;
use crate::options::StoreOptions;
use crate::{log, object};

/// Whether a stream is in a store, as its files say it at the moment: for telling a user early what is missing. Writes nothing, whoever has the store open,
/// and promises nothing: what was found may not be durable yet. Reads the newest snapshot, and the log behind it. Blocks.
///
/// # Errors
///
/// [`Error::NoStore`], [`Error::Corrupt`], the system's.
pub fn holds(env: &Environment, dir: &Path, stream: &StreamName) -> Result<bool> {
    let id = identity(&*env.fs, dir)?.ok_or_else(|| Error::NoStore { dir: dir.to_path_buf() })?;
    container::holds(&env.fs, dir, id, stream)
}

/// Reads everything that a store holds, which nobody has open, and compares it with what the store says of it. Changes nothing.
/// Blocks.
///
/// # Errors
///
/// [`Error::Locked`], [`Error::NoStore`], the system's. What is broken is in the answer.
pub fn verify(env: &Environment, dir: &Path) -> Result<Verified> {
    let id = identity(&*env.fs, dir)?.ok_or_else(|| Error::NoStore { dir: dir.to_path_buf() })?;
    let _lock = take(&*env.fs, dir)?;
    container::verify(&env.fs, dir, id)
}

/// Makes a new store at `to` of what can be read of a damaged one: everything up to the first damage of the log, of every segment all that
/// comes before the first byte that can't be read. The damaged store stays as it is. Blocks.
///
/// # Errors
///
/// [`Error::Exists`] when `to` holds something; [`Error::Locked`], [`Error::NoStore`], the system's.
pub fn salvage(env: &Environment, dir: &Path, to: &Path) -> Result<Salvaged> {
    let id = identity(&*env.fs, dir)?.ok_or_else(|| Error::NoStore { dir: dir.to_path_buf() })?;
    let _lock = take(&*env.fs, dir)?;
    env.fs.create_dir_all(to).map_err(Error::io("make", to))?;
    if !env.fs.list(to).map_err(Error::io("list", to))?.is_empty() {
        return Err(Error::Exists(to.display().to_string()));
    }
    let new = u128::from(env.random.next_u64()) << 64 | u128::from(env.random.next_u64());
    for files in [log::dir(to), object::dir(to), container::snapshot_dir(to)] {
        env.fs.create_dir_all(&files).map_err(Error::io("make", &files))?;
    }
    let saved = container::salvage(&env.fs, dir, id, to, new, StoreOptions::default().log_file_size)?;
    // Without it the rest is no store.
    write_identity(&*env.fs, to, new)?;
    Ok(saved)
}
