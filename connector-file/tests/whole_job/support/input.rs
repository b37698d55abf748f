//! The input: unique numbered lines in a few files.

use testkit::fs::SimFs;

pub const IN: &str = "/in";
/// What splits are cut to.
pub const SPLIT_SIZE: u64 = 64;

const FILES: [(&str, std::ops::Range<usize>, &str); 3] =
    [("a.log", 0..40, "\n"), ("b.log", 40..75, "\r\n"), ("deep/c.log", 75..100, "\n")];

pub fn line(i: usize) -> String {
    format!("{i:05}-{}", "x".repeat(i * 7 % 23))
}

/// How many lines there are.
pub const COUNT: usize = FILES[FILES.len() - 1].1.end;

/// All lines, in order.
pub fn all() -> Vec<String> {
    (0..COUNT).map(line).collect()
}

/// Where each line of a file starts.
pub fn starts(name: &str) -> Vec<(u64, String)> {
    let (_, lines, end) = FILES.iter().find(|(file, ..)| *file == name).unwrap();
    let mut offset = 0;
    let mut starts = Vec::new();
    for line in lines.clone().map(line) {
        let length = (line.len() + end.len()) as u64;
        starts.push((offset, line));
        offset += length;
    }
    starts
}

/// The last line of the last file has no terminator.
pub fn put(fs: &SimFs) {
    for (name, lines, end) in FILES {
        let mut text: String = lines.map(|i| line(i) + end).collect();
        if name == FILES[FILES.len() - 1].0 {
            text.truncate(text.len() - end.len());
        }
        fs.put(format!("{IN}/{name}"), text.as_bytes()).unwrap();
    }
}

/// The split that a line belongs to: its file and the number of the range that it starts in.
pub fn split_of(line: &str) -> Option<(usize, u64)> {
    let i: usize = line.get(..5)?.parse().ok()?;
    let file = FILES.iter().position(|(_, lines, _)| lines.contains(&i))?;
    let (start, _) = starts(FILES[file].0).into_iter().nth(i - FILES[file].1.start)?;
    Some((file, start / SPLIT_SIZE))
}
