//! Snapshots: everything but the bytes, so that recovery replays the end of the log only.
//!
//! A file `snapshots/<number of the last frame in it>.snapshot` in the envelope of stored state, made under another name, synced and
//! renamed. The newest one counts; older ones go when it is durable.

use std::path::{Path, PathBuf};

use connector_api::env::{Access, FileSystem, Rename};
use connector_api::state::{Envelope, seal};
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::error::{Error, Result};
use crate::log::Position;

const KIND: &str = "segment-store-snapshot";
const VERSION: u16 = 1;

/// What a snapshot holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) store: u128,
    /// Where the log goes on behind it.
    pub(crate) position: Position,
    pub(crate) state: State,
}

/// The directory of the snapshots in a store's directory.
pub(crate) fn dir(store: &Path) -> PathBuf {
    store.join("snapshots")
}

fn path(dir: &Path, last: u64) -> PathBuf {
    dir.join(format!("{last:016x}.snapshot"))
}

impl Snapshot {
    /// The bytes of the file.
    pub(crate) fn encode(&self) -> Result<bytes::Bytes> {
        let payload = postcard::to_stdvec(self).map_err(|e| Error::invalid("a snapshot", e.to_string()))?;
        seal(KIND, VERSION, &payload).map_err(|e| Error::invalid("a snapshot", e.to_string()))
    }

    /// Reads the bytes of a file.
    pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let envelope = Envelope::open(bytes).map_err(|e| Error::corrupt(path, 0, e.to_string()))?;
        if envelope.kind != KIND {
            return Err(Error::corrupt(path, 0, format!("it holds `{}`", envelope.kind)));
        }
        if envelope.version > VERSION {
            let (path, found) = (path.to_path_buf(), envelope.version);
            return Err(Error::Version { path, found, known: VERSION });
        }
        match postcard::take_from_bytes::<Self>(envelope.payload) {
            Ok((mut snapshot, [])) => {
                snapshot.state.index();
                Ok(snapshot)
            }
            Ok(_) => Err(Error::corrupt(path, 0, "it is longer than what it holds")),
            Err(e) => Err(Error::corrupt(path, 0, e.to_string())),
        }
    }

    /// Makes it durable, then removes older ones.
    pub(crate) fn store(&self, fs: &dyn FileSystem, store: &Path) -> Result<()> {
        let bytes = self.encode()?;
        let dir = dir(store);
        let target = path(&dir, self.position.next - 1);
        let unfinished = target.with_extension("tmp");
        let made = (|| {
            let file = fs.open(&unfinished, Access::CreateOrTruncate)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_all()?;
            fs.rename(&unfinished, &target, Rename::Replace)?;
            fs.sync_dir(&dir)
        })();
        if let Err(e) = made {
            let _ = fs.remove_file(&unfinished);
            return Err(Error::io("make", &target)(e));
        }
        for older in list(fs, &dir)?.into_iter().filter(|&last| last < self.position.next - 1) {
            let path = path(&dir, older);
            // One that stays is removed with the next snapshot.
            if let Err(error) = fs.remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an old snapshot could not be removed");
            }
        }
        Ok(())
    }
}

/// The numbers of the snapshots, in order.
pub(crate) fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<u64>> {
    let entries = fs.list(dir).map_err(Error::io("list", dir))?;
    let mut found: Vec<u64> = entries
        .iter()
        .filter_map(|entry| u64::from_str_radix(entry.name.to_str()?.strip_suffix(".snapshot")?, 16).ok())
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The newest snapshot; none for a store that never made one.
pub(crate) fn newest(fs: &dyn FileSystem, store: &Path) -> Result<Option<Snapshot>> {
    let dir = dir(store);
    let Some(&last) = list(fs, &dir)?.last() else { return Ok(None) };
    let path = path(&dir, last);
    let file = fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
    let length = file.metadata().map_err(Error::io("look at", &path))?.len;
    let mut bytes =
        vec![0; usize::try_from(length).map_err(|_| Error::corrupt(&path, 0, "it is too large"))?];
    let read = file.read_full_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
    Snapshot::decode(&path, &bytes[..read]).map(Some)
}
