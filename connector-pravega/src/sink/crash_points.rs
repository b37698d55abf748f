//! The places at which a test lets the process die.

/// Every crash point of the sink, by name; the README says what recovery does after each.
pub const CRASH_POINTS: &[&str] = &[
    "pravega-writer/after-begin",
    "pravega-writer/before-flush",
    "pravega-writer/after-flush",
    "pravega-writer/after-look",
    "pravega-writer/before-prepare",
    "pravega-committer/before-commit",
    "pravega-committer/after-look",
    "pravega-committer/after-commit",
    "pravega-committer/before-outcome",
    "pravega-sweep/before-abort",
    "pravega-sweep/after-abort",
];
