//! The calls that are made: each with the versions that were tried and how its answer is read.

use bytes::BytesMut;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, DescribeConfigsRequest, DescribeTransactionsRequest, EndTxnRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ListTransactionsRequest, MetadataRequest, RequestHeader,
    TransactionalId, describe_configs_request::DescribeConfigsResource,
};
use kafka_protocol::protocol::{Encodable, HeaderVersion, StrBytes};

use super::fields::{Fields, Reason};

pub(super) type Read<T> = Result<T, Reason>;

/// A call: what is sent, and how the answer is read.
pub(crate) trait Call: Sync {
    /// The codec's type.
    type Request: Encodable + HeaderVersion + Sync;
    type Answer: Send;
    const KEY: ApiKey;
    const NAME: &'static str;
    /// The versions that this connector was tried with.
    const TRIED: (i16, i16);
    /// The first version whose answer is flexible (KIP-482).
    const FLEXIBLE: i16;

    fn request(&self) -> Self::Request;
    fn read(&self, answer: &mut Fields<'_>) -> Read<Self::Answer>;
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The request with its header and without its length.
pub(crate) fn encode<C: Call>(call: &C, version: i16, correlation: i32) -> Result<BytesMut, String> {
    let mut bytes = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(C::KEY as i16)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(StrBytes::from_static_str("connector-kafka")));
    header.encode(&mut bytes, C::Request::header_version(version)).map_err(|e| e.to_string())?;
    call.request().encode(&mut bytes, version).map_err(|e| e.to_string())?;
    Ok(bytes)
}

/// What a broker speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    /// Per call: key, first and last version.
    pub(crate) calls: Vec<(i16, i16, i16)>,
    /// Features of the cluster with the level that is in force.
    pub(crate) features: Vec<(String, i16)>,
}

pub(crate) struct ApiVersions;

impl Call for ApiVersions {
    type Request = ApiVersionsRequest;
    type Answer = (i16, Versions);
    const KEY: ApiKey = ApiKey::ApiVersions;
    const NAME: &'static str = "ApiVersions";
    const TRIED: (i16, i16) = (3, 3);
    const FLEXIBLE: i16 = 3;

    fn request(&self) -> ApiVersionsRequest {
        ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("connector-kafka"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")))
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Self::Answer> {
        let code = answer.i16()?;
        let calls = answer.array(|a| {
            let call = (a.i16()?, a.i16()?, a.i16()?);
            a.end()?;
            Ok(call)
        })?;
        let _throttled = answer.i32()?;
        let mut features = Vec::new();
        answer.tagged(|tag, mut field| {
            if tag == 2 {
                features = field.array(|a| {
                    let feature = (a.name()?, a.i16()?);
                    let _lowest = a.i16()?;
                    a.end()?;
                    Ok(feature)
                })?;
            }
            Ok(())
        })?;
        Ok((code, Versions { calls, features }))
    }
}

/// What is known of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) id: Option<String>,
    /// Number and address of each broker.
    pub(crate) brokers: Vec<(i32, String)>,
}

pub(crate) struct Metadata;

impl Call for Metadata {
    type Request = MetadataRequest;
    type Answer = Cluster;
    const KEY: ApiKey = ApiKey::Metadata;
    const NAME: &'static str = "Metadata";
    const TRIED: (i16, i16) = (4, 4);
    const FLEXIBLE: i16 = 9;

    fn request(&self) -> MetadataRequest {
        MetadataRequest::default().with_topics(Some(Vec::new())).with_allow_auto_topic_creation(false)
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Cluster> {
        let _throttled = answer.i32()?;
        let brokers = answer.array(|a| {
            let (node, host, port) = (a.i32()?, a.name()?, a.i32()?);
            let _rack = a.text()?;
            Ok((node, format!("{host}:{port}")))
        })?;
        Ok(Cluster { id: answer.text()?, brokers })
    }
}

/// Who coordinates the transactions of this id.
pub(crate) struct FindCoordinator<'a>(pub(crate) &'a str);

impl Call for FindCoordinator<'_> {
    type Request = FindCoordinatorRequest;
    /// Code and address.
    type Answer = (i16, String);
    const KEY: ApiKey = ApiKey::FindCoordinator;
    const NAME: &'static str = "FindCoordinator";
    const TRIED: (i16, i16) = (1, 2);
    const FLEXIBLE: i16 = 3;

    fn request(&self) -> FindCoordinatorRequest {
        const TRANSACTIONS: i8 = 1;
        FindCoordinatorRequest::default().with_key(text(self.0)).with_key_type(TRANSACTIONS)
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Self::Answer> {
        let (_throttled, code, _message) = (answer.i32()?, answer.i16()?, answer.text()?);
        let (_node, host, port) = (answer.i32()?, answer.name()?, answer.i32()?);
        Ok((code, format!("{host}:{port}")))
    }
}

/// What the coordinator knows of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) code: i16,
    pub(crate) id: String,
    pub(crate) state: String,
    pub(crate) timeout_ms: i32,
    /// When the transaction began (the broker's clock); -1 when none has since the producer was made.
    pub(crate) started_at: i64,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

pub(crate) struct DescribeTransactions<'a>(pub(crate) &'a str);

impl Call for DescribeTransactions<'_> {
    type Request = DescribeTransactionsRequest;
    type Answer = Vec<Described>;
    const KEY: ApiKey = ApiKey::DescribeTransactions;
    const NAME: &'static str = "DescribeTransactions";
    const TRIED: (i16, i16) = (0, 0);
    const FLEXIBLE: i16 = 0;

    fn request(&self) -> DescribeTransactionsRequest {
        DescribeTransactionsRequest::default().with_transactional_ids(vec![TransactionalId(text(self.0))])
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Self::Answer> {
        let _throttled = answer.i32()?;
        answer.array(|a| {
            let (code, id, state) = (a.i16()?, a.name()?, a.name()?);
            let (timeout_ms, started_at, producer_id, epoch) = (a.i32()?, a.i64()?, a.i64()?, a.i16()?);
            a.array(|topic| {
                let _name_and_partitions = (topic.name()?, topic.array(Fields::i32)?);
                topic.end()
            })?;
            a.end()?;
            Ok(Described { code, id, state, timeout_ms, started_at, producer_id, epoch })
        })
    }
}

