//! The command `connect`: run a pipeline exactly-once on one machine.

fn main() {}
