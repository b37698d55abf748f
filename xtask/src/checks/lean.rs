//! What a user of connector-api pulls in: no async runtime, no Arrow, no client library, nothing that does input or output.

use std::collections::BTreeSet;

use crate::{Result, shell};

/// All crates that connector-api may bring along. A line here is a decision that is reviewed: each is vocabulary, codec or
/// something that works at compile time.
const ALLOWED: &[&str] = &[
    // Vocabulary in signatures.
    "async-trait",
    "bytes",
    "futures",
    "futures-channel",
    "futures-core",
    "futures-io",
    "futures-macro",
    "futures-sink",
    "futures-task",
    "futures-util",
    "pin-project-lite",
    "slab",
    "thiserror",
    "thiserror-impl",
    // Codecs of state and options.
    "cobs",
    "crc32c",
    "itoa",
    "memchr",
    "postcard",
    "serde",
    "serde_core",
    "serde_derive",
    "serde_json",
    "serde_path_to_error",
    "zmij",
    // Options that document themselves.
    "dyn-clone",
    "ref-cast",
    "ref-cast-impl",
    "schemars",
    "schemars_derive",
    "serde_derive_internals",
    // Macros, at compile time.
    "proc-macro2",
    "quote",
    "rustc_version",
    "semver",
    "syn",
    "unicode-ident",
];

/// Compares `cargo tree` with the allowed list.
pub(crate) fn check() -> Result {
    let tree = shell::cargo([
        "tree",
        "-p",
        "connector-api",
        "-e",
        "normal",
        "--all-features",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let tree = shell::output(tree)?;
    let strangers = strangers(&tree);
    if strangers.is_empty() {
        return Ok(());
    }
    let names = strangers.into_iter().collect::<Vec<_>>().join(", ");
    Err(format!(
        "connector-api pulls in {names}; if each belongs there, add it to xtask/src/checks/lean.rs with a reason"
    ))
}

fn strangers(tree: &str) -> BTreeSet<&str> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "connector-api" && !ALLOWED.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_is_not_on_the_list_is_named() {
        let tree = "connector-api v0.1.0\nbytes v1.0.0\ntokio v1.0.0\n";
        assert_eq!(strangers(tree), BTreeSet::from(["tokio"]));
    }
}
