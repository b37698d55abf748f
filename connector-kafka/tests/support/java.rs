//! The official Java consumer, from the jars that the broker itself runs on: what it reads, our client library had no part in.

use std::process::Command;

use libtest_mimic::Failed;

use super::broker;

const READER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/CommittedValues.java");

/// The values of all committed records of a topic, sorted. Needs a JDK: the reader is compiled as it is run.
pub(crate) fn committed_values(topic: &str) -> Result<Vec<String>, Failed> {
    let bootstrap = broker::bootstrap()?;
    let pid = broker::with(|broker| broker.pid().ok_or_else(|| "the broker is no process".into()))?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let words: Vec<String> =
        command.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    let jars = words
        .iter()
        .position(|word| word == "-cp")
        .and_then(|at| words.get(at + 1))
        .ok_or("no class path")?;
    let output = Command::new(&words[0])
        .args(["-XX:TieredStopAtLevel=1", "-cp", jars, READER, &bootstrap, topic])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut values: Vec<String> = text.lines().map(str::to_owned).collect();
    if values.pop().as_deref() != Some("END") {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the Java consumer ended after {} values: {said}", values.len()).into());
    }
    values.sort_unstable();
    Ok(values)
}
