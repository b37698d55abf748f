//! Traits and vocabulary for stream connectors.
//!
//! A connector author implements a [`source::Source`] or a [`sink::Sink`]; an engine author drives them. This crate holds
//! the contract between the two and nothing else: no I/O, no async runtime, no Arrow, no client library.
//!
//! # The pieces
//!
//! | module | what stands there |
//! |---|---|
//! | [`batch`], [`message`] | the unit of hand-over: a batch of rows, with event times beside it |
//! | [`headers`] | names with values beside messages, as a column of their batch |
//! | [`source`] | split, enumerator, reader: commands in, events out |
//! | [`sink`] | a sink is a *plan*: writer, pre-write partitioning, stages, committer |
//! | [`state`] | the envelope in which everything stored is kept |
//! | [`error`] | errors that say whether to retry |
//! | [`factory`] | connectors by name, with typed and documented options |
//! | [`env`](mod@env) | the injected edges of the world: clock, randomness, files, spawning, crash points |
//! | [`metrics`] | metric names of the field (FLIP-33) |
//!
//! # Reading order
//!
//! For a source: [`source::Split`], [`source::SplitEnumerator`], [`source::SourceReader`], [`source::Source`]. For a sink:
//! [`sink::SinkWriter`], [`sink::Committer`], [`sink::SinkPlan`].

pub mod batch;
pub mod env;
pub mod error;
pub mod factory;
pub mod headers;
pub mod id;
pub mod message;
pub mod metrics;
pub mod secret;
pub mod sink;
pub mod source;
pub mod state;

pub use batch::{Batch, RowBatch};
pub use error::{Error, Result};
pub use message::MessageBatch;
pub use state::Stored;
