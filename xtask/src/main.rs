//! The one front door: test, bench, soak, ci.

fn main() {}
