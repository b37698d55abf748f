//! Removes hidden files.

use std::io::ErrorKind;

use connector_api::env::Environment;
use connector_api::id::AttemptId;
use connector_api::{Error, Result};

use crate::sink::config::SinkConfig;
use crate::sink::naming;
use crate::sink::sweep::Needed;

/// Removes the hidden files of dead attempts that nothing needs; says how many.
pub(crate) fn sweep(
    env: &Environment,
    config: &SinkConfig,
    attempt: AttemptId,
    needed: &Needed,
) -> Result<u64> {
    let mut swept = 0;
    let mut left = vec![(config.dir.clone(), String::new())];
    while let Some((dir, bucket)) = left.pop() {
        let entries = match env.fs.list(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io("list", &dir)(e)),
        };
        let mut removed = false;
        for entry in entries {
            // Names that we give are text.
            let Some(name) = entry.name.to_str().map(|name| naming::within(&bucket, name)) else { continue };
            if entry.is_dir {
                if !entry.name.as_encoded_bytes().starts_with(b".") {
                    left.push((dir.join(&entry.name), name));
                }
                continue;
            }
            let Some(owner) = config.names.owner(&name) else { continue };
            let dead = owner.0.run == attempt.run && owner.0.number < attempt.number;
            if !dead || needed.names.contains(&name) {
                continue;
            }
            env.crash.hit("file-sweep/before-remove");
            let path = dir.join(&entry.name);
            match env.fs.remove_file(&path) {
                Ok(()) => (swept, removed) = (swept + 1, true),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("remove the orphan", &path)(e)),
            }
            tracing::info!(file = %path.display(), "removed an orphan of an earlier attempt");
        }
        if removed {
            env.crash.hit("file-sweep/before-sync");
            env.fs.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        }
    }
    Ok(swept)
}
