//! Small connectors: the other end of whatever is under test, and the ground that the failing twins stand on.
//!
//! [`Numbers`], [`Ledger`], [`MemoryFactory`] and, in files, [`ShelfContext`] keep every rule. A *flaw* makes them break one, which
//! shows that a check can fail.

mod contexts;
mod factory;
mod ledger;
mod numbers;
mod shelf;

pub use contexts::LedgerContext;
pub use factory::{FactoryFlaw, MemoryFactory};
pub use ledger::{CLEAN_UID, ENOUGH, GROUP_UID, Ledger, LedgerSink, Shape, SinkFlaw, Staged};
pub use numbers::{
    Numbers, NumbersContext, NumbersEnumerator, NumbersReader, NumbersSource, NumbersSplit, SourceFlaw,
};
pub use shelf::{ShelfContext, ShelfFlaw};

/// The crash points of [`Numbers`].
pub const NUMBERS_CRASH_POINTS: &[&str] =
    &["numbers-enumerator/after-discovery", "numbers-reader/after-fetch"];
/// The crash points of [`Ledger`].
pub const LEDGER_CRASH_POINTS: &[&str] = &[
    "ledger-writer/before-stage",
    "ledger-writer/after-stage",
    "ledger-committer/before-commit",
    "ledger-committer/mid-commit",
    "ledger-committer/after-commit",
    "ledger-group/before-merge",
    "ledger-group/after-merge",
];
