//! The segment store: durable appends against a bare program that writes and syncs the same batches into files of zeros; reading at the tail and
//! from the beginning; idle segments; recovery.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use benches::child::{OwnCost, measured};
use benches::pairs::{self, Spread, interleaved, verdict};
use benches::store::{append, bare, made, percentiles, prepared, runtime, stream, zeros};
use benches::{Result, exit, job, now};
use clap::Parser;
use segment_store::client::StoreClient;
use segment_store::{EventWriter, SegmentName, Store, StoreOptions, StreamReader, WriterId, WriterOptions};

/// Events that are appended one at a time.
const SINGLE: u64 = 3_000;
const IDLE: u32 = 10_000;

#[derive(Parser)]
struct Arguments {
    /// Where the stores are made.
    #[arg(long)]
    dir: PathBuf,
    /// MiB of events in each measured run.
    #[arg(long, default_value_t = 512)]
    mebibytes: u64,
    /// GiB of history to recover.
    #[arg(long, default_value_t = 2)]
    history: u64,
    /// How many pairs.
    #[arg(long, default_value_t = pairs::PAIRS)]
    pairs: usize,
    /// Only opens the store in this directory, and says what each of the segments takes.
    #[arg(long, hide = true)]
    opened: Option<PathBuf>,
    /// Only the measurements whose names begin with this: blocks, single, many, tail, catch-up, idle, recovery.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

/// Measures in a directory of its own; says whether its bounds hold.
type Measure = fn(&Arguments, &Path) -> Result<bool>;

fn run(arguments: &Arguments) -> Result {
    if let Some(dir) = &arguments.opened {
        return opened(dir);
    }
    let dir = arguments.dir.join("store");
    let all: [(&str, Measure); 7] = [
        ("blocks", blocks),
        ("single", single),
        ("many", many),
        ("tail", tail),
        ("catch-up", catch_up),
        ("idle", idle),
        ("recovery", recovery),
    ];
    let mut holds = true;
    for (name, measure) in all.into_iter().filter(|(name, _)| name.starts_with(&arguments.only)) {
        job::empty(&dir)?;
        println!("\n-- {name}");
        holds &= measure(arguments, &dir)?;
    }
    job::empty(&dir)?;
    if holds { Ok(()) } else { Err("a bound does not hold".into()) }
}

/// Prints pairs, and gives back how many times as fast ours was.
fn report(pairs: &[(OwnCost, OwnCost)], bytes: u64) -> f64 {
    for (n, (ours, theirs)) in pairs.iter().enumerate() {
        println!(
            "{:4} | ours {:7.3} s wall {:7.3} s cpu | theirs {:7.3} s wall {:7.3} s cpu | {:.3}",
            n + 1,
            ours.wall,
            ours.cpu,
            theirs.wall,
            theirs.cpu,
            theirs.wall / ours.wall
        );
    }
    let of = |value: &dyn Fn(&(OwnCost, OwnCost)) -> f64| Spread::of(pairs.iter().map(value).collect());
    let speed = of(&|(ours, theirs)| theirs.wall / ours.wall);
    println!("speed ratio {speed}; cpu ratio {}", of(&|(ours, theirs)| ours.cpu / theirs.cpu));
    println!(
        "MiB/s: ours {}, theirs {}",
        of(&|(ours, _)| bytes as f64 / ours.wall).scaled(1.0 / f64::from(1 << 20)),
        of(&|(_, theirs)| bytes as f64 / theirs.wall).scaled(1.0 / f64::from(1 << 20))
    );
    speed.median
}

/// Appends into a new store whose files are made ahead. Says how many bytes of events it wrote and synced at once, too.
fn appended(dir: &Path, segments: u32, writers: u32, size: usize, events: u64) -> Result<(OwnCost, usize)> {
    job::empty(dir)?;
    let runtime = runtime()?;
    let bytes = events * size as u64;
    let (env, store) = runtime.block_on(made(dir, segments, prepared(bytes + events * 8)))?;
    let frames = || store.stats().map(|stats| stats.frames).map_err(|e| e.to_string());
    let before = frames()?;
    let took = measured(|| runtime.block_on(append(&env, &store, writers, size, events)))?;
    let batch = bytes.div_ceil((frames()? - before).max(1));
    runtime.block_on(store.close()).map_err(|e| e.to_string())?;
    Ok((took, batch as usize))
}

fn blocks(arguments: &Arguments, dir: &Path) -> Result<bool> {
    let mut holds = true;
    for (size, wanted) in [(1000, 0.85), (100, 0.6)] {
        let events = (arguments.mebibytes << 20) / size;
        let bytes = events * size;
        // The same batches: as much at once as the store before it on average.
        let batch = Cell::new(0);
        let ours = || {
            let (took, wrote) = appended(dir, 1, 1, size as usize, events)?;
            batch.set(wrote);
            Ok(took)
        };
        let theirs = || {
            job::empty(dir)?;
            let file = zeros(&dir.join("bare"), bytes)?;
            measured(|| bare(&file, batch.get(), bytes))
        };
        let pairs = interleaved(arguments.pairs, ours, theirs)?;
        let batch = batch.get();
        println!(
            "{events} events of {size} bytes in blocks, against the same batches, about {batch} bytes at a time"
        );
        let speed = report(&pairs, bytes);
        holds &= verdict("median speed ratio", speed, speed >= wanted, &format!("at least {wanted}"));
    }
    Ok(holds)
}

fn single(arguments: &Arguments, dir: &Path) -> Result<bool> {
    let ours = || {
        job::empty(dir)?;
        let runtime = runtime()?;
        runtime.block_on(async {
            let (env, store) = made(dir, 1, prepared(SINGLE * 2000)).await?;
            let (client, id) = (Arc::new(store.clone()), WriterId(1));
            let text = |e: segment_store::Error| e.to_string();
            let mut writer =
                EventWriter::open(client, env, stream(), id, WriterOptions::default()).await.map_err(text)?;
            let event = [b'x'; 1000];
            let mut latencies = Vec::new();
            for number in 0..SINGLE {
                let started = now();
                writer.write(number as i64, 0.5, &event).await.map_err(text)?;
                writer.flush().await.map_err(text)?;
                latencies.push(started.elapsed());
            }
            store.close().await.map_err(text)?;
            Ok(percentiles(latencies))
        })
    };
    let theirs = || {
        job::empty(dir)?;
        let file = zeros(&dir.join("bare"), SINGLE * 1000)?;
        let event = [b'x'; 1000];
        let mut latencies = Vec::new();
        for number in 0..SINGLE {
            let started = now();
            use std::os::unix::fs::FileExt;
            file.write_all_at(&event, number * 1000)
                .and_then(|()| file.sync_data())
                .map_err(|e| e.to_string())?;
            latencies.push(started.elapsed());
        }
        Ok(percentiles(latencies))
    };
    let pairs = interleaved(arguments.pairs, ours, theirs)?;
    println!("{SINGLE} events of 1000 bytes, each acknowledged before the next");
    for (n, (ours, theirs)) in pairs.iter().enumerate() {
        println!(
            "{:4} | ours p50 {:6.0} us p99 {:6.0} us | theirs p50 {:6.0} us p99 {:6.0} us",
            n + 1,
            ours.0,
            ours.1,
            theirs.0,
            theirs.1
        );
    }
    let ratio = Spread::of(pairs.iter().map(|(ours, theirs)| ours.0 / theirs.0).collect());
    println!("p50 ratio {ratio}");
    Ok(verdict("median p50 ratio", ratio.median, ratio.median <= 1.3, "at most 1.3"))
}

fn many(arguments: &Arguments, dir: &Path) -> Result<bool> {
    let events = (arguments.mebibytes << 20) / 1000;
    let pairs = interleaved(
        arguments.pairs,
        || appended(dir, 100, 10, 1000, events).map(|(took, _)| took),
        || appended(dir, 1, 1, 1000, events).map(|(took, _)| took),
    )?;
    println!("{events} events of 1000 bytes: 10 writers to 100 segments, against 1 to 1");
    let speed = report(&pairs, events * 1000);
    Ok(verdict("median speed ratio", speed, speed >= 0.8, "at least 0.8"))
}

fn tail(arguments: &Arguments, dir: &Path) -> Result<bool> {
    let mut ratios = Vec::new();
    for n in 0..arguments.pairs {
        job::empty(dir)?;
        let runtime = runtime()?;
        let (acked, read) = runtime.block_on(tailed(dir))?;
        println!(
            "{:4} | acknowledged p50 {:.0} us p99 {:.0} us | read p50 {:.0} us p99 {:.0} us",
            n + 1,
            acked.0,
            acked.1,
            read.0,
            read.1
        );
        ratios.push(read.0 / acked.0);
    }
    let ratio = Spread::of(ratios);
    println!("append to reader, by append to acknowledgement: {ratio}");
    Ok(verdict("median p50 ratio", ratio.median, ratio.median <= 1.5, "at most 1.5"))
}

/// From the append of an event to its acknowledgement, and to the reader that waits for it.
async fn tailed(dir: &Path) -> Result<((f64, f64), (f64, f64))> {
    let text = |e: segment_store::Error| e.to_string();
    let (env, store) = made(dir, 1, prepared(SINGLE * 2000)).await?;
    let id = store.stream(&stream()).await.map_err(text)?.current.first().map(|(id, _)| *id);
    let segment = SegmentName::new(stream(), id.ok_or("no segment")?);
    let (reader, name) = (store.clone(), segment.clone());
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        let mut at = 0;
        while at < SINGLE * 1008 {
            let read = reader.read(&name, at, 1 << 20, Duration::from_secs(60)).await.map_err(text)?;
            let seen = now();
            at += read.bytes.len() as u64;
            if sender.send((at, seen)).is_err() {
                break;
            }
        }
        Ok::<_, String>(())
    });
    let options = WriterOptions::default();
    let mut writer = EventWriter::open(Arc::new(store.clone()), env, stream(), WriterId(1), options)
        .await
        .map_err(text)?;
    let (mut acked, mut read) = (Vec::new(), Vec::new());
    for number in 0..SINGLE {
        let started = now();
        writer.write(number as i64, 0.5, &[b'x'; 1000]).await.map_err(text)?;
        writer.flush().await.map_err(text)?;
        acked.push(started.elapsed());
        let (at, seen) = receiver.recv().await.ok_or("the reader ended")?;
        if at != (number + 1) * 1008 {
            return Err(format!("the reader is at {at} after event {number}"));
        }
        read.push(seen.duration_since(started));
    }
    reading.await.map_err(|e| e.to_string())??;
    store.close().await.map_err(text)?;
    Ok((percentiles(acked), percentiles(read)))
}

