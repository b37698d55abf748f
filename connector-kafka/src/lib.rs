//! Apache Kafka: a source over partitions, and an exactly-once sink whose prepared transactions survive a crash after the checkpoint.
//!
//! Clusters with TLS and logins are reached by librdkafka's properties ([`connection::Connection::properties`]), by the source as by
//! the sink, exactly once or not. The feature `tls` is needed for all but plain text and SASL PLAIN.

pub mod connection;
mod error;
mod factory;
#[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "read, and refused by the feature's name"))]
mod security;
pub mod sink;
pub mod source;
pub mod transactions;
mod wire;

pub use error::KafkaError;
pub use factory::KafkaConnector;
