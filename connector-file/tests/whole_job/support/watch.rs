//! Looks at the visible files after every operation that can change what is visible.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use connector_api::env::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};
use testkit::fs::SimFs;

use super::input;

pub const OUT: &str = "/out";

/// The visible files by name, with their content.
pub type Visible = BTreeMap<String, Vec<u8>>;

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'))
}

/// What is in the output directory: visible, hidden.
pub fn output(fs: &SimFs) -> (Visible, Vec<String>) {
    let (mut visible, mut hidden) = (Visible::new(), Vec::new());
    for path in fs.files().iter().filter(|path| path.starts_with(OUT)) {
        let name = path.strip_prefix(OUT).unwrap().display().to_string();
        if is_hidden(path) {
            hidden.push(name);
        } else {
            visible.insert(name, fs.content(path).unwrap());
        }
    }
    (visible, hidden)
}

/// The lines of a file. `Err` when one is not wholly there, or is none of the input's.
pub fn lines_of(name: &str, content: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(content).map_err(|_| format!("{name} is torn"))?;
    let Some(text) = text.strip_suffix('\n') else { return Err(format!("{name} ends within a line")) };
    let lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    match lines.iter().find(|line| !is_of_input(line)) {
        Some(line) => Err(format!("{name} holds {line:?}, which the input does not")),
        None => Ok(lines),
    }
}

fn is_of_input(line: &str) -> bool {
    let number = line.get(..5).and_then(|number| number.parse().ok());
    number.is_some_and(|i| i < input::COUNT && input::line(i) == line)
}

/// The lines of all files. `Err` when one is there twice, unless that is allowed.
pub fn lines(visible: &Visible, duplicates: bool) -> Result<BTreeSet<String>, String> {
    let mut lines = BTreeSet::new();
    for (name, content) in visible {
        for line in lines_of(name, content)? {
            let text = format!("{line:?} is visible twice, once in {name}");
            if !lines.insert(line) && !duplicates {
                return Err(text);
            }
        }
    }
    Ok(lines)
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    pub files: Visible,
    /// The first thing that must not be.
    pub violation: Option<String>,
    pub scans: u64,
    /// Whether a line may be there twice: after going back, with duplicates accepted.
    pub duplicates: bool,
}

impl Seen {
    /// Compares what is visible now with what was: nothing is there twice, nothing has changed or gone away.
    pub fn scan(&mut self, fs: &SimFs) {
        self.scans += 1;
        let now = output(fs).0;
        let found = self.compare(&now);
        self.files = now;
        if let Err(why) = found {
            self.violation.get_or_insert(why);
        }
    }

    fn compare(&self, now: &Visible) -> Result<(), String> {
        for (name, content) in &self.files {
            match now.get(name) {
                None => return Err(format!("{name} was visible and is gone")),
                Some(other) if other != content => return Err(format!("{name} was visible and has changed")),
                Some(_) => {}
            }
        }
        if now.len() > self.files.len() {
            lines(now, self.duplicates)?;
        }
        Ok(())
    }
}

/// The file system of one process, under watch.
#[derive(Debug)]
pub struct Watched {
    pub inner: Arc<dyn FileSystem>,
    pub disk: SimFs,
    pub seen: Arc<Mutex<Seen>>,
}

impl Watched {
    fn after<T>(&self, path: &Path, result: T) -> T {
        if path.starts_with(OUT) {
            self.seen.lock().unwrap().scan(&self.disk);
        }
        result
    }
}

impl FileSystem for Watched {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        if access != Access::Read && path.starts_with(OUT) && !is_hidden(path) {
            let why = format!("{} was opened for writing under its visible name", path.display());
            self.seen.lock().unwrap().violation.get_or_insert(why);
        }
        self.inner.open(path, access)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.inner.metadata(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path, how: Rename) -> io::Result<()> {
        self.after(to, self.inner.rename(from, to, how))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.after(path, self.inner.remove_file(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.after(dir, self.inner.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn FileLock>> {
        self.inner.lock(path)
    }
}
