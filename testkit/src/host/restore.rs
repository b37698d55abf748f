//! Checks of restores.

use std::time::Duration;

use super::job::HostContext;
use super::journal::{Entry, Party, Token, What};
use super::judge;
use super::play::{Play, Ran, Terms, nth};
use super::script::{Dealing, HINT, Script, Shape};
use super::world::{Then, World};
use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::check::Check;
use crate::ensure;
use crate::fs::PowerCut;
use crate::lab::Lab;
use crate::surroundings::Death;

const CUT: Death = Death::PowerCut(PowerCut::SyncedOnly);
const GOING_BACK: &str = "decision 5 of the design: going back is never silent";

pub(super) fn checks<C: HostContext>() -> Vec<Check<C>> {
    vec![
        Check {
            name: "host::restore::splits_are_dealt_evenly",
            rules: &["H-6"],
            source: "FLINK-21817, FLINK-31319: skewed restores",
            failure: "after a rescale one reader reads everything and the others nothing",
            needs: &[],
            run: even,
        },
        Check {
            name: "host::restore::attempts_have_numbers_of_their_own",
            rules: &["H-40"],
            source: "fencing: W-5; FLINK-26033, transactional ids that are used twice",
            failure: "two attempts stage under the same names, and one overwrites the other",
            needs: &[],
            run: fresh,
        },
        Check {
            name: "host::restore::restarts_have_attempts_of_their_own",
            rules: &["H-40"],
            source: "fencing: W-5; FLINK-26033, transactional ids that are used twice",
            failure: "after a restart rows are staged under names that are taken",
            needs: &[Capability::Restarts],
            run: fresh_restarts,
        },
        Check {
            name: "host::restore::going_back_is_refused",
            rules: &["H-41"],
            source: GOING_BACK,
            failure: "rows are doubled without a word",
            needs: &[Capability::Savepoints],
            run: refused,
        },
        Check {
            name: "host::restore::going_back_is_told_to_everybody",
            rules: &["H-41", "C-5"],
            source: GOING_BACK,
            failure: "a committer takes for lost what has become visible",
            needs: &[Capability::Savepoints],
            run: accepted,
        },
        Check {
            name: "host::restore::a_damaged_checkpoint_stops_the_start",
            rules: &["H-42"],
            source: "FLINK-19401 and others: fall back to an older checkpoint",
            failure: "damage turns into doubled rows: the job silently goes on from an older checkpoint, or from nothing",
            needs: &[],
            run: damaged,
        },
        Check {
            name: "host::restore::the_state_of_another_job_is_refused",
            rules: &["H-43"],
            source: "Flink: operator uids; decision 5",
            failure: "offsets of one topic are applied to another",
            needs: &[Capability::Identity],
            run: identity,
        },
        Check {
            name: "host::restore::the_sweep_comes_first_and_stages_hear_before_input",
            rules: &["H-44"],
            source: "FLIP-191 restore order, FLINK-29509",
            failure: "a sweep removes what the new attempt makes, or a stage repeats what is done",
            needs: &[],
            run: ordered,
        },
        Check {
            name: "host::restore::the_sweep_is_told_what_the_state_needs",
            rules: &["H-44", "X-1"],
            source: "lingering transactions: FLINK-31620",
            failure: "a sweep removes rows that wait for their commit: they are lost",
            needs: &[],
            run: references,
        },
        Check {
            name: "host::restore::everything_is_committed_before_input",
            rules: &["H-44", "H-45"],
            source: "FLINK-25726, FLIP-191: commit on restore",
            failure: "rows of a finished checkpoint stay invisible until new input comes, which may be never",
            needs: &[],
            run: committed,
        },
        Check {
            name: "host::restore::a_second_process_is_refused",
            rules: &["H-46"],
            source: "split brain; ZooKeeper recipes, lock",
            failure: "two processes write one output",
            needs: &[],
            run: second,
        },
        Check {
            name: "host::restore::state_of_an_absent_stage_is_refused",
            rules: &["H-47"],
            source: "Flink: allowNonRestoredState drops state silently",
            failure: "what the stage held is lost without a word",
            needs: &[],
            run: absent,
        },
        Check {
            name: "host::restore::writer_states_are_dealt_once",
            rules: &["H-48"],
            source: "Flink: list state redistribution; W-6",
            failure: "a writer's open work is lost or taken up twice after a rescale",
            needs: &[],
            run: states,
        },
    ]
}

fn often() -> Terms {
    Terms { interval: Duration::from_millis(15), ..Terms::default() }
}

fn commit(k: u32) -> impl FnMut(&Entry) -> bool + Send {
    nth(k, |entry| matches!(entry.what, What::Commit { .. }))
}

