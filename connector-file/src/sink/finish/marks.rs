//! Where the marks of finished buckets are.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use connector_api::env::{Access, Environment, Rename};
use connector_api::{Error, Result};

use crate::sink::local::{look, sync_dirs};
use crate::sink::naming;

/// Reads and writes small files beside the parts. Its calls block. Names are below the sink's base directory.
pub(crate) trait MarkStore: Send + Sync + Debug {
    /// The content of a file; none when there is none.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Writes a file, or replaces it, at once and durably: whoever reads finds the content before or this one. `hidden` is a
    /// name that this one may use until then, in the same directory, and that nobody else was given.
    fn put(&self, name: &str, content: &[u8], hidden: &str) -> Result<()>;

    /// Whether a file is there.
    fn is_there(&self, name: &str) -> Result<bool>;
}

/// In a local directory: written under a hidden name, synced, renamed, and the name synced.
#[derive(Clone, Debug)]
pub(crate) struct LocalMarks {
    pub(crate) env: Environment,
    pub(crate) dir: PathBuf,
}

impl LocalMarks {
    fn sync(&self, path: &Path) -> Result<()> {
        sync_dirs(&self.env, &path.parent().map(Path::to_path_buf).into_iter().collect())
    }
}

impl MarkStore for LocalMarks {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = naming::path_in(&self.dir, name)?;
        let file = match self.env.fs.open(&path, Access::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path)(e)),
        };
        let length = file.metadata().map_err(Error::io("look at", &path))?.len;
        let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let read = file.read_full_at(&mut content, 0).map_err(Error::io("read", &path))?;
        content.truncate(read);
        Ok(Some(content))
    }

    fn put(&self, name: &str, content: &[u8], hidden: &str) -> Result<()> {
        let (path, staged) = (naming::path_in(&self.dir, name)?, naming::path_in(&self.dir, hidden)?);
        let file = self.env.fs.open(&staged, Access::CreateNew).map_err(Error::io("create", &staged))?;
        file.write_all_at(content, 0).map_err(Error::io("write", &staged))?;
        file.sync_data().map_err(Error::io("fdatasync", &staged))?;
        self.env.crash.hit("file-bucket-finisher/before-rename");
        let renamed = self.env.fs.rename(&staged, &path, Rename::Replace);
        renamed.map_err(Error::io(format!("rename to {}", path.display()), &staged))?;
        self.env.crash.hit("file-bucket-finisher/after-rename");
        self.sync(&path)
    }

    fn is_there(&self, name: &str) -> Result<bool> {
        Ok(look(&self.env, &naming::path_in(&self.dir, name)?)?.is_some())
    }
}
