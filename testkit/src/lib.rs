//! Proves connectors: simulated files with faults and power cuts, a deterministic environment, crash points.

#[cfg(feature = "crash-points")]
pub mod crash;
pub mod fs;
pub mod random;
pub mod sim;
