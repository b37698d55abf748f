//! Golden state: sound state is proved, and each way to break it is rejected by the rule that it breaks and by no other.
//!
//! The files are real ones, as in an author's repository.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

use connector_api::state::{Envelope, seal};
use connector_api::{Error, Result, Stored};
use tempfile::TempDir;
use testkit::golden::{Golden, Rule};

const SOUND: u8 = 0;
const CHANGES_WITHOUT_A_VERSION: u8 = 1;
const FORGETS_VERSION_1: u8 = 2;
const PANICS_ON_DAMAGE: u8 = 3;
const ALLOCATES_WHAT_IS_CLAIMED: u8 = 4;
const READS_OVER_TRAILING_BYTES: u8 = 5;
const ACCEPTS_LATER_VERSIONS: u8 = 6;
const READS_WITHOUT_CHECKSUM: u8 = 7;
const REFUSES_LATER_WITHOUT_NAMING: u8 = 8;
const MISREADS_VERSION_1: u8 = 9;
const WRITES_WHAT_IT_CANNOT_READ: u8 = 10;

/// Version 1: length of the path as u32, path. Version 2: the offset as u64 behind it. Little endian.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part<const TWIN: u8> {
    path: String,
    offset: u64,
}

fn short() -> Error {
    Error::state("part", "cut off".to_owned())
}

impl<const TWIN: u8> Stored for Part<TWIN> {
    const KIND: &'static str = "part";
    const VERSION: u16 = 2;

    fn encode(&self) -> Result<Vec<u8>> {
        let mut out = u32::try_from(self.path.len()).unwrap().to_le_bytes().to_vec();
        out.extend(self.path.bytes());
        match TWIN {
            CHANGES_WITHOUT_A_VERSION => out.extend((self.offset + 1).to_le_bytes()),
            WRITES_WHAT_IT_CANNOT_READ => {}
            _ => out.extend(self.offset.to_le_bytes()),
        }
        Ok(out)
    }

