//! What can go wrong between the source and the cluster, and whether it passes.

use connector_api::error::ConnectorError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// An error of the source.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The partition does not hold the offset to read on from.
    #[error(
        "the offset is out of range: the partition holds {low} to {high}; see `on_offset_out_of_range`, which may skip rows or \
         read them twice"
    )]
    OutOfRange {
        /// The first offset that the partition holds.
        low: i64,
        /// The offset behind the last one.
        high: i64,
    },
    /// A topic that was named is not there.
    #[error("the cluster has no such topic")]
    NoSuchTopic,
    /// A partition that was named is not there.
    #[error("the topic has {0} partitions, this one is none of them")]
    NoSuchPartition(i32),
    /// A partition that was read is gone.
    #[error(
        "the partition was removed, or is no longer among those that the options name; see `on_removed_partition`"
    )]
    Removed,
    /// A start or stop is asked from the group, which has none, and the fallback is `fail`.
    #[error("the group has committed no offset, and the fallback is \"fail\"")]
    NothingCommitted,
    /// The client was refused by the cluster, as an error that it met outside of any call.
    #[error("the cluster refuses this client: {0}")]
    Refused(String),
    /// The client gave rows of a partition to nobody.
    #[error("the client delivered a message outside of its partition's queue")]
    Stray,
    /// The client's or the cluster's answer; what the client met before, if anything, in brackets.
    #[error("{source}{}", Before(before.as_deref()))]
    Client {
        /// The answer.
        source: KafkaError,
        /// The last error of a connection.
        before: Option<String>,
    },
}

struct Before<'a>(Option<&'a str>);

impl std::fmt::Display for Before<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |before| write!(f, " ({before})"))
    }
}

impl SourceError {
    /// The client's answer.
    pub(super) fn client(source: KafkaError) -> Self {
        Self::Client { source, before: None }
    }
}

impl ConnectorError for SourceError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::OutOfRange { .. }
            | Self::NoSuchTopic
            | Self::NoSuchPartition(_)
            | Self::Removed
            | Self::NothingCommitted
            | Self::Refused(_) => false,
            // A new consumer begins anew.
            Self::Stray => true,
            Self::Client { source, .. } => is_retryable(source),
        }
    }

    /// Reading changes nothing outside.
    fn has_no_side_effects(&self) -> bool {
        true
    }
}

/// Whether the same call may succeed later.
pub(super) fn is_retryable(error: &KafkaError) -> bool {
    match error {
        KafkaError::ClientConfig(..) | KafkaError::Nul(_) | KafkaError::MessageConsumptionFatal(_) => false,
        other => other.rdkafka_error_code().is_none_or(|code| !is_final(code)),
    }
}

/// Whether nothing but a change by people makes it pass.
pub(super) fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SecurityDisabled
            | Code::InvalidTopic
            | Code::InvalidGroupId
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::InvalidArgument
            | Code::InvalidConfig
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::AutoOffsetReset
            | Code::OffsetOutOfRange
            | Code::Fatal
            | Code::NotImplemented
    )
}

/// Whether it says that the topic or partition is not there.
pub(super) fn is_gone(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_retryable_and_nothing_else_is() {
        for code in [
            Code::AllBrokersDown,
            Code::BrokerTransportFailure,
            Code::LeaderNotAvailable,
            Code::OperationTimedOut,
            Code::NotCoordinator,
        ] {
            assert!(SourceError::client(KafkaError::MetadataFetch(code)).is_retryable(), "{code}");
        }
        for code in [
            Code::Authentication,
            Code::TopicAuthorizationFailed,
            Code::UnknownTopicOrPartition,
            Code::OffsetOutOfRange,
        ] {
            assert!(!SourceError::client(KafkaError::MetadataFetch(code)).is_retryable(), "{code}");
        }
        let fatal = KafkaError::MessageConsumptionFatal(Code::BrokerTransportFailure);
        assert!(!SourceError::client(fatal).is_retryable());
    }
}
