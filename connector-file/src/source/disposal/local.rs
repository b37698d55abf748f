//! Disposing of local files. Blocks.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use connector_api::env::{CrashPoints, FileSystem, Rename};
use connector_api::{Error, Result};

use super::{AFTER_SYNC, AfterRead, BEFORE, BEFORE_SYNC, onto_itself};
use crate::source::kept::Done;
use crate::source::listing::locate;
use crate::source::select::Selection;
use crate::source::split::FileState;

pub(super) struct Disposing<'a> {
    pub(super) after: &'a AfterRead,
    pub(super) fs: &'a dyn FileSystem,
    pub(super) selection: &'a Selection,
    pub(super) crash: &'a CrashPoints,
}

impl Disposing<'_> {
    pub(super) fn all(&self, files: &[Done]) -> Result<()> {
        // Where a file goes is made durable before it is gone where it was.
        let (mut to, mut from) = (BTreeSet::new(), BTreeSet::new());
        for done in files {
            let path = locate(self.selection, self.fs, done.path.as_path())?;
            let target = match self.after {
                AfterRead::Delete => None,
                AfterRead::Move(dir) => Some(dir.join(done.path.as_path())),
            };
            self.crash.hit(BEFORE);
            self.one(&path, &done.file, target.as_deref())?;
            to.extend(target.as_deref().and_then(Path::parent).map(Path::to_owned));
            from.extend(path.parent().map(Path::to_owned));
        }
        self.crash.hit(BEFORE_SYNC);
        // Also for what was gone before: whether durably is not known.
        to.iter().chain(&from).try_for_each(|dir| self.sync(dir))?;
        self.crash.hit(AFTER_SYNC);
        Ok(())
    }

    /// Deletes or moves a file, unless that was done before.
    fn one(&self, path: &Path, file: &FileState, target: Option<&Path>) -> Result<()> {
        let now = match self.fs.metadata(path) {
            Ok(now) => now,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("read metadata of", path)(e)),
        };
        if now.file_id != file.file_id {
            // Not the one that was read, but a new one, which the next listing finds.
            tracing::warn!(file = %path.display(), "another file bears the name of one that was read; it is left");
            return Ok(());
        }
        if let Some(difference) = file.difference(&now) {
            let reason = format!("{difference}, after it was read; so it is left as it is");
            return Err(Error::data(path.display().to_string(), None, reason));
        }
        match target {
            // It bears both names, so the one that goes would be the only one.
            Some(target) if target == path => Err(onto_itself(&path.display().to_string())),
            None => self.fs.remove_file(path).map_err(Error::io("remove", path)),
            Some(target) => self.carry(path, target, file),
        }
    }

    fn carry(&self, from: &Path, to: &Path, file: &FileState) -> Result<()> {
        if let Some(dir) = to.parent() {
            self.fs.create_dir_all(dir).map_err(Error::io("create directory", dir))?;
        }
        match self.fs.rename(from, to, Rename::NoReplace) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let there = self.fs.metadata(to).map_err(Error::io("read metadata of", to))?;
                if there.file_id == file.file_id && file.difference(&there).is_none() {
                    // A power cut left it under both names.
                    return self.fs.remove_file(from).map_err(Error::io("remove", from));
                }
                let reason =
                    format!("it was read and is to be moved to {}, where a file is already", to.display());
                Err(Error::data(from.display().to_string(), None, reason))
            }
            renamed => renamed.map_err(Error::io("move", from)),
        }
    }

    fn sync(&self, dir: &Path) -> Result<()> {
        match self.fs.sync_dir(dir) {
            // The directory itself is gone.
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced.map_err(Error::io("sync", dir)),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::fs::SimFs;

    use super::*;
    use crate::source::SourceOptions;
    use crate::source::split::RelativePath;

    /// Once its only name was taken for the second of two.
    #[test]
    fn a_file_that_would_be_moved_to_where_it_is_stays_and_is_named() {
        let fs = SimFs::new();
        fs.put("/in/a", b"a\n").unwrap();
        let options = SourceOptions::lines("/in/a");
        let selection = Selection::new(&options, Path::new("/"), &str::to_owned).unwrap();
        let file = FileState::from(fs.metadata(Path::new("/in/a")).unwrap());
        let done = Done { generation: 0, path: RelativePath::new("a").unwrap(), file };
        let (after, crash) = (AfterRead::Move("/in".into()), CrashPoints::none());
        let disposing = Disposing { after: &after, fs: &fs, selection: &selection, crash: &crash };
        let error = disposing.all(&[done]).unwrap_err();
        assert!(error.to_string().starts_with("/in/a") && !error.is_retryable(), "{error}");
        assert_eq!(fs.content("/in/a").unwrap(), b"a\n");
    }
}