fn catch_up(arguments: &Arguments, dir: &Path) -> Result<bool> {
    let events = (arguments.mebibytes << 20) / 1000;
    let runtime = runtime()?;
    let options = StoreOptions { log_files: 2, ..StoreOptions::default() };
    let store = runtime.block_on(async {
        let (env, store) = made(dir, 1, options).await?;
        append(&env, &store, 1, 1000, events).await?;
        store.upkeep().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(store)
    })?;
    let ours = || {
        measured(|| {
            runtime.block_on(async {
                let text = |e: segment_store::Error| e.to_string();
                let info = store.stream(&stream()).await.map_err(text)?;
                let client = Arc::new(store.clone());
                let mut reader =
                    StreamReader::open(client, stream(), &info.head, Some(info.tail)).await.map_err(text)?;
                let mut seen = 0;
                while let Some(more) = reader.next().await.map_err(text)? {
                    seen += more.events.len() as u64;
                }
                if seen == events { Ok(()) } else { Err(format!("{seen} of {events} events")) }
            })
        })
    };
    let theirs = || {
        let mut files = Vec::new();
        for below in ["log", "objects"] {
            let entries = std::fs::read_dir(dir.join(below)).map_err(|e| e.to_string())?;
            files.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| {
                path.extension().is_some_and(|extension| extension == "log" || extension == "obj")
            }));
        }
        measured(|| {
            // Into a pipe, as somebody who reads would have it; `cat` into nothing would copy nothing.
            let mut cat =
                Command::new("cat").args(&files).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
            let mut out = cat.stdout.take().ok_or("no pipe")?;
            let mut buffer = vec![0; 1 << 20];
            while std::io::Read::read(&mut out, &mut buffer).map_err(|e| e.to_string())? > 0 {}
            cat.wait().map(|_| ()).map_err(|e| e.to_string())
        })
    };
    let pairs = interleaved(arguments.pairs, ours, theirs)?;
    println!("{events} events of 1000 bytes from the page cache, against `cat` of the files into a pipe");
    let speed = report(&pairs, events * 1008);
    runtime.block_on(store.close()).map_err(|e| e.to_string())?;
    Ok(verdict("median speed ratio", speed, speed >= 0.8, "at least 0.8"))
}

