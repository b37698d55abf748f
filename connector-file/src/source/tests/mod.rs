//! The source as a host sees it: one enumerator, several readers.

mod campaign;
mod factory;
mod faults;
mod host;
mod rules;
#[allow(dead_code, reason = "the tests of the sink ask for the rest")]
#[path = "../../../tests/support/store.rs"]
pub(super) mod store;
mod watch;
