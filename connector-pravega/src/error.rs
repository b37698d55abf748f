//! The store's errors, as hosts understand them.

use std::borrow::Cow;

use connector_api::error::ConnectorError;
use connector_api::{Error, Result};

/// What the store answered.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct StoreError(#[from] pub segment_store::Error);

impl ConnectorError for StoreError {
    fn is_retryable(&self) -> bool {
        // A store that was closed is opened anew by the next attempt.
        self.0.is_retryable() || matches!(self.0, segment_store::Error::Closed)
    }

    fn has_no_side_effects(&self) -> bool {
        self.0.has_no_side_effects()
    }
}

/// Makes a mapper for the store's errors: `.map_err(failed("begin a transaction in", stream))`.
pub(crate) fn failed(
    operation: impl Into<Cow<'static, str>>,
    target: impl ToString,
) -> impl FnOnce(segment_store::Error) -> Error {
    let (operation, target) = (operation.into(), target.to_string());
    move |error| Error::connector(operation, target, None, StoreError(error))
}

/// What was found; none where the stream, its scope or the store is missing.
pub(crate) fn unless_missing<T>(
    asked: segment_store::Result<T>,
    operation: &'static str,
    target: impl ToString,
) -> Result<Option<T>> {
    use segment_store::Error::{NoScope, NoStore, NoStream};
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(NoScope(_) | NoStream(_) | NoStore { .. }) => Ok(None),
        Err(error) => Err(failed(operation, target)(error)),
    }
}

/// An option error under the name that the front end knows it by.
pub(crate) type Refuse<'a> = &'a dyn Fn(&str, String) -> Error;

/// Parses an option.
pub(crate) fn parsed<T: std::str::FromStr<Err = segment_store::Error>>(
    text: &str,
    option: &str,
    refuse: Refuse<'_>,
) -> Result<T> {
    text.parse().map_err(|error: segment_store::Error| refuse(option, error.to_string()))
}
