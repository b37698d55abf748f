//! What `connect` is compared with: the same bytes in part files of the same size, made durable, concatenated by the kernel to
//! files of the same size, made durable. It knows no lines, keeps no state and survives nothing.
//!
//! `bare_lines INPUT OUTPUT PART_BYTES TARGET_BYTES THREADS`

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use benches::Result;

const BUFFER: usize = 1 << 20;

fn main() -> ExitCode {
    benches::exit(run(&std::env::args().skip(1).collect::<Vec<_>>()))
}

fn run(arguments: &[String]) -> Result {
    let [input, output, part, target, threads] = arguments else {
        return Err("bare_lines INPUT OUTPUT PART_BYTES TARGET_BYTES THREADS".into());
    };
    let number = |text: &String| text.parse::<u64>().map_err(|e| format!("{text}: {e}"));
    let (part, target, threads) = (number(part)?, number(target)?, number(threads)? as usize);
    fs::create_dir_all(output).map_err(|e| format!("{output}: {e}"))?;
    let mut files: Vec<PathBuf> = fs::read_dir(input)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(|e| format!("{input}: {e}"))?;
    files.sort();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let own: Vec<_> = files.iter().skip(thread).step_by(threads).collect();
                let worker = Worker::new(Path::new(output), thread, part, target);
                scope.spawn(move || worker.run(&own).map_err(|e| format!("thread {thread}: {e}")))
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into())))
    })
}

struct Worker {
    output: PathBuf,
    thread: usize,
    part_bytes: u64,
    target_bytes: u64,
    parts: Vec<PathBuf>,
    pending_bytes: u64,
    made: u64,
}

impl Worker {
    fn new(output: &Path, thread: usize, part_bytes: u64, target_bytes: u64) -> Self {
        let output = output.to_path_buf();
        Self { output, thread, part_bytes, target_bytes, parts: Vec::new(), pending_bytes: 0, made: 0 }
    }

    fn name(&mut self, kind: &str) -> PathBuf {
        self.made += 1;
        self.output.join(format!("{kind}-{}-{}", self.thread, self.made))
    }

    fn run(mut self, files: &[&PathBuf]) -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut open: Option<(File, u64)> = None;
        for path in files {
            let mut file = File::open(path)?;
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                let (mut part, filled) = match open.take() {
                    Some(open) => open,
                    None => {
                        let path = self.name(".part");
                        self.parts.push(path.clone());
                        (File::create_new(path)?, 0)
                    }
                };
                part.write_all(&buffer[..read])?;
                open = Some((part, filled + read as u64));
                if let Some((part, filled)) = open.take_if(|(_, filled)| *filled >= self.part_bytes) {
                    self.close(&part, filled)?;
                }
            }
        }
        if let Some((part, filled)) = open {
            self.close(&part, filled)?;
        }
        self.concatenate()
    }

    fn close(&mut self, part: &File, bytes: u64) -> std::io::Result<()> {
        part.sync_data()?;
        self.pending_bytes += bytes;
        if self.pending_bytes >= self.target_bytes { self.concatenate() } else { Ok(()) }
    }

    fn concatenate(&mut self) -> std::io::Result<()> {
        if self.parts.is_empty() {
            return Ok(());
        }
        let (hidden, visible) = (self.name(".result"), self.name("result"));
        let result = File::create_new(&hidden)?;
        for path in &self.parts {
            let part = File::open(path)?;
            let mut left = part.metadata()?.len();
            while left > 0 {
                let copied = rustix::fs::copy_file_range(&part, None, &result, None, left as usize)?;
                if copied == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
                left -= copied as u64;
            }
        }
        result.sync_data()?;
        rename(&hidden, &visible)?;
        for path in self.parts.drain(..) {
            fs::remove_file(path)?;
        }
        self.pending_bytes = 0;
        Ok(())
    }
}

/// This program is what others are compared with; no simulation runs it.
#[allow(clippy::disallowed_methods)]
fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::rename(from, to)
}
