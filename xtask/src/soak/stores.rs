//! Two pipelines at once, lines into a store and out of it again, either or both of them killed at random moments.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Arguments;
use super::input::{self, Shape};
use super::random::Random;
use super::scan::{Scan, Scanner};
use crate::{Result, shell};

const STREAM: &str = "soak/lines";
/// What the last runs, which end by themselves, may take.
const PATIENCE: Duration = Duration::from_secs(600);

const WRITE: &str = r#"name = "write"
parallelism = 1
checkpoint = { interval = "50ms", dir = "ckpt-write", retain = 2, timeout = "1m" }
restart = { strategy = "none" }

[source]
connector = "file"
path = "in"
format = "lines"

[sink]
connector = "pravega"
dir = "store"
stream = "soak/lines"
delivery_guarantee = "exactly-once"
"#;

const READ: &str = r#"name = "read"
parallelism = 1
checkpoint = { interval = "50ms", dir = "ckpt-read", retain = 2, timeout = "1m" }
restart = { strategy = "none" }

[source]
connector = "pravega"
dir = "store"
stream = "soak/lines"

[sink]
connector = "file"
path = "out"
format = "lines"
rolling = { size = "32 KiB", on_checkpoint = true }
compaction = { checkpoints = 2, size = "256 KiB" }
"#;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Write,
    Read,
}

struct Soak {
    connect: PathBuf,
    dir: PathBuf,
    random: Random,
    runs: u32,
}

pub(super) fn run(arguments: &Arguments) -> Result {
    let seed = arguments.seed.unwrap_or_else(Random::seed);
    let again = format!("{} --rounds {} --seed {seed}", arguments.title(), arguments.rounds);
    println!("{again}");
    let connect = shell::build_release(&["connector-cli"], &[])?.join("connect");
    let dir = shell::target_dir()?.join("soak").join(format!("kill-store-pipelines-{seed}"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    let bytes = arguments.bytes();
    let lines = input::write(&dir.join("in"), Shape::Text, seed, bytes)?;
    println!("input: {lines} lines, {} MiB", bytes >> 20);
    shell::write_file(&dir.join("write.toml"), WRITE)?;
    shell::write_file(&dir.join("read.toml"), READ)?;
    let mut scanner = Scanner::new(dir.join("out"), seed, lines);
    let mut soak = Soak { connect, dir, random: Random::new(!seed), runs: 0 };
    let summary = soak
        .rounds(arguments.rounds, &mut scanner)
        .map_err(|why| format!("{why}\nkept for a look: {}\nagain: {again}", soak.dir.display()))?;
    println!(
        "{summary}\nseed {seed}: every line exactly once in each scan and at the end, no hidden file left"
    );
    std::fs::remove_dir_all(&soak.dir).map_err(|e| format!("{}: {e}", soak.dir.display()))
}

/// A pipeline, which does not outlive the campaign.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Soak {
    fn store(&self, what: &str, more: &[&str]) -> Result {
        let mut command = Command::new(&self.connect);
        command.args(["store", what, "--dir"]).arg(self.dir.join("store")).args(more).stdout(Stdio::null());
        shell::run(command)
    }

    fn start(&mut self, side: Side) -> Result<Running> {
        self.runs += 1;
        let (file, most) = match side {
            Side::Write => ("write.toml", 2),
            Side::Read => ("read.toml", 3),
        };
        let parallelism = self.random.between(1, most);
        let log = self.dir.join(format!("run-{:04}-{file}.log", self.runs));
        let log = std::fs::File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut command = Command::new(&self.connect);
        command.args(["run", file, "--set"]).arg(format!("parallelism={parallelism}")).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().map(Running).map_err(|e| format!("{}: {e}", self.connect.display()))
    }

    fn rounds(&mut self, rounds: u32, scanner: &mut Scanner) -> Result<String> {
        self.store("create", &["--stream", STREAM, "--segments", "3"])?;
        let (mut writer, mut reader) = (self.start(Side::Write)?, self.start(Side::Read)?);
        let (mut kills, mut progressed, mut done) = (0, 0, 0);
        for round in 0..rounds {
            let before = scanner.bytes();
            shell::sleep(Duration::from_millis(self.random.between(30, 500)));
            if round % 3 == 2 {
                wait_for_output(scanner, before, &mut writer.0)?;
            }
            let which = self.random.next() % 3;
            if ended(&mut writer.0)? {
                println!("the input ended in round {round}: --mib-per-round makes it larger");
                break;
            }
            done += 1;
            if ended(&mut reader.0)? {
                return Err(format!("round {round}: the reading pipeline ended by itself"));
            }
            if which != 1 {
                kill(&mut writer.0)?;
                kills += 1;
            }
            if which != 0 {
                kill(&mut reader.0)?;
                kills += 1;
            }
            scanner.scan()?;
            progressed += u32::from(scanner.bytes() > before);
            if which != 1 {
                writer = self.start(Side::Write)?;
            }
            if which != 0 {
                reader = self.start(Side::Read)?;
            }
        }
        finish(&mut writer.0, "write.toml")?;
        self.store("seal", &["--stream", STREAM])?;
        finish(&mut reader.0, "read.toml")?;
        scanner.scan()?;
        scanner.finish()?;
        self.store("verify", &[])?;
        if progressed < done / 4 || done < rounds / 2 {
            return Err(format!(
                "new output was visible in {progressed} of {done} rounds, of {rounds} that were asked for: too few"
            ));
        }
        Ok(format!("{kills} kills in {done} rounds, {progressed} of them with new output visible"))
    }
}

/// Until both pipelines have committed something since, or there is nothing more to write.
fn wait_for_output(scanner: &mut Scanner, before: u64, writer: &mut Child) -> Result {
    let started = shell::now();
    while scanner.bytes() == before && !ended(writer)? {
        if started.elapsed() > PATIENCE {
            return Err(format!("no new output was visible for {PATIENCE:?}"));
        }
        shell::sleep(Duration::from_millis(50));
        scanner.scan()?;
    }
    Ok(())
}

fn ended(child: &mut Child) -> Result<bool> {
    match child.try_wait().map_err(|e| format!("wait: {e}"))? {
        None => Ok(false),
        Some(status) if status.success() => Ok(true),
        Some(status) => Err(format!("connect ended by itself with {status}")),
    }
}

fn kill(child: &mut Child) -> Result {
    child.kill().and_then(|()| child.wait()).map(|_| ()).map_err(|e| format!("kill: {e}"))
}

fn finish(child: &mut Child, file: &str) -> Result {
    let started = shell::now();
    while !ended(child).map_err(|e| format!("{file}: {e}"))? {
        if started.elapsed() > PATIENCE {
            kill(child)?;
            return Err(format!("{file} did not end"));
        }
        shell::sleep(Duration::from_millis(10));
    }
    Ok(())
}