    fn decode(version: u16, payload: &[u8]) -> Result<Self> {
        if TWIN == FORGETS_VERSION_1 && version == 1 {
            return Err(Error::state("part", "unknown version".to_owned()));
        }
        let (length, rest) = payload.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let mut path = Vec::new();
        if TWIN == ALLOCATES_WHAT_IS_CLAIMED {
            path.reserve_exact(length);
        }
        if TWIN == PANICS_ON_DAMAGE {
            assert!(length <= rest.len(), "the length is wrong");
        }
        let (front, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        path.extend_from_slice(front);
        let path = String::from_utf8(path).map_err(|e| Error::state("part", e.to_string()))?;
        let (offset, rest) = match version {
            1 if TWIN == MISREADS_VERSION_1 => (7, rest),
            1 => (0, rest),
            _ => {
                let (offset, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
                let offset = u64::from_le_bytes(*offset);
                (if TWIN == CHANGES_WITHOUT_A_VERSION { offset - 1 } else { offset }, rest)
            }
        };
        if rest.is_empty() || TWIN == READS_OVER_TRAILING_BYTES {
            Ok(Self { path, offset })
        } else {
            Err(Error::state("part", "too long".to_owned()))
        }
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        if TWIN == READS_WITHOUT_CHECKSUM {
            return Self::decode(Self::VERSION, bytes.get(19..).ok_or_else(short)?);
        }
        let envelope = Envelope::open(bytes)?;
        if envelope.version > Self::VERSION {
            match TWIN {
                ACCEPTS_LATER_VERSIONS => return Self::decode(Self::VERSION, envelope.payload),
                REFUSES_LATER_WITHOUT_NAMING => return Err(Error::state("part", "no".to_owned())),
                _ => {
                    return Err(Error::state("part", format!("version {} is later", envelope.version)));
                }
            }
        }
        Self::decode(envelope.version, envelope.payload)
    }
}

fn part<const TWIN: u8>(offset: u64) -> Part<TWIN> {
    Part { path: "a/b".into(), offset }
}

/// A repository with what version 1 wrote, and what version 2 writes.
struct Repository(TempDir);

impl Repository {
    fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn released() -> Self {
        let repository = Self::empty();
        fs::create_dir(repository.kind()).unwrap();
        fs::write(repository.file("v1-half-read.bin"), seal("part", 1, b"\x03\0\0\0a/b").unwrap()).unwrap();
        fs::write(repository.file("index.txt"), "v1-half-read.bin\n").unwrap();
        repository.golden::<SOUND>().blessing(true).check().unwrap();
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn kind(&self) -> PathBuf {
        self.path().join("part")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.kind().join(name)
    }

    fn golden<const TWIN: u8>(&self) -> Golden<Part<TWIN>> {
        let golden = Golden::new(self.path()).blessing(false);
        golden.value("half-read", part(300)).earlier(1, "half-read", part(0))
    }

    fn everything(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let Ok(entries) = fs::read_dir(self.kind()) else { return Vec::new() };
        let mut all: Vec<_> =
            entries.map(|e| e.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        all.sort();
        all
    }
}

fn broken<T: Stored>(golden: Golden<T>) -> Vec<Rule> {
    match golden.check() {
        Ok(()) => Vec::new(),
        // What was seen is in the output of a test that fails.
        Err(broken) => {
            println!("{broken}");
            broken.findings().iter().map(|finding| finding.rule).collect()
        }
    }
}

#[test]
fn sound_state_of_every_version_is_proved() {
    let repository = Repository::released();
    repository.golden::<SOUND>().check().unwrap();
    let names: Vec<_> = repository.everything().into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        names,
        ["index.txt", "v1-half-read.bin", "v2-half-read.bin"].map(|name| repository.file(name))
    );
    let index = fs::read_to_string(repository.file("index.txt")).unwrap();
    assert_eq!(index, "v1-half-read.bin\nv2-half-read.bin\n");
}

#[test]
fn nothing_is_written_unless_it_is_allowed() {
    let repository = Repository::empty();
    let golden = || Golden::new(repository.path()).value("x", ());
    assert_eq!(broken(golden().blessing(false)), [Rule::Kept, Rule::EveryVersion]);
    assert_eq!(fs::read_dir(repository.path()).unwrap().count(), 0);
    golden().blessing(true).check().unwrap();
    golden().blessing(false).check().unwrap();
}

#[test]
fn what_is_there_is_never_changed_even_if_writing_is_allowed() {
    let repository = Repository::released();
    let before = repository.everything();
    let twin = repository.golden::<CHANGES_WITHOUT_A_VERSION>().blessing(true);
    assert!(broken(twin).contains(&Rule::VersionRaised));
    fs::remove_file(repository.file("v2-half-read.bin")).unwrap();
    assert_eq!(broken(repository.golden::<SOUND>().blessing(true)), [Rule::Vanished]);
    assert_eq!(repository.everything().len() + 1, before.len());
}

#[test]
fn what_this_build_cannot_read_is_not_written() {
    let repository = Repository::empty();
    let twin = Golden::new(repository.path()).value("x", part::<WRITES_WHAT_IT_CANNOT_READ>(1));
    assert_eq!(broken(twin.blessing(true)), [Rule::Decodes, Rule::EveryVersion, Rule::EveryVersion]);
    assert!(repository.everything().is_empty());
}

/// What each broken type is rejected for, exactly.
#[test]
fn each_twin_is_rejected_by_the_rule_that_it_breaks() {
    fn of<const TWIN: u8>() -> Vec<Rule> {
        broken(Repository::released().golden::<TWIN>())
    }
    assert_eq!(of::<SOUND>(), []);
    // Its own decoder agrees with it, and so misreads what was written before.
    assert_eq!(of::<CHANGES_WITHOUT_A_VERSION>(), [Rule::VersionRaised, Rule::SameValue]);
    assert_eq!(of::<FORGETS_VERSION_1>(), [Rule::Decodes]);
    assert_eq!(of::<MISREADS_VERSION_1>(), [Rule::SameValue]);
    // The rules below are broken by the decoding of both files.
    assert_eq!(of::<PANICS_ON_DAMAGE>(), [Rule::NoPanic; 2]);
    assert_eq!(of::<READS_OVER_TRAILING_BYTES>(), [Rule::DamageNoticed; 2]);
    assert_eq!(of::<ACCEPTS_LATER_VERSIONS>(), [Rule::LaterRefused]);
    assert_eq!(of::<REFUSES_LATER_WITHOUT_NAMING>(), [Rule::LaterRefused]);
    // It does not look at the envelope at all.
    let rules = [Rule::LaterRefused, Rule::Decodes, Rule::DamageNoticed];
    assert_eq!(of::<READS_WITHOUT_CHECKSUM>(), rules);
}

/// A length is taken for granted: seen by the address space that the process asked for, where the system tells.
#[cfg(target_os = "linux")]
#[test]
fn a_decoder_that_allocates_what_a_length_claims_is_rejected() {
    let repository = Repository::released();
    let rules = broken(repository.golden::<ALLOCATES_WHAT_IS_CLAIMED>());
    assert_eq!(rules[0], Rule::LengthChecked);
}

#[test]
fn files_that_vanish_come_in_or_are_not_what_they_say_are_told() {
    let of = |damage: &dyn Fn(&Repository)| {
        let repository = Repository::released();
        damage(&repository);
        broken(repository.golden::<SOUND>())
    };
    let index = |text: &'static str| move |r: &Repository| fs::write(r.file("index.txt"), text).unwrap();
    assert_eq!(of(&|r| fs::remove_file(r.file("v1-half-read.bin")).unwrap()), [Rule::Vanished]);
    assert_eq!(of(&|r| fs::remove_file(r.file("v2-half-read.bin")).unwrap()), [Rule::Vanished]);
    assert_eq!(of(&|r| fs::write(r.file("v2-other.bin"), "").unwrap()), [Rule::Listed]);
    assert_eq!(of(&index("v2-half-read.bin\n")), [Rule::Listed, Rule::EveryVersion]);
    assert_eq!(of(&index("v1-half-read.bin\nv2-half-read.bin\nnonsense\n")), [Rule::Listed]);
    assert_eq!(
        of(&|r| fs::remove_dir_all(r.kind()).unwrap()),
        [Rule::Kept, Rule::EveryVersion, Rule::EveryVersion]
    );
    let exchange = |r: &Repository| {
        fs::copy(r.file("v2-half-read.bin"), r.file("v1-half-read.bin")).unwrap();
    };
    assert_eq!(of(&exchange), [Rule::Listed]);
    let cut = |r: &Repository| fs::write(r.file("v1-half-read.bin"), "CSDK").unwrap();
    assert_eq!(of(&cut), [Rule::Decodes]);
}

#[test]
fn a_file_without_an_expected_value_is_told() {
    let repository = Repository::released();
    let golden = Golden::new(repository.path()).blessing(false).value("other", part::<SOUND>(1));
    assert_eq!(broken(golden), [Rule::Kept, Rule::Expected, Rule::Expected]);
    let golden: Golden<Part<SOUND>> = Golden::new(repository.path());
    assert_eq!(broken(golden), [Rule::Kept]);
}

#[test]
fn a_type_that_cannot_be_compared_is_judged_by_the_test() {
    let repository = Repository::released();
    let golden = |offset: u64| {
        let golden = Golden::new(repository.path()).blessing(false);
        let golden = golden.value_by("half-read", part::<SOUND>(300), |p| p.offset == 300);
        golden.earlier_by(1, "half-read", move |p| p.offset == offset)
    };
    golden(0).check().unwrap();
    assert_eq!(broken(golden(1)), [Rule::SameValue]);
}

#[test]
fn a_failed_test_shows_what_is_wrong_and_what_to_do() {
    let error = Golden::new("no/such/place").blessing(false).value("x", ()).check().unwrap_err();
    let shown = format!("{error:?}");
    assert!(shown.contains("`nothing`") && shown.contains("TESTKIT_BLESS=1"), "{shown}");
}
