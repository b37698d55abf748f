//! The pages of docs/tutorial say what this crate does.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Name and text of each page.
fn pages() -> Vec<(String, String)> {
    let pages = files(&here().join("../../docs/tutorial"), "md");
    assert!(pages.len() >= 5, "{pages:?}");
    let read = |path: PathBuf| (path.display().to_string(), fs::read_to_string(path).unwrap());
    pages.into_iter().map(read).collect()
}

/// The blocks of this language, each with the line feed behind its last line.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let begin = format!("\n```{language}\n");
    let blocks = text.split(begin.as_str()).skip(1);
    blocks.map(|rest| &rest[..rest.find("\n```").unwrap() + 1]).collect()
}

/// Lines without imports, comments and blank ones.
fn lines_of_code(source: &str) -> usize {
    let (mut count, mut within_use) = (0, false);
    for line in source.lines().map(str::trim) {
        within_use |= line.starts_with("use ");
        if within_use {
            within_use = !line.ends_with(';');
        } else if !line.is_empty() && !line.starts_with("//") {
            count += 1;
        }
    }
    count
}

#[test]
fn every_quotation_stands_in_the_code() {
    let sources = [files(&here().join("src"), "rs"), files(&here().join("tests"), "rs")].concat();
    let sources: Vec<String> = sources.into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let manifest = [fs::read_to_string(here().join("Cargo.toml")).unwrap()];
    let mut quoted = 0;
    for (page, text) in pages() {
        for (language, originals) in [("rust", &sources[..]), ("toml", &manifest[..])] {
            for block in blocks(&text, language) {
                let is_there = originals.iter().any(|original| original.contains(block));
                assert!(is_there, "{page} quotes what is not in the code:\n{block}");
                quoted += 1;
            }
        }
    }
    assert!(quoted > 20, "only {quoted} quotations found");
}

#[test]
fn a_quotation_that_differs_is_noticed() {
    let page = "text\n\n```rust\nlet a = 1;\n```\n\n```rust\nlet b = 2;\n```\n";
    assert_eq!(blocks(page, "rust"), ["let a = 1;\n", "let b = 2;\n"]);
    assert_eq!(lines_of_code("//! a\nuse b::{\n    c,\n};\n\nfn d() {}\n/// e\nuse f;\n"), 1);
}

#[test]
fn the_stated_numbers_of_lines_are_true() {
    let mut stated = 0;
    for (page, text) in pages() {
        for row in text.lines().filter(|line| line.starts_with("| [")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let &[_, file, lines] = &cells[..] else { panic!("{page}: {row}") };
            let source = fs::read_to_string(here().join(file.trim_matches('`'))).unwrap();
            assert_eq!(lines_of_code(&source).to_string(), lines, "{file}, stated in {page}");
            stated += 1;
        }
    }
    assert_eq!(stated, 4);
}
