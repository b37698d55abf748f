//! Mutation testing of the coordinator state machines: cargo-mutants changes their code at one place at a time, and the tests in virtual
//! time must notice: first their unit tests, in a crate that holds nothing else, where a mutant takes two seconds; what survives
//! those, the whole set, where it takes a minute. A change that no test notices is a survivor; each is judged in `judged.toml`, or the soak fails.

mod alone;
mod judged;
mod outcomes;

use std::path::Path;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

use outcomes::{Mutant, Outcomes};

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
const ALONE_TIMEOUT: &str = "30";
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

    println!("\n== the unit tests of the state machines, in a crate of their own");
    let alone = alone::make(&output.join("alone"))?;
    let mut sound = shell::cargo(["test", "--quiet", "--lib"]);
    sound.current_dir(&alone);
    quick(&mut sound, &output.join("alone-build"));
    shell::run(sound)?;
    let mut command = mutants(&program, &alone, &output.join("alone-build"));
    command.args(["--timeout", ALONE_TIMEOUT, "--cargo-arg=--lib"]);
    if let Some(shard) = &arguments.shard {
        command.args(["--shard", shard, "--sharding", "round-robin"]);
    }
    let mut outcomes = outcomes_of(command, &output.join("unit"))?;

    if !outcomes.survived.is_empty() {
        println!("\n== the {} that survived, and all tests in virtual time", outcomes.survived.len());
        // cargo-mutants makes this itself for the mutated package only, and so misses tests of others.
        let mut sound = shell::cargo(["test", "--quiet", "--all-features"]);
        sound.args(TEST_PACKAGES.iter().flat_map(|package| ["-p", package])).args(TEST_TARGETS);
        shell::run(sound)?;
        let mut command = mutants(&program, &shell::root(), &output.join("build"));
        command.args(["--all-features", "-p", PACKAGE, "--timeout", TEST_TIMEOUT]);
        command.args(TEST_PACKAGES.iter().flat_map(|package| ["--test-package", package]));
        command.args(TEST_TARGETS.iter().map(|target| format!("--cargo-arg={target}")));
        command
            .args(outcomes.survived.iter().flat_map(|mutant| ["--re".to_owned(), literal(&mutant.change)]));
        let second = outcomes_of(command, &output)?;
        let first = std::mem::take(&mut outcomes.survived);
        // A pattern may match a mutant at another place too: only those that the first tests missed count here.
        let among =
            |all: Vec<Mutant>| all.into_iter().filter(|mutant| first.contains(mutant)).collect::<Vec<_>>();
        outcomes.survived = among(second.survived);
        outcomes.caught.extend(among(second.caught));
        outcomes.endless.extend(among(second.endless));
    }
    let verdict = judged::judge(&outcomes, &judged, arguments.shard.is_none());
    println!("\n{verdict}");
    verdict.result()
}

/// cargo-mutants over the state machines of the tree below `root`.
fn mutants(program: &Path, root: &Path, build: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root);
    command.args(["mutants", "--no-config", "-j1", "--colors", "never", "-f", FILES]);
    command.args(["--baseline", "skip", "--build-timeout", BUILD_TIMEOUT]);
    // It works on a copy of the tree. A build directory of its own, kept for the next time: in a shared one each mutant would
    // wait for the builds of others, and count as endless.
    quick(&mut command, build);
    command
}

/// What counts is how fast it compiles.
fn quick(command: &mut Command, build: &Path) {
    command.env("CARGO_TARGET_DIR", build);
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "false");
}

fn outcomes_of(mut command: Command, output: &Path) -> Result<Outcomes> {
    std::fs::create_dir_all(output).map_err(|e| format!("{}: {e}", output.display()))?;
    command.arg("--output").arg(output);
    println!("{}", shell::shown(&command));
    let status = command.status().map_err(|e| format!("{}: {e}", MUTANTS.name))?;
    if !status.code().is_some_and(|code| ENDS.contains(&code)) {
        let place = output.display();
        return Err(format!("{} could not do its work: {status} (the logs are in {place})", MUTANTS.name));
    }
    let path = output.join("mutants.out/outcomes.json");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    outcomes::read(&text, |file| {
        let path = shell::root().join(file);
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    })
}

/// A regular expression that matches just this text.
fn literal(text: &str) -> String {
    let escaped = text.chars().flat_map(|c| {
        let is_plain = c.is_alphanumeric() || c == ' ' || c == '_';
        (!is_plain).then_some('\\').into_iter().chain([c])
    });
    escaped.collect()
}

/// This takes long, and others use the machine.
fn be_modest() -> Result {
    rustix::process::nice(10).map_err(|e| format!("nice: {e}"))?;
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    setrlimit(Resource::As, limit).map_err(|e| format!("limit the memory: {e}"))
}
