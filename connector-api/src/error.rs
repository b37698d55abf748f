//! Errors that say what to do.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of everything in this family of crates.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a connector's own error type tells its host. Implement it for the crate's `thiserror` enum and convert with
/// [`Error::connector`].
pub trait ConnectorError: std::error::Error + Send + Sync + 'static {
    /// Whether the same operation may succeed later without anybody changing anything.
    fn is_retryable(&self) -> bool;

    /// Whether it is certain that the failed operation changed nothing outside, so that a retry can't duplicate a write.
    fn has_no_side_effects(&self) -> bool;
}

/// What went wrong, at which operation, on what.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option or a combination of options is wrong. `option` is its path, such as `sink.rolling.size`.
    #[error("option `{option}`: {reason}")]
    Config {
        /// The path of the option.
        option: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// The operating system refused an operation on a file.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `rename to x`.
        operation: Cow<'static, str>,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Data that was read is not what it must be.
    #[error("{origin}{}: {reason}", At(*.offset))]
    Data {
        /// The file or split.
        origin: String,
        /// The offset in it (bytes for files, the system's own unit elsewhere).
        offset: Option<u64>,
        /// What is wrong.
        reason: String,
    },
    /// Stored state can't be decoded, or does not fit the job that restores it.
    #[error("state of kind `{kind}`: {reason}")]
    State {
        /// The kind in the envelope, or the place that the state belongs to.
        kind: String,
        /// What is wrong.
        reason: String,
    },
    /// A party broke the contract of these traits: a defect in a connector or a host.
    #[error("{party} broke its contract: {reason}")]
    Contract {
        /// Which connector, split or operator.
        party: String,
        /// The rule that was broken.
        reason: String,
    },
    /// What a committable stands for is gone for good. Ends the job past every restart strategy.
    #[error("lost: {0}")]
    Lost(String),
    /// The operation was given up because the job is stopping.
    #[error("{0} was cancelled")]
    Cancelled(Cow<'static, str>),
    /// A connector's own error.
    #[error("{operation} {target}{}: {source}", At(*.offset))]
    Connector {
        /// What was tried.
        operation: Cow<'static, str>,
        /// The split, topic or file.
        target: String,
        /// The offset in it.
        offset: Option<u64>,
        /// The connector's error.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What [`ConnectorError::is_retryable`] said.
        is_retryable: bool,
        /// What [`ConnectorError::has_no_side_effects`] said.
        has_no_side_effects: bool,
    },
}

struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |offset| write!(f, " at offset {offset}"))
    }
}

impl Error {
    /// A wrong option; `reason` says what is allowed.
    pub fn config(option: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { option: option.into(), reason: reason.into() }
    }

    /// Makes a mapper for an [`io::Error`] of an operation on a file: `.map_err(Error::io("open", path))`.
    pub fn io<'a>(
        operation: impl Into<Cow<'static, str>> + 'a,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { operation: operation.into(), path: path.to_path_buf(), source }
    }

    /// Data that is not what it must be.
    pub fn data(origin: impl Into<String>, offset: Option<u64>, reason: impl Into<String>) -> Self {
        Self::Data { origin: origin.into(), offset, reason: reason.into() }
    }

    /// State that can't be used.
    pub fn state(kind: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::State { kind: kind.into(), reason: reason.into() }
    }

    /// A broken contract.
    pub fn contract(party: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Contract { party: party.into(), reason: reason.into() }
    }

    /// Wraps a connector's own error.
    pub fn connector(
        operation: impl Into<Cow<'static, str>>,
        target: impl Into<String>,
        offset: Option<u64>,
        source: impl ConnectorError,
    ) -> Self {
        Self::Connector {
            operation: operation.into(),
            target: target.into(),
            offset,
            is_retryable: source.is_retryable(),
            has_no_side_effects: source.has_no_side_effects(),
            source: Box::new(source),
        }
    }

    /// Whether a restart, or the same operation later, may succeed without anybody changing the job.
    ///
    /// A full disk and an input/output error of a device are retryable: space is freed, devices come back. A file that
    /// is not there or must not be read, wrong options, wrong data, wrong state and lost committables are not.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Io { source, .. } => !matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::AlreadyExists
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::ReadOnlyFilesystem
            ),
            Self::Connector { is_retryable, .. } => *is_retryable,
            Self::Cancelled(_) => true,
            Self::Config { .. }
            | Self::Data { .. }
            | Self::State { .. }
            | Self::Contract { .. }
            | Self::Lost(_) => false,
        }
    }

    /// Whether it is certain that nothing outside was changed.
    pub fn has_no_side_effects(&self) -> bool {
        match self {
            Self::Config { .. } | Self::Data { .. } | Self::State { .. } => true,
            Self::Connector { has_no_side_effects, .. } => *has_no_side_effects,
            Self::Io { .. } | Self::Contract { .. } | Self::Lost(_) | Self::Cancelled(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_operation_file_and_offset() {
        let io = Error::io("rename", Path::new("a/b"))(io::Error::from(io::ErrorKind::StorageFull));
        assert!(io.to_string().starts_with("rename a/b: "), "{io}");
        assert!(io.is_retryable() && !io.has_no_side_effects());
        let data = Error::data("in/x.txt", Some(7), "no terminator within 16 MiB");
        assert_eq!(data.to_string(), "in/x.txt at offset 7: no terminator within 16 MiB");
        assert!(!data.is_retryable() && data.has_no_side_effects());
    }

    #[test]
    fn only_what_certainly_changed_nothing_says_so() {
        let path = Path::new("a/b");
        for unsure in [
            Error::io("write", path)(io::Error::from(io::ErrorKind::TimedOut)),
            Error::contract("a task", "ended"),
            Error::Lost("x".into()),
            Error::Cancelled("writing".into()),
        ] {
            assert!(!unsure.has_no_side_effects(), "{unsure}");
        }
        for sure in [Error::config("x", "y"), Error::data("x", None, "y"), Error::state("x", "y")] {
            assert!(sure.has_no_side_effects(), "{sure}");
        }
    }
}
