//! Which parts are merged with which.

use std::collections::BTreeSet;

use crate::sink::committable::StagedFile;

/// Packs parts into groups that come near `size` and don't exceed it, or into one group without a size. A group of `kept` bytes
/// or more takes no more.
///
/// Best fit (D. S. Johnson, *Near-optimal bin packing algorithms*, 1973): each part, in order, joins the group that it leaves least
/// room in. The order is kept within each group, and groups stand in the order of their first parts. At most 1.7 times as many groups
/// as there must be. Time: n log n.
///
/// A part that is kept, or larger than `size`, makes a group of its own.
pub(super) fn pack(files: Vec<StagedFile>, size: Option<u64>, kept: Option<u64>) -> Vec<Vec<StagedFile>> {
    let Some(size) = size else {
        return if files.is_empty() { Vec::new() } else { vec![files] };
    };
    let mut groups: Vec<Vec<StagedFile>> = Vec::new();
    // The groups that take more, by the room that is left in them.
    let mut open: BTreeSet<(u64, usize)> = BTreeSet::new();
    for file in files {
        let length = file.length;
        let alone = kept.is_some_and(|kept| length >= kept);
        let fits = if alone { None } else { open.range((length, 0)..).next().copied() };
        let (room, index) = match fits {
            Some(found) => {
                open.remove(&found);
                groups[found.1].push(file);
                (found.0 - length, found.1)
            }
            None => {
                groups.push(vec![file]);
                (size.saturating_sub(length), groups.len() - 1)
            }
        };
        let is_kept = kept.is_some_and(|kept| size - room >= kept);
        if room > 0 && !alone && !is_kept {
            open.insert((room, index));
        }
    }
    groups
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
        let kept = size.map(|size| size - size / 5);
        let groups = pack(lengths.iter().map(file).collect(), size, kept);
        groups.iter().map(|group| group.iter().map(|file| file.length).collect()).collect()
    }

    #[test]
    fn groups_come_near_the_size_and_do_not_exceed_it() {
        assert_eq!(packed(&[30, 30, 30, 30, 30, 30], Some(100)), [[30, 30, 30], [30, 30, 30]]);
        assert_eq!(packed(&[70, 60, 10, 40], Some(100)), [vec![70, 10], vec![60, 40]]);
        assert_eq!(packed(&[10, 200, 10], Some(100)), [vec![10, 10], vec![200]]);
        assert_eq!(packed(&[80, 10], Some(100)), [[80], [10]]);
        assert_eq!(packed(&[79, 10], Some(100)), [[79, 10]]);
    }

    #[test]
    fn a_part_joins_the_group_that_it_leaves_least_room_in() {
        assert_eq!(packed(&[50, 70, 25, 45], Some(100)), [vec![50, 45], vec![70, 25]]);
    }

    #[test]
    fn without_a_size_everything_is_one_group() {
        assert_eq!(packed(&[1, 1_000, 1], None), [[1, 1_000, 1]]);
        assert!(packed(&[], None).is_empty() && packed(&[], Some(1)).is_empty());
    }

    #[test]
    fn no_size_overflows() {
        assert_eq!(packed(&[u64::MAX, u64::MAX], Some(u64::MAX)).len(), 2);
    }
}