/// The ids that one broker coordinates, with the states of their transactions.
pub(crate) struct ListTransactions;

impl Call for ListTransactions {
    type Request = ListTransactionsRequest;
    type Answer = (i16, Vec<(String, String)>);
    const KEY: ApiKey = ApiKey::ListTransactions;
    const NAME: &'static str = "ListTransactions";
    const TRIED: (i16, i16) = (0, 0);
    const FLEXIBLE: i16 = 0;

    fn request(&self) -> ListTransactionsRequest {
        ListTransactionsRequest::default()
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Self::Answer> {
        let (_throttled, code) = (answer.i32()?, answer.i16()?);
        let _unknown_filters = answer.array(Fields::name)?;
        let ids = answer.array(|a| {
            let (id, _producer, state) = (a.name()?, a.i64()?, a.name()?);
            a.end()?;
            Ok((id, state))
        })?;
        Ok((code, ids))
    }
}

/// Ends a transaction. Never in version 5, which makes a new epoch: what version it was written under decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndTxn<'a> {
    pub(crate) id: &'a str,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) commit: bool,
}

impl Call for EndTxn<'_> {
    type Request = EndTxnRequest;
    type Answer = i16;
    const KEY: ApiKey = ApiKey::EndTxn;
    const NAME: &'static str = "EndTxn";
    const TRIED: (i16, i16) = (3, 4);
    const FLEXIBLE: i16 = 3;

    fn request(&self) -> EndTxnRequest {
        EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(self.id)))
            .with_producer_id(self.producer_id.into())
            .with_producer_epoch(self.epoch)
            .with_committed(self.commit)
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<i16> {
        let (_throttled, code) = (answer.i32()?, answer.i16()?);
        Ok(code)
    }
}

/// Makes a new epoch of an id: whoever had the one before is fenced, and its open transaction is aborted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitProducerId<'a> {
    pub(crate) id: &'a str,
    pub(crate) timeout_ms: i32,
}

impl Call for InitProducerId<'_> {
    type Request = InitProducerIdRequest;
    type Answer = i16;
    const KEY: ApiKey = ApiKey::InitProducerId;
    const NAME: &'static str = "InitProducerId";
    const TRIED: (i16, i16) = (3, 4);
    const FLEXIBLE: i16 = 2;

    fn request(&self) -> InitProducerIdRequest {
        InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(self.id))))
            .with_transaction_timeout_ms(self.timeout_ms)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1)
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<i16> {
        let (_throttled, code) = (answer.i32()?, answer.i16()?);
        Ok(code)
    }
}

/// A property of a broker.
pub(crate) struct DescribeConfig<'a> {
    pub(crate) broker: i32,
    pub(crate) key: &'a str,
}

impl Call for DescribeConfig<'_> {
    type Request = DescribeConfigsRequest;
    /// Code and value.
    type Answer = (i16, Option<String>);
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    const NAME: &'static str = "DescribeConfigs";
    const TRIED: (i16, i16) = (1, 2);
    const FLEXIBLE: i16 = 4;

    fn request(&self) -> DescribeConfigsRequest {
        const BROKER: i8 = 4;
        let resource = DescribeConfigsResource::default()
            .with_resource_type(BROKER)
            .with_resource_name(text(&self.broker.to_string()))
            .with_configuration_keys(Some(vec![text(self.key)]));
        DescribeConfigsRequest::default().with_resources(vec![resource])
    }

    fn read(&self, answer: &mut Fields<'_>) -> Read<Self::Answer> {
        let _throttled = answer.i32()?;
        let results = answer.array(|a| {
            let (code, _message, _kind, _name) = (a.i16()?, a.text()?, a.i8()?, a.name()?);
            let values = a.array(|a| {
                let entry = (a.name()?, a.text()?);
                let _read_only_source_sensitive = (a.i8()?, a.i8()?, a.i8()?);
                a.array(|a| Ok((a.name()?, a.text()?, a.i8()?)))?;
                Ok(entry)
            })?;
            let value = values.into_iter().find(|(name, _)| name == self.key).and_then(|(_, value)| value);
            Ok((code, value))
        })?;
        results.into_iter().next().ok_or_else(|| "it holds no result".into())
    }
}

/// Every reader, for tests with bytes of no meaning.
#[cfg(test)]
pub(crate) type AnyReader = fn(&mut Fields<'_>) -> Read<()>;

#[cfg(test)]
pub(crate) const EVERY_READER: &[AnyReader] = &[
    |f| ApiVersions.read(f).map(drop),
    |f| Metadata.read(f).map(drop),
    |f| FindCoordinator("x").read(f).map(drop),
    |f| DescribeTransactions("x").read(f).map(drop),
    |f| ListTransactions.read(f).map(drop),
    |f| EndTxn { id: "x", producer_id: 1, epoch: 1, commit: true }.read(f).map(drop),
    |f| InitProducerId { id: "x", timeout_ms: 1 }.read(f).map(drop),
    |f| super::sasl::SaslHandshake("x").read(f).map(drop),
    |f| super::sasl::SaslAuthenticate(bytes::Bytes::new()).read(f).map(drop),
    |f| DescribeConfig { broker: 1, key: "x" }.read(f).map(drop),
];
