//! Names of parts: unique per attempt, hidden until the commit, never outside the base directory.
//!
//! ```text
//! part     <prefix>-<run>_<attempt>_<subtask>-<counter><suffix>
//! hidden   .<part>.inprogress                                     while it is written, and until it is committed
//! merged   .<part>.<run>_<attempt>_<subtask>.compacting           named after its first input, and the merging compactor
//! marker   .<part>.<run>_<attempt>_<subtask>.uploading            of an upload, named after the part and who uploads
//! ```
//!
//! In an object store the result of a merge appears as `<prefix>-<run>_<attempt>_<subtask>-<counter>-<uid of the merge><suffix>`.
//!
//! A file of a bucket has the bucket's directory in front of all three: `<bucket>/.<part>.inprogress`. State and committables
//! hold such names, not paths: they stay valid when the base directory moves.

use std::path::{Path, PathBuf};

use connector_api::id::{AttemptId, RunId};
use connector_api::{Error, Result};

const IN_PROGRESS: &str = ".inprogress";
const COMPACTING: &str = ".compacting";
const UPLOADING: &str = ".uploading";
/// With run, attempt, subtask and counter at their longest, the longest name stays below 255 bytes.
const MAX_AFFIXES: usize = 80;

/// Makes and recognises the names of one sink's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartNames {
    prefix: String,
    suffix: String,
}

/// The names that one writer or compactor gives: unique as long as an attempt's number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Uid {
    pub(crate) attempt: AttemptId,
    pub(crate) subtask: u32,
}

/// Which part a name stands for. The order is that of making: by attempt, writer, counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartId {
    pub(crate) uid: Uid,
    pub(crate) counter: u64,
}

/// Whom a hidden file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) AttemptId);

impl std::fmt::Display for Uid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.attempt, self.subtask)
    }
}

