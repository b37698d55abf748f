//! Golden state: the bytes that each released version of a [`Stored`] type wrote are kept as files, and each must decode for ever.
//!
//! One test for each kind of state, in the connector's crate:
//!
//! ```no_run
//! # #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
//! # struct MySplit { path: String, offset: u64 }
//! # connector_api::stored!(MySplit, "my-split");
//! use testkit::golden::{Broken, Golden};
//!
//! # fn main() -> Result<(), Broken> {
//! // #[test] fn stored_splits_of_every_version_are_read() -> Result<(), Broken>
//! Golden::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
//!     .value("untouched", MySplit { path: "a".into(), offset: 0 })
//!     .value("half-read", MySplit { path: "a/b".into(), offset: 300 })
//!     .check()
//! # }
//! ```
//!
//! The first run with `TESTKIT_BLESS=1` in the environment writes `tests/golden/my-split/v1-half-read.bin`, the envelope
//! included, and lists it in `tests/golden/my-split/index.txt`; both belong into version control. Without it nothing is ever
//! written, and with it nothing that is there is ever changed or removed.
//!
//! When the layout changes: raise [`VERSION`](Stored::VERSION), keep decoding the earlier ones, bless once more. The files of
//! version 1 stay, and must still decode into the value of their name, or into what [`earlier`](Golden::earlier) says.
//!
//! What is proved, each by a [`Rule`]: today's encoder writes exactly the newest file; each file decodes, into what the test
//! expects; none vanished or came in from aside; a later version is refused by its number; and damage to a file (cut anywhere,
//! one bit flipped, lengths made huge) is an error, never a panic and never an allocation by the length that it claims.

mod damage;
mod folder;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use connector_api::Stored;
use connector_api::state::{Envelope, seal};

use folder::Folder;

/// The variable that allows new files to be written, when it is `1`.
pub const BLESS: &str = "TESTKIT_BLESS";

/// What a fixture is checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A value of today's version has its file; without one there is nothing to hold later versions to.
    Kept,
    /// Each version from 1 to today's has a file.
    EveryVersion,
    /// A file that the index lists is there.
    Vanished,
    /// A file that is there is listed in the index, and its name is `v<version>-<name>.bin` of what it holds.
    Listed,
    /// The test says what a file must decode into.
    Expected,
    /// Today's encoder writes the bytes of the newest file. Otherwise the layout changed and the version was not raised.
    VersionRaised,
    /// A file decodes.
    Decodes,
    /// A file decodes into the expected value.
    SameValue,
    /// A later version is refused, by an error that names it.
    LaterRefused,
    /// Damaged bytes are an error.
    DamageNoticed,
    /// Damaged bytes are no panic.
    NoPanic,
    /// Memory is not allocated by a length that the bytes at hand do not bear out.
    LengthChecked,
    /// The files can be read, and written when that is allowed.
    Files,
}

/// One rule that is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// Which file, what was seen, what to do.
    pub what: String,
}

/// All that is wrong with the golden state of a kind. `Debug` prints what `Display` prints, because that is what a failed test shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Broken {
    kind: &'static str,
    findings: Vec<Finding>,
}

impl Broken {
    /// What is wrong, at least one.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "golden state of `{}`:", self.kind)?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {:?}: {}", finding.rule, finding.what))
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Broken {}

/// Says whether a decoded value is the expected one, or how it differs.
type Judge<T> = Arc<dyn Fn(&T) -> Result<(), String>>;

/// The golden state of one kind: see the [module](self). One of it per kind: it knows all files of the kind.
#[must_use = "nothing is proved before `check`"]
pub struct Golden<T> {
    dir: PathBuf,
    bless: bool,
    values: Vec<(String, Arc<T>, Judge<T>)>,
    earlier: Vec<(u16, String, Judge<T>)>,
}

impl<T> fmt::Debug for Golden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Golden").field("dir", &self.dir).field("bless", &self.bless).finish_non_exhaustive()
    }
}

