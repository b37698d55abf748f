//! One check of a suite: what it proves, what it needs, how it is run.

use std::fmt;
use std::panic::AssertUnwindSafe;

use crate::broken::{Broken, Verdict};
use crate::capability::Capability;
use crate::crash::Campaigns;
use crate::lab::{Lab, Settings, panic_text};
use crate::surroundings::Surroundings;

/// How a check is run: it makes as many subjects as it needs.
pub type Run<C> = fn(&Lab<C>) -> Verdict;

/// A check.
pub struct Check<C> {
    /// `<suite>::<subject>::<rule in words>`.
    pub name: &'static str,
    /// The rules of `docs/semantics.md` that it proves.
    pub rules: &'static [&'static str],
    /// Where the rule comes from: a FLIP, an issue of a peer, a paper.
    pub source: &'static str,
    /// What a failure means to a user of the connector.
    pub failure: &'static str,
    /// Without these it is skipped.
    pub needs: &'static [Capability],
    /// The check itself.
    pub run: Run<C>,
}

impl<C> Clone for Check<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Check<C> {}

impl<C> fmt::Debug for Check<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A check without its code: a row of the table in `docs/conformance.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// See [`Check::name`].
    pub name: &'static str,
    /// See [`Check::rules`].
    pub rules: &'static [&'static str],
    /// See [`Check::source`].
    pub source: &'static str,
    /// See [`Check::failure`].
    pub failure: &'static str,
    /// See [`Check::needs`].
    pub needs: &'static [Capability],
}

impl<C> Check<C> {
    /// Runs the check.
    ///
    /// # Errors
    ///
    /// What it finds; a panic is a broken rule F-4.
    pub fn judge(&self, make: &dyn Fn(&Surroundings) -> C, settings: Settings) -> Verdict {
        self.judge_beside(make, settings, &Campaigns::default())
    }

    /// Runs the check beside others of the same subject, which share their campaigns.
    ///
    /// # Errors
    ///
    /// As [`judge`](Self::judge).
    pub fn judge_beside(
        &self,
        make: &dyn Fn(&Surroundings) -> C,
        settings: Settings,
        campaigns: &Campaigns,
    ) -> Verdict {
        let lab = Lab::new(make, settings).beside(campaigns);
        let run = || (self.run)(&lab);
        let result = std::panic::catch_unwind(AssertUnwindSafe(run));
        result.unwrap_or_else(|panic| Err(Broken::new("F-4", panic_text(&*panic))))
    }

    /// What it is about.
    pub fn about(&self) -> About {
        let Self { name, rules, source, failure, needs, run: _ } = *self;
        About { name, rules, source, failure, needs }
    }
}
