//! Judges of a journal: each proves one rule for whatever happened.

mod restore;

use std::collections::{BTreeMap, BTreeSet};

use connector_api::id::AttemptId;
use connector_api::sink::Flush;

use super::journal::{Entry, Party, Token, What};
use super::script::Script;
use crate::broken::{Broken, Verdict};
use crate::ensure;

pub(super) use restore::{
    attempts_are_fresh, restored_commits_are_made, restores_are_in_order, sweeps_know_the_references,
    writer_states_are_dealt_once,
};

/// A process and an attempt in it.
type Life = (u32, AttemptId);

/// The attempt of each instance.
fn lives(journal: &[Entry]) -> BTreeMap<u32, Life> {
    let made = journal.iter().filter_map(|entry| match entry.what {
        What::Made { attempt, .. } => Some((entry.instance, (entry.process, attempt))),
        _ => None,
    });
    made.collect()
}

fn attempts(journal: &[Entry]) -> Vec<Life> {
    let mut found = Vec::new();
    for entry in journal.iter().filter(|entry| matches!(entry.party, Party::Writer(_))) {
        if let What::Made { attempt, .. } = entry.what
            && !found.contains(&(entry.process, attempt))
        {
            found.push((entry.process, attempt));
        }
    }
    found
}

/// H-2: what the enumerator puts into its outbox reaches the reader in order, none left out, none added.
pub(super) fn actions_arrive_in_order(journal: &[Entry]) -> Verdict {
    for (reader, window) in windows(journal) {
        let put: Vec<&Token> = puts(&window, reader).map(|(_, token)| token).collect();
        let given: Vec<&Token> = given(&window, reader).into_iter().map(|(_, token)| token).collect();
        let differs = given.iter().zip(&put).position(|(given, put)| given != put);
        if let Some(at) = differs.or((given.len() > put.len()).then_some(put.len())) {
            let what = format!(
                "reader {reader} was given {:?} where the enumerator had put {:?} (action {at})",
                given.get(at),
                put.get(at)
            );
            return Err(Broken::new("H-2", what));
        }
    }
    Ok(())
}

/// One life of a reader: from its `AddReader` to the next, with the indices of the journal.
struct Window<'a> {
    reader: u32,
    /// Whose life it is, once the reader was made: before or after the enumerator hears of it.
    instance: Option<u32>,
    entries: Vec<(usize, &'a Entry)>,
}

fn windows(journal: &[Entry]) -> Vec<(u32, Vec<(usize, &Entry)>)> {
    let mut open: BTreeMap<u32, Window<'_>> = BTreeMap::new();
    // Made, and the enumerator has not heard of it.
    let mut made: BTreeMap<u32, u32> = BTreeMap::new();
    let mut all: Vec<Window<'_>> = Vec::new();
    for (at, entry) in journal.iter().enumerate() {
        match (&entry.party, &entry.what) {
            (Party::Enumerator, What::ReaderAdded(reader)) => {
                let instance = made.remove(reader);
                let window = Window { reader: *reader, instance, entries: Vec::new() };
                all.extend(open.insert(*reader, window));
            }
            (Party::Enumerator, What::Made { .. }) => {
                all.extend(std::mem::take(&mut open).into_values());
            }
            (Party::Reader(reader), What::Made { .. }) => match open.get_mut(reader) {
                Some(window) if window.instance.is_none() => window.instance = Some(entry.instance),
                _ => {
                    all.extend(open.remove(reader));
                    made.insert(*reader, entry.instance);
                }
            },
            _ => {}
        }
        open.values_mut().for_each(|window| window.entries.push((at, entry)));
    }
    all.extend(open.into_values());
    all.into_iter().map(|window| (window.reader, window.entries)).collect()
}

fn puts<'a>(window: &'a [(usize, &'a Entry)], reader: u32) -> impl Iterator<Item = (usize, &'a Token)> + 'a {
    window.iter().filter_map(move |(at, entry)| match &entry.what {
        What::Put(to, token) if *to == reader => Some((*at, token)),
        _ => None,
    })
}

