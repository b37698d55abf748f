//! The option tables of object stores.

use connector_api::Error;
use connector_api::Result;
use connector_api::factory::{ByteSize, Span};
use connector_api::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// How an object store is reached. What is left out is taken from the process's environment, as the store's own tools do
/// (`AWS_ACCESS_KEY_ID`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_KEY` and so on, then the machine's identity).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreOptions {
    /// The address of the server, for one that is not the provider's own, such as `http://127.0.0.1:9000`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// S3: the region.
    #[serde(default)]
    pub region: Option<String>,
    /// S3: the id of the access key.
    #[serde(default)]
    pub access_key_id: Option<Secret>,
    /// S3: the secret of the access key.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// S3: the token of temporary credentials.
    #[serde(default)]
    pub session_token: Option<Secret>,
    /// S3: whether the bucket is part of the host's name.
    #[serde(default)]
    pub virtual_hosted_style: Option<bool>,
    /// GCS: the key of a service account, as JSON.
    #[serde(default)]
    pub service_account_key: Option<Secret>,
    /// Azure: the storage account.
    #[serde(default)]
    pub account: Option<String>,
    /// Azure: the key of the storage account.
    #[serde(default)]
    pub account_key: Option<Secret>,
    /// Whether the server may be reached without TLS.
    #[serde(default)]
    pub allow_http: Option<bool>,
    /// Whether requests are sent without a signature, for public data.
    #[serde(default)]
    pub anonymous: Option<bool>,
    /// How long one request may take; 30 seconds unless it is given.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// How long a request is repeated that fails in a way that may pass, before the failure is handed on; 1 minute unless it is
    /// given.
    #[serde(default)]
    pub retry_timeout: Option<Span>,
}

/// How files are uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UploadOptions {
    /// The size of the parts of an upload but the last. A file has at most 10,000 parts. S3 and GCS want 5 MiB or more.
    pub part_size: ByteSize,
    /// How many parts a writer uploads at the same time.
    pub max_uploads: u32,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self { part_size: ByteSize(8 << 20), max_uploads: 4 }
    }
}

impl StoreOptions {
    /// Refuses what a store of this scheme has no use for.
    pub(super) fn only(
        &self,
        scheme: &str,
        known: &[&str],
        error: &dyn Fn(&str, String) -> Error,
    ) -> Result<()> {
        let given = [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("access_key_id", self.access_key_id.is_some()),
            ("secret_access_key", self.secret_access_key.is_some()),
            ("session_token", self.session_token.is_some()),
            ("virtual_hosted_style", self.virtual_hosted_style.is_some()),
            ("service_account_key", self.service_account_key.is_some()),
            ("account", self.account.is_some()),
            ("account_key", self.account_key.is_some()),
            ("allow_http", self.allow_http.is_some()),
            ("anonymous", self.anonymous.is_some()),
            ("timeout", self.timeout.is_some()),
            ("retry_timeout", self.retry_timeout.is_some()),
        ];
        match given.iter().find(|(name, given)| *given && !known.contains(name)) {
            Some((name, _)) => {
                Err(error(&format!("store.{name}"), format!("has no meaning for {scheme}://; leave it out")))
            }
            None => Ok(()),
        }
    }
}
