//! The real edges of the world: local files, the system's clock, tokio's tasks.
//!
//! The only place in this family of crates that asks the operating system for time, randomness or files.
#![allow(clippy::disallowed_methods)]

mod clock;
mod file;
mod fs;
mod scope;
mod spawn;
#[cfg(target_os = "linux")]
mod unsafe_sync;

use std::sync::{Arc, LazyLock};

use connector_api::env::{CrashPoints, Environment};
use tokio::runtime::Handle;

pub use clock::{SystemClock, SystemRandom};
pub use file::LocalFile;
pub use fs::LocalFs;
pub use scope::Scope;
pub use spawn::TokioSpawner;

/// One for the whole process, so that what is shared by directory is found by all environments alike.
static FILES: LazyLock<Arc<LocalFs>> = LazyLock::new(|| Arc::new(LocalFs));

/// The real environment on the tokio runtime that this is called within.
///
/// # Panics
///
/// Outside a tokio runtime; use [`environment_on`] there.
pub fn environment() -> Environment {
    environment_on(&Handle::current())
}

/// The real environment on a tokio runtime whose time driver is enabled.
pub fn environment_on(runtime: &Handle) -> Environment {
    Environment {
        clock: Arc::new(SystemClock::new(runtime.clone())),
        random: Arc::new(SystemRandom::new()),
        fs: FILES.clone(),
        spawner: Arc::new(TokioSpawner::new(runtime.clone())),
        crash: CrashPoints::none(),
    }
}
