//! Dying at named crash points: recording them, enumerating them, comparing them with what is documented.

mod campaign;
mod recorder;
mod shared;
mod table;

pub use campaign::{pairs, singles};
pub use recorder::CrashRecorder;
pub use shared::Campaigns;
pub use table::{CrashTable, Observed, Sees, documented};
