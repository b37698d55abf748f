//! A client of the few calls that recover a prepared transaction, on connections of its own.
//!
//! librdkafka can't take up a transaction that another process prepared. The protocol can: EndTxn with the transactional id, the
//! producer id and the epoch is all that a coordinator asks for. So this client finds the coordinator, looks, and ends.

mod calls;
mod client;
mod connection;
mod fields;
mod sasl;
#[cfg(feature = "tls")]
mod tls;
mod transport;

pub(crate) use calls::Described;
pub(crate) use client::{EndOf, Wire};
pub(crate) use transport::Transport;
