//! The sink against a real broker.
#![allow(missing_docs)]

#[path = "../support/broker.rs"]
mod broker;
mod prepared;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A test that lets a process die runs this program again.
    if let Some(code) = prepared::child() {
        return code;
    }
    let mut trials = Vec::new();
    trials.extend(prepared::trials());
    let code = libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit_code();
    broker::stop();
    code
}
