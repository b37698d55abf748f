//! Why a command did not do what it was asked for, and the exit code that says so.

use connector_api::Error;

/// Everything was done, or the job was stopped with a savepoint, or it had finished before.
pub(crate) const DONE: u8 = 0;
/// The job failed.
pub(crate) const FAILED: u8 = 1;
/// The configuration is bad; nothing was moved.
pub(crate) const BAD_CONFIGURATION: u8 = 2;

/// Why a command ended early. Each is one message for the user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The pipeline file or the command line is wrong. The message names the place, the key and what is allowed.
    #[error("{0}")]
    Configuration(String),
    /// The job could not be started, or failed past its restart strategy.
    #[error("{0}")]
    Job(#[from] Error),
    /// A second signal came before the savepoint was done.
    #[error(
        "aborted by a second signal before the savepoint was done; the job resumes from its last checkpoint"
    )]
    Aborted,
    /// The surroundings refused something: another process has the checkpoint directory, or the address for metrics.
    #[error("{0}")]
    Surroundings(String),
}

impl Failure {
    /// The exit code that stands for it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) => BAD_CONFIGURATION,
            Self::Job(_) | Self::Aborted | Self::Surroundings(_) => FAILED,
        }
    }
}
