//! Proves connectors and hosts.
//!
//! | module | what stands there |
//! |---|---|
//! | [`drive`](mod@drive) | a reader driven without any host, for unit tests |
//! | [`suite`] | named checks of a connector or host, run like tests |
//! | [`source`], [`sink`], [`factory`], [`host`] | the checks: of sources, sinks, factories, and of engines through probes |
//! | [`context`] | what an author supplies: make the connector, write test data, read what is visible |
//! | [`lockstep`] | a deterministic host over the runtime's own state machines |
//! | [`history`] | what happened in a run, and the checkers that judge it |
//! | [`golden`] | the bytes of each released version of stored state, and the proof that each decodes |
//! | [`reference`](mod@reference) | connectors in memory that keep every rule, or break one on purpose |
//! | [`fs`], [`sim`], [`crash`] | simulated files with power cuts and faults, virtual time, crash points |
//! | `columns` (feature `arrow`) | test data in batches of Arrow: the columns `text` and `millis` |
//! | `brokers` (feature) | real systems on this machine: started, killed, frozen, restarted |
//! | `proxy` (feature) | a TCP proxy with faults that are switched while it runs |

pub mod broken;
#[cfg(feature = "brokers")]
pub mod brokers;
pub mod capability;
pub mod check;
#[cfg(feature = "arrow")]
mod columns;
pub mod context;
pub mod crash;
pub mod drive;
pub mod envelope;
pub mod factory;
pub mod files;
pub mod fs;
pub mod golden;
pub mod history;
pub mod host;
pub mod lab;
pub mod lockstep;
pub mod meter;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod random;
pub mod reference;
pub mod rows;
pub mod sim;
pub mod sink;
pub mod source;
pub mod suite;
pub mod surroundings;

pub use broken::{Broken, Verdict};
pub use capability::{Capabilities, Capability};
pub use context::{Expiry, Faults, SinkContext, SourceContext};
pub use drive::drive;
pub use factory::{Example, FactorySubject};
pub use rows::{TestBatch, TestItem, TestRow};
pub use suite::Suite;
