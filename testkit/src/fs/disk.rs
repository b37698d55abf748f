//! What the simulated machine holds: the page cache (volatile) and the platter (durable), of contents and of names.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;

/// The number of a file or directory; never used again.
pub(super) type NodeId = u64;

pub(super) const ROOT: NodeId = 1;

/// What a power cut may tear a write into.
pub(super) const SECTOR: u64 = 512;

#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    /// Changes of names that no `sync_dir` has made durable, oldest first. A rename across directories has two parts.
    pub(super) unsynced_names: BTreeMap<u64, NameChange>,
    next_change: u64,
    pub(super) locks: BTreeSet<NodeId>,
    /// Bytes of all files that have a name or are open.
    used: u64,
    pub(super) capacity: Option<u64>,
    /// A time that goes on by one at every change.
    ticks: u64,
    collect_at: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone, Debug, Default)]
pub(super) struct FileNode {
    pub(super) content: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Changes of the content since the last sync, oldest first.
    pub(super) unsynced: Vec<ContentChange>,
    pub(super) modified: u64,
    pub(super) names: u32,
    pub(super) handles: u32,
}

#[derive(Clone, Debug)]
pub(super) enum ContentChange {
    Write { offset: u64, data: Vec<u8> },
    SetLen(u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct DirNode {
    pub(super) entries: BTreeMap<OsString, NodeId>,
    pub(super) durable: BTreeMap<OsString, NodeId>,
    /// Keys in `unsynced_names`.
    pub(super) unsynced: Vec<u64>,
    pub(super) modified: u64,
}

/// Parts that happen together or, after a power cut, not at all; unless one part's directory was synced alone.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) parts: Vec<NamePart>,
}

#[derive(Clone, Debug)]
pub(super) struct NamePart {
    pub(super) dir: NodeId,
    pub(super) name: OsString,
    /// What the name stands for from now on; none when it is removed.
    pub(super) node: Option<NodeId>,
}

pub(super) fn apply(content: &mut Vec<u8>, change: &ContentChange) {
    match change {
        ContentChange::Write { offset, data } => {
            let (start, end) = (*offset as usize, *offset as usize + data.len());
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start..end].copy_from_slice(data);
        }
        ContentChange::SetLen(length) => content.resize(*length as usize, 0),
    }
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            nodes: BTreeMap::from([(ROOT, Node::Dir(DirNode::default()))]),
            next_node: ROOT + 1,
            unsynced_names: BTreeMap::new(),
            next_change: 0,
            locks: BTreeSet::new(),
            used: 0,
            capacity: None,
            ticks: 0,
            collect_at: 1024,
        }
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn dir(&self, id: NodeId) -> io::Result<&DirNode> {
        match self.nodes.get(&id) {
            Some(Node::Dir(dir)) => Ok(dir),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file(&self, id: NodeId) -> io::Result<&FileNode> {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn file_mut(&mut self, id: NodeId) -> io::Result<&mut FileNode> {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Dir(_)) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn add(&mut self, node: Node) -> NodeId {
        if self.nodes.len() >= self.collect_at {
            self.collect();
            self.collect_at = (self.nodes.len() * 2).max(1024);
        }
        let id = self.next_node;
        self.next_node += 1;
        self.nodes.insert(id, node);
        id
    }

    /// Changes names in the page cache. A file that loses its last name is gone when its last handle is.
    pub(super) fn change_names(&mut self, parts: Vec<NamePart>) {
        let key = self.next_change;
        self.next_change += 1;
        let now = self.tick();
        // New names first: a file that moves must not lose its only name in between.
        let (made, removed): (Vec<_>, Vec<_>) = parts.iter().partition(|part| part.node.is_some());
        for part in made.into_iter().chain(removed) {
            let Some(Node::Dir(dir)) = self.nodes.get_mut(&part.dir) else { continue };
            dir.modified = now;
            if dir.unsynced.last() != Some(&key) {
                dir.unsynced.push(key);
            }
            let before = match part.node {
                Some(node) => dir.entries.insert(part.name.clone(), node),
                None => dir.entries.remove(&part.name),
            };
            if let Some(Node::File(file)) = part.node.and_then(|node| self.nodes.get_mut(&node)) {
                file.names += 1;
            }
            if let Some(before) = before {
                if let Some(Node::File(file)) = self.nodes.get_mut(&before) {
                    file.names -= 1;
                }
                self.release(before);
            }
        }
        self.unsynced_names.insert(key, NameChange { parts });
    }

    /// Makes all names in a directory durable.
    pub(super) fn sync_names(&mut self, id: NodeId) {
        let Some(Node::Dir(dir)) = self.nodes.get_mut(&id) else { return };
        dir.durable.clone_from(&dir.entries);
        for key in std::mem::take(&mut dir.unsynced) {
            if let Some(change) = self.unsynced_names.get_mut(&key) {
                change.parts.retain(|part| part.dir != id);
                if change.parts.is_empty() {
                    self.unsynced_names.remove(&key);
                }
            }
        }
    }

    /// Makes a directory, durably; the other names in `parent` stay as durable as they are.
    pub(super) fn make_dir(&mut self, parent: NodeId, name: OsString) -> NodeId {
        let now = self.tick();
        let id = self.add(Node::Dir(DirNode { modified: now, ..DirNode::default() }));
        if let Some(Node::Dir(dir)) = self.nodes.get_mut(&parent) {
            dir.modified = now;
            dir.entries.insert(name.clone(), id);
            dir.durable.insert(name, id);
        }
        id
    }

    pub(super) fn opened(&mut self, id: NodeId) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&id) {
            file.handles += 1;
        }
    }

    pub(super) fn closed(&mut self, id: NodeId) {
        if let Some(Node::File(file)) = self.nodes.get_mut(&id) {
            file.handles -= 1;
            self.release(id);
        }
    }

    /// Gives the space of a file back if nobody can reach it. The node stays: a power cut may bring its name back.
    fn release(&mut self, id: NodeId) {
        if let Some(Node::File(file)) = self.nodes.get(&id)
            && file.names == 0
            && file.handles == 0
        {
            self.used -= file.content.len() as u64;
        }
    }

    /// Changes a file that has a name or a handle. Fails when that needs more space than there is.
    pub(super) fn change_content(&mut self, id: NodeId, change: ContentChange) -> io::Result<()> {
        let (used, capacity, now) = (self.used, self.capacity, self.tick());
        let file = self.file_mut(id)?;
        let before = file.content.len() as u64;
        let after = match &change {
            ContentChange::Write { offset, data } => before.max(offset + data.len() as u64),
            ContentChange::SetLen(length) => *length,
        };
        if after > before && capacity.is_some_and(|capacity| used + (after - before) > capacity) {
            return Err(super::fault::no_space());
        }
        apply(&mut file.content, &change);
        file.unsynced.push(change);
        file.modified = now;
        self.used = used - before + after;
        Ok(())
    }

    /// The space left.
    pub(super) fn free(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used))
    }

    pub(super) fn sync_content(&mut self, id: NodeId) -> io::Result<()> {
        let file = self.file_mut(id)?;
        for change in std::mem::take(&mut file.unsynced) {
            apply(&mut file.durable, &change);
        }
        Ok(())
    }

    /// Gives up what a sync should have made durable.
    pub(super) fn lose_content(&mut self, id: NodeId, forget: bool) -> io::Result<()> {
        let file = self.file_mut(id)?;
        file.unsynced.clear();
        if forget {
            let (before, after) = (file.content.len() as u64, file.durable.len() as u64);
            file.content.clone_from(&file.durable);
            self.used = self.used - before + after;
        }
        Ok(())
    }

    /// Drops nodes that neither a name, durable or not, nor a handle leads to.
    fn collect(&mut self) {
        let mut reachable = BTreeSet::from([ROOT]);
        for (&id, node) in &self.nodes {
            match node {
                Node::Dir(dir) => reachable.extend(dir.entries.values().chain(dir.durable.values())),
                Node::File(file) if file.handles > 0 => {
                    reachable.insert(id);
                }
                Node::File(_) => {}
            }
        }
        for change in self.unsynced_names.values() {
            reachable.extend(change.parts.iter().filter_map(|part| part.node));
        }
        self.nodes.retain(|id, _| reachable.contains(id));
    }

    /// Counts names and space anew, after the names changed wholesale. Nobody holds a handle or a lock.
    pub(super) fn recount(&mut self) {
        self.locks.clear();
        let mut names: BTreeMap<NodeId, u32> = BTreeMap::new();
        let mut pending = vec![ROOT];
        let mut dirs = BTreeSet::new();
        while let Some(id) = pending.pop() {
            if !dirs.insert(id) {
                continue;
            }
            for &node in self.dir(id).map(|dir| &dir.entries).into_iter().flat_map(|entries| entries.values())
            {
                match self.nodes.get(&node) {
                    Some(Node::Dir(_)) => pending.push(node),
                    Some(Node::File(_)) => *names.entry(node).or_default() += 1,
                    None => {}
                }
            }
        }
        self.used = 0;
        for (id, node) in &mut self.nodes {
            if let Node::File(file) = node {
                file.handles = 0;
                file.names = names.get(id).copied().unwrap_or(0);
                if file.names > 0 {
                    self.used += file.content.len() as u64;
                }
            }
        }
    }
}
