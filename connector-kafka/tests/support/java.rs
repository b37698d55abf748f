//! The official Java consumer, from the jars that the broker itself runs on: what it reads, our client library had no part in.

use std::process::Command;

use libtest_mimic::Failed;

use super::broker;

/// The values of all committed records of a topic, sorted, as `kafka-console-consumer` prints them. Must be `expected` in number
/// to end at once; it waits a while for more.
pub(crate) fn committed_values(topic: &str) -> Result<Vec<String>, Failed> {
    let bootstrap = broker::bootstrap()?;
    let pid = broker::with(|broker| broker.pid().ok_or_else(|| "the broker is no process".into()))?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let words: Vec<String> = command.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    let jars = words.iter().position(|word| word == "-cp").and_then(|at| words.get(at + 1)).ok_or("no class path")?;
    let output = Command::new(&words[0])
        .args(["-XX:TieredStopAtLevel=1", "-cp", jars, "org.apache.kafka.tools.consumer.ConsoleConsumer"])
        .args(["--bootstrap-server", &bootstrap, "--topic", topic, "--from-beginning"])
        .args(["--isolation-level", "read_committed", "--timeout-ms", "4000"])
        .output()?;
    let mut values: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    // It ends by its time-out, and says how much it read.
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = format!("Processed a total of {} messages", values.len());
    if !said.contains(&counted) {
        return Err(format!("the Java consumer read {} values and said: {said}", values.len()).into());
    }
    values.sort_unstable();
    Ok(values)
}
