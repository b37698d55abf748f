//! How a cluster is reached: the options that source and sink share, and the client's configuration made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::wire::Wire;

/// A property that `properties` must not set, and why.
pub(crate) type Refused = (&'static str, &'static str);

/// What neither end may set: it has an option of its own, or a value that the connector rests on.
const REFUSED: &[Refused] = &[
    ("bootstrap.servers", "set the option `bootstrap_servers`"),
    ("metadata.broker.list", "set the option `bootstrap_servers`"),
];

/// The cluster, and properties that are passed through to the client.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// Where the cluster is first asked: `HOST:PORT`, several separated by commas.
    #[schemars(extend("x-identity" = true))]
    pub bootstrap_servers: String,
    /// Properties of the client (librdkafka's names), passed through. Those with an option of their own, and those that the
    /// connector's guarantees rest on, are refused.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

impl fmt::Debug for Connection {
    /// Without the values of `properties`: some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

impl Connection {
    /// The client's configuration. `own` are properties that one end alone refuses.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for an empty address and for a refused property, with the reason.
    pub(crate) fn client(&self, own: &[Refused]) -> Result<ClientConfig> {
        if self.bootstrap_servers.trim().is_empty() {
            return Err(Error::config("bootstrap_servers", "is empty: name at least one HOST:PORT"));
        }
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        for (name, value) in &self.properties {
            if let Some((_, why)) = REFUSED.iter().chain(own).find(|(refused, _)| refused == name) {
                return Err(Error::config(
                    format!("properties.{name}"),
                    format!("is not passed through: {why}"),
                ));
            }
            config.set(name, value);
        }
        Ok(config)
    }

    /// Our own client of the same cluster; a call that fails in a way that may pass is tried again for `patience`.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a security property, naming it: our own client speaks plain text alone.
    pub(crate) fn wire(&self, env: &Environment, patience: Duration) -> Result<Wire> {
        self.refuse_unspoken()?;
        Ok(Wire::new(env.clone(), &self.bootstrap_servers, patience))
    }

    /// Refuses what our own client can't speak.
    pub(crate) fn refuse_unspoken(&self) -> Result<()> {
        for (name, value) in &self.properties {
            let is_plain = name == "security.protocol" && value.eq_ignore_ascii_case("plaintext");
            let is_security = ["security.", "sasl.", "ssl.", "enable.ssl", "enable.sasl"];
            if !is_plain && is_security.iter().any(|prefix| name.starts_with(prefix)) {
                return Err(Error::config(
                    format!("properties.{name}"),
                    "is a security property. Committing what a dead process prepared needs a client of our own, and that speaks \
                     PLAINTEXT only: `delivery_guarantee` = \"at-least-once\" works with this property, \"exactly-once\" does not",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(properties: &[(&str, &str)]) -> Connection {
        let properties =
            properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Connection { bootstrap_servers: "127.0.0.1:9092".to_owned(), properties }
    }

    #[test]
    fn properties_are_passed_through() {
        let config = connection(&[("compression.type", "zstd")]).client(&[]).unwrap();
        assert_eq!(config.get("compression.type"), Some("zstd"));
    }

    #[test]
    fn a_refused_property_is_named_with_its_reason() {
        for (name, own) in
            [("bootstrap.servers", &[][..]), ("acks", &[("acks", "exactly-once rests on it")][..])]
        {
            let error = connection(&[(name, "x")]).client(own).unwrap_err().to_string();
            assert!(error.contains(&format!("properties.{name}")), "{error}");
        }
    }
}
