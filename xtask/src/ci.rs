//! `cargo xtask ci`: the tests, and what takes longer or needs a tool.

use crate::steps::Steps;
use crate::{Result, checks, quickstart, soak, test};

/// Runs all of it.
pub(crate) fn run() -> Result {
    let mut steps = Steps::default();
    let program = checks::deny::install();
    // With cargo-deny installed it is a step of the tests.
    steps.step("install cargo-deny", || program.map(|_| ()));
    steps.step("cargo xtask test", test::run);
    steps.step("cargo xtask quickstart", quickstart::run);
    for arguments in soak::small() {
        steps.step(arguments.title(), || soak::run(&arguments));
    }
    steps.print();
    steps.finish()
}
