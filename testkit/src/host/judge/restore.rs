//! Judges of attempts and restores.

use std::collections::{BTreeMap, BTreeSet};

use connector_api::id::AttemptId;

use super::{Handed, handed, lives, restored, snapshot_of};
use crate::broken::Verdict;
use crate::ensure;
use crate::host::journal::{Entry, Party, Settled, What};

/// H-40: nobody is made twice by one attempt, and the numbers of attempts rise.
pub(in crate::host) fn attempts_are_fresh(journal: &[Entry]) -> Verdict {
    let mut seen: BTreeSet<(&Party, AttemptId)> = BTreeSet::new();
    let mut highest: BTreeMap<u64, u64> = BTreeMap::new();
    for entry in journal.iter().filter(|entry| !matches!(entry.party, Party::Sweep)) {
        let What::Made { attempt, .. } = entry.what else { continue };
        ensure!("H-40", seen.insert((&entry.party, attempt)), "attempt {attempt} was used before: {entry}");
        let highest = highest.entry(attempt.run.0).or_default();
        ensure!("H-40", attempt.number >= *highest, "after attempt {highest}: {entry}");
        *highest = attempt.number;
    }
    Ok(())
}

/// H-21: what was handed over for the restored checkpoint or before is committed in the end; `H-45`: before any input.
pub(in crate::host) fn restored_commits_are_made(
    journal: &[Entry],
    rule: &'static str,
    before_input: bool,
) -> Verdict {
    let lives = lives(journal);
    let handed = handed(journal);
    for (life, checkpoint) in restored(journal) {
        let end = journal.iter().position(|entry| {
            before_input
                && lives.get(&entry.instance) == Some(&life)
                && matches!(entry.what, What::Emitted { .. })
        });
        let done: BTreeSet<&String> = journal[..end.unwrap_or(journal.len())]
            .iter()
            .filter_map(|entry| match &entry.what {
                What::Commit { names, settled: Settled::Committed | Settled::Already, .. } => Some(names),
                _ => None,
            })
            .flatten()
            .collect();
        let earlier = handed.iter().filter(|h| h.life < life && h.checkpoint <= checkpoint);
        for one in earlier.filter(|h| is_of_lineage(journal, h, checkpoint)) {
            let when = if before_input { " before the first row was read" } else { "" };
            ensure!(
                rule,
                done.contains(&one.name),
                "{} of checkpoint {} is not committed{when}, after a restore of {checkpoint}",
                one.name,
                one.checkpoint
            );
        }
    }
    Ok(())
}

/// Whether the attempt that handed it over went on to the restored checkpoint: else it was given up.
fn is_of_lineage(journal: &[Entry], handed: &Handed, checkpoint: u64) -> bool {
    let lives = lives(journal);
    handed.checkpoint == checkpoint
        || journal.iter().any(|entry| {
            lives.get(&entry.instance) == Some(&handed.life)
                && matches!(entry.party, Party::Writer(_))
                && snapshot_of(entry).is_some_and(|n| n == checkpoint)
        })
}

/// H-44: the sweep comes before anything of the sink is opened; the stages are told of the restored checkpoint before input.
pub(in crate::host) fn restores_are_in_order(journal: &[Entry]) -> Verdict {
    let lives = lives(journal);
    for (life, checkpoint) in restored(journal) {
        let of_life: Vec<&Entry> = journal.iter().filter(|e| lives.get(&e.instance) == Some(&life)).collect();
        let swept = of_life.iter().position(|entry| matches!(entry.what, What::Swept(_)));
        let opened = of_life.iter().position(|entry| {
            matches!(entry.party, Party::Writer(_) | Party::Committer(_) | Party::Stage(..))
        });
        let Some(opened) = opened else { continue };
        let first = swept.is_some_and(|swept| swept < opened);
        ensure!("H-44", first, "not swept before this was opened: {}", of_life[opened]);
        let input = of_life.iter().position(|entry| matches!(entry.what, What::Emitted { .. }));
        let Some(input) = input else { continue };
        for stage in
            of_life.iter().filter(|e| matches!((&e.party, &e.what), (Party::Stage(..), What::Made { .. })))
        {
            let told = of_life[..input]
                .iter()
                .any(|entry| entry.instance == stage.instance && entry.what == What::Complete(checkpoint));
            ensure!(
                "H-44",
                told,
                "{:?} was not told of checkpoint {checkpoint} before the first row was read",
                stage.party
            );
        }
    }
    Ok(())
}

/// H-44, X-1: the sweep of a restore is told everything that the restored checkpoint still needs.
pub(in crate::host) fn sweeps_know_the_references(journal: &[Entry]) -> Verdict {
    let lives = lives(journal);
    let restored = restored(journal);
    for (at, entry) in journal.iter().enumerate() {
        let What::Swept(named) = &entry.what else { continue };
        let Some(checkpoint) = lives.get(&entry.instance).and_then(|life| restored.get(life)) else {
            continue;
        };
        let done: BTreeSet<&String> = journal[..at]
            .iter()
            .filter_map(|entry| match &entry.what {
                What::Commit { names, .. } => Some(names),
                _ => None,
            })
            .flatten()
            .collect();
        for one in handed(&journal[..at]).iter().filter(|h| h.checkpoint <= *checkpoint) {
            let needed = !done.contains(&one.name) && is_of_lineage(&journal[..at], one, *checkpoint);
            let known = named.contains(&one.name);
            ensure!(
                "H-44",
                !needed || known,
                "a sweep is not told of {}, which checkpoint {checkpoint} needs",
                one.name
            );
        }
    }
    Ok(())
}

/// H-48: the writers' states of the restored checkpoint are dealt out, each once.
pub(in crate::host) fn writer_states_are_dealt_once(journal: &[Entry]) -> Verdict {
    let lives = lives(journal);
    for (life, number) in restored(journal) {
        let is_writer = |entry: &&Entry| matches!(entry.party, Party::Writer(_));
        let mut dealt: Vec<&String> = Vec::new();
        let (mut opened, mut expected) = (0, 0);
        for entry in journal.iter().filter(is_writer).filter(|e| lives.get(&e.instance) == Some(&life)) {
            if let What::Made { states, of, .. } = &entry.what {
                dealt.extend(states);
                (opened, expected) = (opened + 1, *of);
            }
        }
        // The process died, or the attempt failed, before or while it opened them.
        if opened == 0 || opened < expected {
            continue;
        }
        // A number may have been used by an attempt whose checkpoint never completed: the last before counts.
        let maker = journal.iter().filter(is_writer).filter(|e| snapshot_of(e) == Some(number));
        let maker = maker.filter_map(|entry| lives.get(&entry.instance)).rfind(|maker| **maker < life);
        let mut kept: Vec<&String> = Vec::new();
        for entry in journal.iter().filter(is_writer).filter(|e| lives.get(&e.instance) == maker) {
            if let What::Snapshot { checkpoint, states, .. } = &entry.what
                && *checkpoint == number
            {
                kept.extend(states);
            }
        }
        dealt.sort();
        kept.sort();
        ensure!(
            "H-48",
            dealt == kept,
            "of checkpoint {number} the writers' states are {kept:?}; opened with {dealt:?}"
        );
    }
    Ok(())
}