impl PartNames {
    /// Refuses affixes that could leave the directory, hide a finished part or make its name unreadable: gives the option's
    /// name and the reason.
    pub(crate) fn new(prefix: &str, suffix: &str) -> Result<Self, (&'static str, String)> {
        let allowed = "; allowed are letters, digits and other printable characters but `/`, `\\` and `..`";
        for (option, text) in [("prefix", prefix), ("suffix", suffix)] {
            if text.contains(['/', '\\']) || text.contains("..") || text.chars().any(char::is_control) {
                return Err((option, format!("{text:?} could leave the directory{allowed}")));
            }
        }
        if prefix.is_empty() {
            return Err(("prefix", "is empty; give at least one character".into()));
        }
        if prefix.starts_with(['.', '_']) {
            return Err((
                "prefix",
                format!("{prefix:?} begins with `.` or `_`, which would hide finished parts"),
            ));
        }
        if [IN_PROGRESS, COMPACTING, UPLOADING].iter().any(|mark| suffix.ends_with(mark)) {
            return Err(("suffix", format!("{suffix:?} is how parts that are not finished end")));
        }
        if prefix.len() + suffix.len() > MAX_AFFIXES {
            let option = if prefix.len() >= suffix.len() { "prefix" } else { "suffix" };
            return Err((option, format!("prefix and suffix are longer than {MAX_AFFIXES} bytes together")));
        }
        Ok(Self { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
    }

    /// The name under which a part appears.
    pub(crate) fn part(&self, uid: Uid, counter: u64) -> String {
        format!("{}-{uid}-{counter}{}", self.prefix, self.suffix)
    }

    /// The part that a visible name stands for.
    pub(crate) fn parse(&self, name: &str) -> Option<PartId> {
        let (_, name) = split(name);
        let middle =
            name.strip_prefix(&self.prefix)?.strip_prefix('-')?.strip_suffix(self.suffix.as_str())?;
        let (uid, counter) = middle.rsplit_once('-')?;
        Some(PartId { uid: parse_uid(uid)?, counter: decimal(counter)? })
    }

    /// Another visible name for the result of a merge, from its hidden one. No other file is given it.
    pub(crate) fn beside(&self, staged: &str) -> Option<String> {
        let (bucket, file) = split(staged);
        let (part, uid) = file.strip_prefix('.')?.strip_suffix(COMPACTING)?.rsplit_once('.')?;
        let (_, uid) = (self.parse(part)?, parse_uid(uid)?);
        let name = format!("{}-{uid}{}", part.strip_suffix(self.suffix.as_str())?, self.suffix);
        Some(within(bucket, &name))
    }

    /// The name of the marker of an upload, from the name under which it appears: that of a part, or of a merge in an object
    /// store.
    pub(crate) fn marker(&self, name: &str) -> Option<String> {
        if let Some(part) = self.parse(name) {
            return Some(uploading(name, part.uid));
        }
        let (bucket, file) = split(name);
        let (part, uid) = file.strip_suffix(self.suffix.as_str())?.rsplit_once('-')?;
        let (part, uid) = (format!("{part}{}", self.suffix), parse_uid(uid)?);
        self.parse(&part).map(|_| uploading(&within(bucket, &part), uid))
    }

    /// Whom a file of this name belongs to, if it is one of this sink's hidden files.
    pub(crate) fn owner(&self, name: &str) -> Option<Owner> {
        let (_, name) = split(name);
        let inner = name.strip_prefix('.')?;
        if let Some(part) = inner.strip_suffix(IN_PROGRESS) {
            return self.parse(part).map(|part| Owner(part.uid.attempt));
        }
        let stem = inner.strip_suffix(COMPACTING).or_else(|| inner.strip_suffix(UPLOADING))?;
        let (part, uid) = stem.rsplit_once('.')?;
        let (part, uid) = (self.parse(part)?, parse_uid(uid)?);
        // A merge stays within its run; anything else is not ours.
        (part.uid.attempt.run == uid.attempt.run).then_some(Owner(uid.attempt))
    }
}

/// Why a file is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HiddenKind {
    InProgress,
    Merging,
    Uploading,
}

/// What a hidden file is and which attempt made it, for a sink of any prefix and suffix; none for a name that no sink gives.
pub(crate) fn hidden_kind(name: &str) -> Option<(HiddenKind, AttemptId)> {
    let inner = split(name).1.strip_prefix('.')?;
    if let Some(part) = inner.strip_suffix(IN_PROGRESS) {
        return uid_within(part).map(|uid| (HiddenKind::InProgress, uid.attempt));
    }
    let (stem, kind) = match inner.strip_suffix(COMPACTING) {
        Some(stem) => (stem, HiddenKind::Merging),
        None => (inner.strip_suffix(UPLOADING)?, HiddenKind::Uploading),
    };
    let (part, uid) = stem.rsplit_once('.')?;
    let (part, uid) = (uid_within(part)?, parse_uid(uid)?);
    (part.attempt.run == uid.attempt.run).then_some((kind, uid.attempt))
}

/// Who made a part of any prefix and suffix: the last uid in its name that a counter follows.
fn uid_within(part: &str) -> Option<Uid> {
    let dashes = part.rmatch_indices('-').map(|(at, _)| at);
    let mut ends = dashes.clone().zip(dashes.skip(1));
    ends.find_map(|(end, start)| {
        let has_counter = part[end + 1..].starts_with(|c: char| c.is_ascii_digit());
        parse_uid(&part[start + 1..end]).filter(|_| has_counter)
    })
}

/// The name that a part bears until its commit.
pub(crate) fn hidden(part: &str) -> String {
    let (bucket, part) = split(part);
    within(bucket, &format!(".{part}{IN_PROGRESS}"))
}

/// The name that the result of a merge bears until its commit: that of the part it will appear as, and of who merges.
pub(crate) fn compacting(part: &str, uid: Uid) -> String {
    let (bucket, part) = split(part);
    within(bucket, &format!(".{part}.{uid}{COMPACTING}"))
}

/// The name of the marker of an upload: that of the part (the first one, for a merge), and of who uploads.
pub(crate) fn uploading(part: &str, uid: Uid) -> String {
    let (bucket, part) = split(part);
    within(bucket, &format!(".{part}.{uid}{UPLOADING}"))
}

/// The part that a name given by [`hidden`] stands for.
pub(crate) fn part_of(hidden: &str) -> Option<String> {
    let (bucket, file) = split(hidden);
    Some(within(bucket, file.strip_prefix('.')?.strip_suffix(IN_PROGRESS)?))
}

/// Whether a name is that of a marker.
pub(crate) fn is_marker(name: &str) -> bool {
    name.ends_with(UPLOADING)
}

/// The bucket (empty for none) and the file that a name consists of.
pub(crate) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// The name of a file in a bucket, which may be empty for none.
pub(crate) fn within(bucket: &str, file: &str) -> String {
    if bucket.is_empty() { file.to_owned() } else { format!("{bucket}/{file}") }
}

/// The path of a name that came out of stored state. A name that would lead elsewhere is refused.
///
/// # Errors
///
/// [`Error::State`].
pub(crate) fn path_in(dir: &Path, name: &str) -> Result<PathBuf> {
    let leads_out = |part: &str| part.is_empty() || part == "." || part.contains("..");
    if name.contains(['\\', '\0']) || name.split('/').any(leads_out) {
        return Err(Error::state("file name", format!("{name:?} is not a name within {}", dir.display())));
    }
    Ok(dir.join(name))
}

fn parse_uid(text: &str) -> Option<Uid> {
    let mut parts = text.split('_');
    let (run, number, subtask) = (parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if parts.next().is_some() || run.len() != 16 || !run.chars().all(lower_hex) {
        return None;
    }
    let run = RunId(u64::from_str_radix(run, 16).ok()?);
    let attempt = AttemptId { run, number: decimal(number)? };
    Some(Uid { attempt, subtask: u32::try_from(decimal(subtask)?).ok()? })
}

/// A number exactly as it is written by `Display`: no sign, no leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(number: u64, subtask: u32) -> Uid {
        Uid { attempt: AttemptId { run: RunId(0xabc), number }, subtask }
    }

