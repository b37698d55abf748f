//! Finding the files. Blocks.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use connector_api::env::{FileSystem, Metadata};
use connector_api::{Error, Result};

use super::select::Selection;
use super::split::{FileState, RelativePath};

/// A file of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: RelativePath,
    pub(crate) file: FileState,
}

/// Where the files lie, as far as the option says.
enum Root {
    File(PathBuf),
    Directory(PathBuf),
    Glob(PathBuf),
}

/// A directory to look into.
struct Directory {
    path: PathBuf,
    relative: PathBuf,
    depth: usize,
    /// Whether all files in it are selected: it is the path of the option, or matched by its glob.
    inside: bool,
}

/// Lists the files of the input, in the order of their paths, each once. With `continuous`, a file that vanishes meanwhile
/// is left out.
///
/// # Errors
///
/// [`Error::Config`] naming the option when the path does not exist or a glob matches nothing; an empty directory is an
/// empty input. [`Error::Io`] naming a file or directory that can't be looked at, [`Error::Cancelled`] once `cancelled`.
pub(crate) fn list(
    selection: &Selection,
    fs: &dyn FileSystem,
    continuous: bool,
    cancelled: &AtomicBool,
) -> Result<Vec<Found>> {
    let mut walk = Walk {
        selection,
        fs,
        continuous,
        cancelled,
        visited: HashSet::new(),
        found: Vec::new(),
        matched: false,
    };
    match root(selection, fs)? {
        Root::File(path) => {
            let name = path.file_name().map(PathBuf::from).unwrap_or_default();
            walk.file(&path, name)?;
        }
        Root::Directory(path) => walk.from(path, true)?,
        Root::Glob(base) => {
            walk.from(base, false)?;
            if !walk.matched && !continuous {
                let reason = format!("`{}` matches no file", selection.path.display());
                return Err(Error::config(&selection.option, reason));
            }
        }
    }
    walk.found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

/// Whether the input can be reached: the file can be opened, the directory listed.
pub(crate) fn check(selection: &Selection, fs: &dyn FileSystem) -> Result<()> {
    let refuse = |what: &str, path: &Path, e: io::Error| {
        Error::config(&selection.option, format!("can't {what} {}: {e}", path.display()))
    };
    match root(selection, fs)? {
        Root::File(path) => match fs.open(&path, connector_api::env::Access::Read) {
            Ok(_) => Ok(()),
            Err(e) => Err(refuse("open", &path, e)),
        },
        Root::Directory(path) | Root::Glob(path) => match fs.list(&path) {
            Ok(_) => Ok(()),
            Err(e) => Err(refuse("list", &path, e)),
        },
    }
}

/// Where a file of the input lies.
///
/// # Errors
///
/// [`Error::Io`] when the path of the option can't be looked at; one that does not exist is left for opening the file.
pub(crate) fn locate(selection: &Selection, fs: &dyn FileSystem, relative: &Path) -> Result<PathBuf> {
    let path = &selection.path;
    let exists = match fs.metadata(path) {
        Ok(found) => Some(found.is_dir),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(Error::io("read metadata of", path)(e)),
    };
    Ok(match (&selection.glob, exists) {
        (_, Some(true)) => path.join(relative),
        (Some(glob), None) => glob.base.join(relative),
        _ if path.file_name() == Some(relative.as_os_str()) => path.clone(),
        _ => path.join(relative),
    })
}

fn root(selection: &Selection, fs: &dyn FileSystem) -> Result<Root> {
    let missing =
        |path: &Path| Error::config(&selection.option, format!("{} does not exist", path.display()));
    let path = &selection.path;
    match (fs.metadata(path), &selection.glob) {
        (Ok(found), _) if found.is_dir => Ok(Root::Directory(path.clone())),
        (Ok(_), _) => Ok(Root::File(path.clone())),
        (Err(e), Some(glob)) if is_absent(&e) => match fs.metadata(&glob.base) {
            Ok(found) if found.is_dir => Ok(Root::Glob(glob.base.clone())),
            Ok(_) => {
                let reason = format!("{} is not a directory", glob.base.display());
                Err(Error::config(&selection.option, reason))
            }
            Err(e) if is_absent(&e) => Err(missing(&glob.base)),
            Err(e) => Err(Error::io("read metadata of", &glob.base)(e)),
        },
        (Err(e), None) if is_absent(&e) => Err(missing(path)),
        (Err(e), _) => Err(Error::io("read metadata of", path)(e)),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

struct Walk<'a> {
    selection: &'a Selection,
    fs: &'a dyn FileSystem,
    continuous: bool,
    cancelled: &'a AtomicBool,
    /// Directories that were looked into. The number alone is unique on one device only.
    visited: HashSet<(u64, Duration, u64)>,
    found: Vec<Found>,
    /// Whether the glob of the option matched anything at all, before `include` and `exclude`.
    matched: bool,
}

impl Walk<'_> {
    fn from(&mut self, path: PathBuf, inside: bool) -> Result<()> {
        let mut left = vec![Directory { path, relative: PathBuf::new(), depth: 0, inside }];
        while let Some(directory) = left.pop() {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Error::Cancelled("listing".into()));
            }
            let found = self.metadata(&directory.path)?;
            if self.visited.insert((found.file_id, found.modified, found.len)) {
                self.look_into(&directory, &mut left)?;
            }
        }
        Ok(())
    }

    fn look_into(&mut self, directory: &Directory, left: &mut Vec<Directory>) -> Result<()> {
        let mut entries = self.fs.list(&directory.path).map_err(Error::io("list", &directory.path))?;
        // Which of two names of one directory is taken does not depend on the file system's order.
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut below = Vec::new();
        for entry in entries {
            let relative = directory.relative.join(&entry.name);
            if self.selection.hides(&entry.name) {
                continue;
            }
            let glob = self.selection.glob.as_ref().filter(|_| !directory.inside);
            let matches = glob.is_none_or(|glob| glob.matcher.is_match(&relative));
            self.matched |= matches && !directory.inside;
            if self.selection.excludes(&relative) {
                continue;
            }
            if !entry.is_dir {
                if matches {
                    self.file(&directory.path.join(&entry.name), relative)?;
                }
                continue;
            }
            let depth = directory.depth + 1;
            let inside = directory.inside || matches;
            let may_hold_more = if directory.inside {
                self.selection.recursive
            } else {
                matches || glob.is_some_and(|glob| glob.depth.is_none_or(|most| depth < most))
            };
            if may_hold_more {
                let path = directory.path.join(&entry.name);
                below.push(Directory { path, relative, depth, inside });
            }
        }
        left.extend(below.into_iter().rev());
        Ok(())
    }

    fn file(&mut self, path: &Path, relative: PathBuf) -> Result<()> {
        if !self.selection.includes(&relative) || self.selection.excludes(&relative) {
            return Ok(());
        }
        let found = match self.metadata(path) {
            Err(Error::Io { source, .. }) if self.continuous && is_absent(&source) => {
                tracing::debug!(path = %path.display(), "vanished while the files were listed");
                return Ok(());
            }
            found => found?,
        };
        let Some(relative) = RelativePath::new(relative) else {
            return Err(Error::config(&self.selection.option, format!("{} has no name", path.display())));
        };
        self.found.push(Found { path: relative, file: found.into() });
        Ok(())
    }

    fn metadata(&self, path: &Path) -> Result<Metadata> {
        self.fs.metadata(path).map_err(Error::io("read metadata of", path))
    }
}
