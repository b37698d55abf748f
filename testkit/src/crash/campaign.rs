//! Every crash point, enumerated: a first run records what is reached, then each hit is a run of its own that dies there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Observed, Sees};
use crate::broken::Broken;
use crate::history::{Event, History};
use crate::lab::{Lab, Subject};
use crate::lockstep::Ran;
use crate::surroundings::Death;

/// Names a run: where its processes die, in turn, and how.
fn named(points: &[(&str, u64)], death: Death) -> impl Fn(Broken) -> Broken {
    let points: Vec<String> = points.iter().map(|(point, k)| format!("`{point}` ({k})")).collect();
    let at = points.join(", then ");
    move |broken| Broken { what: format!("after a death ({death:?}) at {at}: {}", broken.what), ..broken }
}

/// What the last process reached, and what was seen when the ones before it had died.
struct Run {
    reached: BTreeMap<&'static str, u64>,
    seen: Vec<Sees>,
}

/// How often a run on the real system is made, before it counts that a crash point is not reached.
const TRIES: u32 = 4;

/// Runs and dies at these points. In the simulation each is reached as in the run that found it. On the real system no two runs hit a
/// point equally often: there a hit that does not come is looked for earlier.
fn run<C, F>(lab: &Lab<C>, seed: u64, points: &[(&str, u64)], death: Death, body: &F) -> Result<Run, Broken>
where
    F: AsyncFn(&mut Subject<C>, Death) -> Result<Ran, Broken>,
{
    tries(lab, seed, points, death, body)?
}

/// As [`run`]; within, that a crash point was not reached.
fn tries<C, F>(
    lab: &Lab<C>,
    seed: u64,
    points: &[(&str, u64)],
    death: Death,
    body: &F,
) -> Result<Result<Run, Broken>, Broken>
where
    F: AsyncFn(&mut Subject<C>, Death) -> Result<Ran, Broken>,
{
    let mut points = points.to_vec();
    let mut left = if lab.is_real() { TRIES } else { 1 };
    loop {
        let Unreached(deaths) = match run_once(lab, seed, &points, death, body)? {
            Ok(run) => return Ok(Ok(run)),
            Err(unreached) => unreached,
        };
        left -= 1;
        if left == 0 {
            let what = format!("{deaths} of {} crash points were reached again", points.len());
            let broken = Broken::new("F-4", format!("{what}: the run is not deterministic"));
            return Ok(Err(named(&points, death)(broken)));
        }
        if let Some((_, k)) = points.get_mut(deaths as usize) {
            *k = (*k / 2).max(1);
        }
    }
}

/// A run came to its end after so many deaths only.
struct Unreached(u64);

fn run_once<C, F>(
    lab: &Lab<C>,
    seed: u64,
    points: &[(&str, u64)],
    death: Death,
    body: &F,
) -> Result<Result<Run, Unreached>, Broken>
where
    F: AsyncFn(&mut Subject<C>, Death) -> Result<Ran, Broken>,
{
    let one = async |subject: &mut Subject<C>| {
        subject.around.die_in_turn(points.iter().copied());
        let ran = body(subject, death).await?;
        if ran.deaths != points.len() as u64 {
            return Ok(Err(Unreached(ran.deaths)));
        }
        let mut reached = subject.around.crash().hits();
        // Those of the connector in memory at the other end are not the subject's.
        reached.retain(|point, _| !lab.is_left_out(point));
        Ok(Ok(Run { reached, seen: seen(&ran.history) }))
    };
    lab.at(seed, &one).map_err(named(points, death))
}

/// For each death, whether more was visible after it than before.
fn seen(history: &History) -> Vec<Sees> {
    let mut seen = Vec::new();
    let (mut before, mut dead): (BTreeSet<&String>, bool) = (BTreeSet::new(), false);
    for event in history.events() {
        match event {
            Event::Ended { .. } => {
                seen.push(Sees::Nothing);
                dead = true;
            }
            Event::Began { .. } => dead = false,
            Event::Visible(rows) => {
                let now: BTreeSet<&String> = rows.iter().collect();
                if dead && !now.is_subset(&before) {
                    seen.pop();
                    seen.push(Sees::Output);
                }
                before = now;
            }
            _ => {}
        }
    }
    seen
}

/// Dies at every hit of every crash point, once per run and in each of these ways; at the first hit alone in a sparing lab.
///
/// # Errors
///
/// What a run finds, naming the point.
pub fn singles<C, F>(lab: &Lab<C>, deaths: &[Death], body: F) -> Result<Observed, Broken>
where
    F: AsyncFn(&mut Subject<C>, Death) -> Result<Ran, Broken>,
{
    let seed = lab.first_seed();
    let mut observed = Observed::default();
    let first = run(lab, seed, &[], Death::Crash, &body)?;
    for (point, hits) in first.reached {
        for k in 1..=if lab.is_sparing() { 1 } else { hits } {
            for death in deaths {
                let dead = run(lab, seed, &[(point, k)], *death, &body)?;
                // After a power cut, what had been published may be hidden again until the restart.
                if *death == Death::Crash {
                    observed.add(point, dead.seen.first().copied().unwrap_or(Sees::Nothing));
                }
            }
        }
    }
    Ok(observed)
}

/// Dies at every pair of crash points: at the first and the last hit of one, then, while that is recovered from, at the first
/// hit of another. Gives the points of second deaths.
///
/// In a sparing lab the first death is at the first, the middle and the last point (by name), and each point is died at as the second once.
///
/// # Errors
///
/// What a run finds, naming both points.
pub fn pairs<C, F>(lab: &Lab<C>, deaths: &[Death], body: F) -> Result<Observed, Broken>
where
    F: AsyncFn(&mut Subject<C>, Death) -> Result<Ran, Broken>,
{
    let seed = lab.first_seed();
    let mut observed = Observed::default();
    let first = run(lab, seed, &[], Death::Crash, &body)?;
    for (point, k) in firsts(&first.reached, lab.is_sparing()) {
        for death in deaths {
            let recovered = run(lab, seed, &[(point, k)], *death, &body)?;
            for again in recovered.reached.into_keys() {
                if lab.is_sparing() && observed.points().any(|done| done == again) {
                    continue;
                }
                let points = [(point, k), (again, 1)];
                // What a recovery on the real system has to do depends on what the death met.
                let twice = match tries(lab, seed, &points, *death, &body)? {
                    Ok(twice) => twice,
                    Err(_) if lab.is_real() => continue,
                    Err(unreached) => return Err(unreached),
                };
                observed.add(again, twice.seen.get(1).copied().unwrap_or(Sees::Nothing));
            }
        }
    }
    if !first.reached.is_empty() && observed.deaths() == 0 {
        return Err(Broken::new("F-4", "no second death was met: the run is not deterministic"));
    }
    Ok(observed)
}

/// Where the first of two deaths is, as point and hit.
fn firsts(reached: &BTreeMap<&'static str, u64>, sparing: bool) -> Vec<(&'static str, u64)> {
    let all: Vec<_> = reached
        .iter()
        .flat_map(|(point, hits)| BTreeSet::from([1, *hits]).into_iter().map(|k| (*point, k)))
        .collect();
    let (Some(last), true) = (all.len().checked_sub(1), sparing) else { return all };
    BTreeSet::from([0, last / 2, last]).into_iter().map(|i| all[i]).collect()
}
