//! Both clients against a real broker that wants TLS and logins.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used)]

mod broker;
#[path = "../sink/hand.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod hand;
#[path = "../source/host.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod host;
mod refusals;
mod rounds;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut trials = rounds::trials();
    trials.extend(refusals::trials());
    let code = libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit_code();
    broker::stop();
    code
}
