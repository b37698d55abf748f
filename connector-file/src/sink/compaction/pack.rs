//! Which parts are merged with which.

use crate::sink::committable::StagedFile;

/// Whether a part is left alone: 80 % of the wanted size or more.
pub(super) fn is_near(length: u64, size: u64) -> bool {
    u128::from(length) * 10 >= u128::from(size) * 8
}

/// Packs parts into groups that come near `size` and don't exceed it, or into one group without a size. First fit: the
/// order is kept within each group, and groups stand in the order of their first parts.
///
/// A part that is near the size, or larger, makes a group of its own.
pub(super) fn pack(files: Vec<StagedFile>, size: Option<u64>) -> Vec<Vec<StagedFile>> {
    let Some(size) = size else {
        return if files.is_empty() { Vec::new() } else { vec![files] };
    };
    let mut groups: Vec<(u64, Vec<StagedFile>)> = Vec::new();
    // Groups below this index are near the size: they take no more. Keeps long lists from being searched again and again.
    let mut first_open = 0;
    for file in files {
        let fits = |group: &&mut (u64, Vec<_>)| {
            !is_near(group.0, size) && group.0.saturating_add(file.length) <= size
        };
        match groups[first_open..].iter_mut().find(fits) {
            Some(group) => {
                group.0 += file.length;
                group.1.push(file);
            }
            None => groups.push((file.length, vec![file])),
        }
        while groups.get(first_open).is_some_and(|group| is_near(group.0, size)) {
            first_open += 1;
        }
    }
    groups.into_iter().map(|(_, files)| files).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::committable::Staged;

    fn packed(lengths: &[u64], size: Option<u64>) -> Vec<Vec<u64>> {
        let file = |&length: &u64| StagedFile {
            staged: Staged::Hidden(String::new()),
            name: String::new(),
            length,
            rows: 1,
            parts: 1,
            inputs: Vec::new(),
        };
        let groups = pack(lengths.iter().map(file).collect(), size);
        groups.iter().map(|group| group.iter().map(|file| file.length).collect()).collect()
    }

    #[test]
    fn groups_come_near_the_size_and_do_not_exceed_it() {
        assert_eq!(packed(&[30, 30, 30, 30, 30, 30], Some(100)), [[30, 30, 30], [30, 30, 30]]);
        assert_eq!(packed(&[70, 60, 10, 40], Some(100)), [vec![70, 10], vec![60, 40]]);
        assert_eq!(packed(&[10, 200, 10], Some(100)), [vec![10, 10], vec![200]]);
        assert_eq!(packed(&[80, 10], Some(100)), [[80], [10]]);
    }

    #[test]
    fn without_a_size_everything_is_one_group() {
        assert_eq!(packed(&[1, 1_000, 1], None), [[1, 1_000, 1]]);
        assert!(packed(&[], None).is_empty() && packed(&[], Some(1)).is_empty());
    }

    #[test]
    fn no_size_overflows() {
        assert_eq!(packed(&[u64::MAX, u64::MAX], Some(u64::MAX)).len(), 2);
        assert!(is_near(u64::MAX, u64::MAX) && !is_near(79, 100) && is_near(80, 100));
    }
}
