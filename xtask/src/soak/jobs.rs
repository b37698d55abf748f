//! The campaigns of the simulation, longer than the tests run them.

use super::Arguments;
use super::random::Random;
use crate::{Result, shell};

/// Random jobs of the runtime for each round.
const RANDOM_JOBS: u64 = 10_000;

pub(super) fn run(arguments: &Arguments) -> Result {
    // Small enough that no seed that is counted up from it overflows.
    let seed = arguments.seed.unwrap_or_else(|| Random::seed() % (1 << 32));
    println!("{} --rounds {} --seed {seed}", arguments.title(), arguments.rounds);
    let campaign = |package: &str, test: &str, rounds: u64| {
        let mut command = shell::cargo(["test", "--all-features", "-p", package, "--test", test]);
        command.env("ROUNDS", rounds.to_string()).env("SEED", seed.to_string());
        shell::run(command)
    };
    let rounds = u64::from(arguments.rounds);
    campaign("connector-file", "whole_job", rounds)?;
    campaign("connector-runtime", "exactly_once", rounds * RANDOM_JOBS)
}

/// The suites that explore schedules, with other seeds and more of them.
const SUITES: &[(&str, &str)] = &[
    ("connector-file", "conformance"),
    ("connector-pravega", "conformance"),
    ("testkit", "lockstep"),
    ("testkit", "hosts"),
];

pub(super) fn conformance(arguments: &Arguments) -> Result {
    let seed = arguments.seed.unwrap_or_else(|| Random::seed() % (1 << 32));
    println!("{} --rounds {} --seed {seed}", arguments.title(), arguments.rounds);
    SUITES.iter().try_for_each(|(package, test)| {
        let mut command = shell::cargo(["test", "--all-features", "-p", package, "--test", test]);
        command.env("TESTKIT_ROUNDS", arguments.rounds.to_string()).env("TESTKIT_SEED", seed.to_string());
        command.env("TESTKIT_ALL_ON_S3", "1");
        shell::run(command)
    })
}

/// Random operations on a segment store against a model, with deaths and faults, from so many seeds.
pub(super) fn store_model(arguments: &Arguments) -> Result {
    let seed = arguments.seed.unwrap_or_else(|| Random::seed() % (1 << 32));
    println!("{} --rounds {} --seed {seed}", arguments.title(), arguments.rounds);
    // With the features that the whole workspace has: those of one package alone would build its dependencies again.
    let mut command = shell::cargo([
        "test",
        "--workspace",
        "--all-features",
        "--test",
        "model",
        "--",
        "whoever",
        "--nocapture",
    ]);
    command.env("ROUNDS", arguments.rounds.to_string()).env("SEED", seed.to_string());
    shell::run(command)
}

/// Kills of `connect` and of the broker: a test of connector-cli, which has the broker and a Java consumer at hand.
pub(super) fn kafka(arguments: &Arguments) -> Result {
    let seed = arguments.seed.unwrap_or_else(Random::seed);
    println!("{} --rounds {} --seed {seed}", arguments.title(), arguments.rounds);
    // With the features that the whole workspace has: those of one package alone would build its dependencies again.
    let mut command =
        shell::cargo(["test", "--workspace", "--all-features", "--test", "kafka", "--", "killed"]);
    command.env("KAFKA_ROUNDS", arguments.rounds.to_string()).env("KAFKA_SEED", seed.to_string());
    // What is missing on this machine is a failure then, not a test that is left out.
    command.env("CI", "1");
    shell::run(command)
}
