//! The pipeline's file: its values, and where each of them stands.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connector_api::Error;
use connector_api::factory::OptionSet;
use toml::de::DeTable;

use crate::failure::Failure;
use crate::set::Setting;
use crate::tree::{Node, Origin, Unfit};

/// A pipeline's file as it was read, with what `--set` changed.
pub(crate) struct Document {
    /// The file as the user named it, for messages.
    file: PathBuf,
    /// The directory of the file, absolute: what relative paths are relative to.
    pub(crate) base_dir: PathBuf,
    text: String,
    /// The values.
    pub(crate) root: Node,
}

// Not derived: the values may hold secrets.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", self.file.display())
    }
}

impl Document {
    /// Reads the file and applies the settings in their order.
    ///
    /// # Errors
    ///
    /// [`Failure::Configuration`] when the file can't be read or is no TOML, or a setting does not fit.
    pub(crate) fn read(file: &Path, settings: &[Setting]) -> Result<Self, Failure> {
        let refused = |e: std::io::Error| Failure::Configuration(format!("{}: {e}", file.display()));
        let text = std::fs::read_to_string(file).map_err(refused)?;
        let absolute = std::path::absolute(file).map_err(refused)?;
        let base_dir = absolute.parent().unwrap_or(Path::new("/")).to_path_buf();
        Self::parse(file, base_dir, text, settings)
    }

    /// Parses a text that was read from `file`.
    pub(crate) fn parse(
        file: &Path,
        base_dir: PathBuf,
        text: String,
        settings: &[Setting],
    ) -> Result<Self, Failure> {
        // The parser's own rendering quotes the line, which may hold a secret: take its message and place only.
        let table = DeTable::parse(&text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            let place = place(file, &text, start);
            Failure::Configuration(format!("{place}: {}", e.message().replace('\n', ", ")))
        })?;
        let root = Node::table(table.get_ref(), Origin::File(0), None).map_err(|unfit: Unfit| {
            let place = locate(file, &text, &unfit.origin);
            Failure::Configuration(format!("{place}: {}", unfit.reason))
        })?;
        let mut document = Self { file: file.to_path_buf(), base_dir, root, text };
        for setting in settings {
            setting.apply(&mut document.root).map_err(Failure::Configuration)?;
        }
        Ok(document)
    }

    /// Where an option was written: `pipeline.toml:7` or `--set sink.path`. For an option that was not given, the nearest
    /// table that it belongs to.
    pub(crate) fn place_of(&self, option: &str) -> String {
        let (_, nearest) = self.root.find(option);
        locate(&self.file, &self.text, &nearest.origin)
    }

    /// One message with the place, the key and what is wrong.
    pub(crate) fn error(&self, option: &str, reason: &str) -> Failure {
        Failure::Configuration(format!("{}: option `{option}`: {reason}", self.place_of(option)))
    }

    /// Turns a [`Error::Config`] into the message with its place; says what is allowed from `options`, whose names stand
    /// under `prefix`. Other errors stay what they are.
    pub(crate) fn explain(&self, error: Error, prefix: &str, options: &OptionSet) -> Failure {
        let Error::Config { option, reason } = error else { return Failure::Job(error) };
        let name = if prefix.is_empty() {
            Some(&*option)
        } else {
            option.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'))
        };
        // An item of a list is documented with the list.
        let name = name.map(|name| name.split('[').next().unwrap_or(name));
        let spec = options.0.iter().find(|spec| Some(&*spec.name) == name);
        let parser = ["invalid type", "invalid value", "data did not match", "invalid length"];
        let reason = match spec {
            Some(spec) if reason.starts_with("missing field") => {
                format!("is missing; allowed: {} ({})", spec.kind, first_sentence(&spec.doc))
            }
            Some(spec) if parser.iter().any(|start| reason.starts_with(start)) => {
                format!("{reason}; allowed: {} ({})", spec.kind, first_sentence(&spec.doc))
            }
            _ => reason,
        };
        self.error(&option, &reason)
    }

    /// Relative paths of the file, made absolute.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.base_dir.join(path)
    }
}

fn first_sentence(doc: &str) -> &str {
    doc.split_once(". ").map_or(doc, |(first, _)| first).trim_end_matches('.')
}

fn place(file: &Path, text: &str, start: usize) -> String {
    let before = text.as_bytes().get(..start).unwrap_or(text.as_bytes());
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    format!("{}:{line}", file.display())
}

fn locate(file: &Path, text: &str, origin: &Origin) -> String {
    match origin {
        Origin::File(start) => place(file, text, *start),
        Origin::Set(key) => format!("--set {}", Arc::as_ref(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name = 'x'\n\n[sink]\nconnector = 'file'\nrolling = { size = '1 MiB' }\n";

    fn document(settings: &[&str]) -> Document {
        let settings: Vec<_> = settings.iter().map(|s| Setting::parse(s).unwrap()).collect();
        Document::parse(Path::new("p.toml"), "/base".into(), TEXT.into(), &settings).unwrap()
    }

    #[test]
    fn an_option_is_found_at_its_line_or_at_its_nearest_table() {
        let document = document(&[]);
        assert_eq!(document.place_of("sink.connector"), "p.toml:4");
        assert_eq!(document.place_of("sink.rolling.size"), "p.toml:5");
        assert_eq!(document.place_of("sink.rolling.age"), "p.toml:5");
        assert_eq!(document.place_of("sink.path"), "p.toml:3");
        assert_eq!(document.place_of("parallelism"), "p.toml:1");
    }

    #[test]
    fn an_option_from_the_command_line_is_found_there() {
        let document = document(&["sink.rolling.size=2 MiB"]);
        assert_eq!(document.place_of("sink.rolling.size"), "--set sink.rolling.size");
        assert_eq!(document.place_of("sink.connector"), "p.toml:4");
    }

    #[test]
    fn what_is_no_toml_is_refused_with_its_line_and_without_its_text() {
        let text = "a = 1\npassword = hunter2\n".to_owned();
        let refused = Document::parse(Path::new("p.toml"), "/".into(), text, &[]).unwrap_err().to_string();
        assert!(refused.starts_with("p.toml:2: ") && !refused.contains("hunter2"), "{refused}");
        let text = "a = 1\nb = nan\n".to_owned();
        let refused = Document::parse(Path::new("p.toml"), "/".into(), text, &[]).unwrap_err().to_string();
        assert!(refused.starts_with("p.toml:2: "), "{refused}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let refused = Document::read(Path::new("no/such.toml"), &[]).unwrap_err();
        assert!(refused.to_string().starts_with("no/such.toml: "), "{refused}");
        assert_eq!(refused.exit_code(), crate::failure::BAD_CONFIGURATION);
    }
}
