//! A listing of connector-api's public items that is kept in the tree, so that a change of the contract shows in review.
//!
//! It is taken from the source, not from rustdoc: what is `pub` counts as public, because the lint `unreachable_pub` refuses
//! a `pub` that can't be reached. Documentation, bodies and private parts are left out.

mod extract;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::{Result, shell};

const HEAD: &str = "\
// Public items of connector-api, without documentation and bodies. Changed code: `cargo xtask api` writes this file anew.
// `private: _` stands for private fields; a body `{}` in a trait is a default.
";

fn place() -> PathBuf {
    shell::root().join("docs/api/connector-api.txt")
}

/// Writes the listing.
pub(crate) fn write() -> Result {
    shell::write_file(&place(), listing()?)
}

/// Compares the listing with the code.
pub(crate) fn check() -> Result {
    let place = place();
    let kept = read(&place)?;
    let now = listing()?;
    if kept == now {
        return Ok(());
    }
    let line = kept.lines().zip(now.lines()).position(|(a, b)| a != b);
    let line = line.unwrap_or_else(|| kept.lines().count().min(now.lines().count()));
    Err(format!(
        "the public API changed: line {} of docs/api/connector-api.txt was `{}` and is `{}`; \
         `cargo xtask api` writes the listing anew, for review",
        line + 1,
        kept.lines().nth(line).unwrap_or_default(),
        now.lines().nth(line).unwrap_or_default(),
    ))
}

fn listing() -> Result<String> {
    let mut out = HEAD.to_owned();
    module(&shell::root().join("connector-api/src/lib.rs"), "connector_api", true, &mut out)?;
    Ok(out)
}

/// Appends a module and those below it, in the order of their declarations.
fn module(file: &Path, path: &str, is_public: bool, out: &mut String) -> Result {
    let parsed = syn::parse_file(&read(file)?).map_err(|e| format!("{}: {e}", file.display()))?;
    let found = extract::public(parsed);
    let private = if is_public { "" } else { " (private: read it through the `pub use` above)" };
    let _ = write!(out, "\n// ---- {path}{private}\n\n{}", prettyplease::unparse(&found.items));
    for (name, is_public) in found.modules {
        module(&beside(file, &name), &format!("{path}::{name}"), is_public, out)?;
    }
    Ok(())
}

/// The file of the module `name` that is declared in `file`.
fn beside(file: &Path, name: &str) -> PathBuf {
    let mut dir = file.to_path_buf();
    let stem = dir.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    dir.pop();
    if stem != "lib" && stem != "mod" {
        dir.push(stem);
    }
    let flat = dir.join(format!("{name}.rs"));
    if flat.is_file() { flat } else { dir.join(name).join("mod.rs") }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))
}
