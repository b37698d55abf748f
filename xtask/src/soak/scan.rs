//! Watches the visible names of a directory and keeps account of the lines in them.
//!
//! A visible file must never change nor vanish, so each is read once, and every later scan proves that it is still the same
//! file. With that, "no line twice in a scan" and "no line missing from a later scan" become: no line in two files, and no
//! file missing. Listing a directory is not atomic, but a name that stood there before and after it is listed.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::input;
use crate::Result;

/// Watches what is visible.
pub(super) trait Scan: Send {
    /// One scan. An error says what of the visible output is wrong.
    fn scan(&mut self) -> Result;

    /// After the end: every line once, and nothing but visible files.
    fn finish(&mut self) -> Result;

    /// How much of the input was visible at the last scan, in bytes of the input.
    fn bytes(&self) -> u64;

    /// Scans done.
    fn scans(&self) -> u64;
}

/// What tells that a file is still the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { inode: metadata.ino(), bytes: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// What was seen so far.
pub(super) struct Scanner {
    dir: PathBuf,
    seed: u64,
    files: BTreeMap<PathBuf, Identity>,
    /// One bit for each line of the input.
    seen: Vec<u64>,
    lines: u64,
    /// Lines seen.
    visible: u64,
    bytes: u64,
    scans: u64,
}

impl Scanner {
    /// For an input of `lines` lines.
    pub(super) fn new(dir: PathBuf, seed: u64, lines: u64) -> Self {
        let words = usize::try_from(lines.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            dir,
            seed,
            files: BTreeMap::new(),
            seen: vec![0; words],
            lines,
            visible: 0,
            bytes: 0,
            scans: 0,
        }
    }

    fn read(&mut self, path: &Path) -> Result {
        let wrong = |what: String| format!("{}: {what}", path.display());
        let content = fs::read(path).map_err(|e| wrong(e.to_string()))?;
        if !content.is_empty() && !content.ends_with(b"\n") {
            return Err(wrong("its last line has no terminator".into()));
        }
        for text in content.split(|b| *b == b'\n').take(content.iter().filter(|b| **b == b'\n').count()) {
            let number = input::parse(self.seed, text).map_err(wrong)?;
            let bit = 1 << (number % 64);
            let word = usize::try_from(number / 64).ok().and_then(|word| self.seen.get_mut(word));
            let word = word.filter(|_| number < self.lines);
            let word = word.ok_or_else(|| wrong(format!("line {number} is not in the input")))?;
            if *word & bit != 0 {
                return Err(wrong(format!("line {number} is visible twice")));
            }
            *word |= bit;
            self.visible += 1;
        }
        Ok(())
    }
}

impl Scan for Scanner {
    fn scan(&mut self) -> Result {
        let mut present = BTreeMap::new();
        list(&self.dir, &mut present)?;
        for (path, known) in &self.files {
            match present.get(path) {
                None => return Err(format!("{} was visible and is gone", path.display())),
                Some(now) if now != known => {
                    return Err(format!(
                        "{} was visible and changed: {known:?}, now {now:?}",
                        path.display()
                    ));
                }
                Some(_) => {}
            }
        }
        for (path, identity) in present {
            if !self.files.contains_key(&path) {
                self.read(&path)?;
                self.bytes += identity.bytes;
                self.files.insert(path, identity);
            }
        }
        self.scans += 1;
        Ok(())
    }

    fn finish(&mut self) -> Result {
        self.scan()?;
        // From nothing, since files were read once and only their identity was watched afterwards.
        let mut afresh = Self::new(self.dir.clone(), self.seed, self.lines);
        afresh.scan()?;
        if afresh.visible != self.lines {
            let missing = (0..self.lines).find(|n| afresh.seen[(n / 64) as usize] & (1 << (n % 64)) == 0);
            return Err(format!(
                "{} of {} lines are missing, the first is {missing:?}",
                self.lines - afresh.visible,
                self.lines
            ));
        }
        let hidden = hidden(&self.dir)?;
        if hidden.is_empty() { Ok(()) } else { Err(format!("hidden files were left: {hidden:?}")) }
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn scans(&self) -> u64 {
        self.scans
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// The visible files below a directory; one that is not there yet holds none.
fn list(dir: &Path, found: &mut BTreeMap<PathBuf, Identity>) -> Result {
    for path in entries(dir)? {
        if is_hidden(&path) {
            continue;
        }
        let metadata = fs::metadata(&path).map_err(|e| format!("{} was listed: {e}", path.display()))?;
        if metadata.is_dir() {
            list(&path, found)?;
        } else {
            found.insert(path, Identity::of(&metadata));
        }
    }
    Ok(())
}

fn hidden(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(dir)? {
        if is_hidden(&path) {
            found.push(path);
        } else if path.is_dir() {
            found.extend(hidden(&path)?);
        }
    }
    Ok(found)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| format!("{}: {e}", dir.display());
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.path()).map_err(failed)).collect(),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(failed(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::write_file;

    const SEED: u64 = 3;

    fn lines(numbers: &[u64]) -> Vec<u8> {
        let mut text = Vec::new();
        for number in numbers {
            input::line(SEED, *number, &mut text);
            text.push(b'\n');
        }
        text
    }

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("soak-scan-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn put(&self, name: &str, numbers: &[u64]) {
            write_file(&self.0.join(name), lines(numbers)).unwrap();
        }

        fn scanner(&self) -> Scanner {
            Scanner::new(self.0.clone(), SEED, 4)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn all_lines_once_and_nothing_hidden_is_right() {
        let dir = Dir::new("right");
        let mut scanner = dir.scanner();
        dir.put("a", &[0, 1]);
        assert_eq!(scanner.scan(), Ok(()));
        dir.put("b", &[3, 2]);
        assert_eq!(scanner.finish(), Ok(()));
    }

    #[test]
    fn a_line_twice_is_told() {
        let dir = Dir::new("twice");
        dir.put("a", &[0, 1]);
        dir.put("b", &[1]);
        assert!(dir.scanner().scan().unwrap_err().contains("line 1 is visible twice"));
    }

    #[test]
    fn a_line_that_vanished_is_told() {
        let dir = Dir::new("vanished");
        dir.put("a", &[0, 1]);
        let mut scanner = dir.scanner();
        scanner.scan().unwrap();
        fs::remove_file(dir.0.join("a")).unwrap();
        assert!(scanner.scan().unwrap_err().contains("is gone"));
    }

    #[test]
    fn a_visible_file_that_changed_is_told() {
        let dir = Dir::new("changed");
        dir.put("a", &[0, 1]);
        let mut scanner = dir.scanner();
        scanner.scan().unwrap();
        dir.put("a", &[0, 1, 2]);
        assert!(scanner.scan().unwrap_err().contains("changed"));
    }

    #[test]
    fn a_missing_line_and_a_hidden_file_are_told_at_the_end() {
        let dir = Dir::new("end");
        dir.put("a", &[0, 1, 3]);
        assert!(dir.scanner().finish().unwrap_err().contains("the first is Some(2)"));
        dir.put("b", &[2]);
        dir.put(".c", &[]);
        assert!(dir.scanner().finish().unwrap_err().contains("hidden"));
    }

    #[test]
    fn a_file_without_its_last_terminator_is_told() {
        let dir = Dir::new("cut");
        let mut text = lines(&[0]);
        text.pop();
        write_file(&dir.0.join("a"), text).unwrap();
        assert!(dir.scanner().scan().unwrap_err().contains("no terminator"));
    }
}
