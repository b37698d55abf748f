//! The paths that were found already.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::split::RelativePath;

/// Paths with the times of their last modification, as they are stored. Cloning is cheap, whatever their number.
///
/// Each is its length (u32 LE), its bytes, and the nanoseconds since the Unix epoch (u64 LE).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SeenPaths {
    bytes: Arc<Vec<u8>>,
    count: usize,
}

impl SeenPaths {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn push(&mut self, path: &RelativePath, modified: Duration) {
        let path = path.as_path().as_os_str().as_bytes();
        let bytes = Arc::make_mut(&mut self.bytes);
        // No system takes a path of 4 GiB.
        bytes.extend_from_slice(&(path.len() as u32).to_le_bytes());
        bytes.extend_from_slice(path);
        bytes.extend_from_slice(&nanos(modified).to_le_bytes());
        self.count += 1;
    }

    /// Takes the stored form apart; none when it is damaged.
    fn entries(mut bytes: &[u8]) -> Option<Vec<(RelativePath, Duration)>> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_first_chunk()?;
            let (path, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let (modified, rest) = rest.split_first_chunk()?;
            let path = RelativePath::new(OsString::from_vec(path.to_vec()))?;
            entries.push((path, Duration::from_nanos(u64::from_le_bytes(*modified))));
            bytes = rest;
        }
        Some(entries)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl FromIterator<(RelativePath, Duration)> for SeenPaths {
    fn from_iter<I: IntoIterator<Item = (RelativePath, Duration)>>(entries: I) -> Self {
        let mut all = Self::default();
        entries.into_iter().for_each(|(path, modified)| all.push(&path, modified));
        all
    }
}

impl fmt::Debug for SeenPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeenPaths({} paths)", self.count)
    }
}

impl Serialize for SeenPaths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for SeenPaths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = SeenPaths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("paths with their times")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<SeenPaths, E> {
                let entries = SeenPaths::entries(bytes).ok_or_else(|| E::custom("the paths are damaged"))?;
                Ok(SeenPaths { bytes: Arc::new(bytes.to_vec()), count: entries.len() })
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

/// The paths that were found already, to be asked.
///
/// Their stored form is kept beside them and grows with them, so that a snapshot costs nothing while nothing is forgotten.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashMap<RelativePath, Duration>,
    stored: SeenPaths,
    /// Whether the stored form holds more than is known, or older times.
    stale: bool,
}

impl Seen {
    pub(super) fn new(stored: SeenPaths) -> Self {
        // It was taken apart once when it was decoded.
        let known = SeenPaths::entries(&stored.bytes).unwrap_or_default().into_iter().collect();
        Self { known, stored, stale: false }
    }

    pub(super) fn contains(&self, path: &RelativePath) -> bool {
        self.known.contains_key(path)
    }

    /// Remembers a path, or that it was modified since.
    pub(super) fn insert(&mut self, path: &RelativePath, modified: Duration) {
        match self.known.insert(path.clone(), modified) {
            None => self.stored.push(path, modified),
            Some(before) => self.stale |= before != modified,
        }
    }

    pub(super) fn forget(&mut self, path: &RelativePath) {
        self.stale |= self.known.remove(path).is_some();
    }

    /// Forgets the paths for which this does not hold.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&RelativePath, Duration) -> bool) {
        let before = self.known.len();
        self.known.retain(|path, modified| keep(path, *modified));
        self.stale |= self.known.len() < before;
    }

    /// What a snapshot holds.
    pub(super) fn stored(&mut self) -> SeenPaths {
        if std::mem::take(&mut self.stale) {
            let mut all: Vec<_> =
                self.known.iter().map(|(path, modified)| (path.clone(), *modified)).collect();
            all.sort_unstable();
            self.stored = all.into_iter().collect();
        }
        self.stored.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::state::{from_payload, to_payload};

    fn path(text: &str) -> RelativePath {
        RelativePath::new(text).unwrap()
    }

    #[test]
    fn what_is_stored_is_what_is_known_also_after_forgetting() {
        let mut seen = Seen::default();
        for (i, name) in ["b", "a/x", "c"].into_iter().enumerate() {
            seen.insert(&path(name), Duration::from_secs(i as u64));
        }
        let again = |seen: &mut Seen| -> Seen {
            Seen::new(from_payload(&to_payload(&seen.stored()).unwrap()).unwrap())
        };
        assert_eq!(again(&mut seen).known, seen.known);
        seen.forget(&path("a/x"));
        seen.insert(&path("c"), Duration::from_secs(9));
        assert_eq!(again(&mut seen).known, seen.known);
        assert_eq!(seen.stored().len(), 2);
        seen.retain(|_, modified| modified > Duration::from_secs(1));
        assert_eq!(
            again(&mut seen).known.into_iter().collect::<Vec<_>>(),
            [(path("c"), Duration::from_secs(9))]
        );
    }

    #[test]
    fn a_snapshot_shares_the_stored_form_while_nothing_is_forgotten() {
        let mut seen = Seen::default();
        (0..100).for_each(|i| seen.insert(&path(&i.to_string()), Duration::ZERO));
        let (first, second) = (seen.stored(), seen.stored());
        assert!(Arc::ptr_eq(&first.bytes, &second.bytes));
    }

    #[test]
    fn damaged_paths_are_refused() {
        for bad in
            [&b"\x05\0\0\0ab"[..], b"\x01\0\0\0a\0\0", b"\xff\xff\xff\xffa", b"\x02\0\0\0..\0\0\0\0\0\0\0\0"]
        {
            assert!(SeenPaths::entries(bad).is_none(), "{bad:?}");
        }
    }
}