impl<T: Stored> Golden<T> {
    /// The files are in `dir/<kind>`. A relative directory is one of the package's when cargo runs the test.
    ///
    /// New files are written when the environment has [`BLESS`]`=1`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let bless = std::env::var_os(BLESS).is_some_and(|value| value == "1");
        Self { dir: dir.into(), bless, values: Vec::new(), earlier: Vec::new() }
    }

    /// Whether new files are written, whatever the environment says.
    pub fn blessing(mut self, bless: bool) -> Self {
        self.bless = bless;
        self
    }

    /// A value that today's encoder writes and that every version's file of this name decodes into. Names are of `a-z`, `0-9`
    /// and `-`.
    pub fn value(self, name: &str, value: T) -> Self
    where
        T: PartialEq + fmt::Debug,
    {
        let value = Arc::new(value);
        let judge = same(Arc::clone(&value));
        self.with(name, value, judge)
    }

    /// [`value`](Self::value) for a type that can't be compared: `is` says whether what was decoded is the value.
    pub fn value_by(self, name: &str, value: T, is: impl Fn(&T) -> bool + 'static) -> Self {
        self.with(name, Arc::new(value), by(is))
    }

    /// What the file of an earlier version decodes into, where that is not the [`value`](Self::value) of this name.
    pub fn earlier(mut self, version: u16, name: &str, value: T) -> Self
    where
        T: PartialEq + fmt::Debug,
    {
        self.earlier.push((version, name.to_owned(), same(Arc::new(value))));
        self
    }

    /// [`earlier`](Self::earlier) for a type that can't be compared.
    pub fn earlier_by(mut self, version: u16, name: &str, is: impl Fn(&T) -> bool + 'static) -> Self {
        self.earlier.push((version, name.to_owned(), by(is)));
        self
    }

    fn with(mut self, name: &str, value: Arc<T>, judge: Judge<T>) -> Self {
        self.values.push((name.to_owned(), value, judge));
        self
    }

    /// Checks everything, and first writes what is missing of today's version if that is allowed.
    ///
    /// # Errors
    ///
    /// All rules that are broken.
    pub fn check(self) -> Result<(), Broken> {
        let mut findings = Vec::new();
        self.check_all(&mut findings);
        if findings.is_empty() { Ok(()) } else { Err(Broken { kind: T::KIND, findings }) }
    }

    fn check_all(&self, findings: &mut Vec<Finding>) {
        if self.values.is_empty() {
            return findings.push(Rule::Kept.broken("the test names no value"));
        }
        for (name, ..) in &self.values {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return findings.push(Rule::Files.broken(format!("`{name}` is no name for a file")));
            }
        }
        let mut folder = match Folder::open(&self.dir, T::KIND) {
            Ok(folder) => folder,
            Err(finding) => return findings.push(finding),
        };
        for (name, value, judge) in &self.values {
            if let Err(finding) = self.check_today(&mut folder, name, value, judge) {
                findings.push(finding);
            }
        }
        findings.extend(folder.strangers());
        for version in 1..=T::VERSION {
            if !folder.listed().iter().any(|fixture| fixture.version == version) {
                let what =
                    format!("no file of version {version}: what was released can't be proved to decode");
                findings.push(Rule::EveryVersion.broken(what));
            }
        }
        if let Some((_, value, _)) = self.values.first()
            && let Err(finding) = later_is_refused(&**value)
        {
            findings.push(finding);
        }
        for fixture in folder.listed() {
            let checked = folder.bytes(fixture).and_then(|bytes| {
                let judge = self.expected(fixture.version, &fixture.name);
                let judge = judge.ok_or_else(|| {
                    Rule::Expected.broken(format!("{fixture}: the test does not say what it decodes into"))
                })?;
                check_fixture::<T>(fixture.version, &bytes, &**judge)
                    .map_err(|f| f.rule.broken(format!("{fixture}: {}", f.what)))
            });
            if let Err(finding) = checked {
                findings.push(finding);
            }
        }
    }

    fn check_today(
        &self,
        folder: &mut Folder,
        name: &str,
        value: &T,
        judge: &Judge<T>,
    ) -> Result<(), Finding> {
        let fixture = folder::Fixture { version: T::VERSION, name: name.to_owned() };
        let bytes =
            value.to_bytes().map_err(|e| Rule::VersionRaised.broken(format!("{fixture}: encoding: {e}")))?;
        if folder.listed().contains(&fixture) {
            return match folder.bytes(&fixture) {
                Ok(kept) if kept == bytes => Ok(()),
                Ok(_) => Err(Rule::VersionRaised.broken(format!(
                    "{fixture}: the encoder writes other bytes now: raise VERSION above {}, keep decoding this one, then bless",
                    T::VERSION
                ))),
                // It is told with all other files.
                Err(_) => Ok(()),
            };
        }
        if !self.bless {
            let what = format!("{fixture} does not exist: run the test once with {BLESS}=1 and commit it");
            return Err(Rule::Kept.broken(what));
        }
        // Nothing is released for ever that this build does not read itself.
        check_fixture::<T>(T::VERSION, &bytes, &**judge)
            .map_err(|f| f.rule.broken(format!("{fixture} is not written: {}", f.what)))?;
        folder.add(fixture, &bytes)
    }

    fn expected(&self, version: u16, name: &str) -> Option<&Judge<T>> {
        let earlier =
            self.earlier.iter().find(|(v, n, _)| *v == version && n == name).map(|(.., judge)| judge);
        earlier.or_else(|| self.values.iter().find(|(n, ..)| n == name).map(|(.., judge)| judge))
    }
}

