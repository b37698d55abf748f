//! The sink against a real broker.
#![allow(missing_docs, clippy::expect_used)]

#[path = "../support/agreed.rs"]
mod agreed;
#[path = "../support/broker.rs"]
mod broker;
mod faults;
mod forged;
mod hand;
#[path = "../support/java.rs"]
mod java;
mod jobs;
#[path = "../support/measured.rs"]
mod kept;
mod keys;
mod kills;
mod outcomes;
mod prepared;
mod rows;
mod starts;

use std::process::ExitCode;

/// What the Java consumer sees of a topic of the shared broker.
fn java_values(topic: &str) -> Result<Vec<String>, libtest_mimic::Failed> {
    let bootstrap = broker::bootstrap()?;
    let pid = broker::with(|broker| broker.pid().ok_or_else(|| "the broker is no process".into()))?;
    java::committed_values(pid, &bootstrap, topic)
}

fn main() -> ExitCode {
    // A test that lets a process die runs this program again.
    if let Some(code) = prepared::child().or_else(kills::child) {
        return code;
    }
    kept::keep();
    let mut trials = Vec::new();
    trials.extend(prepared::trials());
    trials.extend(outcomes::trials());
    trials.extend(starts::trials());
    trials.extend(kills::trials());
    trials.extend(jobs::trials());
    trials.extend(faults::trials());
    trials.extend(forged::trials());
    trials.extend(rows::trials());
    trials.extend(keys::trials());
    agreed::end(libtest_mimic::run(&libtest_mimic::Arguments::from_args(), trials).exit_code())
}
