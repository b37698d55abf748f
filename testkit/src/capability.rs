//! What a connector can do, as its author declares it. A check whose capability is not declared is skipped, never passed.

use std::collections::BTreeSet;
use std::fmt;

/// Something that not every connector can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Source: it ends.
    Bounded,
    /// Source: it does not end, and rows that are appended while it runs are read.
    Unbounded,
    /// Source: rows that are appended to a split while it is read are read, too.
    Growth,
    /// Source: splits that come into being while it runs are read.
    Discovery,
    /// Source: rows carry their event times.
    EventTimes,
    /// Source: it emits watermarks of its own.
    Watermarks,
    /// Everything outside lies in the environment's files: testkit can cut the power and break the system by itself.
    Files,
    /// It reaches crash points ([`connector_api::env::CrashPoints`]), and its README has their table.
    CrashPoints,
    /// The author can break and heal the system.
    Breaks,
    /// The author can make what is staged disappear, as an expired transaction does.
    Expires,
    /// Sink: options that a user may change while the state is kept decide which stages there are.
    Variants,
    /// Sink: rows become visible by a commit. Found in the sink's plan.
    Committer,
    /// Sink: writers have state. Found in the plan.
    WriterState,
    /// Sink: stages before the committer. Found in the plan.
    PreCommit,
    /// Sink: stages behind the committer. Found in the plan.
    PostCommit,
    /// Sink: it removes orphans of earlier attempts. Found in the plan.
    Sweep,
    /// Source: it reads at most a stated number of bytes ahead of what is taken from it.
    ReadAhead,
    /// Factory: it makes sources. Found in the subject.
    SourceFactory,
    /// Factory: it makes sinks. Found in the subject.
    SinkFactory,
    /// Factory: an option is a secret. Found in the options.
    Secrets,
    /// Host: a failed attempt is restarted by the host itself.
    Restarts,
    /// Host: batches may be emitted in parts, with a snapshot between them.
    PartialBatches,
    /// Host: it stops with a savepoint.
    Savepoints,
    /// Host: a checkpoint that takes too long is aborted, and the attempt goes on.
    Aborts,
    /// Host: it keeps what makes state belong to a job, and compares it.
    Identity,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A set of capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(BTreeSet<Capability>);

impl Capabilities {
    /// These.
    pub fn of(capabilities: impl IntoIterator<Item = Capability>) -> Self {
        Self(capabilities.into_iter().collect())
    }

    /// These and another one.
    #[must_use]
    pub fn with(mut self, capability: Capability) -> Self {
        self.0.insert(capability);
        self
    }

    /// Whether it is declared.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// The first of these that is not declared.
    pub fn missing(&self, needed: &[Capability]) -> Option<Capability> {
        needed.iter().copied().find(|capability| !self.has(*capability))
    }
}
