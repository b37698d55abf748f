//! Errors with the name of the split that they belong to.

use connector_api::Error;
use connector_api::id::SplitId;

/// Says in an error which split it belongs to, unless it says so already.
pub(super) fn of_split(error: Error, split: &SplitId) -> Error {
    if error.to_string().contains(split.as_str()) {
        return error;
    }
    match error {
        Error::Io { operation, path, source } => {
            Error::Io { operation: format!("split {split}: {operation}").into(), path, source }
        }
        Error::Data { origin, offset, reason } => {
            Error::Data { origin: format!("split {split}: {origin}"), offset, reason }
        }
        Error::State { kind, reason } => Error::State { kind, reason: format!("split {split}: {reason}") },
        Error::Contract { party, reason } => {
            Error::Contract { party: format!("split {split}: {party}"), reason }
        }
        Error::Config { option, reason } => {
            Error::Config { option, reason: format!("split {split}: {reason}") }
        }
        Error::Lost(what) => Error::Lost(format!("split {split}: {what}")),
        Error::Cancelled(what) => Error::Cancelled(format!("split {split}: {what}").into()),
        Error::Connector { operation, target, offset, source, is_retryable, has_no_side_effects } => {
            Error::Connector {
                operation: format!("split {split}: {operation}").into(),
                target,
                offset,
                source,
                is_retryable,
                has_no_side_effects,
            }
        }
        // A kind of error that came later: better without the split than changed in meaning.
        other => other,
    }
}
