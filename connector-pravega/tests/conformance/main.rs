//! testkit's suites over this connector, in the simulation.
fn main() {}
