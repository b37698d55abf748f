//! The files of one kind, and the index that lists them.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Finding, Rule};

const INDEX: &str = "index.txt";
const HEADER: &str = "# Released state. Lines are only ever added.\n";

/// The name of a file: `v<version>-<name>.bin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixture {
    pub(super) version: u16,
    pub(super) name: String,
}

impl fmt::Display for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}-{}.bin", self.version, self.name)
    }
}

impl Fixture {
    fn parse(text: &str) -> Option<Self> {
        let (version, name) = text.strip_prefix('v')?.strip_suffix(".bin")?.split_once('-')?;
        let fixture = Self { version: version.parse().ok()?, name: name.to_owned() };
        // One file has one name: `v01-a.bin` is none.
        (fixture.to_string() == text).then_some(fixture)
    }
}

/// The folder of a kind.
pub(super) struct Folder {
    path: PathBuf,
    listed: Vec<Fixture>,
    /// Whether the last line of the index has its end.
    ended: bool,
}

fn failed(path: &Path, e: &std::io::Error) -> Finding {
    Rule::Files.broken(format!("{}: {e}", path.display()))
}

impl Folder {
    /// Reads the index. Without one, nothing is listed.
    pub(super) fn open(dir: &Path, kind: &str) -> Result<Self, Finding> {
        if kind.is_empty() || kind.starts_with('.') || kind.contains(['/', '\\', '\0']) {
            return Err(Rule::Files.broken(format!("the kind `{kind}` is no name for a folder")));
        }
        let path = dir.join(kind);
        let index = path.join(INDEX);
        let text = match fs::read_to_string(&index) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => return Err(failed(&index, &e)),
        };
        let mut listed = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let fixture = Fixture::parse(line).ok_or_else(|| {
                Rule::Listed.broken(format!("{}: `{line}` is not v<version>-<name>.bin", index.display()))
            })?;
            listed.push(fixture);
        }
        Ok(Self { path, listed, ended: text.is_empty() || text.ends_with('\n') })
    }

    /// What the index lists.
    pub(super) fn listed(&self) -> &[Fixture] {
        &self.listed
    }

    /// The bytes of a listed file.
    pub(super) fn bytes(&self, fixture: &Fixture) -> Result<Vec<u8>, Finding> {
        let path = self.path.join(fixture.to_string());
        fs::read(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Rule::Vanished.broken(format!("{fixture} is listed in {INDEX} and is not there"))
            }
            _ => failed(&path, &e),
        })
    }

    /// Files that the index does not list.
    pub(super) fn strangers(&self) -> Vec<Finding> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(e) => return vec![failed(&self.path, &e)],
        };
        let mut findings = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    let listed = Fixture::parse(&name).is_some_and(|fixture| self.listed.contains(&fixture));
                    if name != INDEX && !listed {
                        findings.push(Rule::Listed.broken(format!("{name} is not listed in {INDEX}")));
                    }
                }
                Err(e) => findings.push(failed(&self.path, &e)),
            }
        }
        findings
    }

    /// Writes a file that is not there, and lists it.
    pub(super) fn add(&mut self, fixture: Fixture, bytes: &[u8]) -> Result<(), Finding> {
        fs::create_dir_all(&self.path).map_err(|e| failed(&self.path, &e))?;
        let path = self.path.join(fixture.to_string());
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(bytes)).map_err(|e| failed(&path, &e))?;
        let line = match (self.listed.is_empty(), self.ended) {
            (true, true) => format!("{HEADER}{fixture}\n"),
            (false, true) => format!("{fixture}\n"),
            (_, false) => format!("\n{fixture}\n"),
        };
        let index = self.path.join(INDEX);
        let file = OpenOptions::new().create(true).append(true).open(&index);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(|e| failed(&index, &e))?;
        self.ended = true;
        self.listed.push(fixture);
        Ok(())
    }
}
