//! The injected edges of the world: clock, randomness, files, spawning, crash points.
//!
//! Nothing in this family of crates reads the system's clock, draws random numbers, touches files or spawns tasks on its
//! own: it asks an [`Environment`]. The host supplies the real one, a test a simulated one.

mod clock;
mod crash;
mod fs;
mod spawn;

use std::sync::Arc;

pub use clock::{Clock, Random};
pub use crash::CrashPoints;
pub use fs::{Access, DirEntry, File, FileLock, FileSystem, Metadata, Rename};
pub use spawn::{Spawner, TaskHandle, blocking};

/// The edges of the world, shared by everything in a job. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Local files.
    pub fs: Arc<dyn FileSystem>,
    /// Tasks and blocking work.
    pub spawner: Arc<dyn Spawner>,
    /// Named places where a test lets the process die.
    pub crash: CrashPoints,
}

impl Environment {
    /// Runs blocking work (file input and output, above all fsync) off the task and awaits its result.
    ///
    /// The work is not cancelled when the future is dropped: it runs to its end, unobserved.
    ///
    /// # Errors
    ///
    /// That of the work, or [`Error::Cancelled`](crate::Error::Cancelled) when the spawner shut down before it ran.
    pub async fn blocking<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl FnOnce() -> crate::Result<T> + Send + 'static,
    ) -> crate::Result<T> {
        blocking(&*self.spawner, what, work).await
    }
}
