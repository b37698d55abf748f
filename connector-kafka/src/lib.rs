//! Apache Kafka: a source over partitions, and an exactly-once sink whose prepared transactions survive a crash after the checkpoint.

pub mod connection;
pub mod sink;
pub mod source;
mod wire;
