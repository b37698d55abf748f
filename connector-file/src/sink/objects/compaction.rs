//! Merging parts in an object store.

use bytes::Bytes;
use connector_api::{Error, Result};

use super::upload::{Upload, Uploads};
use crate::format::Rewrite;
use crate::input::Input;
use crate::place::{Object, ObjectInput, Objects, wait};
use crate::sink::committable::{Staged, StagedFile};
use crate::sink::compaction::check_rows;
use crate::sink::config::SinkConfig;
use crate::sink::metrics;
use crate::sink::naming::{self, Uid};

/// What is read of an input at once.
const STRETCH: u64 = 8 << 20;

/// Merges parts into one upload. Blocks. `between` is called before each stretch of at most 8 MiB and may give the work up.
///
/// The result has a name of its own, that of the first part with the uid of the merge: an upload appears under the name that
/// it was begun with, so no name may be given twice, also after going back to an older checkpoint.
///
/// # Errors
///
/// [`Error::Lost`] when an input is gone, [`Error::Data`] when it is not what was staged; those of the store and of `between`.
pub(crate) fn merge(
    uploads: &Uploads,
    config: &SinkConfig,
    uid: Uid,
    inputs: Vec<StagedFile>,
    between: &dyn Fn() -> Result<()>,
) -> Result<StagedFile> {
    let (env, objects) = (&uploads.env, &uploads.place.objects);
    let mut opened = Vec::with_capacity(inputs.len());
    for input in &inputs {
        opened.push(open(objects, input)?);
    }
    env.crash.hit("file-compactor/before-merge");
    let Some(first) = inputs.first().map(|input| &input.name) else {
        return Err(Error::contract("file compactor", "merges nothing"));
    };
    let no_part = || Error::state("file-compactor", format!("{first} is not the name of a part"));
    let name = config.names.beside(&naming::compacting(first, uid)).ok_or_else(no_part)?;
    let mut length = 0;
    let mut upload = Upload::new(uploads, &name, &naming::uploading(first, uid))?;
    if let Some(rewrite) = &config.rewrite {
        length = rewritten(uploads, &**rewrite, &inputs, &mut upload, between)?;
    }
    let joined = if config.rewrite.is_none() { &inputs[..] } else { &[] };
    for (input, object) in joined.iter().zip(&opened) {
        let mut done = 0;
        while done < input.length {
            between()?;
            let end = input.length.min(done + STRETCH);
            let (bytes, found) = wait(objects.read(object, done, end))??;
            if found.len != input.length || bytes.len() as u64 != end - done {
                return Err(changed(object, found.len, input.length));
            }
            wait(upload.write(&[bytes]))??;
            env.crash.hit("file-compactor/mid-merge");
            done = end;
        }
        length += input.length;
    }
    between()?;
    let (id, parts) = wait(upload.finish())??;
    env.crash.hit("file-compactor/after-merge");
    metrics::count(metrics::COMPACTION_FILES_IN, inputs.len() as u64);
    metrics::count(metrics::COMPACTION_BYTES_IN, inputs.iter().map(|input| input.length).sum());
    metrics::count(metrics::COMPACTION_FILES_OUT, 1);
    metrics::count(metrics::COMPACTION_BYTES_OUT, length);
    let (mut rows, mut count, mut gone) = (0_u64, 0_u32, Vec::with_capacity(inputs.len()));
    for input in inputs {
        rows = rows.saturating_add(input.rows);
        count = count.saturating_add(input.parts);
        if let Staged::Hidden(hidden) = input.staged {
            gone.push(hidden);
        }
        gone.extend(input.inputs);
    }
    Ok(StagedFile { staged: Staged::Upload { id, parts }, name, length, rows, parts: count, inputs: gone })
}

/// Merges record by record; gives the length of the result.
fn rewritten(
    uploads: &Uploads,
    rewrite: &dyn Rewrite,
    inputs: &[StagedFile],
    upload: &mut Upload,
    between: &dyn Fn() -> Result<()>,
) -> Result<u64> {
    let (env, objects) = (&uploads.env, &uploads.place.objects);
    let mut length = 0;
    let mut opened = inputs.iter().map(|input| {
        let object = open(objects, input)?;
        let found = wait(objects.look(&object))??.ok_or_else(|| changed(&object, 0, input.length))?;
        let hidden = input.hidden().unwrap_or_default();
        let input = ObjectInput::open(env.clone(), objects.clone(), hidden, found.into(), found.len)?;
        Ok(Box::new(input) as Box<dyn Input>)
    });
    let mut write = |chunks: Vec<Bytes>| {
        between()?;
        length += chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        wait(upload.write(&chunks))??;
        env.crash.hit("file-compactor/mid-merge");
        Ok(())
    };
    let rows = rewrite.rewrite(&mut opened, &mut write)?;
    check_rows(inputs, rows)?;
    Ok(length)
}

/// The hidden object of an input, which must be there as it was staged.
fn open(objects: &Objects, input: &StagedFile) -> Result<Object> {
    let not_hidden =
        || Error::state("file-compactor", format!("{} can't be read before its commit", input.name));
    let object = objects.at(input.hidden().ok_or_else(not_hidden)?)?;
    match wait(objects.look(&object))?? {
        Some(found) if found.len == input.length => Ok(object),
        Some(found) => Err(changed(&object, found.len, input.length)),
        None => Err(Error::Lost(format!(
            "the part {} that was to be merged is gone, with {} bytes",
            object.url, input.length
        ))),
    }
}

fn changed(object: &Object, found: u64, expected: u64) -> Error {
    let reason =
        format!("has {found} bytes, its committable says {expected}: it was changed after it was closed");
    Error::data(object.url.clone(), None, reason)
}

/// Of these files, those that are not visible yet, after going back; hidden objects of the others are removed.
pub(crate) async fn still_hidden(objects: &Objects, files: Vec<StagedFile>) -> Result<Vec<StagedFile>> {
    let mut left = Vec::with_capacity(files.len());
    for file in files {
        let Some(hidden) = file.hidden() else {
            left.push(file);
            continue;
        };
        let staged = objects.at(hidden)?;
        let is_there = objects.look(&staged).await?.is_some();
        let is_visible = objects.look(&objects.at(&file.name)?).await?.is_some();
        if is_there && !is_visible {
            left.push(file);
            continue;
        }
        tracing::warn!(
            part = %staged.url,
            "is not merged: it became visible after the checkpoint that the job went back to"
        );
        objects.remove(&staged).await?;
        for input in &file.inputs {
            objects.remove(&objects.at(input)?).await?;
        }
    }
    Ok(left)
}
