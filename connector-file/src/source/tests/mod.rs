//! The source as a host sees it: one enumerator, several readers.

mod campaign;
mod factory;
mod faults;
mod host;
mod rules;
mod watch;
