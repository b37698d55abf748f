//! The real clock and the real disk: foreign processes live by them, whatever a simulation says.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

#[allow(clippy::disallowed_methods)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets the calling thread wait.
#[allow(clippy::disallowed_methods)]
pub(crate) fn sleep(duration: Duration) {
    std::thread::sleep(duration);
}

/// Writes a file that a foreign process reads; its loss at a power cut would not matter.
#[allow(clippy::disallowed_methods)]
pub(crate) fn write(path: &Path, content: &str) -> io::Result<()> {
    std::fs::write(path, content)
}

/// Moves what is complete to where others look for it.
#[allow(clippy::disallowed_methods)]
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)
}

/// The last lines of a text, at most 64 KiB of them; says so in words if it can't be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    const MOST: u64 = 64 * 1024;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MOST)))?;
        let mut bytes = Vec::new();
        file.take(MOST).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes), lines),
        Err(error) => format!("({}: {error})", path.display()),
    }
}

/// The last lines of a text.
pub(crate) fn last_lines(text: &str, lines: usize) -> String {
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
        assert!(tail(Path::new("/nonexistent/log"), 2).contains("/nonexistent/log"));
    }
}
