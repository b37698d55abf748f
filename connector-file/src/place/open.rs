//! Making the store of a URL.

use std::sync::Arc;

use connector_api::{Error, Result};

use super::memory;
use super::objects::Store;
use super::options::StoreOptions;

type Refuse<'a> = &'a dyn Fn(&str, String) -> Error;

/// The store that a scheme and a bucket name. Nothing is asked of it yet.
pub(super) fn open(
    scheme: &str,
    bucket: &str,
    options: &StoreOptions,
    error: Refuse<'_>,
) -> Result<Arc<dyn Store>> {
    match scheme {
        "memory" => {
            options.only(scheme, &[], error)?;
            Ok(memory::named(bucket))
        }
        "s3" => s3(bucket, options, error),
        "gs" => gcs(bucket, options, error),
        "az" => azure(bucket, options, error),
        _ => Err(error(
            "path",
            format!("`{scheme}://` is not known; known are s3://, gs://, az:// and memory://"),
        )),
    }
}

#[cfg(not(all(feature = "s3", feature = "gcs", feature = "azure")))]
fn not_built(scheme: &str, feature: &str, error: Refuse<'_>) -> Result<Arc<dyn Store>> {
    let reason = format!(
        "`{scheme}://` needs the feature `{feature}` of connector-file, which this program was built without"
    );
    Err(error("path", reason))
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
mod shared {
    use std::time::Duration;

    use connector_api::Error;
    use object_store::{ClientOptions, RetryConfig};

    use super::{Refuse, StoreOptions};

    /// What every store over HTTP is asked with.
    pub(super) fn client(options: &StoreOptions) -> (ClientOptions, RetryConfig) {
        let timeout = options.timeout.as_ref().map_or(Duration::from_secs(30), |span| span.0);
        let retry_timeout = options.retry_timeout.as_ref().map_or(Duration::from_secs(60), |span| span.0);
        let client =
            ClientOptions::new().with_timeout(timeout).with_allow_http(options.allow_http.unwrap_or(false));
        (client, RetryConfig { retry_timeout, ..RetryConfig::default() })
    }

    pub(super) fn refused(scheme: &str, e: &object_store::Error, error: Refuse<'_>) -> Error {
        error("store", format!("a store of {scheme}:// can't be made of this: {e}"))
    }
}

#[cfg(feature = "s3")]
fn s3(bucket: &str, options: &StoreOptions, error: Refuse<'_>) -> Result<Arc<dyn Store>> {
    options.only(
        "s3",
        &[
            "endpoint",
            "region",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "virtual_hosted_style",
            "allow_http",
            "anonymous",
            "timeout",
            "retry_timeout",
        ],
        error,
    )?;
    let (client, retry) = shared::client(options);
    let mut builder = object_store::aws::AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some(id) = &options.access_key_id {
        builder = builder.with_access_key_id(id.expose());
    }
    if let Some(secret) = &options.secret_access_key {
        builder = builder.with_secret_access_key(secret.expose());
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token.expose());
    }
    if let Some(virtual_hosted) = options.virtual_hosted_style {
        builder = builder.with_virtual_hosted_style_request(virtual_hosted);
    }
    if let Some(anonymous) = options.anonymous {
        builder = builder.with_skip_signature(anonymous);
    }
    Ok(Arc::new(builder.build().map_err(|e| shared::refused("s3", &e, error))?))
}

#[cfg(not(feature = "s3"))]
fn s3(_: &str, _: &StoreOptions, error: Refuse<'_>) -> Result<Arc<dyn Store>> {
    not_built("s3", "s3", error)
}

#[cfg(feature = "gcs")]
fn gcs(bucket: &str, options: &StoreOptions, error: Refuse<'_>) -> Result<Arc<dyn Store>> {
    options.only(
        "gs",
        &["endpoint", "service_account_key", "allow_http", "anonymous", "timeout", "retry_timeout"],
        error,
    )?;
    let (client, retry) = shared::client(options);
    let mut builder = object_store::gcp::GoogleCloudStorageBuilder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(key) = &options.service_account_key {
        builder = builder.with_service_account_key(key.expose());
    }
    if let Some(anonymous) = options.anonymous {
        builder = builder.with_skip_signature(anonymous);
    }
    Ok(Arc::new(builder.build().map_err(|e| shared::refused("gs", &e, error))?))
}

#[cfg(not(feature = "gcs"))]
fn gcs(_: &str, _: &StoreOptions, error: Refuse<'_>) -> Result<Arc<dyn Store>> {
    not_built("gs", "gcs", error)
}

#[cfg(feature = "azure")]
fn azure(container: &str, options: &StoreOptions, error: Refuse<'_>) -> Result<Arc<dyn Store>> {
    options.only(
        "az",
        &["endpoint", "account", "account_key", "allow_http", "anonymous", "timeout", "retry_timeout"],
        error,
    )?;
    let (client, retry) = shared::client(options);
    let mut builder = object_store::azure::MicrosoftAzureBuilder::from_env()
        .with_container_name(container)
        .with_client_options(client)
        .with_retry(retry);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    if let Some(account) = &options.account {
        builder = builder.with_account(account);
    }
    if let Some(key) = &options.account_key {
        builder = builder.with_access_key(key.expose());
    }
    if let Some(anonymous) = options.anonymous {
        builder = builder.with_skip_signature(anonymous);
    }
    Ok(Arc::new(builder.build().map_err(|e| shared::refused("az", &e, error))?))
}

#[cfg(not(feature = "azure"))]
fn azure(_: &str, _: &StoreOptions, error: Refuse<'_>) -> Result<Arc<dyn Store>> {
    not_built("az", "azure", error)
}
