//! Where to look: a directory, or a prefix of an object store.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::Error;
use connector_api::env::{Access, FileSystem};
use connector_file::sink::listing::{ListedFile, SinkObjects, list};

use crate::failure::Failure;

pub(super) enum Place {
    Local(Arc<dyn FileSystem>, PathBuf),
    Objects(SinkObjects),
}

impl Place {
    /// Objects, of a store that other processes see, too.
    pub(super) fn objects(objects: SinkObjects) -> Result<Self, String> {
        if objects.url().starts_with("memory://") {
            return Err("is within the process that writes it: nobody else can list it".to_owned());
        }
        Ok(Self::Objects(objects))
    }

    /// What names it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Local(_, dir) => dir.display().to_string(),
            Self::Objects(objects) => objects.url(),
        }
    }

    /// All files. A directory that is not there is empty if it `may_be_missing`; a prefix without objects always is.
    pub(super) fn list(&self, may_be_missing: bool) -> Result<Vec<ListedFile>, Failure> {
        match self {
            Self::Local(fs, dir) => {
                match fs.metadata(dir) {
                    Ok(found) if found.is_dir => {}
                    Ok(_) => {
                        return Err(Failure::Configuration(format!("{} is not a directory", dir.display())));
                    }
                    Err(e) if may_be_missing && e.kind() == ErrorKind::NotFound => {}
                    Err(e) => return Err(Failure::Configuration(format!("{}: {e}", dir.display()))),
                }
                Ok(list(&**fs, dir)?)
            }
            Self::Objects(objects) => Ok(objects.list()?),
        }
    }

    pub(super) fn is_gone(&self, name: &str) -> Result<bool, Failure> {
        match self {
            Self::Local(fs, dir) => {
                Ok(matches!(fs.metadata(&dir.join(name)), Err(e) if e.kind() == ErrorKind::NotFound))
            }
            Self::Objects(objects) => Ok(!objects.is_there(name)?),
        }
    }

    /// The content of a small file; none when it is gone.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match self {
            Self::Local(fs, dir) => read(&**fs, &dir.join(name)),
            Self::Objects(objects) => Ok(objects.read(name)?),
        }
    }
}

/// The content of a file; none when it is gone.
fn read(fs: &dyn FileSystem, path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let opened = fs.open(path, Access::Read).and_then(|file| {
        let length = file.metadata()?.len;
        Ok((file, usize::try_from(length).map_err(std::io::Error::other)?))
    });
    let (file, length) = match opened {
        Ok(opened) => opened,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path)(e).into()),
    };
    let mut content = vec![0; length];
    let read = file.read_full_at(&mut content, 0).map_err(Error::io("read", path))?;
    content.truncate(read);
    Ok(Some(content))
}
