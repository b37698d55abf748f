//! The world that jobs run in, and what may never be seen in it.

pub mod campaign;
pub mod input;
pub mod slow;
pub mod stored;
pub mod twin;
pub mod watch;
pub mod world;