fn resident() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/self/statm").map_err(|e| e.to_string())?;
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.map(|pages| pages * 4096.0).ok_or_else(|| "no resident pages".into())
}

fn idle(_: &Arguments, dir: &Path) -> Result<bool> {
    let runtime = runtime()?;
    let text = |e: segment_store::Error| e.to_string();
    let (env, store) = runtime.block_on(made(dir, IDLE, StoreOptions::default()))?;
    runtime.block_on(append(&env, &store, 1, 100, u64::from(IDLE) * 5))?;
    runtime.block_on(store.close()).map_err(text)?;
    // In a process of its own: what this one had and gave back would be used again, and not be seen.
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let child = Command::new(program).arg("--dir").arg(dir).arg("--opened").arg(dir).output();
    let child = child.map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&child.stdout);
    let each = said.trim().parse::<f64>().map_err(|e| {
        format!(
            "the process that opened the store said {said:?}: {e}; {}",
            String::from_utf8_lossy(&child.stderr)
        )
    })?;
    println!("{IDLE} segments with an event each, opened anew");
    Ok(verdict("bytes resident for each", each, each < 1024.0, "below 1024"))
}

/// The bytes resident before and after opening, by segment.
fn opened(dir: &Path) -> Result {
    let runtime = runtime()?;
    let env = runtime.block_on(async { connector_runtime::local::environment() });
    let before = resident()?;
    let store =
        runtime.block_on(Store::open(env, dir, StoreOptions::default())).map_err(|e| e.to_string())?;
    println!("{}", (resident()? - before) / f64::from(IDLE));
    runtime.block_on(store.close()).map_err(|e| e.to_string())
}

fn recovery(arguments: &Arguments, dir: &Path) -> Result<bool> {
    let events = (arguments.history << 30) / 1000;
    let runtime = runtime()?;
    let text = |e: segment_store::Error| e.to_string();
    let (env, store) = runtime.block_on(made(dir, 4, StoreOptions::default()))?;
    runtime.block_on(append(&env, &store, 2, 1000, events))?;
    // It dies where it is: nothing is closed.
    drop(store);
    drop(runtime);
    let runtime = benches::store::runtime()?;
    let env = runtime.block_on(async { connector_runtime::local::environment() });
    let took = measured(|| {
        runtime.block_on(Store::open(env, dir, StoreOptions::default())).map(drop).map_err(text)
    })?;
    println!(
        "{} GiB of history, opened after a death under load: {:.3} s wall, {:.3} s cpu",
        arguments.history, took.wall, took.cpu
    );
    Ok(verdict("seconds", took.wall, took.wall < 3.0, "below 3"))
}
