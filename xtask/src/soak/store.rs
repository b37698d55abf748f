//! `connect store append` under random kills: what it acknowledged is there, once, in order of every key.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Arguments;
use super::random::Random;
use crate::{Result, shell};

const STREAM: &str = "soak/lines";
/// Lives of one writer before the next one begins with line 1.
const LIVES: u32 = 10;
/// How many lines a writer has in all.
const LINES: i64 = 3_000_000;
const KEYS: i64 = 499;
/// The size of a file of the log: small, so that files are recycled and bytes moved all the time.
const LOG_FILE: &str = "4194304";

struct Soak {
    connect: PathBuf,
    dir: PathBuf,
    random: Random,
    kills: u32,
    lines: i64,
    scales: u32,
}

pub(super) fn run(arguments: &Arguments) -> Result {
    let seed = arguments.seed.unwrap_or_else(Random::seed);
    let again = format!("{} --rounds {} --seed {seed}", arguments.title(), arguments.rounds);
    println!("{again}");
    let connect = shell::build_release(&["connector-cli"], &[])?.join("connect");
    let dir = shell::target_dir()?.join("soak").join(format!("kill-store-{seed}"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let mut soak = Soak { connect, dir, random: Random::new(seed), kills: 0, lines: 0, scales: 0 };
    soak.rounds(arguments.rounds)
        .map_err(|why| format!("{why}\nkept for a look: {}\nagain: {again}", soak.dir.display()))?;
    let Soak { kills, lines, scales, .. } = soak;
    println!(
        "{kills} kills of a process under load, {scales} scales, {lines} lines: none lost, none doubled, every key in order\nseed {seed}"
    );
    std::fs::remove_dir_all(&soak.dir).map_err(|e| format!("{}: {e}", soak.dir.display()))
}

impl Soak {
    fn command(&self, what: &str, more: &[&str]) -> Command {
        let mut command = Command::new(&self.connect);
        command.args(["store", what, "--dir"]).arg(&self.dir).args(more);
        command
    }

    fn output(&self, what: &str, more: &[&str]) -> Result<String> {
        let done = self.command(what, more).output().map_err(|e| format!("connect: {e}"))?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            Err(format!("connect store {what}: {}", String::from_utf8_lossy(&done.stderr)))
        }
    }

    fn rounds(&mut self, rounds: u32) -> Result {
        self.output("create", &["--stream", STREAM, "--segments", "2"])?;
        let mut writer = 0;
        while self.kills < rounds {
            let start = self.tail()?;
            let mut acknowledged = 0;
            for _ in 0..LIVES.min(rounds - self.kills) {
                let limit = Duration::from_millis(self.random.between(5, 400));
                acknowledged = acknowledged.max(self.life(writer, Some(limit))?);
                self.check(&start, writer, acknowledged, false)?;
                if self.random.next().is_multiple_of(5) {
                    let into = self.random.between(1, 4).to_string();
                    self.output("scale", &["--stream", STREAM, "--into", &into])?;
                    self.scales += 1;
                }
            }
            let last = self.life(writer, None)?;
            if last != LINES {
                return Err(format!("writer {writer} was told of {last} of {LINES} lines"));
            }
            self.check(&start, writer, LINES, true)?;
            self.output("verify", &[])?;
            self.output("truncate", &["--stream", STREAM, "--at", "tail"])?;
            self.lines += LINES;
            writer += 1;
            println!("{} kills, {} lines", self.kills, self.lines);
        }
        Ok(())
    }

    fn tail(&self) -> Result<String> {
        let stat = self.output("stat", &["--stream", STREAM, "--json"])?;
        let stat: serde_json::Value = serde_json::from_str(&stat).map_err(|e| format!("stat: {e}"))?;
        let tail = stat.get("tail").and_then(serde_json::Value::as_str);
        tail.map(str::to_owned).ok_or_else(|| "stat names no tail".into())
    }

    /// Feeds a process all lines of a writer, and kills it when its time is up; says up to which line it acknowledged.
    fn life(&mut self, writer: u32, limit: Option<Duration>) -> Result<i64> {
        let name = format!("w{writer}");
        let more = ["--stream", STREAM, "--writer", &name, "--ack", "--log-file-size", LOG_FILE];
        let mut child = self
            .command("append", &more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("connect: {e}"))?;
        let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the process has no pipes".into());
        };
        let told = Arc::new(AtomicI64::new(0));
        let seen = told.clone();
        let feeding = std::thread::spawn(move || {
            let mut text = Vec::new();
            for first in (1..=LINES).step_by(1000) {
                text.clear();
                for n in first..(first + 1000).min(LINES + 1) {
                    // Into memory.
                    let _ = writeln!(text, "k{}\t{writer}:{n}", n % KEYS);
                }
                if input.write_all(&text).is_err() {
                    return;
                }
            }
        });
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                // A number that was cut off by the kill is smaller than the one it was to be.
                if let Some(n) = line.ok().and_then(|line| line.parse::<i64>().ok()) {
                    seen.fetch_max(n, Ordering::AcqRel);
                }
            }
        });
        let ended = match limit {
            Some(limit) => {
                shell::sleep(limit);
                child.kill().map_err(|e| format!("kill: {e}"))?;
                self.kills += 1;
                child.wait().map(|_| ()).map_err(|e| format!("wait: {e}"))
            }
            None => finished(&mut child),
        };
        let _ = feeding.join();
        let _ = reading.join();
        ended.map(|()| told.load(Ordering::Acquire))
    }

    /// Everything that was acknowledged is there; nothing is there twice; every key is in order.
    fn check(&self, start: &str, writer: u32, acknowledged: i64, whole: bool) -> Result {
        let more = ["--stream", STREAM, "--from", start, "--until", "tail"];
        let mut child = self
            .command("tail", &more)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("connect: {e}"))?;
        let output = child.stdout.take().ok_or("the process has no pipe")?;
        let mut last: HashMap<i64, i64> = HashMap::new();
        let mut count = 0;
        let mut missing = 0;
        let mut line = String::new();
        let mut lines = BufReader::new(output);
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(|e| format!("tail: {e}"))? == 0 {
                break;
            }
            let parsed = line.trim_end().split_once('\t').and_then(|(key, rest)| {
                let (by, n) = rest.split_once(':')?;
                Some((
                    key.strip_prefix('k')?.parse::<i64>().ok()?,
                    by.parse::<u32>().ok()?,
                    n.parse::<i64>().ok()?,
                ))
            });
            let Some((key, by, n)) = parsed else {
                return Err(format!("a line that nobody wrote: {line:?}"));
            };
            if by != writer || n % KEYS != key {
                return Err(format!("a line of another time: {line:?}"));
            }
            // A key's lines come KEYS apart: the next one is known.
            let before = last.insert(key, n);
            let expected = before.map_or(if key == 0 { KEYS } else { key }, |before| before + KEYS);
            if n != expected {
                return Err(format!("key {key}: line {n} where {expected} follows"));
            }
            count += 1;
        }
        finished(&mut child)?;
        for n in (acknowledged - KEYS + 1).max(1)..=acknowledged {
            missing += i64::from(last.get(&(n % KEYS)).is_none_or(|last| *last < n));
        }
        if missing > 0 {
            return Err(format!(
                "{missing} of the last lines up to {acknowledged} were acknowledged and are gone"
            ));
        }
        if whole && count != LINES {
            return Err(format!("{count} lines of {LINES}"));
        }
        Ok(())
    }
}

fn finished(child: &mut Child) -> Result {
    let status = child.wait().map_err(|e| format!("wait: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("connect ended with {status}")) }
}