/// What the reader was given, without splits that the host dealt by itself.
fn given<'a>(window: &'a [(usize, &'a Entry)], reader: u32) -> Vec<(usize, &'a Token)> {
    let put: Vec<&Token> = puts(window, reader).map(|(_, token)| token).collect();
    let mut all = Vec::new();
    for (at, entry) in window {
        if entry.party == Party::Reader(reader)
            && let What::Given(tokens) = &entry.what
        {
            let dealt = |token: &&Token| matches!(token, Token::Split(_)) && !put.contains(token);
            all.extend(tokens.iter().filter(|token| !dealt(token)).map(|token| (*at, token)));
        }
    }
    all
}

/// Where a party's snapshot of a checkpoint is, looked for from an index on.
fn snapshot_after(journal: &[Entry], from: usize, party: &Party, number: u64) -> Option<usize> {
    let found = journal[from..].iter().position(|entry| {
        &entry.party == party
            && matches!(entry.what, What::Snapshot { checkpoint, .. } if checkpoint == number)
    });
    found.map(|at| at + from)
}

fn snapshot_of(entry: &Entry) -> Option<u64> {
    match entry.what {
        What::Snapshot { checkpoint, .. } => Some(checkpoint),
        _ => None,
    }
}

/// H-2, H-4: at a reader's barrier it has what was put before the enumerator's snapshot, and nothing that was put later.
pub(super) fn barriers_divide_assignments(journal: &[Entry]) -> Verdict {
    for (reader, window) in windows(journal) {
        let snapshots = window.iter().filter(|(_, entry)| entry.party == Party::Enumerator);
        for (at, number) in snapshots.filter_map(|(at, entry)| Some((*at, snapshot_of(entry)?))) {
            let end = window.last().map_or(0, |(at, _)| at + 1);
            let barrier = snapshot_after(&journal[..end], at, &Party::Reader(reader), number);
            let Some(barrier) = barrier else { continue };
            let before = puts(&window, reader).filter(|(put, _)| *put < at).count();
            let given = given(&window, reader);
            let there = given.iter().filter(|(given, _)| *given < barrier).count();
            let told = |more: &str, rule| {
                let what = format!(
                    "at its barrier of checkpoint {number} reader {reader} had {there} actions, {more} the {before} that \
                     the enumerator had put before its snapshot"
                );
                Err(Broken::new(rule, what))
            };
            if there < before {
                return told("less than", "H-2");
            }
            if there > before {
                return told("more than", "H-4");
            }
        }
    }
    Ok(())
}

/// H-11: what is in front of the barrier at the readers is in front of it at the writers, and nothing else.
pub(super) fn barriers_divide_rows(journal: &[Entry]) -> Verdict {
    let lives = lives(journal);
    for life in attempts(journal) {
        let of_life: Vec<&Entry> =
            journal.iter().filter(|entry| lives.get(&entry.instance) == Some(&life)).collect();
        let is_data = |party: &Party| matches!(party, Party::Reader(_) | Party::Writer(_));
        let parties: BTreeSet<&Party> = of_life.iter().map(|e| &e.party).filter(|p| is_data(p)).collect();
        let numbers: BTreeSet<u64> = of_life.iter().filter_map(|entry| snapshot_of(entry)).collect();
        for number in numbers {
            let mut passed: BTreeSet<&Party> = BTreeSet::new();
            let (mut read, mut written) = (BTreeSet::new(), BTreeSet::new());
            let mut last: BTreeMap<&Party, Vec<(u32, u64)>> = BTreeMap::new();
            for entry in &of_life {
                if passed.contains(&entry.party) {
                    continue;
                }
                match &entry.what {
                    What::Emitted { split, from, to } => {
                        let rows: Vec<_> = (*from..*to).map(|row| (*split, row)).collect();
                        read.extend(rows.iter().copied());
                        last.insert(&entry.party, rows);
                    }
                    What::Written(rows) => written.extend(rows.iter().copied()),
                    What::Snapshot { checkpoint, unemitted, .. } if *checkpoint == number => {
                        if is_data(&entry.party) {
                            passed.insert(&entry.party);
                        }
                        let held = last.get(&entry.party).map(Vec::as_slice).unwrap_or_default();
                        for row in held.iter().rev().take(*unemitted) {
                            read.remove(row);
                        }
                    }
                    _ => {}
                }
            }
            if passed.len() < parties.len() {
                continue;
            }
            let lost: Vec<_> = read.difference(&written).take(5).collect();
            let early: Vec<_> = written.difference(&read).take(5).collect();
            ensure!(
                "H-11",
                lost.is_empty(),
                "emitted before the readers' snapshots for {number}, and not written before the writers': {lost:?}"
            );
            ensure!(
                "H-11",
                early.is_empty(),
                "written before the writers' snapshots for {number}, and emitted after the readers': {early:?}"
            );
        }
    }
    Ok(())
}

/// H-20, H-28: flush, prepare, snapshot; the last flush comes once, and no write after it.
pub(super) fn writers_are_called_in_order(journal: &[Entry]) -> Verdict {
    #[derive(Default)]
    struct Seen {
        flushed: bool,
        prepared: bool,
        ended: bool,
    }
    let mut writers: BTreeMap<u32, Seen> = BTreeMap::new();
    for entry in journal.iter().filter(|entry| matches!(entry.party, Party::Writer(_))) {
        let seen = writers.entry(entry.instance).or_default();
        match &entry.what {
            What::Written(_) => {
                ensure!("H-28", !seen.ended, "a write after the flush at the end of input: {entry}");
                (seen.flushed, seen.prepared) = (false, false);
            }
            What::Flushed(why) => {
                ensure!("H-28", !seen.ended, "a flush after that at the end of input: {entry}");
                (seen.flushed, seen.prepared) = (true, false);
                seen.ended = *why == Flush::EndOfInput;
            }
            What::Prepared(_) => {
                ensure!("H-20", seen.flushed, "prepare_commit without a flush since the last write: {entry}");
                seen.prepared = true;
            }
            What::Snapshot { .. } => {
                let both = seen.flushed && seen.prepared;
                ensure!(
                    "H-20",
                    both,
                    "a snapshot without flush and prepare_commit since the last write: {entry}"
                );
                if !seen.ended {
                    (seen.flushed, seen.prepared) = (false, false);
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// H-22: nobody is told of a checkpoint, and nothing of it is committed, before every part has been snapshotted for it or for
/// a later one.
pub(super) fn completion_follows_all_snapshots(journal: &[Entry]) -> Verdict {
    let lives = lives(journal);
    let restored = restored(journal);
    let parts = |life: &Life, before: usize| {
        let is_part = |p: &Party| matches!(p, Party::Reader(_) | Party::Writer(_) | Party::Stage(..));
        let made =
            journal[..before].iter().filter(|e| lives.get(&e.instance) == Some(life) && is_part(&e.party));
        made.map(|entry| entry.instance).collect::<BTreeSet<u32>>()
    };
    for (at, entry) in journal.iter().enumerate() {
        let number = match entry.what {
            What::Complete(number) | What::Commit { checkpoint: number, .. } => number,
            _ => continue,
        };
        // An enumerator may outlive attempts: what it is told belongs to the last that was made.
        let mut made = journal[..at].iter().rev();
        let life = match entry.party {
            Party::Enumerator => {
                made.find_map(|e| lives.get(&e.instance).filter(|_| matches!(e.party, Party::Writer(_))))
            }
            _ => lives.get(&entry.instance),
        };
        let Some(life) = life else { continue };
        if restored.get(life).is_some_and(|restored| *restored >= number) {
            continue;
        }
        for part in parts(life, at) {
            let done = journal[..at]
                .iter()
                .any(|e| e.instance == part && snapshot_of(e).is_some_and(|snapshot| snapshot >= number));
            let who = journal.iter().find(|e| e.instance == part).map(|e| &e.party);
            ensure!("H-22", done, "before a snapshot of {who:?}: {entry}");
        }
    }
    Ok(())
}

/// The checkpoint that each attempt was restored from.
pub(super) fn restored(journal: &[Entry]) -> BTreeMap<Life, u64> {
    let made = journal.iter().filter_map(|entry| match entry.what {
        What::Made { attempt, restored: Some(restored), .. } => {
            Some(((entry.process, attempt), restored.checkpoint.0))
        }
        _ => None,
    });
    made.collect()
}

/// What a writer handed over, and the checkpoint that followed.
pub(super) struct Handed {
    pub(super) name: String,
    pub(super) checkpoint: u64,
    pub(super) life: Life,
}

/// Everything that writers handed over before a snapshot.
pub(super) fn handed(journal: &[Entry]) -> Vec<Handed> {
    let lives = lives(journal);
    let mut waiting: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut all = Vec::new();
    for entry in journal.iter().filter(|entry| matches!(entry.party, Party::Writer(_))) {
        let Some(&life) = lives.get(&entry.instance) else { continue };
        match &entry.what {
            What::Prepared(Some(name)) => waiting.entry(entry.instance).or_default().push(name.clone()),
            What::Snapshot { checkpoint, .. } => {
                let names = waiting.remove(&entry.instance).unwrap_or_default().into_iter();
                all.extend(names.map(|name| Handed { name, checkpoint: *checkpoint, life }));
            }
            _ => {}
        }
    }
    all
}

/// H-21: a committable is committed as part of the checkpoint before whose barrier it was handed over.
pub(super) fn committables_keep_their_checkpoint(journal: &[Entry]) -> Verdict {
    let of: BTreeMap<String, u64> = handed(journal).into_iter().map(|h| (h.name, h.checkpoint)).collect();
    for entry in journal {
        let What::Commit { names, checkpoint, .. } = &entry.what else { continue };
        for name in names {
            let Some(own) = of.get(name) else { continue };
            ensure!("H-21", own == checkpoint, "{name} was handed over for checkpoint {own}: {entry}");
        }
    }
    Ok(())
}

/// H-24: a committer's first tries are in the order of the checkpoints.
pub(super) fn commits_are_oldest_first(journal: &[Entry]) -> Verdict {
    let mut highest: BTreeMap<u32, u64> = BTreeMap::new();
    let mut tried: BTreeSet<(u32, &Vec<String>)> = BTreeSet::new();
    for entry in journal {
        let What::Commit { names, checkpoint, .. } = &entry.what else { continue };
        if tried.insert((entry.instance, names)) {
            let before = highest.insert(entry.instance, *checkpoint).unwrap_or(0);
            ensure!("H-24", before <= *checkpoint, "after one of checkpoint {before}: {entry}");
        }
    }
    Ok(())
}

/// H-30: a stage is told the end of its input once, behind its last item.
pub(super) fn stages_end_behind_their_last_item(journal: &[Entry]) -> Verdict {
    let mut ended: BTreeSet<u32> = BTreeSet::new();
    for entry in journal {
        match &entry.what {
            What::StageEnded => ensure!("H-30", ended.insert(entry.instance), "a second time: {entry}"),
            What::Processed(_) => {
                ensure!("H-30", !ended.contains(&entry.instance), "an item behind the end of input: {entry}");
            }
            _ => {}
        }
    }
    Ok(())
}

/// H-13: what was made in the last process was closed once, and not used after that or after a failure.
pub(super) fn everything_is_closed(journal: &[Entry]) -> Verdict {
    let mut open: BTreeMap<u32, &Party> = BTreeMap::new();
    let mut closed: BTreeSet<u32> = BTreeSet::new();
    let mut failed: BTreeSet<u32> = BTreeSet::new();
    let last = journal.last().map_or(0, |entry| entry.process);
    for entry in journal.iter().filter(|entry| entry.process == last) {
        if !matches!(entry.party, Party::Reader(_) | Party::Writer(_) | Party::Stage(..)) {
            continue;
        }
        ensure!("H-13", !closed.contains(&entry.instance), "called after it was closed: {entry}");
        let is_over = failed.contains(&entry.instance) && entry.what != What::Closed;
        ensure!("H-13", !is_over, "called after it had failed: {entry}");
        match entry.what {
            What::Made { .. } => drop(open.insert(entry.instance, &entry.party)),
            What::Failed => drop(failed.insert(entry.instance)),
            What::Closed => {
                open.remove(&entry.instance);
                closed.insert(entry.instance);
            }
            _ => {}
        }
    }
    ensure!("H-13", open.is_empty(), "never closed: {:?}", open.values());
    Ok(())
}

/// H-9: at each writer the watermark rises only, and no row comes at or below it.
pub(super) fn watermarks_are_true(journal: &[Entry], script: &Script) -> Verdict {
    let mut reached: BTreeMap<u32, i64> = BTreeMap::new();
    for entry in journal.iter().filter(|entry| matches!(entry.party, Party::Writer(_))) {
        let mark = reached.get(&entry.instance).copied().unwrap_or(i64::MIN);
        match &entry.what {
            What::Watermark(millis) => {
                ensure!("H-9", *millis >= mark, "after {mark}: {entry}");
                reached.insert(entry.instance, *millis);
            }
            What::Written(rows) => {
                for (split, row) in rows {
                    let scripted = script.splits.get(*split as usize);
                    let Some((first, step)) =
                        scripted.and_then(|split| Some((split.first_time?, split.time_step)))
                    else {
                        continue;
                    };
                    let time = first + *row as i64 * step;
                    ensure!(
                        "H-9",
                        time > mark,
                        "row {row} of split {split} has the time {time}, at or below the watermark {mark}: {entry}"
                    );
                }
            }
            _ => {}
        }
    }
    Ok(())
}
