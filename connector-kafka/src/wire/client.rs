//! The client: bootstrap, connections that are kept, coordinators that move.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector_api::env::Environment;
use futures::future::try_join_all;
use kafka_protocol::ResponseError;

use super::calls::{
    Call, Cluster, DescribeConfig, DescribeTransactions, Described, EndTxn, FindCoordinator, InitProducerId,
    ListTransactions, Metadata, Versions,
};
use super::connection::Connection;
use super::transport::Transport;
use crate::error::KafkaError;

type Result<T> = std::result::Result<T, KafkaError>;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Talks to a cluster. Cloning is cheap; clones share connections.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    env: Environment,
    bootstrap: Arc<[String]>,
    transport: Arc<Transport>,
    known: Arc<Mutex<Known>>,
    /// How long a call that fails in a way that may pass is tried again.
    patience: Duration,
}

#[derive(Debug, Default)]
struct Known {
    /// Connections that nobody uses now, by address.
    free: HashMap<String, Vec<Connection>>,
    /// Where the transactions of an id are coordinated.
    coordinators: HashMap<String, String>,
}

impl Wire {
    /// A client of the cluster at these addresses; connects to nothing yet.
    pub(crate) fn new(
        env: Environment,
        bootstrap_servers: &str,
        transport: Transport,
        patience: Duration,
    ) -> Self {
        let addresses = bootstrap_servers.split(',').map(str::trim).filter(|address| !address.is_empty());
        // librdkafka takes addresses with the protocol in front.
        let addresses = addresses.map(|a| a.rsplit_once("://").map_or(a, |(_, address)| address).to_owned());
        let (bootstrap, transport) = (addresses.collect(), Arc::new(transport));
        Self { env, bootstrap, transport, known: Arc::default(), patience }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self, address: &str) -> Result<Connection> {
        loop {
            let free = self.known().free.get_mut(address).and_then(Vec::pop);
            match free {
                Some(connection) if connection.is_logged_in() => return Ok(connection),
                Some(_) => {}
                None => return Connection::open(address, &self.transport, &self.env).await,
            }
        }
    }

    /// Asks one broker, once. The connection is kept when the answer was one.
    async fn ask<C: Call>(&self, address: &str, call: &C) -> Result<C::Answer> {
        let mut connection = self.connection(address).await?;
        let answer = connection.call(call).await;
        if matches!(answer, Ok(_) | Err(KafkaError::Version { .. })) {
            self.known().free.entry(address.to_owned()).or_default().push(connection);
        } else {
            // What else is connected there is likely broken, too.
            self.known().free.remove(address);
        }
        answer
    }

    /// Asks any of the brokers that were named, trying again within the client's patience.
    async fn ask_any<C: Call>(&self, call: &C) -> Result<C::Answer> {
        let mut retry = self.retry();
        loop {
            let mut last = KafkaError::Transaction("no broker is named".to_owned());
            for address in self.bootstrap.iter() {
                match self.ask(address, call).await {
                    Ok(answer) => return Ok(answer),
                    // The others refuse as well, and each refusal may count.
                    Err(error) if error.is_refusal() => return Err(error),
                    Err(error) => last = error,
                }
            }
            retry.pause(last).await?;
        }
    }

    /// What the first broker that answers speaks.
    pub(crate) async fn versions(&self) -> Result<Versions> {
        let mut retry = self.retry();
        loop {
            let mut last = KafkaError::Transaction("no broker is named".to_owned());
            for address in self.bootstrap.iter() {
                match self.connection(address).await {
                    Ok(connection) => {
                        connection.version_for::<DescribeTransactions<'_>>()?;
                        connection.version_for::<ListTransactions>()?;
                        connection.version_for::<EndTxn<'_>>()?;
                        connection.version_for::<InitProducerId<'_>>()?;
                        let versions = connection.versions.clone();
                        self.known().free.entry(address.clone()).or_default().push(connection);
                        return Ok(versions);
                    }
                    // The others refuse as well, and each refusal may count.
                    Err(error) if error.is_refusal() => return Err(error),
                    Err(error) => last = error,
                }
            }
            retry.pause(last).await?;
        }
    }

    /// The cluster's id and brokers.
    pub(crate) async fn cluster(&self) -> Result<Cluster> {
        self.ask_any(&Metadata).await
    }

    /// A property of a broker of the cluster.
    pub(crate) async fn broker_config(&self, key: &str) -> Result<Option<String>> {
        let cluster = self.cluster().await?;
        let Some((broker, address)) = cluster.brokers.first() else { return Ok(None) };
        let (code, value) = self.ask(address, &DescribeConfig { broker: *broker, key }).await?;
        if code != 0 {
            return Err(KafkaError::Answer { api: DescribeConfig::NAME, code });
        }
        Ok(value)
    }

