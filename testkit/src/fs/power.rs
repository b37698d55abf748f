//! What a power cut leaves.

use std::collections::BTreeSet;
use std::ffi::OsString;

use super::disk::{ContentChange, Disk, NameChange, Node, NodeId, SECTOR, apply};
use crate::random::SeededRandom;

/// What survives of that which was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// Nothing.
    SyncedOnly,
    /// By seeded coins: each change of a content wholly, not at all, or torn into sectors of 512 bytes; a lost extension
    /// may leave zeros. Each change of names wholly or not at all, either as a prefix in time (a journal) or each by itself,
    /// but never without the earlier changes of the same name.
    Seeded(u64),
}

impl Disk {
    /// The disk after a power cut and a restart of the machine.
    pub(super) fn after_power_cut(mut self, how: PowerCut) -> Self {
        let coins = match how {
            PowerCut::SyncedOnly => None,
            PowerCut::Seeded(seed) => Some(SeededRandom::new(seed)),
        };
        let surviving = coins.as_ref().map(|coins| surviving_names(&self, coins)).unwrap_or_default();
        let share = coins.as_ref().map_or(0, share);
        for node in self.nodes.values_mut() {
            match node {
                Node::Dir(dir) => {
                    dir.entries.clone_from(&dir.durable);
                    dir.unsynced.clear();
                }
                Node::File(file) => {
                    file.content = std::mem::take(&mut file.durable);
                    for change in std::mem::take(&mut file.unsynced) {
                        if let Some(coins) = &coins {
                            survive(&mut file.content, &change, share, coins);
                        }
                    }
                    file.durable.clone_from(&file.content);
                }
            }
        }
        self.unsynced_names.clear();
        for part in surviving.into_iter().flat_map(|change| change.parts) {
            if let Some(Node::Dir(dir)) = self.nodes.get_mut(&part.dir) {
                match part.node {
                    Some(node) => dir.entries.insert(part.name, node),
                    None => dir.entries.remove(&part.name),
                };
            }
        }
        for node in self.nodes.values_mut() {
            if let Node::Dir(dir) = node {
                dir.durable.clone_from(&dir.entries);
            }
        }
        self.recount();
        self
    }
}

/// In which share of cases (percent) a change survives: drawn once per cut, so that also "all" and "none" come up.
fn share(coins: &SeededRandom) -> u64 {
    [0, 25, 50, 75, 100][coins.below(5) as usize]
}

/// The surviving changes, oldest first.
fn surviving_names(disk: &Disk, coins: &SeededRandom) -> Vec<NameChange> {
    let changes: Vec<&NameChange> = disk.unsynced_names.values().collect();
    if coins.chance(50) {
        let prefix = coins.below(changes.len() as u64 + 1) as usize;
        return changes[..prefix].iter().map(|change| (*change).clone()).collect();
    }
    let share = share(coins);
    let mut needed: BTreeSet<(NodeId, &OsString)> = BTreeSet::new();
    let mut surviving = Vec::new();
    for change in changes.into_iter().rev() {
        let is_needed = change.parts.iter().any(|part| needed.contains(&(part.dir, &part.name)));
        if coins.chance(share) || is_needed {
            needed.extend(change.parts.iter().map(|part| (part.dir, &part.name)));
            surviving.push(change.clone());
        }
    }
    surviving.reverse();
    surviving
}

fn survive(content: &mut Vec<u8>, change: &ContentChange, share: u64, coins: &SeededRandom) {
    match (coins.chance(share), change) {
        (true, change) => apply(content, change),
        (false, ContentChange::SetLen(_)) => {}
        (false, ContentChange::Write { offset, data }) => match coins.below(3) {
            0 => {}
            1 => tear(content, *offset, data, coins),
            _ => {
                let end = *offset as usize + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
            }
        },
    }
}

/// Writes some of the sectors.
pub(super) fn tear(content: &mut Vec<u8>, offset: u64, data: &[u8], coins: &SeededRandom) {
    for (at, piece) in sectors(offset, data) {
        if coins.chance(50) {
            apply(content, &ContentChange::Write { offset: at, data: piece.to_vec() });
        }
    }
}

/// The pieces of a write that fall into one sector each.
pub(super) fn sectors(offset: u64, data: &[u8]) -> Vec<(u64, &[u8])> {
    let mut pieces = Vec::new();
    let (mut at, mut rest) = (offset, data);
    while !rest.is_empty() {
        let length = ((SECTOR - at % SECTOR) as usize).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push((at, piece));
        at += length as u64;
        rest = after;
    }
    pieces
}
