//! Finding objects. Blocks.
//!
//! A store has no directories: what the names of objects have between two `/` is taken for one, so that the same options select the
//! same files as in a local directory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use connector_api::env::Metadata;
use connector_api::{Error, Result};
use futures::TryStreamExt;

use super::listing::Found;
use super::select::Selection;
use super::split::RelativePath;
use crate::place::{Objects, wait};

/// Where the objects are, as far as the option says.
enum Root {
    Object(String, Metadata),
    Directory(String),
    Glob(String),
}

/// Lists the objects of the input, in the order of their names, each once.
///
/// # Errors
///
/// [`Error::Config`] naming the option when there is nothing at the path or a glob matches nothing, unless it is `continuous`;
/// those of the store;
/// [`Error::Cancelled`] once `cancelled`.
pub(super) fn list(
    selection: &Selection,
    all: &Objects,
    continuous: bool,
    cancelled: &AtomicBool,
) -> Result<Vec<Found>> {
    let (base, inside) = match root(selection, all)? {
        Root::Object(name, object) => {
            let file = name.rsplit('/').next().unwrap_or(&name).to_owned();
            let mut found = Vec::new();
            if selection.includes(Path::new(&file)) && !selection.excludes(Path::new(&file)) {
                found.push(found_as(selection, &file, object)?);
            }
            return Ok(found);
        }
        Root::Directory(base) => (base, true),
        Root::Glob(base) => (base, false),
    };
    let mut listed = all.below(&base).list()?;
    let (mut found, mut any, mut matched) = (Vec::new(), false, false);
    while let Some((name, object)) = wait(listed.try_next())?? {
        if cancelled.load(Ordering::Relaxed) {
            return Err(Error::Cancelled("listing".into()));
        }
        any = true;
        let selected = select(selection, &name, inside);
        matched |= selected.matches;
        if selected.taken {
            found.push(found_as(selection, &name, object)?);
        }
    }
    if inside && !any && !base.is_empty() && !continuous {
        return Err(missing(selection, all, &base));
    }
    if !inside && !matched && !continuous {
        let reason = format!("`{}` matches no object of {}", selection.path.display(), all.url());
        return Err(Error::config(&selection.option, reason));
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Whether the input can be reached.
pub(super) fn check(selection: &Selection, all: &Objects) -> Result<()> {
    let (Root::Object(..) | Root::Directory(_) | Root::Glob(_)) = root(selection, all)?;
    wait(all.check(&selection.option))?
}

/// The name of an object of the input.
pub(super) fn locate(selection: &Selection, all: &Objects, relative: &Path) -> Result<String> {
    let (path, relative) = (text(&selection.path)?, text(relative)?);
    if let Some(glob) = &selection.glob
        && !is_object(all, path)?
    {
        return Ok(join(text(&glob.base)?, relative));
    }
    let is_it = path.rsplit('/').next() == Some(relative) && is_object(all, path)?;
    Ok(if is_it { path.to_owned() } else { join(path, relative) })
}

fn root(selection: &Selection, all: &Objects) -> Result<Root> {
    let path = text(&selection.path)?;
    if !path.is_empty()
        && let Some(found) = wait(all.look(&all.at(path)?))??
    {
        return Ok(Root::Object(path.to_owned(), found));
    }
    Ok(match &selection.glob {
        Some(glob) => Root::Glob(text(&glob.base)?.to_owned()),
        None => Root::Directory(path.to_owned()),
    })
}

fn is_object(all: &Objects, name: &str) -> Result<bool> {
    Ok(!name.is_empty() && wait(all.look(&all.at(name)?))??.is_some())
}

fn missing(selection: &Selection, all: &Objects, base: &str) -> Error {
    Error::config(&selection.option, format!("there is nothing at {}", all.below(base).url()))
}

/// What the options say of one object.
struct Selected {
    /// Whether the glob of the option matches, before `include` and `exclude`.
    matches: bool,
    taken: bool,
}

/// Walks down the name as if it led through directories.
fn select(selection: &Selection, name: &str, mut inside: bool) -> Selected {
    let mut selected = Selected { matches: false, taken: false };
    let mut relative = PathBuf::new();
    let mut parts = name.split('/').peekable();
    let mut depth = 0;
    while let Some(part) = parts.next() {
        relative.push(part);
        depth += 1;
        if selection.hides(OsStr::new(part)) {
            return selected;
        }
        let glob = selection.glob.as_ref().filter(|_| !inside);
        let matches = glob.is_none_or(|glob| glob.matcher.is_match(&relative));
        selected.matches |= matches && !inside;
        if selection.excludes(&relative) {
            return selected;
        }
        if parts.peek().is_none() {
            selected.taken = matches && selection.includes(&relative);
            return selected;
        }
        let goes_on = if inside {
            selection.recursive
        } else {
            matches || glob.is_some_and(|glob| glob.depth.is_none_or(|most| depth < most))
        };
        if !goes_on {
            return selected;
        }
        inside |= matches;
    }
    selected
}

fn found_as(selection: &Selection, name: &str, object: Metadata) -> Result<Found> {
    match RelativePath::new(name) {
        Some(path) => Ok(Found { path, file: object.into() }),
        None => {
            Err(Error::config(&selection.option, format!("the object {name:?} has no name that can be read")))
        }
    }
}

pub(super) fn text(path: &Path) -> Result<&str> {
    let reason = || Error::data(path.display().to_string(), None, "names of objects are UTF-8");
    path.to_str().ok_or_else(reason)
}

fn join(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}/{name}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::place::Place;
    use crate::source::SourceOptions;

    fn selection(options: &SourceOptions) -> Selection {
        Selection::new(options, Path::new(""), &str::to_owned).unwrap()
    }

    fn objects(names: &[&str]) -> Objects {
        let place = Place::within(Arc::new(InMemory::new()), Path::new(""), &|name, reason| {
            Error::config(name, reason)
        });
        let all = place.unwrap().0;
        for name in names {
            wait(all.put(&all.at(name).unwrap(), bytes::Bytes::from_static(b"x\n"))).unwrap().unwrap();
        }
        all
    }

    fn listed(all: &Objects, options: &SourceOptions) -> Vec<String> {
        let found = list(&selection(options), all, false, &AtomicBool::new(false)).unwrap();
        found.iter().map(|found| found.path.to_string()).collect()
    }

    #[test]
    fn a_prefix_is_read_as_a_directory_is() {
        let all =
            objects(&["in/b.txt", "in/a.txt", "in/x/c.txt", "in/.d", "in/_x/e.txt", "inn/f.txt", "g.txt"]);
        let options = SourceOptions::lines("in");
        assert_eq!(listed(&all, &options), ["a.txt", "b.txt", "x/c.txt"]);
        assert_eq!(listed(&all, &SourceOptions { recursive: false, ..options.clone() }), ["a.txt", "b.txt"]);
        let some = SourceOptions { include: vec!["*.txt".into()], exclude: vec!["x".into()], ..options };
        assert_eq!(listed(&all, &some), ["a.txt", "b.txt"]);
        assert_eq!(listed(&all, &SourceOptions::lines("in/a.txt")), ["a.txt"]);
        assert_eq!(
            locate(&selection(&SourceOptions::lines("in/a.txt")), &all, Path::new("a.txt")).unwrap(),
            "in/a.txt"
        );
        assert_eq!(
            locate(&selection(&SourceOptions::lines("in")), &all, Path::new("x/c.txt")).unwrap(),
            "in/x/c.txt"
        );
    }

    #[test]
    fn a_glob_matches_as_it_does_in_a_directory() {
        let all = objects(&["l/1/a.log", "l/2/a.log", "l/2/b.txt", "l/2/x/a.log", "l/.3/a.log"]);
        assert_eq!(listed(&all, &SourceOptions::lines("l/*/a.log")), ["1/a.log", "2/a.log"]);
        assert_eq!(listed(&all, &SourceOptions::lines("l/**/a.log")), ["1/a.log", "2/a.log", "2/x/a.log"]);
        // A directory that a glob matches stands for what is in it.
        assert_eq!(listed(&all, &SourceOptions::lines("l/2*")), ["2/a.log", "2/b.txt", "2/x/a.log"]);
        let glob = selection(&SourceOptions::lines("l/*/a.log"));
        assert_eq!(locate(&glob, &all, Path::new("2/a.log")).unwrap(), "l/2/a.log");
    }

    #[test]
    fn nothing_to_read_is_an_error_that_names_the_option() {
        let all = objects(&["in/a.txt"]);
        for path in ["out", "in/*.log", "in/a"] {
            let error = list(&selection(&SourceOptions::lines(path)), &all, false, &AtomicBool::new(false))
                .unwrap_err();
            assert!(matches!(&error, Error::Config { option, .. } if option == "path"), "{path}: {error}");
        }
    }
}
