//! Judges.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use connector_api::id::CheckpointId;

use super::{Event, History};
use crate::broken::{Broken, Verdict};
use crate::rows::TestRow;

fn counts<'a>(rows: impl IntoIterator<Item = &'a String>) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.as_str()).or_default() += 1;
    }
    counts
}

fn some(rows: &[&str]) -> String {
    let shown = rows.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    if rows.len() > 5 { format!("{} rows: {shown}, ...", rows.len()) } else { shown }
}

/// Every expected row is visible at least once, and no other row is.
///
/// # Errors
///
/// Naming rows that are missing or were never written.
pub fn at_least_once(rule: &'static str, expected: &[String], visible: &[String]) -> Verdict {
    let (expected, visible) = (counts(expected), counts(visible));
    let missing: Vec<&str> = expected.keys().filter(|row| !visible.contains_key(*row)).copied().collect();
    if !missing.is_empty() {
        return Err(Broken::new(rule, format!("lost: {}", some(&missing))));
    }
    let alien: Vec<&str> = visible.keys().filter(|row| !expected.contains_key(*row)).copied().collect();
    if !alien.is_empty() {
        return Err(Broken::new(rule, format!("visible, and never written: {}", some(&alien))));
    }
    Ok(())
}

/// Every expected row is visible exactly once, and no other row is.
///
/// # Errors
///
/// Naming rows that are missing, doubled or were never written.
pub fn exactly_once(rule: &'static str, expected: &[String], visible: &[String]) -> Verdict {
    at_least_once(rule, expected, visible)?;
    let (expected, visible) = (counts(expected), counts(visible));
    let doubled: Vec<&str> =
        visible.iter().filter(|(row, n)| **n > expected[*row]).map(|(row, _)| *row).collect();
    if !doubled.is_empty() {
        return Err(Broken::new(rule, format!("visible more than once: {}", some(&doubled))));
    }
    Ok(())
}

