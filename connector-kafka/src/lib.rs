//! Apache Kafka: a source over partitions, and an exactly-once sink whose prepared transactions survive a crash after the checkpoint.

pub mod connection;
mod error;
mod factory;
mod security;
pub mod sink;
pub mod source;
pub mod transactions;
mod wire;

pub use error::KafkaError;
pub use factory::KafkaConnector;
