//! What librdkafka told the tests of a topic is what the official Java client reads there.

use std::process::ExitCode;

use libtest_mimic::Failed;

use super::broker;
use super::java;

/// How often the two clients are compared, until they agree.
const TRIES: u32 = 3;

/// The end of a test program on the shared broker: as it came out, unless the two clients read different things in any of its topics.
pub(crate) fn end(code: ExitCode) -> ExitCode {
    // What the last tests left may be on its way still.
    let agreed = (1..TRIES).find_map(|_| compare().ok()).map_or_else(compare, Ok);
    broker::stop();
    match agreed {
        Ok(None) => code,
        Ok(Some((topics, rows))) => {
            println!("a Java reader of committed records finds the same {rows} records in {topics} topics");
            code
        }
        Err(why) => {
            eprintln!("a Java reader of committed records: {}", why.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<Option<(usize, usize)>, Failed> {
    let Some((bootstrap, pid)) = broker::running() else { return Ok(None) };
    let lines = java::run(pid, "AllTopics", &[&bootstrap])?;
    let mut rows = 0;
    for line in &lines {
        let topic = line.split(' ').next().unwrap_or_default();
        let values = broker::values(topic)?;
        let sum = values.iter().fold(0_u64, |sum, value| sum.wrapping_add(hash(value.as_bytes())));
        let ours = format!("{topic} {} {sum}", values.len());
        if ours != *line {
            return Err(format!("it says `{line}`, librdkafka says `{ours}`").into());
        }
        rows += values.len();
    }
    Ok(Some((lines.len(), rows)))
}

/// FNV-1a, of 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