/// Within an attempt the rows of each split are emitted in order, without a gap and without a repetition. For rows that are
/// named by [`TestRow::of`].
///
/// # Errors
///
/// R-1, naming the split and the rows.
pub fn order(history: &History) -> Verdict {
    let mut last: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
    for event in history.events() {
        match event {
            Event::Began { .. } => last.clear(),
            Event::Emitted { split, rows, .. } => {
                for row in rows {
                    let Some((of, index)) = TestRow::parse(row) else {
                        let what = format!("split {split} emitted `{row}`, which nobody wrote");
                        return Err(Broken::new("R-1", what));
                    };
                    // Two splits may hold parts of what the author calls one: then each is a run of its own.
                    match last.get(split.as_str()) {
                        Some((before, at)) if *before == of && index != at + 1 => {
                            let what = format!("split {split} emitted `{row}` after row {at}");
                            return Err(Broken::new("R-1", what));
                        }
                        _ => {}
                    }
                    last.insert(split, (of, index));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Within an attempt all rows of one key go to one writer, in the order in which they were emitted. For a source whose rows of a key
/// are in one split, or one reader.
///
/// # Errors
///
/// H-14, naming key, row and writers.
pub fn order_per_key(history: &History, key: impl Fn(&str) -> String) -> Verdict {
    let mut emitted: BTreeMap<String, VecDeque<&String>> = BTreeMap::new();
    let mut writers: BTreeMap<String, u32> = BTreeMap::new();
    for event in history.events() {
        match event {
            Event::Began { .. } => {
                emitted.clear();
                writers.clear();
            }
            Event::Emitted { rows, .. } => {
                rows.iter().for_each(|row| emitted.entry(key(row)).or_default().push_back(row));
            }
            Event::Written { writer, rows } => {
                for row in rows {
                    let key = key(row);
                    let first = *writers.entry(key.clone()).or_insert(*writer);
                    if first != *writer {
                        let what = format!("row `{row}` of key {key} at writer {writer}, others at {first}");
                        return Err(Broken::new("H-14", what));
                    }
                    let next = emitted.get_mut(&key).and_then(VecDeque::pop_front);
                    if next != Some(row) {
                        let what = format!("row `{row}` of key {key} where {next:?} was emitted");
                        return Err(Broken::new("H-14", what));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is visible at any time is covered by a completed checkpoint.
///
/// # Errors
///
/// W-4, naming rows that were visible too early.
pub fn visibility(history: &History) -> Verdict {
    // What writers took since their last barrier, what each checkpoint covers since then, what may be visible.
    let mut open: BTreeMap<u32, Vec<&String>> = BTreeMap::new();
    let mut staged: BTreeMap<CheckpointId, Vec<&String>> = BTreeMap::new();
    let mut covered: BTreeSet<&String> = BTreeSet::new();
    for event in history.events() {
        match event {
            Event::Began { .. } => {
                open.clear();
                staged.clear();
            }
            Event::Written { writer, rows } => open.entry(*writer).or_default().extend(rows),
            Event::Staged { writer, checkpoint } => {
                staged.entry(*checkpoint).or_default().append(open.entry(*writer).or_default());
            }
            Event::Completed(id) => {
                let later = staged.split_off(&CheckpointId(id.0 + 1));
                covered.extend(std::mem::replace(&mut staged, later).into_values().flatten());
            }
            Event::Visible(rows) => {
                if let Some(early) = rows.iter().find(|row| !covered.contains(row)) {
                    let what = format!("row `{early}` is visible, and no completed checkpoint covers it");
                    return Err(Broken::new("W-4", what));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// No watermark of a split is ahead of a later row of it, and none goes back.
///
/// # Errors
///
/// R-13, naming split, watermark and row.
pub fn watermarks(history: &History) -> Verdict {
    let mut said: BTreeMap<&str, i64> = BTreeMap::new();
    for event in history.events() {
        match event {
            Event::Began { .. } => said.clear(),
            Event::SplitWatermark { split: Some(split), millis, .. } => {
                if let Some(before) = said.insert(split, *millis)
                    && before > *millis
                {
                    let what = format!("split {split}: watermark {millis} after {before}");
                    return Err(Broken::new("R-13", what));
                }
            }
            Event::Emitted { split, rows, times } => {
                let Some(watermark) = said.get(split.as_str()) else { continue };
                if let Some((row, time)) = rows.iter().zip(times).find(|(_, time)| *time <= watermark) {
                    let what = format!("split {split}: row `{row}` of {time} ms after watermark {watermark}");
                    return Err(Broken::new("R-13", what));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn history(events: Vec<Event>) -> History {
        History(events)
    }

    fn emitted(texts: &[&str], times: &[i64]) -> Event {
        Event::Emitted { split: "a".into(), rows: rows(texts), times: times.to_vec() }
    }

    #[test]
    fn a_lost_a_doubled_and_an_invented_row_are_named() {
        let expected = rows(&["s0-1", "s0-2"]);
        assert_eq!(exactly_once("x", &expected, &rows(&["s0-2", "s0-1"])), Ok(()));
        let lost = exactly_once("x", &expected, &rows(&["s0-1"])).unwrap_err();
        assert!(lost.what.contains("lost: s0-2"), "{lost}");
        let twice = exactly_once("x", &expected, &rows(&["s0-1", "s0-2", "s0-2"])).unwrap_err();
        assert!(twice.what.contains("more than once: s0-2"), "{twice}");
        assert_eq!(at_least_once("x", &expected, &rows(&["s0-1", "s0-2", "s0-2"])), Ok(()));
        assert!(at_least_once("x", &expected, &rows(&["s0-1", "s0-2", "s9-9"])).is_err());
    }

    #[test]
    fn a_gap_a_repetition_and_a_swap_break_the_order_and_a_new_attempt_does_not() {
        for wrong in [["s0-1", "s0-3"], ["s0-1", "s0-1"], ["s0-2", "s0-1"]] {
            assert!(order(&history(vec![emitted(&wrong, &[])])).is_err(), "{wrong:?}");
        }
        let again = Event::Began { attempt: 2, restored: None };
        let fine = vec![emitted(&["s0-1", "s0-2"], &[]), again, emitted(&["s0-2", "s0-3"], &[])];
        assert_eq!(order(&history(fine)), Ok(()));
    }

    #[test]
    fn rows_of_a_key_stay_in_order_at_one_writer() {
        let key = |row: &str| row[..2].to_owned();
        let all = emitted(&["s0-1", "s1-1", "s0-2"], &[]);
        let written = |writer, texts: &[&str]| Event::Written { writer, rows: rows(texts) };
        let fine = vec![all.clone(), written(1, &["s1-1"]), written(0, &["s0-1", "s0-2"])];
        assert_eq!(order_per_key(&history(fine), key), Ok(()));
        let swapped = vec![all.clone(), written(0, &["s0-2", "s0-1"])];
        assert!(order_per_key(&history(swapped), key).is_err());
        let spread = vec![all, written(0, &["s0-1"]), written(1, &["s0-2"])];
        assert!(order_per_key(&history(spread), key).is_err());
    }

    #[test]
    fn what_is_visible_needs_a_completed_checkpoint_that_covers_it() {
        let written = Event::Written { writer: 0, rows: rows(&["s0-1"]) };
        let staged = Event::Staged { writer: 0, checkpoint: CheckpointId(3) };
        let visible = Event::Visible(rows(&["s0-1"]));
        let events = vec![written.clone(), staged.clone(), visible.clone()];
        assert!(visibility(&history(events)).is_err());
        // A later checkpoint covers what an aborted one staged.
        let events = vec![written, staged, Event::Completed(CheckpointId(4)), visible];
        assert_eq!(visibility(&history(events)), Ok(()));
    }

    #[test]
    fn a_watermark_is_a_promise_about_later_rows() {
        let watermark = |millis| Event::SplitWatermark { split: Some("a".into()), reader: 0, millis };
        let fine = vec![emitted(&["s0-1"], &[5]), watermark(5), emitted(&["s0-2"], &[6])];
        assert_eq!(watermarks(&history(fine)), Ok(()));
        assert!(watermarks(&history(vec![watermark(5), emitted(&["s0-2"], &[5])])).is_err());
        assert!(watermarks(&history(vec![watermark(5), watermark(4)])).is_err());
    }
}
