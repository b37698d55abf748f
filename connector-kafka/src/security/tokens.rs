//! Tokens that librdkafka asks for while it runs.

use std::fmt;
use std::sync::Arc;

use connector_api::env::{Clock, Environment};
use rdkafka::client::OAuthToken;

/// Where a client of librdkafka gets its next token.
///
/// With `enable.sasl.oauthbearer.unsecure.jwt` it makes the first one by itself, and then asks its program, which the crate beneath
/// answers with a refusal: without this, no new connection gets in once the first token has expired.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<dyn Clock>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    pub(crate) fn of(env: &Environment) -> Self {
        Self(env.clock.clone())
    }

    /// A token by `sasl.oauthbearer.config`.
    #[cfg(feature = "tls")]
    pub(crate) fn refresh(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        let config = config.ok_or("there is no sasl.oauthbearer.config to make a token of")?;
        let made = super::UnsecuredToken::parse(config)?;
        let now = self.0.now_millis();
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
        let _ = &self.0;
        Err("this build lacks the feature `tls`".into())
    }
}
