//! One secured broker for all tests of this program, and the ways into it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_kafka::connection::Connection;
use connector_kafka::transactions::Transactions;
use libtest_mimic::{Failed, Trial};
use testkit::brokers::{Authority, Broker, Identity, Kafka, KafkaClient};

macro_rules! ensure {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+).into());
        }
    };
}
pub(crate) use ensure;

pub(crate) type Properties = BTreeMap<String, String>;

/// How long a login by PLAIN holds.
pub(crate) const SESSION: Duration = Duration::from_secs(4);

struct Running {
    broker: Broker,
    authority: Authority,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

fn with<T>(act: impl FnOnce(&Running) -> Result<T, Failed>) -> Result<T, Failed> {
    let mut running: MutexGuard<'_, _> = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if running.is_none() {
        let authority = Authority::new()?;
        let session = SESSION.as_millis().to_string();
        let kafka = Kafka::new()
            .secured(&authority)?
            .with("listener.name.login.plain.connections.max.reauth.ms", &session);
        *running = Some(Running { broker: Broker::start(kafka)?, authority });
    }
    act(running.as_ref().ok_or("no broker")?)
}

pub(crate) fn stop() {
    drop(RUNNING.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Where the broker listens under the name of a port.
pub(crate) fn address(port: &str) -> Result<String, Failed> {
    with(|running| Ok(running.broker.address_of(port).to_string()))
}

/// Where it wants nothing.
pub(crate) fn bootstrap() -> Result<String, Failed> {
    address(Kafka::DIRECT)
}

/// What the broker's authority says of itself.
pub(crate) fn authority() -> Result<String, Failed> {
    with(|running| Ok(running.authority.certificate().to_owned()))
}

/// A certificate for a client.
pub(crate) fn identity() -> Result<Identity, Failed> {
    with(|running| Ok(running.authority.identity("client", None)?))
}

pub(crate) fn create_topic(name: &str) -> Result<(), Failed> {
    let address = with(|running| Ok(running.broker.address()))?;
    Ok(KafkaClient::connect(address)?.create_topic(name, 1)?)
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A way in: a port, and the properties for it.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) port: &'static str,
    pub(crate) properties: Properties,
}

impl Way {
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut this = self.clone();
        this.properties.insert(name.to_owned(), value.to_owned());
        this
    }

    pub(crate) fn without(&self, name: &str) -> Self {
        let mut this = self.clone();
        this.properties.remove(name);
        this
    }

    pub(crate) fn transactions(&self) -> Result<Transactions, Failed> {
        let connection =
            Connection { bootstrap_servers: address(self.port)?, properties: self.properties.clone() };
        Ok(Transactions::of(&super::hand::env(), &connection)?)
    }
}

pub(crate) fn encrypted() -> Result<Way, Failed> {
    let properties = properties(&[("security.protocol", "ssl"), ("ssl.ca.pem", &authority()?)]);
    Ok(Way { port: Kafka::ENCRYPTED, properties })
}

pub(crate) fn mutual() -> Result<Way, Failed> {
    let Identity { certificate, key } = identity()?;
    let way = Way { port: Kafka::MUTUAL, ..encrypted()? };
    Ok(way.with("ssl.certificate.pem", &certificate).with("ssl.key.pem", &key))
}

/// By a mechanism, over TLS.
pub(crate) fn secured(mechanism: &str) -> Result<Way, Failed> {
    let way = Way { port: Kafka::SECURED, ..encrypted()? };
    let way = way.with("security.protocol", "SASL_SSL").with("sasl.mechanism", mechanism);
    if mechanism == "OAUTHBEARER" {
        let config = format!("principal={} scope={}", Kafka::USER, Kafka::SCOPE);
        let way = way.with("enable.sasl.oauthbearer.unsecure.jwt", "true");
        return Ok(way.with("sasl.oauthbearer.config", &config));
    }
    Ok(way.with("sasl.username", Kafka::USER).with("sasl.password", Kafka::PASSWORD))
}

/// By a password over TCP, where a login holds for [`SESSION`].
pub(crate) fn login() -> Result<Way, Failed> {
    let way = secured("PLAIN")?.with("security.protocol", "sasl_plaintext").without("ssl.ca.pem");
    Ok(Way { port: Kafka::LOGIN, ..way })
}

pub(crate) const MECHANISMS: [&str; 4] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"];

/// A test that needs the broker, on a runtime.
pub(crate) fn trial<F>(name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = Result<(), Failed>> + 'static,
{
    testkit::brokers::trial(name, Kafka::new(), move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(120), test()).await })?
    })
}
