//! `cargo xtask test`: everything that a change must pass.

use crate::steps::Steps;
use crate::{Result, checks, quickstart, real_data, shell, soak};

/// Runs all steps; the tests come last, so that the last lines are cargo's own summary of them.
///
/// `thorough` is what continuous integration asks for (`CI` is set, or `cargo xtask ci`): cargo-deny is installed if it is
/// missing, the quickstart is run, and each soak for some rounds.
pub(crate) fn run(thorough: bool) -> Result {
    let mut steps = Steps::default();
    steps.step("format", || shell::run(shell::cargo(["fmt", "--all", "--check"])));
    steps.step("arrows between crates", checks::arrows::check);
    steps.step("dependencies of connector-api", checks::lean::check);
    steps.step("listing of connector-api", checks::api::check);
    steps.step("lints", || {
        let mut clippy = shell::cargo(["clippy", "--workspace", "--all-targets", "--all-features"]);
        clippy.args(["--", "-D", "warnings"]);
        shell::run(clippy)
    });
    // The release form has no crash points; the other steps have them on, and testkit always has.
    steps.step("build without features", || {
        shell::run(shell::cargo(["check", "-p", "connector-cli", "--quiet"]))
    });
    steps.step("documentation", || {
        let mut doc = shell::cargo(["doc", "--workspace", "--no-deps", "--all-features", "--quiet"]);
        doc.env("RUSTDOCFLAGS", "-D warnings");
        shell::run(doc)
    });
    let deny = if thorough { Some(checks::deny::install()) } else { checks::deny::installed().map(Ok) };
    match deny {
        Some(program) => steps.step("cargo-deny", || checks::deny::run(&program?)),
        None => {
            println!("\n== cargo-deny: not installed, not run (`cargo xtask deny` installs it and runs it)")
        }
    }
    if thorough {
        steps.step("cargo xtask quickstart", quickstart::run);
        for arguments in soak::small() {
            steps.step(arguments.title(), || soak::run(&arguments));
        }
        steps.step("cargo xtask real-data", || real_data::run(&real_data::Arguments::default()));
    }
    steps.print();
    steps.last("tests", || {
        shell::run(shell::cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]))
    });
    steps.finish()
}
