//! Merging parts record by record.

use std::path::Path;

use bytes::Bytes;
use connector_api::env::Environment;
use connector_api::{Error, Result};

use crate::format::Rewrite;
use crate::input::{Input, LocalInput};
use crate::sink::committable::StagedFile;
use crate::sink::local::{PartFile, look};
use crate::sink::naming;

/// Writes the records of the inputs into a new file and makes its content durable; gives its length. `between` is called before
/// each stretch that is written, and may give the work up.
///
/// # Errors
///
/// [`Error::Lost`] when an input is gone; [`Error::Data`] when one is not what was staged; the system's; those of `between`.
pub(super) fn into_file(
    env: &Environment,
    dir: &Path,
    rewrite: &dyn Rewrite,
    inputs: &[StagedFile],
    into: &PartFile,
    between: &dyn Fn() -> Result<()>,
) -> Result<u64> {
    let mut offset = 0;
    let mut write = |chunks: Vec<Bytes>| {
        between()?;
        for chunk in chunks {
            into.file.write_all_at(&chunk, offset).map_err(Error::io("write", &into.path))?;
            offset += chunk.len() as u64;
        }
        Ok(())
    };
    let rows = rewrite.rewrite(&mut inputs.iter().map(|input| open(env, dir, input)), &mut write)?;
    check_rows(inputs, rows)?;
    into.file.sync_data().map_err(Error::io("fdatasync", &into.path))?;
    Ok(offset)
}

/// Whether no record was lost or made up, as far as the inputs were counted.
///
/// # Errors
///
/// [`Error::Data`] naming the first input.
pub(crate) fn check_rows(inputs: &[StagedFile], rows: u64) -> Result<()> {
    let expected = inputs.iter().map(|input| input.rows).fold(0, u64::saturating_add);
    if rows == expected || inputs.iter().any(|input| input.rows == 0) {
        return Ok(());
    }
    let first = inputs.first().map_or_else(String::new, |input| input.name.clone());
    let reason =
        format!("is merged with others into {rows} records, and {expected} were written: a part was changed");
    Err(Error::data(first, None, reason))
}

fn open(env: &Environment, dir: &Path, input: &StagedFile) -> Result<Box<dyn Input>> {
    let no_file = || Error::state("file-compactor", format!("{} was not staged in a file", input.name));
    let path = naming::path_in(dir, input.hidden().ok_or_else(no_file)?)?;
    match look(env, &path)? {
        Some(found) => Ok(Box::new(LocalInput::open(env.fs.clone(), path, found.into())?)),
        None => Err(Error::Lost(format!("the part {} that was to be merged is gone", path.display()))),
    }
}
