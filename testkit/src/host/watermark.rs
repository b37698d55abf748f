//! Checks of watermarks, as writers see them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::job::HostContext;
use super::journal::{Party, What};
use super::judge;
use super::play::{Play, Terms};
use super::script::{Dealing, Mark, Script, SplitScript};
use crate::broken::Verdict;
use crate::check::Check;
use crate::ensure;
use crate::lab::Lab;

const FLIP_182: &str = "FLIP-27 per-split watermarks, FLINK-18934 (idle splits), FLINK-28975";

pub(super) fn checks<C: HostContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "host::watermark::it_never_passes_rows_that_are_to_come",
            rules: &["H-9"],
            source: FLIP_182,
            failure: "rows of the slower split are dropped as late downstream",
            needs: &[],
            run: slow_split,
        },
        Check {
            name: "host::watermark::a_finished_split_leaves_the_combination",
            rules: &["H-8"],
            source: FLIP_182,
            failure: "windows never close once a split has been read to its end",
            needs: &[],
            run: finished,
        },
        Check {
            name: "host::watermark::an_idle_split_leaves_it_and_comes_back",
            rules: &["H-8", "H-9"],
            source: FLIP_182,
            failure: "an idle partition holds all windows back, or its later rows are dropped",
            needs: &[],
            run: idle,
        },
    ]
}

fn split(rows: u64, first: i64, step: i64, every: u64) -> SplitScript {
    // Before row k it says that all rows before it are through.
    let marks = (1..rows).filter(|row| row.is_multiple_of(every));
    let marks = marks.map(|row| (row, vec![Mark::Watermark(first + (row as i64 - 1) * step)]));
    SplitScript { rows, first_time: Some(first), time_step: step, marks: marks.collect() }
}

fn script(splits: Vec<SplitScript>) -> Script {
    Script { splits, ..Script::of(0, 0) }.dealing(Dealing::AtOnce)
}

fn slow_split<C: HostContext>(lab: &Lab<C>) -> Verdict {
    for readers in [1, 2] {
        lab.each_seed(async |subject| {
            let splits = vec![split(60, 0, 1, 5), split(60, 1_000, 50, 5), split(40, 10, 3, 4)];
            let play = Play::new(subject, script(splits.clone()))?;
            let terms = Terms { readers, writers: 2, ..Terms::default() };
            play.finish("H-9", &terms).await?;
            let journal = play.world.journal();
            judge::watermarks_are_true(&journal, &script(splits))
        })?;
    }
    Ok(())
}

/// The highest watermark that a writer was given before the end of its input.
fn highest<C: HostContext>(play: &Play<'_, C>) -> i64 {
    let mut highest = BTreeMap::from([(0, i64::MIN)]);
    for entry in play.world.journal() {
        if let (Party::Writer(writer), What::Watermark(millis)) = (entry.party, entry.what) {
            highest.insert(writer, millis);
        }
    }
    highest.into_values().min().unwrap_or(i64::MIN)
}

fn finished<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        // Both are read by one reader; the first is long over when the second gets to its end.
        let splits = vec![split(10, 0, 1, 5), split(200, 1_000, 10, 5)];
        let play = Play::new(subject, script(splits.clone()))?;
        let terms = Terms { readers: 1, writers: 1, ..Terms::default() };
        play.finish("H-8", &terms).await?;
        judge::watermarks_are_true(&play.world.journal(), &script(splits))?;
        let highest = highest(&play);
        ensure!("H-8", highest >= 2_500, "the finished split held the watermark back at {highest}");
        Ok(())
    })
}

fn idle<C: HostContext>(lab: &Lab<C>) -> Verdict {
    // Both with one reader; then each with its own, whose channels to the writer are combined.
    [1, 2].into_iter().try_for_each(|readers| idle_with(lab, readers))
}

fn idle_with<C: HostContext>(lab: &Lab<C>, readers: u32) -> Verdict {
    lab.each_seed(async |subject| {
        let wait = Duration::from_millis(120);
        // Idle in the middle, for longer than the other takes to get far; then its times go on far ahead.
        let mut sleepy = split(20, 0, 1, 5);
        sleepy.marks.insert(10, vec![Mark::Watermark(9), Mark::Idle, Mark::Wait(wait), Mark::Active]);
        sleepy.first_time = Some(0);
        sleepy.time_step = 1_000;
        sleepy.marks.retain(|row, _| *row == 10);
        let splits = vec![sleepy, split(400, 100, 1, 5)];
        let play = Play::new(subject, script(splits.clone()))?;
        let terms = Terms { readers, writers: 1, ..Terms::default() };
        play.finish("H-8", &terms).await?;
        let journal = play.world.journal();
        judge::watermarks_are_true(&journal, &script(splits))?;
        // While it was idle, the other moved things on.
        let resumed = journal.iter().position(|e| matches!(e.what, What::Emitted { split: 0, from: 10, .. }));
        let risen =
            journal[..resumed.unwrap_or(0)].iter().any(|e| matches!(e.what, What::Watermark(m) if m > 100));
        ensure!("H-8", risen, "the idle split held the watermark back");
        Ok(())
    })
}
