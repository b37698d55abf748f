//! Rules of the coordinators that mutants of their code showed to be unproved: see `cargo xtask soak mutants`.

mod checkpoint;
mod route;
mod source;