fn same<T: PartialEq + fmt::Debug + 'static>(expected: Arc<T>) -> Judge<T> {
    Arc::new(
        move |decoded| {
            if *decoded == *expected { Ok(()) } else { Err(format!("{decoded:?} instead of {expected:?}")) }
        },
    )
}

fn by<T>(is: impl Fn(&T) -> bool + 'static) -> Judge<T> {
    Arc::new(
        move |decoded| if is(decoded) { Ok(()) } else { Err("the test says it is not the value".to_owned()) },
    )
}

impl Rule {
    fn broken(self, what: impl Into<String>) -> Finding {
        Finding { rule: self, what: what.into() }
    }
}

fn check_fixture<T: Stored>(
    version: u16,
    bytes: &[u8],
    judge: &dyn Fn(&T) -> Result<(), String>,
) -> Result<(), Finding> {
    let envelope = Envelope::open(bytes).map_err(|e| Rule::Decodes.broken(e.to_string()))?;
    if (envelope.kind, envelope.version) != (T::KIND, version) {
        let what = format!("it holds `{}` of version {}", envelope.kind, envelope.version);
        return Err(Rule::Listed.broken(what));
    }
    let decoded =
        damage::quietly(|| T::from_bytes(bytes))?.map_err(|e| Rule::Decodes.broken(e.to_string()))?;
    judge(&decoded).map_err(|how| Rule::SameValue.broken(how))?;
    damage::of_the_envelope::<T>(bytes)?;
    damage::of_the_payload::<T>(version, envelope.payload, judge)
}

/// Today's bytes under the next version: a decoder can't know what changed in it, and must not try.
fn later_is_refused<T: Stored>(value: &T) -> Result<(), Finding> {
    let Some(later) = T::VERSION.checked_add(1) else { return Ok(()) };
    // That it can't be encoded is told where its file is checked.
    let Ok(payload) = value.encode() else { return Ok(()) };
    let bytes = seal(T::KIND, later, &payload).map_err(|e| Rule::LaterRefused.broken(e.to_string()))?;
    match damage::quietly(|| T::from_bytes(&bytes))? {
        Ok(_) => Err(Rule::LaterRefused.broken(format!("a state of version {later} is accepted"))),
        Err(e) if e.to_string().contains(&later.to_string()) => Ok(()),
        Err(e) => {
            Err(Rule::LaterRefused.broken(format!("version {later} is refused without naming it: {e}")))
        }
    }
}
