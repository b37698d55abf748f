//! One check of a suite: what it proves, what it needs, how it is run.

use std::fmt;

use connector_api::Error;

use crate::capability::Capability;
use crate::lab::Lab;

/// What a check found: a rule is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule of `docs/semantics.md`, such as `R-2`.
    pub rule: &'static str,
    /// What was seen, with split, row or file.
    pub what: String,
}

impl Broken {
    /// The rule is broken, as `what` shows.
    pub fn new(rule: &'static str, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }

    /// Gives an error of the connector, met where the rule allows none.
    pub fn by(rule: &'static str, doing: &str) -> impl FnOnce(Error) -> Self {
        move |error| Self::new(rule, format!("{doing}: {error}"))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} is broken: {}", self.rule, self.what)
    }
}

impl std::error::Error for Broken {}

/// What a check says.
pub type Verdict = Result<(), Broken>;

/// Fails the check unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($rule:expr, $condition:expr, $($what:tt)+) => {
        if !$condition {
            return ::std::result::Result::Err($crate::check::Broken::new($rule, format!($($what)+)));
        }
    };
}

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
    /// What it is about.
    pub fn about(&self) -> About {
        let Self { name, rules, source, failure, needs, run: _ } = *self;
        About { name, rules, source, failure, needs }
    }
}
