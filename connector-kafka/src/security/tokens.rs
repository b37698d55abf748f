//! Tokens that librdkafka asks for while it runs.

use std::fmt;
use std::sync::Arc;

use connector_api::env::{Clock, Environment};
use rdkafka::ClientConfig;
use rdkafka::client::OAuthToken;

/// Where a client of librdkafka gets its next token.
///
/// With `enable.sasl.oauthbearer.unsecure.jwt` it makes the first one by itself, and then asks its program, which the crate beneath
/// answers with a refusal: without this, no new connection gets in once the first token has expired.
#[derive(Clone)]
pub(crate) struct Tokens {
    clock: Arc<dyn Clock>,
    /// Tokens that nobody signed were asked for: they are never made unasked.
    is_unsecured: bool,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// For a client of this configuration.
    pub(crate) fn of(env: &Environment, config: &ClientConfig) -> Self {
        let asked = config.get("enable.sasl.oauthbearer.unsecure.jwt").unwrap_or_default();
        let is_unsecured = ["true", "t", "1"].iter().any(|yes| asked.eq_ignore_ascii_case(yes));
        Self { clock: env.clock.clone(), is_unsecured }
    }

    /// A token by `sasl.oauthbearer.config`; without its extensions, which the crate beneath does not pass on.
    #[cfg(feature = "tls")]
    pub(crate) fn refresh(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        if !self.is_unsecured {
            return Err("nobody hands in tokens, and unsecured ones were not asked for".into());
        }
        let config = config.ok_or("there is no sasl.oauthbearer.config to make a token of")?;
        let made = super::UnsecuredToken::parse(config)?;
        let now = self.clock.now_millis();
        let life = i64::try_from(made.life_seconds)?.saturating_mul(1_000);
        Ok(OAuthToken {
            token: made.token(now),
            principal_name: made.principal,
            lifetime_ms: now.saturating_add(life),
        })
    }

    /// Never asked: OAUTHBEARER is refused before a client is made.
    #[cfg(not(feature = "tls"))]
    pub(crate) fn refresh(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let _ = (&self.clock, self.is_unsecured);
        Err("this build lacks the feature `tls`".into())
    }
}
