//! The places at which a test lets the process die.

/// Every crash point of the sink, by name; the README says what recovery does after each.
pub const CRASH_POINTS: &[&str] = &[
    "kafka-writer/after-begin",
    "kafka-writer/before-flush",
    "kafka-writer/after-flush",
    "kafka-writer/after-look",
    "kafka-writer/before-prepare",
    "kafka-committer/before-commit",
    "kafka-committer/after-look",
    "kafka-committer/after-end",
    "kafka-committer/before-outcome",
    "kafka-sweep/before-abort",
    "kafka-sweep/after-abort",
];
