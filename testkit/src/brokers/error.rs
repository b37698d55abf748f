//! What can go wrong with a system under test.

use std::io;

/// Something that must be on the machine is not: one line for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}")]
pub struct Missing {
    line: String,
}

impl Missing {
    /// `system` can't start because of `what`; `remedy` is what to type.
    pub(crate) fn new(system: &str, what: &str, remedy: &str) -> Self {
        Self { line: format!("{system} can't start here: {what} ({remedy})") }
    }
}

/// Why a system did not do as told. The message carries the last lines of its log where there are any.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// Something must be installed first.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// The machine refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: String,
        /// What the machine said.
        source: io::Error,
    },
    /// A helper program (`mvn`, a formatter of disks) failed.
    #[error("`{command}` {how}; its last lines:\n{output}")]
    Command {
        /// The program and its main argument.
        command: String,
        /// How it ended.
        how: String,
        /// The end of what it printed.
        output: String,
    },
    /// The system ended by itself.
    #[error("{name} ended by itself ({how}); the last lines of its log:\n{log}")]
    Died {
        /// The system.
        name: &'static str,
        /// Its exit status.
        how: String,
        /// The end of its log.
        log: String,
    },
    /// The system runs but did not become ready.
    #[error("{name} was not ready after {seconds} s: {last}; the last lines of its log:\n{log}")]
    NotReady {
        /// The system.
        name: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// What the last probe said.
        last: String,
        /// The end of its log.
        log: String,
    },
    /// The call makes no sense now, such as to pause what does not run.
    #[error("{name}: {what}")]
    State {
        /// The system.
        name: &'static str,
        /// What was asked, and why it can't be.
        what: &'static str,
    },
    /// The container engine refused something.
    #[error("{doing}: {what}")]
    Container {
        /// What was tried.
        doing: &'static str,
        /// What the engine said.
        what: String,
    },
}

/// Gives an error of the machine the name of what was tried.
pub(crate) fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> BrokerError {
    let doing = what.into();
    move |source| BrokerError::Io { doing, source }
}
