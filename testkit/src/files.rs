//! Test data in an environment's files, for connectors over files.

use std::io;
use std::path::Path;

use connector_api::env::{Access, FileSystem};
use connector_api::{Error, Result};

/// Appends bytes to a file, which is made when it is not there, with its directories.
///
/// # Errors
///
/// Those of the file system.
pub fn append(fs: &dyn FileSystem, path: &Path, content: &[u8]) -> Result<()> {
    if let Some(dir) = path.parent() {
        fs.create_dir_all(dir).map_err(Error::io("create directory", dir))?;
    }
    let access = if exists(fs, path)? { Access::ReadWrite } else { Access::CreateNew };
    let file = fs.open(path, access).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("look at", path))?.len;
    file.write_all_at(content, length).map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))?;
    path.parent().map_or(Ok(()), |dir| fs.sync_dir(dir).map_err(Error::io("sync", dir)))
}

/// The content of a file.
///
/// # Errors
///
/// Those of the file system.
pub fn read(fs: &dyn FileSystem, path: &Path) -> Result<Vec<u8>> {
    let file = fs.open(path, Access::Read).map_err(Error::io("open", path))?;
    let length = file.metadata().map_err(Error::io("look at", path))?.len;
    let mut content = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let read = file.read_full_at(&mut content, 0).map_err(Error::io("read", path))?;
    content.truncate(read);
    Ok(content)
}

/// The names of the files in a directory, in order; none when it is not there.
///
/// # Errors
///
/// Those of the file system.
pub fn names(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<String>> {
    if !exists(fs, dir)? {
        return Ok(Vec::new());
    }
    let entries = fs.list(dir).map_err(Error::io("list", dir))?;
    let files = entries.into_iter().filter(|entry| !entry.is_dir);
    let mut names: Vec<String> = files.map(|entry| entry.name.to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

fn exists(fs: &dyn FileSystem, path: &Path) -> Result<bool> {
    match fs.metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("look at", path)(e)),
    }
}
