//! What a store's error means.

use connector_api::Error;
use connector_api::error::ConnectorError;

/// An error of an object store, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct StoreError(object_store::Error);

impl ConnectorError for StoreError {
    fn is_retryable(&self) -> bool {
        may_pass(&self.0)
    }

    fn has_no_side_effects(&self) -> bool {
        false
    }
}

/// Names the operation and the object.
pub(crate) fn store_error(operation: &'static str, object: &str, source: object_store::Error) -> Error {
    Error::connector(operation, object, None, StoreError(source))
}

/// The status of a server's answer. The library tells it in the text only.
fn status(error: &object_store::Error) -> Option<u16> {
    let text = error.to_string();
    let (_, after) = text.split_once("status code: ")?;
    after.get(..3)?.parse().ok()
}

/// Whether the same operation may succeed later without anybody doing anything.
fn may_pass(error: &object_store::Error) -> bool {
    match error {
        // The store speaks of what we staged: staged anew, it is there.
        error if is_unknown_upload(error) => true,
        object_store::Error::Generic { .. } => {
            // Too many requests and a request that came too slowly are no fault of the request.
            status(error).is_none_or(|status| status >= 500 || matches!(status, 408 | 409 | 425 | 429))
        }
        object_store::Error::NotFound { .. }
        | object_store::Error::InvalidPath { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::AlreadyExists { .. }
        | object_store::Error::Precondition { .. }
        | object_store::Error::NotModified { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => false,
        _ => true,
    }
}

fn is_unknown_upload(error: &object_store::Error) -> bool {
    let text = error.to_string();
    // S3 and GCS; the store in memory.
    text.contains("NoSuchUpload") || text.contains("MultipartUpload not found")
}

/// Whether there is no such object.
pub(crate) fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
}

/// Whether an upload, or what was put into it, is not there (any more): it was completed, aborted, or has expired.
pub(crate) fn is_gone(error: &object_store::Error) -> bool {
    let text = error.to_string();
    // S3 says the last but one when a part is missing, Azure the last when a block is.
    is_absent(error)
        || is_unknown_upload(error)
        || text.contains("Missing part")
        || text.contains("<Code>InvalidPart</Code>")
        || text.contains("<Code>InvalidBlockList</Code>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn what_a_server_refuses_does_not_pass_and_what_it_can_not_do_now_does() {
        let answer = |status: &str| {
            store_error("put", "a", generic(&format!("Server returned non-2xx status code: {status}: x")))
        };
        for (status, passes) in
            [("400 Bad Request", false), ("429 Too Many Requests", true), ("503 Slow Down", true)]
        {
            assert_eq!(answer(status).is_retryable(), passes, "{status}");
        }
        assert!(store_error("put", "a", generic("connection reset")).is_retryable());
    }

    #[test]
    fn an_upload_that_is_gone_is_told_from_a_failure() {
        for text in ["<Code>NoSuchUpload</Code>", "MultipartUpload not found: 3", "<Code>InvalidPart</Code>"]
        {
            assert!(is_gone(&generic(text)), "{text}");
        }
        for text in
            ["connection reset", "Server returned non-2xx status code: 500", "<Code>InvalidPartOrder</Code>"]
        {
            assert!(!is_gone(&generic(text)), "{text}");
        }
    }
}
