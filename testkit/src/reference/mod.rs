//! Connectors in memory: the other end of whatever is under test, and the ground that the failing twins stand on.
//!
//! [`Numbers`], [`Ledger`] and [`MemoryFactory`] keep every rule. A *flaw* makes them break one, which shows that a check can fail.

mod contexts;
mod factory;
mod ledger;
mod numbers;

pub use contexts::LedgerContext;
pub use factory::{FactoryFlaw, MemoryFactory};
pub use ledger::{Ledger, LedgerSink, SinkFlaw, Staged};
pub use numbers::{
    Numbers, NumbersContext, NumbersEnumerator, NumbersReader, NumbersSource, NumbersSplit, SourceFlaw,
};

/// The crash points of [`Numbers`].
pub const NUMBERS_CRASH_POINTS: &[&str] =
    &["numbers-enumerator/after-discovery", "numbers-reader/after-fetch"];
/// The crash points of [`Ledger`].
pub const LEDGER_CRASH_POINTS: &[&str] = &[
    "ledger-writer/before-stage",
    "ledger-writer/after-stage",
    "ledger-committer/before-commit",
    "ledger-committer/after-commit",
];