fn even<C: HostContext>(lab: &Lab<C>) -> Verdict {
    for readers in [1, 2, 3, 5] {
        lab.once(async |subject| {
            let mut play = Play::new(subject, Script::of(7, 80).dealing(Dealing::AtOnce))?;
            play.die_at("H-6", &often(), Death::Crash, commit(1)).await?;
            let terms = Terms { readers, ..often() };
            play.finish("H-6", &terms).await?;
            let mut hands = vec![0; readers as usize];
            for entry in play.world.journal().iter().filter(|entry| entry.process == 2) {
                if let (Party::Reader(reader), What::Given(tokens)) = (&entry.party, &entry.what) {
                    hands[*reader as usize] += tokens.iter().filter(|t| matches!(t, Token::Split(_))).count();
                }
            }
            let (least, most) = (hands.iter().min().copied(), hands.iter().max().copied());
            let even = least.zip(most).is_some_and(|(least, most)| most - least <= 1);
            ensure!("H-6", even, "7 restored splits were dealt to {readers} readers as {hands:?}");
            Ok(())
        })?;
    }
    Ok(())
}

fn fresh<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let seed = subject.seed;
        let mut play = Play::new(subject, Script::of(3, 80))?;
        // The power fails as early as anybody can notice, then later and later.
        for k in 1..=4 {
            let process = play.world.process();
            let when = nth(1 + (seed % 7) as u32 * (k - 1), move |e| e.process == process);
            play.die_at("H-40", &often(), CUT, when).await?;
        }
        play.finish("H-40", &often()).await?;
        judge::attempts_are_fresh(&play.world.journal())
    })
}

fn fresh_restarts<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let k = 2 + (subject.seed % 12) as u32;
        let play = Play::new(subject, Script::of(3, 60))?;
        for step in 1..=2 {
            let when = nth(k * step, |e| matches!(e.what, What::Emitted { .. } | What::Written(_)));
            play.world.trap(when, Then::Fail);
        }
        play.finish("H-40", &Terms { interval: Duration::from_millis(15), ..Terms::restarting(5) }).await?;
        judge::attempts_are_fresh(&play.world.journal())
    })
}

fn refused<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut play = Play::new(subject, Script::of(4, 80))?;
        let savepoint = play.stop_at("H-41", &often(), commit(1)).await?;
        play.finish("H-41", &often()).await?;
        play.next_process(Death::Crash)?;
        play.refused("H-41", &Terms::from(&savepoint), "a savepoint of before later commits").await.map(drop)
    })
}

fn accepted<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut play = Play::new(subject, Script::of(4, 80).shape(Shape::Staged))?;
        let savepoint = play.stop_at("H-41", &often(), commit(1)).await?;
        let going_back = |entry: &Entry| match entry.what {
            What::Made { restored, .. } => restored.map(|restored| restored.going_back),
            _ => None,
        };
        play.finish("H-41", &often()).await?;
        let early = play.world.journal().iter().any(|entry| going_back(entry) == Some(true));
        ensure!("H-41", !early, "said to go back where nothing was gone back behind");
        play.next_process(Death::Crash)?;
        let terms = Terms { accept_duplicates: true, ..Terms::from(&savepoint) };
        play.finish("H-41", &terms).await?;
        for entry in play.world.journal().iter().filter(|entry| entry.process == 3) {
            let is_sink = matches!(entry.party, Party::Writer(_) | Party::Committer(_) | Party::Stage(..));
            if is_sink && matches!(entry.what, What::Made { .. }) {
                ensure!("H-41", going_back(entry) == Some(true), "is not told of going back: {entry}");
            }
        }
        let (mut visible, all) = (play.world.visible(), play.world.lock().script.all_rows());
        visible.dedup();
        ensure!("H-41", visible == all, "rows are missing after going back");
        Ok(())
    })
}

fn damaged<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let seed = subject.seed;
        let mut play = Play::new(subject, Script::of(4, 80))?;
        play.die_at("H-42", &often(), Death::Crash, commit(4)).await?;
        let context = &play.subject.context;
        let files = context.checkpoints(&play.subject.env(), &super::play::dir());
        let files = files.map_err(Broken::by("H-42", "listing the checkpoints"))?;
        let Some(newest) = files.last() else {
            return Err(Broken::new("H-42", "there are commits and no checkpoint"));
        };
        let fs = play.fs()?;
        let mut bytes = fs.content(newest).unwrap_or_default();
        ensure!("H-42", !bytes.is_empty(), "{} is empty", newest.display());
        let at = (seed as usize).wrapping_mul(7919) % bytes.len();
        bytes[at] ^= 0x40;
        let put = fs.put(newest, &bytes);
        ensure!("H-42", put.is_ok(), "{} can't be written", newest.display());
        let why = play.refused("H-42", &often(), "a damaged checkpoint").await?;
        let name = newest.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        ensure!("H-42", why.contains(&name), "the damaged {name} is not named: {why}");
        Ok(())
    })
}