    #[test]
    fn names_are_read_back_and_sort_as_they_were_made() {
        let names = PartNames::new("part", ".txt").unwrap();
        let name = names.part(uid(2, 1), 10);
        assert_eq!(name, "part-0000000000000abc_2_1-10.txt");
        assert_eq!(names.parse(&name), Some(PartId { uid: uid(2, 1), counter: 10 }));
        assert!(names.parse(&names.part(uid(2, 1), 9)) < names.parse(&name));
        assert!(names.parse(&names.part(uid(10, 0), 0)) > names.parse(&name));
    }

    #[test]
    fn hidden_files_tell_their_owner_and_nothing_else_is_ours() {
        let names = PartNames::new("part", "").unwrap();
        let part = names.part(uid(2, 1), 0);
        assert_eq!(names.owner(&hidden(&part)), Some(Owner(uid(2, 1).attempt)));
        assert_eq!(names.owner(&compacting(&part, uid(7, 0))), Some(Owner(uid(7, 0).attempt)));
        let foreign = [
            part.clone(),
            format!(".{part}"),
            format!(".{part}.inprogress.bak"),
            format!(".{part}.compacting"),
            format!(".x{part}.inprogress"),
            ".part-0000000000000ABC_2_1-0.inprogress".into(),
            ".part-0000000000000abc_02_1-0.inprogress".into(),
            ".part-0000000000000abc_2_1-.inprogress".into(),
            ".part-0000000000000abc_2_1_3-0.inprogress".into(),
            ".part-abc_2_1-0.inprogress".into(),
            ".inprogress".into(),
        ];
        for name in foreign {
            assert_eq!(names.owner(&name), None, "{name}");
        }
        let other_run =
            compacting(&part, Uid { attempt: AttemptId { run: RunId(1), number: 1 }, subtask: 0 });
        assert_eq!(names.owner(&other_run), None);
    }