    /// All transactional ids that begin with `prefix`, with the states of their transactions.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        let mut retry = self.retry();
        loop {
            let cluster = self.cluster().await?;
            let answers = cluster.brokers.iter().map(|(_, address)| self.ask(address, &ListTransactions));
            let listed = try_join_all(answers).await.and_then(|answers| {
                let mut all = Vec::new();
                for (code, ids) in answers {
                    if code != 0 {
                        return Err(KafkaError::Answer { api: ListTransactions::NAME, code });
                    }
                    all.extend(ids.into_iter().filter(|(id, _)| id.starts_with(prefix)));
                }
                Ok(all)
            });
            match listed {
                Ok(mut all) => {
                    all.sort_unstable();
                    return Ok(all);
                }
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// What the coordinator knows of an id. Its `code` is 0 or one that no waiting changes.
    pub(crate) async fn describe(&self, id: &str) -> Result<Described> {
        self.at_coordinator(id, &DescribeTransactions(id), |answer| match answer.first() {
            Some(described) => described.code,
            None => 0,
        })
        .await?
        .into_iter()
        .find(|described| described.id == id)
        .ok_or(KafkaError::Transaction(format!("DescribeTransactions was answered without {id}")))
    }

    /// Ends a transaction; gives the answer's code, which is none that is to be asked again at another coordinator.
    pub(crate) async fn end(&self, end: EndOf<'_>) -> Result<i16> {
        let EndOf { id, producer_id, epoch, commit } = end;
        self.at_coordinator(id, &EndTxn { id, producer_id, epoch, commit }, |code| *code).await
    }

    /// Aborts what is open under an id and fences whoever wrote it.
    pub(crate) async fn fence(&self, id: &str, timeout: Duration) -> Result<()> {
        const CONCURRENT_TRANSACTIONS: i16 = 51;
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut retry = self.retry();
        loop {
            let call = InitProducerId { id, timeout_ms };
            let code = self.at_coordinator(id, &call, |code| *code).await?;
            let error = KafkaError::Answer { api: InitProducerId::NAME, code };
            match code {
                0 => return Ok(()),
                CONCURRENT_TRANSACTIONS => retry.pause(error).await?,
                _ => return Err(error),
            }
        }
    }

    /// Asks the coordinator of an id; finds it anew when it has moved, is loading or can't be reached.
    async fn at_coordinator<C: Call>(
        &self,
        id: &str,
        call: &C,
        code_of: impl Fn(&C::Answer) -> i16,
    ) -> Result<C::Answer> {
        let mut retry = self.retry();
        loop {
            let error = match self.ask_coordinator(id, call).await {
                Ok(answer) => match code_of(&answer) {
                    code if is_about_coordinators(code) => KafkaError::Answer { api: C::NAME, code },
                    _ => return Ok(answer),
                },
                Err(error) => error,
            };
            self.known().coordinators.remove(id);
            retry.pause(error).await?;
        }
    }

    async fn ask_coordinator<C: Call>(&self, id: &str, call: &C) -> Result<C::Answer> {
        let known = self.known().coordinators.get(id).cloned();
        let address = match known {
            Some(address) => address,
            None => {
                let (code, address) = self.ask_any(&FindCoordinator(id)).await?;
                if code != 0 {
                    return Err(KafkaError::Answer { api: FindCoordinator::NAME, code });
                }
                self.known().coordinators.insert(id.to_owned(), address.clone());
                address
            }
        };
        self.ask(&address, call).await
    }

    fn retry(&self) -> Retry<'_> {
        Retry { env: &self.env, until: self.env.clock.monotonic() + self.patience, pause: FIRST_PAUSE }
    }
}

/// Which transaction to end, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndOf<'a> {
    pub(crate) id: &'a str,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) commit: bool,
}

/// Whether the answer says that another broker, or the same one later, is to be asked.
fn is_about_coordinators(code: i16) -> bool {
    matches!(
        ResponseError::try_from_code(code),
        Some(
            ResponseError::CoordinatorLoadInProgress
                | ResponseError::CoordinatorNotAvailable
                | ResponseError::NotCoordinator
        )
    )
}

/// Pauses that grow, up to a moment.
struct Retry<'a> {
    env: &'a Environment,
    until: Duration,
    pause: Duration,
}

impl Retry<'_> {
    /// Waits, or gives the error back: when it can't pass, or the time is up.
    async fn pause(&mut self, error: KafkaError) -> Result<()> {
        use connector_api::error::ConnectorError;
        let now = self.env.clock.monotonic();
        if !error.is_retryable() || now >= self.until {
            return Err(error);
        }
        let jitter = self.env.random.next_u64() % (1 + self.pause.as_millis() as u64 / 4);
        self.env.clock.sleep(self.pause.min(self.until - now) + Duration::from_millis(jitter)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody listens there: a new connection is an error.
    const NOWHERE: &str = "127.0.0.1:1";

    #[tokio::test]
    async fn a_connection_whose_login_has_ended_is_not_used_again() {
        let env = connector_runtime::local::environment();
        let wire = Wire::new(env.clone(), NOWHERE, Transport::default(), Duration::ZERO);
        let now = env.clock.monotonic();
        let put = |expires| {
            let connection = Connection::resting(NOWHERE, &env, expires);
            wire.known().free.entry(NOWHERE.to_owned()).or_default().push(connection);
        };
        put(now);
        let error = wire.connection(NOWHERE).await.unwrap_err();
        assert!(matches!(error, KafkaError::Connection { .. }), "{error}");
        put(now);
        put(now + Duration::from_secs(3_600));
        assert!(wire.connection(NOWHERE).await.is_ok(), "one that holds was not used");
    }
}
