//! Checks of the end of a bounded job.

use std::time::Duration;

use connector_api::sink::Flush;

use super::job::HostContext;
use super::journal::{Party, What};
use super::judge;
use super::play::{Play, Terms};
use super::script::{Script, Shape};
use crate::broken::Verdict;
use crate::check::Check;
use crate::ensure;
use crate::lab::Lab;

const FLIP_147: &str = "FLIP-147 (final checkpoints), FLINK-25421, FLINK-30238";

pub(super) fn checks<C: HostContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "host::end::writers_are_flushed_once_at_the_end_of_input",
            rules: &["H-28"],
            source: FLIP_147,
            failure: "the last rows of a bounded job are never staged",
            needs: &[],
            run: last_flush,
        },
        Check {
            name: "host::end::a_job_ends_only_when_everything_is_committed",
            rules: &["H-28"],
            source: FLIP_147,
            failure: "the last rows of a bounded job are staged and never visible",
            needs: &[],
            run: all_committed,
        },
        Check {
            name: "host::end::checkpoints_go_on_until_the_stages_are_empty",
            rules: &["H-28"],
            source: FLIP_147,
            failure: "what a stage held back (a part to be merged) is lost at the end",
            needs: &[],
            run: stages_empty,
        },
        Check {
            name: "host::end::a_stage_hears_of_the_end_behind_its_last_item",
            rules: &["H-30", "O-5"],
            source: "FLIP-147: BoundedOneInput::endInput",
            failure: "a stage that emits at the end of input leaves out the last items",
            needs: &[],
            run: stage_end,
        },
        Check {
            name: "host::end::an_ended_job_is_swept_without_references",
            rules: &["H-28"],
            source: "field-semantics.md: lingering transactions and hidden files",
            failure: "what abandoned checkpoints staged stays for ever",
            needs: &[],
            run: swept,
        },
    ]
}

fn often() -> Terms {
    Terms { interval: Duration::from_millis(15), ..Terms::default() }
}

fn last_flush<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, Script::of(3, 30))?;
        play.finish("H-28", &often()).await?;
        let journal = play.world.journal();
        judge::writers_are_called_in_order(&journal)?;
        for made in
            journal.iter().filter(|e| matches!((&e.party, &e.what), (Party::Writer(_), What::Made { .. })))
        {
            let flushed = journal
                .iter()
                .any(|e| e.instance == made.instance && e.what == What::Flushed(Flush::EndOfInput));
            ensure!("H-28", flushed, "{:?} was never flushed for the end of input", made.party);
        }
        Ok(())
    })
}

fn all_committed<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        // The last commits have to be tried again, too.
        let script = Script { retries: (3, Duration::from_millis(40)), ..Script::of(3, 8) };
        let play = Play::new(subject, script)?;
        play.finish("H-28", &Terms { interval: Duration::from_secs(1), ..Terms::default() }).await?;
        play.exactly_once("H-28")
    })
}

fn staged() -> Script {
    Script::of(3, 30).shape(Shape::Staged)
}

fn stages_empty<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, staged())?;
        play.finish("H-28", &often()).await?;
        let journal = play.world.journal();
        for made in
            journal.iter().filter(|e| matches!((&e.party, &e.what), (Party::Stage(..), What::Made { .. })))
        {
            let last = journal.iter().rev().find_map(|entry| match &entry.what {
                What::Snapshot { states, .. } if entry.instance == made.instance => Some(states),
                _ => None,
            });
            let empty = last.is_some_and(Vec::is_empty);
            ensure!("H-28", empty, "the job ended while {:?} held {last:?}", made.party);
        }
        play.exactly_once("H-28")
    })
}

fn stage_end<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let play = Play::new(subject, staged())?;
        play.finish("H-30", &often()).await?;
        let journal = play.world.journal();
        judge::stages_end_behind_their_last_item(&journal)?;
        for made in
            journal.iter().filter(|e| matches!((&e.party, &e.what), (Party::Stage(..), What::Made { .. })))
        {
            let ended = journal.iter().any(|e| e.instance == made.instance && e.what == What::StageEnded);
            ensure!("H-30", ended, "{:?} never heard of the end of its input", made.party);
        }
        Ok(())
    })
}

fn swept<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let play = Play::new(subject, Script::of(3, 30))?;
        play.finish("H-28", &often()).await?;
        let journal = play.world.journal();
        let swept = journal.iter().rposition(|entry| matches!(entry.what, What::Swept(_)));
        let committed = journal.iter().rposition(|entry| matches!(entry.what, What::Commit { .. }));
        ensure!("H-28", swept > committed, "no sweep after the last commit");
        let named = swept.map(|at| &journal[at].what);
        ensure!("H-28", named == Some(&What::Swept(Vec::new())), "the last sweep spares {named:?}");
        Ok(())
    })
}
