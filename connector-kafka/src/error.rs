//! What the connector's own errors tell the host.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use connector_api::error::ConnectorError;
use kafka_protocol::ResponseError;

/// What went wrong between this connector and a cluster.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// No connection, or it broke.
    #[error("{address}: {source}")]
    Connection {
        /// The broker, as `host:port`.
        address: String,
        /// The system's answer.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{address}: no answer to {api} within {patience:?}")]
    NoAnswer {
        /// The broker.
        address: String,
        /// What was asked.
        api: &'static str,
        /// How long was waited.
        patience: Duration,
    },
    /// What came is no answer to what was asked.
    #[error("{address}: what came as the answer to {api} is none: {reason}")]
    Foreign {
        /// The broker.
        address: String,
        /// What was asked.
        api: &'static str,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// The broker refused.
    #[error("{api} was answered {}", name_of(*.code))]
    Answer {
        /// What was asked.
        api: &'static str,
        /// The protocol's error code.
        code: i16,
    },
    /// The broker does not let this client in, or is not who it says. Never with the password or the token.
    #[error("{address}: the login by {mechanism} failed: {reason}")]
    Authentication {
        /// The broker.
        address: String,
        /// The mechanism of SASL.
        mechanism: &'static str,
        /// What the broker says, or what is wrong with it.
        reason: String,
    },
    /// TLS was not agreed on.
    #[error("{address}: TLS failed: {reason}")]
    Tls {
        /// The broker.
        address: String,
        /// Why.
        reason: String,
    },
    /// The cluster does not let librdkafka in, as it found out on its own.
    #[error("the cluster refuses this client: {0}")]
    Refused(String),
    /// The broker speaks no version of a call that this connector was tried with.
    #[error("{address}: {api} is spoken in versions {theirs}; this connector was tried with {ours}")]
    Version {
        /// The broker.
        address: String,
        /// The call.
        api: &'static str,
        /// The broker's range.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// The client library's own error.
    #[error("{0}")]
    Client(#[from] rdkafka::error::KafkaError),
    /// A message could not be delivered; found by an asynchronous report.
    #[error("{count} messages were not delivered, the first to {topic}: {source}")]
    Delivery {
        /// How many so far.
        count: u64,
        /// The topic of the first.
        topic: String,
        /// Why.
        source: rdkafka::error::KafkaError,
    },
    /// A transaction is not in the state that it must be in.
    #[error("{0}")]
    Transaction(String),
}

/// An answer's name and number.
pub(crate) fn name_of(code: i16) -> String {
    match ResponseError::try_from_code(code) {
        None => "NONE (0)".to_owned(),
        Some(ResponseError::Unknown(code)) => format!("the unknown error code {code}"),
        Some(error) => format!("{error} ({code})"),
    }
}

impl KafkaError {
    /// Whether this client was not let in, or does not trust the broker: another attempt meets the same.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Authentication { .. } | Self::Tls { .. } | Self::Refused(_))
    }
}

impl ConnectorError for KafkaError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Connection { .. } | Self::NoAnswer { .. } | Self::Transaction(_) => true,
            // A broker that is restarted in the middle of an answer is no reason to give up; one that speaks another protocol is.
            Self::Foreign { .. } | Self::Version { .. } => false,
            // Only people change these.
            Self::Authentication { .. } | Self::Tls { .. } | Self::Refused(_) => false,
            Self::Answer { code, .. } => ResponseError::try_from_code(*code)
                .is_some_and(|error| error.is_retriable() || error == ResponseError::ConcurrentTransactions),
            Self::Client(error) | Self::Delivery { source: error, .. } => client_may_recover(error),
        }
    }

    fn has_no_side_effects(&self) -> bool {
        matches!(self, Self::Version { .. } | Self::Authentication { .. } | Self::Tls { .. })
    }
}

/// Whether librdkafka says that this client is not let in, or does not trust the broker: then no connection ever succeeds.
/// `reason` is what it says besides.
pub(crate) fn is_refusal(error: &rdkafka::error::KafkaError, reason: &str) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    match error.rdkafka_error_code() {
        Some(
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::SSL,
        ) => true,
        // A broker that does not take this client's certificate says so when the handshake is over (TLS 1.3), in OpenSSL's words.
        Some(Code::BrokerTransportFailure) => reason.contains("SSL alert number"),
        _ => false,
    }
}

/// Whether a new attempt with a new client may get over this.
fn client_may_recover(error: &rdkafka::error::KafkaError) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    !matches!(
        error.rdkafka_error_code(),
        Some(
            Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::UnknownPartition
                | Code::InvalidTopic
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::Authentication
                | Code::UnsupportedSASLMechanism
                | Code::SSL
                | Code::InvalidArgument
                | Code::InvalidTransactionTimeout
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_named() {
        let error = KafkaError::Answer { api: "EndTxn", code: 51 };
        assert!(error.to_string().contains("51"), "{error}");
        assert!(error.is_retryable());
        let unknown = KafkaError::Answer { api: "EndTxn", code: 9_999 };
        assert!(unknown.to_string().contains("9999") && !unknown.is_retryable(), "{unknown}");
    }
}
