//! Files that are read, wherever they lie.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use connector_api::env::{Access, File, FileSystem, Metadata};
use connector_api::{Error, Result};

use crate::source::FileState;

/// A file of the input, open. Its calls block.
///
/// It is compared with what was found when it was listed: a file that changed is an error that names it.
#[expect(clippy::len_without_is_empty, reason = "an empty file has no split")]
pub trait Input: Send + Sync + Debug {
    /// What names it in errors.
    fn origin(&self) -> &str;

    /// Its size in bytes when it was found.
    fn len(&self) -> u64;

    /// Fills `buffer` with what stands at `offset`, as far as the file goes; says how much that is.
    ///
    /// # Errors
    ///
    /// When it can't be read, and when it is not what was found any more.
    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Whether its name still stands for what was found. `at` is how far it was read, for the error.
    ///
    /// # Errors
    ///
    /// When it does not.
    fn check_name(&self, at: u64) -> Result<()>;
}

/// A local file.
#[derive(Debug)]
pub(crate) struct LocalInput {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    origin: String,
    file: Box<dyn File>,
    found: FileState,
}

impl LocalInput {
    /// Opens the file, which must be as it was found.
    pub(crate) fn open(fs: Arc<dyn FileSystem>, path: PathBuf, found: FileState) -> Result<Self> {
        let file = fs.open(&path, Access::Read).map_err(Error::io("open", &path))?;
        let origin = path.display().to_string();
        let input = Self { fs, path, origin, file, found };
        input.check(0)?;
        Ok(input)
    }

    /// Whether the open file is still what was found.
    fn check(&self, at: u64) -> Result<()> {
        let now = self.file.metadata().map_err(Error::io("read metadata of", &self.path))?;
        self.compare(&now, at)
    }

    fn compare(&self, now: &Metadata, at: u64) -> Result<()> {
        match self.found.difference(now) {
            Some(difference) => Err(changed(&self.origin, at, &difference)),
            None => Ok(()),
        }
    }
}

impl Input for LocalInput {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn len(&self) -> u64 {
        self.found.len
    }

    fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = usize::try_from(self.found.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let read =
            self.file.read_full_at(&mut buffer[..wanted], offset).map_err(Error::io("read", &self.path))?;
        self.check(offset + read as u64)?;
        if read < wanted {
            return Err(changed(&self.origin, offset + read as u64, "it ends before its size"));
        }
        Ok(read)
    }

    fn check_name(&self, at: u64) -> Result<()> {
        self.compare(&self.fs.metadata(&self.path).map_err(Error::io("find again", &self.path))?, at)
    }
}

/// The error of a file that is not what was found any more.
pub(crate) fn changed(origin: &str, at: u64, how: &str) -> Error {
    Error::data(origin, Some(at), format!("the file changed since it was found: {how}"))
}
