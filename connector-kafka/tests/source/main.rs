//! The source on a real broker.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod broker;
mod growth;
mod host;
#[path = "../support/measured.rs"]
mod kept;
mod measured;
mod outage;
mod reading;
mod scale;
mod starts;
mod stops;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use testkit::brokers::{Kafka, trial};

/// A test, by what must hold.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    kept::keep();
    let all =
        [starts::TESTS, stops::TESTS, reading::TESTS, growth::TESTS, scale::TESTS, measured::TESTS].concat();
    let mut trials: Vec<Trial> = all.into_iter().map(wrapped).collect();
    // Last: they stop the broker that all share.
    trials.extend(outage::TESTS.iter().copied().map(wrapped));
    let mut arguments = Arguments::from_args();
    // One broker on few cores, and some tests kill it.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn wrapped((name, test): Test) -> Trial {
    trial(name, Kafka::new(), move || {
        test();
        Ok(())
    })
}
