//! Which names under the path belong to the input. No input or output here.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use connector_api::{Error, Result};
use globset::{Glob, GlobBuilder, GlobMatcher};

use super::config::SourceOptions;

/// What the options select.
#[derive(Debug)]
pub(crate) struct Selection {
    /// The full name of the option `path`, for errors.
    pub(crate) option: String,
    /// The path as it was given, made absolute.
    pub(crate) path: PathBuf,
    /// The path read as a glob, if it has wildcards.
    pub(crate) glob: Option<PathGlob>,
    pub(crate) recursive: bool,
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
    /// The parts of globs that spell a leading `.` or `_`.
    hidden: Vec<GlobMatcher>,
}

/// A path with wildcards.
#[derive(Debug)]
pub(crate) struct PathGlob {
    /// The part without wildcards.
    pub(crate) base: PathBuf,
    /// Matches paths below `base`.
    pub(crate) matcher: GlobMatcher,
    /// How many directories deep matches can lie; none for any depth.
    pub(crate) depth: Option<usize>,
}

/// A glob about names or about whole relative paths.
#[derive(Debug)]
struct Pattern {
    matcher: GlobMatcher,
    of_names: bool,
}

impl Pattern {
    fn matches(&self, relative: &Path) -> bool {
        let target = if self.of_names { relative.file_name().map(Path::new) } else { Some(relative) };
        target.is_some_and(|target| self.matcher.is_match(target))
    }
}

fn glob(text: &str) -> Result<GlobMatcher, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).build().map(|glob: Glob| glob.compile_matcher())
}

fn has_wildcard(text: &OsStr) -> bool {
    text.as_encoded_bytes().iter().any(|byte| b"*?[{".contains(byte))
}

fn is_hidden(name: &OsStr) -> bool {
    matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_'))
}

impl Selection {
    pub(crate) fn new(
        options: &SourceOptions,
        base_dir: &Path,
        name: &dyn Fn(&str) -> String,
    ) -> Result<Self> {
        let option = name("path");
        if options.path.as_os_str().is_empty() {
            return Err(Error::config(option, "is empty; give a file, a directory or a glob"));
        }
        let patterns = |key: &str, texts: &[String]| {
            let pattern = |text: &String| {
                let matcher = glob(text).map_err(|e| Error::config(name(key), e.to_string()))?;
                Ok(Pattern { matcher, of_names: !text.contains('/') })
            };
            texts.iter().map(pattern).collect::<Result<Vec<_>>>()
        };
        let wild = wild_part(base_dir, &options.path, &option)?;
        let spelled =
            options.include.iter().map(String::as_str).chain(wild.as_ref().map(|(_, text)| &**text));
        Ok(Self {
            include: patterns("include", &options.include)?,
            exclude: patterns("exclude", &options.exclude)?,
            hidden: spelled.flat_map(spelled_hidden).collect(),
            recursive: options.recursive,
            path: base_dir.join(&options.path),
            glob: wild.map(|(glob, _)| glob),
            option,
        })
    }

    /// Whether a name is passed over because of how it begins.
    pub(crate) fn hides(&self, name: &OsStr) -> bool {
        is_hidden(name) && !self.hidden.iter().any(|matcher| matcher.is_match(Path::new(name)))
    }

    pub(crate) fn excludes(&self, relative: &Path) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches(relative))
    }

    pub(crate) fn includes(&self, relative: &Path) -> bool {
        self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(relative))
    }
}

/// Splits a path with wildcards before the first part that has one; none without wildcards.
fn wild_part(base_dir: &Path, path: &Path, option: &str) -> Result<Option<(PathGlob, String)>> {
    let wild = |part: &Component<'_>| has_wildcard(part.as_os_str());
    let parts: Vec<Component<'_>> = path.components().collect();
    let Some(first) = parts.iter().position(wild) else { return Ok(None) };
    let base = base_dir.join(parts[..first].iter().collect::<PathBuf>());
    let mut texts = Vec::new();
    for part in &parts[first..] {
        let text = match part {
            Component::Normal(text) => text.to_str(),
            _ => return Err(Error::config(option, "`..` can't follow a wildcard")),
        };
        texts.push(text.ok_or_else(|| Error::config(option, "a glob must be UTF-8"))?);
    }
    let deep = texts.iter().any(|text| text.contains("**"));
    let depth = (!deep).then_some(texts.len());
    let text = texts.join("/");
    let matcher = glob(&text).map_err(|e| Error::config(option, e.to_string()))?;
    Ok(Some((PathGlob { base, matcher, depth }, text)))
}

/// The parts of a glob that begin with `.` or `_`, each by itself.
fn spelled_hidden(text: &str) -> Vec<GlobMatcher> {
    // A part that is no glob by itself (it holds half of a `{a/b,c}`) spells nothing.
    text.split('/').filter(|part| is_hidden(OsStr::new(part))).filter_map(|part| glob(part).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(path: &str, include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let mut options = SourceOptions::lines(path);
        (options.include, options.exclude) = (owned(include), owned(exclude));
        Selection::new(&options, Path::new("/base"), &str::to_owned).unwrap()
    }

    #[test]
    fn a_pattern_without_separator_is_about_names() {
        let names = selection("in", &["*.txt"], &["b*"]);
        assert!(names.includes(Path::new("x/y/a.txt")) && !names.includes(Path::new("a.csv")));
        assert!(names.excludes(Path::new("x/b.txt")) && !names.excludes(Path::new("b/a.txt")));
        let paths = selection("in", &["x/*.txt"], &[]);
        assert!(paths.includes(Path::new("x/a.txt")));
        assert!(!paths.includes(Path::new("x/y/a.txt")) && !paths.includes(Path::new("y/x/a.txt")));
    }

    #[test]
    fn a_glob_is_split_before_its_first_wildcard() {
        let glob = selection("logs/2026/*/a-?.log", &[], &[]).glob.unwrap();
        assert_eq!((glob.base.as_path(), glob.depth), (Path::new("/base/logs/2026"), Some(2)));
        assert!(glob.matcher.is_match("x/a-1.log") && !glob.matcher.is_match("x/y/a-1.log"));
        assert_eq!(selection("/abs/**/x", &[], &[]).glob.unwrap().depth, None);
        assert!(selection("plain/dir", &[], &[]).glob.is_none());
    }

    #[test]
    fn hidden_names_count_only_when_a_glob_spells_them() {
        let plain = selection("in", &["*"], &[]);
        assert!(
            plain.hides(OsStr::new(".a")) && plain.hides(OsStr::new("_a")) && !plain.hides(OsStr::new("a"))
        );
        let spelled = selection("in/*/_logs/*", &[".a*"], &[]);
        assert!(!spelled.hides(OsStr::new("_logs")) && !spelled.hides(OsStr::new(".ab")));
        assert!(spelled.hides(OsStr::new(".b")) && spelled.hides(OsStr::new("_log")));
    }
}
