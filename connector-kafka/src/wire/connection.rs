//! One connection to one broker: a call at a time.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use connector_api::env::{Clock, Environment};
use futures::future::{Either, select};
use kafka_protocol::messages::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::calls::{ApiVersions, Call, Versions, encode};
use super::fields::Fields;
use super::sasl;
use super::transport::{Stream, Transport, broken};
use crate::error::KafkaError;

/// How long a connection, and one answer, may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer that is read: a list of a hundred thousand transactions is a tenth of it.
const LONGEST: u32 = 64 << 20;

/// A connection. After an error it must not be used again: what comes then may be the answer to an earlier call.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    address: Arc<str>,
    clock: Arc<dyn Clock>,
    correlation: i32,
    pub(crate) versions: Versions,
    /// The moment from which it is not used for another call: its login ends (KIP-368).
    expires: Option<Duration>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, asks what the broker speaks, and logs in.
    pub(crate) async fn open(
        address: &str,
        transport: &Transport,
        env: &Environment,
    ) -> Result<Self, KafkaError> {
        let clock = env.clock.clone();
        let stream = in_time(&*clock, address, "the connection", transport.connect(address)).await?;
        let (address, versions) = (address.into(), Versions::default());
        let mut this = Self { stream, address, clock, correlation: 0, versions, expires: None };
        let (code, versions) = this.send(&ApiVersions, ApiVersions::TRIED.1).await?;
        if code != 0 {
            return Err(KafkaError::Answer { api: ApiVersions::NAME, code });
        }
        this.versions = versions;
        if let Some(sasl) = &transport.sasl {
            let begun = env.clock.monotonic();
            // What is in flight when the login ends must have its answer before; so not to the last moment.
            let held = sasl::log_in(&mut this, sasl, env).await?;
            this.expires = held.map(|held| begun + held * 4 / 5);
        }
        Ok(this)
    }

    /// One that was made before, and whose login ends at this moment of the clock.
    #[cfg(test)]
    pub(crate) fn resting(address: &str, env: &Environment, expires: Duration) -> Self {
        let (stream, _) = tokio::io::duplex(1);
        Self {
            stream: Box::new(stream),
            address: address.into(),
            clock: env.clock.clone(),
            correlation: 0,
            versions: Versions::default(),
            expires: Some(expires),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Whether another call may be made.
    pub(crate) fn is_logged_in(&self) -> bool {
        self.expires.is_none_or(|expires| self.clock.monotonic() < expires)
    }

    /// Asks, in the latest version that both sides know.
    pub(crate) async fn call<C: Call>(&mut self, call: &C) -> Result<C::Answer, KafkaError> {
        let version = self.version_for::<C>()?;
        self.send(call, version).await
    }

    /// The version in which a call is made.
    pub(crate) fn version_for<C: Call>(&self) -> Result<i16, KafkaError> {
        let (first, last) = C::TRIED;
        let found = self.versions.calls.iter().find(|(key, ..)| *key == C::KEY as i16);
        match found {
            Some(&(_, lowest, highest)) if lowest <= last && highest >= first => Ok(last.min(highest)),
            found => Err(KafkaError::Version {
                address: self.address.to_string(),
                api: C::NAME,
                theirs: found.map_or_else(|| "none".to_owned(), |(_, a, b)| format!("{a} to {b}")),
                ours: format!("{first} to {last}"),
            }),
        }
    }

    async fn send<C: Call>(&mut self, call: &C, version: i16) -> Result<C::Answer, KafkaError> {
        self.correlation = self.correlation.wrapping_add(1);
        let (clock, address) = (self.clock.clone(), self.address.clone());
        let foreign = |reason| KafkaError::Foreign { address: address.to_string(), api: C::NAME, reason };
        let request = encode(call, version, self.correlation).map_err(|e| foreign(e.into()))?;
        let answer = in_time(&*clock, &address, C::NAME, self.exchange(C::NAME, &request)).await?;
        let flexible = version >= C::FLEXIBLE;
        let mut fields = Fields::new(&answer, flexible);
        let correlation = fields.i32().map_err(foreign)?;
        if correlation != self.correlation {
            return Err(foreign(format!("it is numbered {correlation}, not {}", self.correlation).into()));
        }
        // The answer to ApiVersions has the old header in every version, since it is read before versions are known.
        if C::KEY != ApiKey::ApiVersions {
            fields.end().map_err(foreign)?;
        }
        call.read(&mut fields).map_err(foreign)
    }

    async fn exchange(&mut self, api: &'static str, request: &[u8]) -> Result<Vec<u8>, KafkaError> {
        let address = &self.address;
        let broken = |source| broken(address, source);
        let length = u32::try_from(request.len()).unwrap_or(u32::MAX);
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(request);
        self.stream.write_all(&frame).await.map_err(broken)?;
        // TLS may hold back what was written.
        self.stream.flush().await.map_err(broken)?;
        let length = self.stream.read_u32().await.map_err(broken)?;
        if length > LONGEST {
            let reason = format!("it claims {length} bytes, at most {LONGEST} are read").into();
            return Err(KafkaError::Foreign { address: address.to_string(), api, reason });
        }
        let mut answer = Vec::new();
        let read =
            (&mut self.stream).take(u64::from(length)).read_to_end(&mut answer).await.map_err(broken)?;
        if read < length as usize {
            return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(answer)
    }
}

async fn in_time<T>(
    clock: &dyn Clock,
    address: &str,
    api: &'static str,
    work: impl Future<Output = Result<T, KafkaError>>,
) -> Result<T, KafkaError> {
    match select(std::pin::pin!(work), clock.sleep(PATIENCE)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => {
            Err(KafkaError::NoAnswer { address: address.to_owned(), api, patience: PATIENCE })
        }
    }
}
