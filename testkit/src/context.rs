//! What the author of a connector supplies, so that testkit can try it.

use async_trait::async_trait;
use connector_api::Result;
use connector_api::env::Environment;
use connector_api::sink::Sink;
use connector_api::source::BoxSource;

use crate::capability::Capabilities;
use crate::crash::CrashTable;
use crate::meter::Meter;
use crate::rows::{TestBatch, TestRow};

/// A source under test, with the system that it reads.
///
/// One value is made for each check, and nothing outside may be shared with another: use a directory, topic or stream of its
/// own. `env` is the environment of the process that lives now; keep no copy of it between calls.
#[async_trait]
pub trait SourceContext: Send + 'static {
    /// What the source emits.
    type Batch: TestBatch;

    /// What the source can do.
    fn capabilities(&self) -> Capabilities;

    /// How many splits [`append`](Self::append) can address; at least 2.
    fn splits(&self) -> u32 {
        4
    }

    /// Makes the source, as a new process would from the same options.
    ///
    /// # Errors
    ///
    /// When it can't be made.
    fn source(&self, env: &Environment) -> Result<BoxSource<Self::Batch>>;

    /// Appends rows to the split with this number, below [`splits`](Self::splits); the split is made if it is not there. For
    /// a source that is only bounded, all rows are appended before it is started.
    ///
    /// # Errors
    ///
    /// When the system does not take them.
    async fn append(&mut self, env: &Environment, split: u32, rows: &[TestRow]) -> Result<()>;

    /// How to break and heal the system, if the author can: then [`Capability::Breaks`](crate::Capability::Breaks) holds.
    fn faults(&mut self) -> Option<&mut dyn Faults> {
        None
    }

    /// Where a process dies, if the connector reaches crash points: then
    /// [`Capability::CrashPoints`](crate::Capability::CrashPoints) holds.
    fn crash_points(&self) -> Option<CrashTable> {
        None
    }

    /// The most bytes that a reader of one split has read and its host has not taken, if the source states a bound: then
    /// [`Capability::ReadAhead`](crate::Capability::ReadAhead) holds. The check appends several times as much.
    fn read_ahead(&self) -> Option<u64> {
        None
    }

    /// The bytes that this process took from the system so far. By default what was read from the environment's files.
    fn bytes_read(&self, meter: &Meter) -> u64 {
        meter.bytes_read()
    }
}

/// A sink under test, with the system that it writes.
///
/// One value is made for each check; the same holds as for a [`SourceContext`].
#[async_trait]
pub trait SinkContext: Send + 'static {
    /// What the sink takes.
    type Batch: TestBatch;

    /// What the sink can do, beyond what its plan says.
    fn capabilities(&self) -> Capabilities;

    /// Makes the sink, as a new process would from the same options.
    ///
    /// # Errors
    ///
    /// When it can't be made.
    fn sink(&self, env: &Environment) -> Result<Box<dyn Sink<Self::Batch>>>;

    /// The texts of all rows that a reader of the output sees now, in the order of the output where it has one.
    ///
    /// # Errors
    ///
    /// When the output can't be read.
    async fn visible(&mut self, env: &Environment) -> Result<Vec<String>>;

    /// What is staged outside and not visible: hidden files, open transactions, by name. Empty for a sink that stages
    /// nothing.
    ///
    /// # Errors
    ///
    /// When the system can't be asked.
    async fn lingering(&mut self, env: &Environment) -> Result<Vec<String>>;

    /// How to break and heal the system, if the author can: then [`Capability::Breaks`](crate::Capability::Breaks) holds.
    fn faults(&mut self) -> Option<&mut dyn Faults> {
        None
    }

    /// The same sink under all the options that a user may go on with, keeping the state: with and without a stage, in another
    /// mode. None when no option decides what state there is; two or more: then
    /// [`Capability::Variants`](crate::Capability::Variants) holds.
    ///
    /// # Errors
    ///
    /// When one can't be made.
    fn variants(&self, env: &Environment) -> Result<Vec<Box<dyn Sink<Self::Batch>>>> {
        let _ = env;
        Ok(Vec::new())
    }

    /// How to make staged work disappear, if the author can: then [`Capability::Expires`](crate::Capability::Expires) holds.
    fn expiry(&mut self) -> Option<&mut dyn Expiry> {
        None
    }

    /// Where a process dies, if the connector reaches crash points: then
    /// [`Capability::CrashPoints`](crate::Capability::CrashPoints) holds.
    fn crash_points(&self) -> Option<CrashTable> {
        None
    }
}

/// Breaks and heals a system.
#[async_trait]
pub trait Faults: Send {
    /// From now on every operation of the connector fails, in a way that may pass.
    ///
    /// # Errors
    ///
    /// When the system can't be broken.
    async fn break_system(&mut self, env: &Environment) -> Result<()>;

    /// The system works again.
    ///
    /// # Errors
    ///
    /// When the system can't be healed.
    async fn heal(&mut self, env: &Environment) -> Result<()>;
}

/// Makes staged work disappear, as time does to a transaction.
#[async_trait]
pub trait Expiry: Send {
    /// Everything that is staged and not visible is gone.
    ///
    /// # Errors
    ///
    /// When the system does not do it.
    async fn expire(&mut self, env: &Environment) -> Result<()>;
}