fn identity<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let with = |value: &str| Terms {
            identity: [("source.topic".to_owned(), value.to_owned())].into(),
            ..often()
        };
        let mut play = Play::new(subject, Script::of(4, 80))?;
        play.die_at("H-43", &with("orders"), Death::Crash, commit(2)).await?;
        let why = play.refused("H-43", &with("payments"), "the state of another topic").await?;
        ensure!("H-43", why.contains("source.topic"), "the key that differs is not named: {why}");
        play.next_process(Death::Crash)?;
        play.finish("H-43", &with("orders")).await?;
        play.exactly_once("H-43")
    })
}

/// Dies while committables wait and a stage holds some, and goes on.
async fn twice<C: HostContext>(play: &mut Play<'_, C>, rule: &'static str) -> Verdict {
    let k = 2 + (play.subject.seed % 6) as u32;
    play.die_at(rule, &often(), Death::Crash, commit(k)).await?;
    play.finish(rule, &often()).await
}

fn ordered<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let mut play = Play::new(subject, Script::of(4, 120).shape(Shape::Staged))?;
        twice(&mut play, "H-44").await?;
        judge::restores_are_in_order(&play.world.journal())
    })
}

fn references<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let mut play = Play::new(subject, Script::of(4, 120).shape(Shape::Staged))?;
        let k = 2 + (play.subject.seed % 6) as u32;
        play.die_at("H-44", &often(), Death::Crash, commit(k)).await?;
        // What the sweep was told is judged also when the job fails of it.
        let end = play.finish("H-44", &often()).await;
        judge::sweeps_know_the_references(&play.world.journal())?;
        end
    })
}

fn committed<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.each_seed(async |subject| {
        let mut play = Play::new(subject, Script::of(4, 60))?;
        twice(&mut play, "H-45").await?;
        judge::restored_commits_are_made(&play.world.journal(), "H-45", true)
    })
}

fn second<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let play = Play::new(subject, Script::of(4, 80))?;
        // Another process on the same machine: it has probes of its own.
        let other = World::new(Script::of(4, 80));
        other.begin_process(play.subject.around.meter(), play.fs()?);
        let env = play.subject.env();
        let intruder = async {
            play.world.until(|state| !state.outside.visible.is_empty()).await;
            play.subject.context.run(&env, play.job(&often(), &other)).await
        };
        let terms = often();
        let (finished, intruded) = futures::join!(play.run(&terms), intruder);
        let refused = intruded.is_err();
        let touched = other.journal().len();
        ensure!(
            "H-46",
            refused && touched == 0,
            "a second process was let in: {intruded:?}, after {touched} calls"
        );
        let finished = matches!(finished, Ran::Ended(Ok(_)));
        ensure!("H-46", finished, "the first process did not go on to its end");
        play.exactly_once("H-46")
    })
}

fn absent<C: HostContext>(lab: &Lab<C>) -> Verdict {
    lab.once(async |subject| {
        let mut play = Play::new(subject, Script::of(4, 80).shape(Shape::Staged))?;
        // The stage held something in a snapshot that is complete.
        let mut held = None;
        let when = move |entry: &Entry| match &entry.what {
            What::Snapshot { checkpoint, states, .. } if entry.party == Party::Stage("group", 0) => {
                held = (!states.is_empty()).then_some(*checkpoint);
                false
            }
            What::Complete(checkpoint) => held == Some(*checkpoint),
            _ => false,
        };
        play.die_at("H-47", &often(), Death::Crash, when).await?;
        play.world.change(|script| script.shape = Shape::Unstaged);
        let why = play.refused("H-47", &often(), "state of a stage that the plan leaves out").await?;
        ensure!(
            "H-47",
            why.contains("group") && why.contains(HINT),
            "neither stage nor hint is named: {why}"
        );
        play.next_process(Death::Crash)?;
        play.world.change(|script| script.shape = Shape::Staged);
        play.finish("H-47", &often()).await?;
        play.exactly_once("H-47")
    })
}

fn states<C: HostContext>(lab: &Lab<C>) -> Verdict {
    for writers in [1, 2, 3, 5] {
        lab.once(async |subject| {
            let mut play = Play::new(subject, Script::of(6, 80))?;
            play.die_at("H-48", &often(), Death::Crash, commit(2)).await?;
            play.finish("H-48", &Terms { writers, ..often() }).await?;
            judge::writer_states_are_dealt_once(&play.world.journal())
        })?;
    }
    Ok(())
}
