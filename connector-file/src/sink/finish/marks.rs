//! Where the marks of finished buckets are.

use std::fmt::Debug;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use connector_api::env::{Access, Environment, Rename};
use connector_api::{Error, Result};

use crate::place::{Objects, Revision, wait};
use crate::sink::local::{look, sync_dirs};
use crate::sink::naming;

/// A small file as it was read.
#[derive(Clone, Debug)]
pub(crate) struct MarkFile {
    pub(crate) content: Bytes,
    /// Which state of an object this is.
    revision: Option<Revision>,
}

/// Reads and writes small files beside the parts. Its calls block. Names are below the sink's base directory.
pub(crate) trait MarkStore: Send + Sync + Debug {
    /// The content of a file; none when there is none.
    fn read(&self, name: &str) -> Result<Option<MarkFile>>;

    /// Writes a file in place of what was read, or of nothing, at once and durably: whoever reads finds the content before or this
    /// one. Says whether it did: not when something else stands there, where the store can tell. `hidden` is a name that this one
    /// may use until then, in the same directory, and that nobody else was given.
    fn put(&self, name: &str, content: &[u8], over: Option<&MarkFile>, hidden: &str) -> Result<bool>;

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
    fn read(&self, name: &str) -> Result<Option<MarkFile>> {
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
        Ok(Some(MarkFile { content: content.into(), revision: None }))
    }

    fn put(&self, name: &str, content: &[u8], _: Option<&MarkFile>, hidden: &str) -> Result<bool> {
        let (path, staged) = (naming::path_in(&self.dir, name)?, naming::path_in(&self.dir, hidden)?);
        let file = self.env.fs.open(&staged, Access::CreateNew).map_err(Error::io("create", &staged))?;
        file.write_all_at(content, 0).map_err(Error::io("write", &staged))?;
        file.sync_data().map_err(Error::io("fdatasync", &staged))?;
        self.env.crash.hit("file-bucket-finisher/before-rename");
        let renamed = self.env.fs.rename(&staged, &path, Rename::Replace);
        renamed.map_err(Error::io(format!("rename to {}", path.display()), &staged))?;
        self.env.crash.hit("file-bucket-finisher/after-rename");
        self.sync(&path)?;
        Ok(true)
    }

    fn is_there(&self, name: &str) -> Result<bool> {
        Ok(look(&self.env, &naming::path_in(&self.dir, name)?)?.is_some())
    }
}

/// In an object store: put in one request, over nothing but what was read.
#[derive(Clone, Debug)]
pub(crate) struct ObjectMarks {
    pub(crate) objects: Objects,
}

impl MarkStore for ObjectMarks {
    fn read(&self, name: &str) -> Result<Option<MarkFile>> {
        let found = wait(self.objects.read_revision(&self.objects.at(name)?))??;
        Ok(found.map(|(content, revision)| MarkFile { content, revision: Some(revision) }))
    }

    fn put(&self, name: &str, content: &[u8], over: Option<&MarkFile>, _: &str) -> Result<bool> {
        let over = over.and_then(|file| file.revision.as_ref());
        wait(self.objects.put_over(&self.objects.at(name)?, Bytes::copy_from_slice(content), over))?
    }

    fn is_there(&self, name: &str) -> Result<bool> {
        Ok(wait(self.objects.look(&self.objects.at(name)?))??.is_some())
    }
}
