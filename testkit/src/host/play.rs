//! One check's run of a host: processes one after the other in one world.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use connector_api::Result;
use futures::future::{Either, select};

use super::job::{HostContext, HostEnd, HostJob, Start, StopRequest};
use super::journal::{Entry, What};
use super::script::Script;
use super::world::{HUNG, Then, World};
use crate::broken::{Broken, Verdict};
use crate::ensure;
use crate::fs::SimFs;
use crate::lab::Subject;
use crate::surroundings::Death;

/// How the next run is to be.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) readers: u32,
    pub(super) writers: u32,
    pub(super) committers: u32,
    pub(super) restarts: u32,
    pub(super) skip_lost: bool,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) start: Start,
    pub(super) accept_duplicates: bool,
    pub(super) max_rows: Option<NonZeroUsize>,
    pub(super) identity: BTreeMap<String, String>,
    pub(super) stop: StopRequest,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            readers: 2,
            writers: 2,
            committers: 1,
            restarts: 0,
            skip_lost: false,
            interval: Duration::from_millis(50),
            timeout: Duration::from_secs(600),
            start: Start::Latest,
            accept_duplicates: false,
            max_rows: None,
            identity: BTreeMap::new(),
            stop: StopRequest::new(),
        }
    }
}

impl Terms {
    pub(super) fn restarting(restarts: u32) -> Self {
        Self { restarts, ..Self::default() }
    }

    pub(super) fn from(path: &Path) -> Self {
        Self { start: Start::Named(path.to_path_buf()), ..Self::default() }
    }
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ran {
    Ended(Result<HostEnd>),
    Died,
    Hung,
}

pub(super) fn dir() -> PathBuf {
    PathBuf::from("/checkpoints")
}

pub(super) struct Play<'a, C> {
    pub(super) subject: &'a mut Subject<C>,
    pub(super) world: World,
}

impl<'a, C: HostContext> Play<'a, C> {
    /// A world with this script, and its first process.
    pub(super) fn new(subject: &'a mut Subject<C>, script: Script) -> Result<Self, Broken> {
        let this = Self { subject, world: World::new(script) };
        this.world.begin_process(this.subject.around.meter(), this.fs()?);
        Ok(this)
    }

    pub(super) fn fs(&self) -> Result<&SimFs, Broken> {
        let why = "hosts are tried on simulated files only: leave out `on_the_real_system`";
        self.subject.around.fs().ok_or_else(|| Broken::new("H-22", why))
    }

    pub(super) fn job(&self, terms: &Terms, world: &World) -> HostJob {
        let Terms { readers, writers, committers, restarts, skip_lost, interval, timeout, .. } = *terms;
        HostJob {
            source: world.source(),
            sink: world.sink(),
            readers,
            writers,
            committers,
            restarts,
            skip_lost,
            interval,
            timeout,
            dir: dir(),
            start: terms.start.clone(),
            accept_duplicates: terms.accept_duplicates,
            max_rows: terms.max_rows,
            identity: terms.identity.clone(),
            stop: terms.stop.clone(),
        }
    }

    /// Runs the host until it ends, dies or hangs.
    pub(super) async fn run(&self, terms: &Terms) -> Ran {
        let env = self.subject.env();
        let run = pin!(self.subject.context.run(&env, self.job(terms, &self.world)));
        let over = async {
            match select(pin!(self.world.died()), env.clock.sleep(HUNG)).await {
                Either::Left(_) => Ran::Died,
                Either::Right(_) => Ran::Hung,
            }
        };
        match select(pin!(over), run).await {
            Either::Left((over, _)) => over,
            Either::Right((end, _)) if self.subject.around.is_dead() => {
                drop(end);
                Ran::Died
            }
            Either::Right((end, _)) => Ran::Ended(end),
        }
    }

    /// Runs to the end of the input.
    pub(super) async fn finish(&self, rule: &'static str, terms: &Terms) -> Verdict {
        match self.run(terms).await {
            Ran::Ended(Ok(HostEnd::Finished)) => Ok(()),
            Ran::Ended(Ok(end)) => Err(Broken::new(rule, format!("the job ended as {end:?}, not finished"))),
            Ran::Ended(Err(error)) => Err(self.tell(rule, &format!("the job failed: {error}"))),
            Ran::Died => Err(self.tell(rule, "the process died")),
            Ran::Hung => Err(self.tell(rule, &format!("the job did not end within {HUNG:?}"))),
        }
    }

