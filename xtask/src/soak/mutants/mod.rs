//! Mutation testing of the coordinator state machines: cargo-mutants changes their code at one place at a time, and the tests in virtual
//! time must notice. A change that no test notices is a survivor; each is judged in `judged.toml`, or the soak fails.

mod judged;
mod outcomes;

use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::Arguments;
use crate::tools::Tool;
use crate::{Result, shell};

const MUTANTS: Tool = Tool { name: "cargo-mutants", version: "27.1.0" };

/// What is mutated.
const PACKAGE: &str = "connector-runtime";
const FILES: &str = "connector-runtime/src/coordinate/*.rs";

/// The tests that must notice: `cargo test` with these packages and targets. A new test in virtual time is added here: its
/// package to the one, its target to the other. Whatever runs in real time stays out, it makes each mutant slow.
const TEST_PACKAGES: &[&str] = &["connector-runtime", "testkit"];
const TEST_TARGETS: &[&str] = &["--lib", "--test=exactly_once", "--test=lockstep"];

/// Seconds after which tests count as caught in an endless loop (the whole set runs in some), and after which a build fails the
/// soak.
const TEST_TIMEOUT: &str = "120";
const BUILD_TIMEOUT: &str = "3600";

/// A mutant in an endless loop may allocate without end: it is refused past this many bytes of address space.
const MEMORY: u64 = 12 << 30;

/// How cargo-mutants ends: all caught, some missed, some timed out. Everything else is a failure of the run itself.
const ENDS: &[i32] = &[0, 2, 3];

pub(super) fn run(arguments: &Arguments) -> Result {
    let program = MUTANTS.install()?;
    let judged = judged::read(judged::LIST)?;
    let output = shell::target_dir()?.join("mutants");
    std::fs::create_dir_all(&output).map_err(|e| format!("{}: {e}", output.display()))?;
    be_modest()?;

    // cargo-mutants makes this itself for the mutated package only, and so misses tests of others.
    println!("\n== the tests without any mutant");
    let mut sound = shell::cargo(["test", "--quiet", "--all-features"]);
    sound.args(TEST_PACKAGES.iter().flat_map(|package| ["-p", package])).args(TEST_TARGETS);
    shell::run(sound)?;

    println!("\n== the mutants");
    let mut command = Command::new(program);
    command.current_dir(shell::root());
    command.args(["mutants", "--no-config", "-j1", "--colors", "never"]);
    command.args(["--all-features", "-p", PACKAGE, "-f", FILES, "--baseline", "skip"]);
    command.args(["--timeout", TEST_TIMEOUT, "--build-timeout", BUILD_TIMEOUT]);
    command.args(TEST_PACKAGES.iter().flat_map(|package| ["--test-package", package]));
    command.args(TEST_TARGETS.iter().map(|target| format!("--cargo-arg={target}")));
    if let Some(shard) = &arguments.shard {
        command.args(["--shard", shard, "--sharding", "round-robin"]);
    }
    command.arg("--output").arg(&output);
    // It works on a copy of the tree. A build directory of its own, kept for the next time: in a shared one each mutant would
    // wait for the builds of others, and count as endless. What counts is how fast ours compiles.
    command.env("CARGO_TARGET_DIR", output.join("build"));
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "false");
    println!("{}", shell::shown(&command));
    let status = command.status().map_err(|e| format!("{}: {e}", MUTANTS.name))?;
    if !status.code().is_some_and(|code| ENDS.contains(&code)) {
        return Err(format!(
            "{} could not do its work: {status} (the logs are in {})",
            MUTANTS.name,
            output.display()
        ));
    }

    let path = output.join("mutants.out/outcomes.json");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let outcomes = outcomes::read(&text, |file| {
        let path = shell::root().join(file);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    })?;
    let verdict = judged::judge(&outcomes, &judged, arguments.shard.is_none());
    println!("\n{verdict}");
    verdict.result()
}

/// This takes long, and others use the machine.
fn be_modest() -> Result {
    rustix::process::nice(10).map_err(|e| format!("nice: {e}"))?;
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    setrlimit(Resource::As, limit).map_err(|e| format!("limit the memory: {e}"))
}
