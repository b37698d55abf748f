//! The official Java consumer, from the jars that the broker itself runs on: what it reads, our client library had no part in.

use std::process::Command;

use libtest_mimic::Failed;

/// The values of all committed records of a topic, sorted, on the broker with this process id.
pub(crate) fn committed_values(broker: u32, bootstrap: &str, topic: &str) -> Result<Vec<String>, Failed> {
    let mut values = run(broker, "CommittedValues", &[bootstrap, topic])?;
    values.sort_unstable();
    Ok(values)
}

/// Runs a program of this folder on the jars of the broker with this process id; gives the lines that it says before its `END`. Needs a
/// JDK: the program is compiled as it is run.
pub(crate) fn run(broker: u32, program: &str, arguments: &[&str]) -> Result<Vec<String>, Failed> {
    let command = std::fs::read(format!("/proc/{broker}/cmdline"))?;
    let words: Vec<String> =
        command.split(|b| *b == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let jars = words
        .iter()
        .position(|word| word == "-cp")
        .and_then(|at| words.get(at + 1))
        .ok_or("no class path")?;
    // Other crates' tests use this file, too.
    let support = concat!(env!("CARGO_MANIFEST_DIR"), "/../connector-kafka/tests/support");
    let file = format!("{support}/{program}.java");
    let output = Command::new(&words[0])
        .args(["-XX:TieredStopAtLevel=1", "-cp", jars, &file])
        .args(arguments)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.pop().as_deref() != Some("END") {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} ended after {} lines: {said}", lines.len()).into());
    }
    Ok(lines)
}