    /// With the last lines of the journal.
    pub(super) fn tell(&self, rule: &'static str, what: &str) -> Broken {
        let journal = self.world.journal();
        let last = journal.iter().skip(journal.len().saturating_sub(12)).map(ToString::to_string);
        Broken::new(rule, format!("{what}\nthe last calls:\n{}\n", last.collect::<Vec<_>>().join("\n")))
    }

    /// Runs until this happens, at which the process dies; another process follows.
    pub(super) async fn die_at(
        &mut self,
        rule: &'static str,
        terms: &Terms,
        how: Death,
        when: impl FnMut(&Entry) -> bool + Send + 'static,
    ) -> Verdict {
        self.world.trap(when, Then::Die);
        match self.run(terms).await {
            Ran::Died => {
                self.next_process(how)?;
                Ok(())
            }
            Ran::Ended(end) => {
                Err(self
                    .tell(rule, &format!("the job ended ({end:?}) before it came to what was waited for")))
            }
            Ran::Hung => Err(self.tell(rule, "the job hangs")),
        }
    }

    /// The process dies, if it lives; another takes its place.
    pub(super) fn next_process(&mut self, how: Death) -> Verdict {
        self.world.kill();
        self.subject.around.die(how);
        self.world.begin_process(self.subject.around.meter(), self.fs()?);
        Ok(())
    }

    /// Runs until this happens, then stops with a savepoint; another process follows.
    pub(super) async fn stop_at(
        &mut self,
        rule: &'static str,
        terms: &Terms,
        when: impl FnMut(&Entry) -> bool + Send + 'static,
    ) -> Result<PathBuf, Broken> {
        self.world.trap(when, Then::Stop(terms.stop.clone()));
        match self.run(terms).await {
            Ran::Ended(Ok(HostEnd::Stopped { savepoint })) => {
                self.next_process(Death::Crash)?;
                Ok(savepoint)
            }
            other => {
                Err(self.tell(rule, &format!("asked to stop with a savepoint, the job ended as {other:?}")))
            }
        }
    }

    /// The start must be refused, before anything is made. Gives the reason.
    pub(super) async fn refused(
        &self,
        rule: &'static str,
        terms: &Terms,
        what: &str,
    ) -> Result<String, Broken> {
        let before = self.world.journal().len();
        let ran = self.run(terms).await;
        let Ran::Ended(Err(error)) = ran else {
            return Err(self.tell(rule, &format!("{what} is not refused: {ran:?}")));
        };
        let journal = self.world.journal();
        let touched = journal[before..].iter().find(|entry| !matches!(entry.what, What::Failed));
        match touched {
            None => Ok(error.to_string()),
            Some(entry) => Err(Broken::new(
                rule,
                format!("{what} is refused ({error}) only after this was done: {entry}"),
            )),
        }
    }

    /// Every row is visible once.
    pub(super) fn exactly_once(&self, rule: &'static str) -> Verdict {
        let (visible, all) = (self.world.visible(), self.world.lock().script.all_rows());
        if visible == all {
            return Ok(());
        }
        let missing: Vec<_> = all.iter().filter(|row| visible.binary_search(row).is_err()).take(5).collect();
        let twice: Vec<_> = visible.windows(2).filter(|pair| pair[0] == pair[1]).take(5).collect();
        let (seen, wanted) = (visible.len(), all.len());
        let what = format!(
            "of {wanted} rows {seen} are visible; missing (split, row): {missing:?}...; more than once: {twice:?}..."
        );
        Err(self.tell(rule, &what))
    }

    /// Nothing of the job is left in this process.
    pub(super) async fn nothing_is_left(&self, rule: &'static str) -> Verdict {
        // What was dropped ends in its next turn.
        self.subject.env().clock.sleep(Duration::from_secs(1)).await;
        let (tasks, files) = (self.subject.around.meter().tasks(), self.subject.around.meter().open_files());
        ensure!(rule, tasks.is_empty(), "tasks that go on after the end: {tasks:?}");
        ensure!(rule, files == 0, "{files} files or locks are open after the end");
        Ok(())
    }
}

/// The `k`th entry for which something holds, counted from 1.
pub(super) fn nth(
    k: u32,
    mut holds: impl FnMut(&Entry) -> bool + Send + 'static,
) -> impl FnMut(&Entry) -> bool + Send + 'static {
    let mut seen = 0;
    move |entry| {
        let is_one = holds(entry);
        seen += u32::from(is_one);
        is_one && seen == k
    }
}