    #[test]
    fn a_merge_has_a_second_name_which_is_visible_and_no_part() {
        let names = PartNames::new("part", ".txt").unwrap();
        let part = names.part(uid(2, 1), 10);
        let beside = names.beside(&compacting(&part, uid(7, 0))).unwrap();
        assert_eq!(beside, "part-0000000000000abc_2_1-10-0000000000000abc_7_0.txt");
        assert_eq!((names.parse(&beside), names.beside(&hidden(&part))), (None, None));
    }

    #[test]
    fn the_marker_of_an_upload_is_found_from_the_name_that_it_appears_under() {
        let names = PartNames::new("part", ".txt").unwrap();
        let part = within("day=1", &names.part(uid(2, 1), 10));
        let marker = names.marker(&part).unwrap();
        assert_eq!(marker, "day=1/.part-0000000000000abc_2_1-10.txt.0000000000000abc_2_1.uploading");
        assert_eq!((marker.clone(), true), (uploading(&part, uid(2, 1)), is_marker(&marker)));
        let merged = names.beside(&compacting(&part, uid(7, 0))).unwrap();
        let marker = names.marker(&merged).unwrap();
        assert_eq!(marker, uploading(&part, uid(7, 0)));
        assert_eq!(names.owner(&marker), Some(Owner(uid(7, 0).attempt)));
        assert_eq!((names.marker("other.txt"), names.marker(&hidden(&part))), (None, None));
    }

    #[test]
    fn affixes_that_could_escape_or_hide_are_refused() {
        for prefix in ["", "a/b", "..", "a..b", ".x", "_x", "a\0", "a\nb", "a\\b", &"x".repeat(81)] {
            assert_eq!(PartNames::new(prefix, "").map_err(|e| e.0), Err("prefix"), "{prefix:?}");
        }
        for suffix in ["/x", "..", "\0", "\u{7f}", ".inprogress", ".compacting", ".uploading"] {
            assert_eq!(PartNames::new("part", suffix).map_err(|e| e.0), Err("suffix"), "{suffix:?}");
        }
        assert!(PartNames::new("data-2026", ".csv").is_ok());
    }

    #[test]
    fn the_longest_name_fits_a_file_system() {
        let names = PartNames::new(&"p".repeat(MAX_AFFIXES), "").unwrap();
        let uid = Uid { attempt: AttemptId { run: RunId(u64::MAX), number: u64::MAX }, subtask: u32::MAX };
        assert!(compacting(&names.part(uid, u64::MAX), uid).len() <= 255);
    }

    #[test]
    fn names_out_of_stored_state_cannot_leave_the_directory() {
        for name in ["", ".", "..", "../x", "a/../b", "a//b", "a/", "/etc/passwd", "a\0"] {
            assert!(path_in(Path::new("/out"), name).is_err(), "{name:?}");
        }
        assert_eq!(path_in(Path::new("/out"), ".part").unwrap(), Path::new("/out/.part"));
        assert_eq!(path_in(Path::new("/out"), "day=1/.p").unwrap(), Path::new("/out/day=1/.p"));
    }

    #[test]
    fn a_file_of_a_bucket_is_hidden_within_it() {
        let names = PartNames::new("p", ".x").unwrap();
        let uid = Uid { attempt: AttemptId { run: RunId(1), number: 2 }, subtask: 3 };
        let part = within("day=1/h=2", &names.part(uid, 4));
        assert_eq!(names.parse(&part), Some(PartId { uid, counter: 4 }));
        let hidden = hidden(&part);
        assert!(hidden.starts_with("day=1/h=2/.p-") && names.owner(&hidden).is_some(), "{hidden}");
        let merged = compacting(&part, uid);
        assert!(merged.starts_with("day=1/h=2/.p-") && names.owner(&merged).is_some(), "{merged}");
        assert!(names.beside(&merged).is_some_and(|name| name.starts_with("day=1/h=2/p-")));
    }
}
