//! What a check found: a rule that is broken.

use std::fmt;

use connector_api::Error;

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
            return ::std::result::Result::Err($crate::broken::Broken::new($rule, format!($($what)+)));
        }
    };
}
