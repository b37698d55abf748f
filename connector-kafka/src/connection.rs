//! How a cluster is reached: the options that source and sink share, and the client's configuration made of them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use connector_api::env::Environment;
use connector_api::{Error, Result};
use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::security;
use crate::wire::{Transport, Wire};

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
        security::require(&self.properties)?;
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
    /// [`Error::Config`] for a security property that our own client can't follow, naming it.
    pub(crate) fn wire(&self, env: &Environment, patience: Duration) -> Result<Wire> {
        Ok(Wire::new(env.clone(), &self.bootstrap_servers, self.transport()?, patience))
    }

    /// How our own client connects. Reads the files that properties name.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for a security property that our own client can't follow, naming it.
    pub(crate) fn transport(&self) -> Result<Transport> {
        security::require(&self.properties)?;
        Transport::of(security::parse(&self.properties)?)
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
