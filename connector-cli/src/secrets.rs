//! Secrets: `{ env = "X" }` and `{ file = "..." }` where an option of kind `secret` is expected.

use connector_api::factory::OptionSet;

use crate::failure::Failure;
use crate::file::Document;
use crate::tree::Value;

/// Puts the texts of the secrets of a source or sink (under `prefix`) into the document. A file's path is relative to the
/// pipeline's file; one line break at its end is no part of the secret.
///
/// # Errors
///
/// [`Failure::Configuration`] that names the key and the variable or file, never the value.
pub(crate) fn resolve(document: &mut Document, prefix: &str, options: &OptionSet) -> Result<(), Failure> {
    for spec in options.0.iter().filter(|spec| spec.kind == "secret") {
        let option = format!("{prefix}.{}", spec.name);
        let Some(Value::Table(entries)) = document.root.find(&option).0.map(|node| &node.value) else {
            continue;
        };
        let mut only = entries.iter().map(|(key, node)| (key.as_str(), &node.value));
        let text = match (only.next(), only.next()) {
            (Some(("env", Value::Text(name))), None) => match std::env::var(name) {
                Ok(text) => text,
                Err(_) => {
                    let reason = format!("the environment variable `{name}` is not set, or is no text");
                    return Err(document.error(&option, &reason));
                }
            },
            (Some(("file", Value::Text(path))), None) => {
                let path = document.resolve(path.as_ref());
                let mut text = std::fs::read_to_string(&path).map_err(|e| {
                    document.error(&option, &format!("the secret's file {}: {e}", path.display()))
                })?;
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                text
            }
            _ => {
                let allowed = "a secret is a text, `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
                return Err(document.error(&option, allowed));
            }
        };
        if let Some(node) = document.root.get_mut(&option) {
            node.value = Value::Text(text);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_api::factory::OptionSpec;
    use std::path::Path;

    fn options() -> OptionSet {
        let spec = |name: &str, kind: &str| OptionSpec {
            name: name.into(),
            kind: kind.into(),
            default: None,
            required: false,
            identity: false,
            doc: String::new(),
        };
        OptionSet(vec![spec("auth.password", "secret"), spec("path", "string")])
    }

    fn resolved(base: &Path, auth: &str) -> Result<String, String> {
        let text = format!("[sink]\npath = {{ env = 'HOME' }}\n[sink.auth]\npassword = {auth}\n");
        let mut document = Document::parse(Path::new("p.toml"), base.into(), text, &[]).unwrap();
        resolve(&mut document, "sink", &options()).map_err(|e| e.to_string())?;
        let json = document.root.to_json();
        assert_eq!(json["sink"]["path"]["env"], "HOME", "only secrets are resolved");
        Ok(json["sink"]["auth"]["password"].as_str().unwrap().to_owned())
    }

    #[test]
    fn a_secret_comes_from_the_environment_a_file_or_the_text_itself() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(dir.path().join("pw")).unwrap();
        std::io::Write::write_all(&mut file, b"hunter2\n").unwrap();
        assert_eq!(resolved(dir.path(), "{ file = 'pw' }"), Ok("hunter2".into()));
        assert_eq!(resolved(dir.path(), "{ env = 'PATH' }").ok(), std::env::var("PATH").ok());
        assert_eq!(resolved(dir.path(), "'plain'"), Ok("plain".into()));
    }

    #[test]
    fn what_is_missing_is_named_by_key_and_variable_or_file() {
        let base = Path::new("/base");
        let message = resolved(base, "{ env = 'NO_SUCH_VARIABLE_HERE' }").unwrap_err();
        assert!(message.starts_with("p.toml:4: option `sink.auth.password`"), "{message}");
        assert!(message.contains("NO_SUCH_VARIABLE_HERE"), "{message}");
        let message = resolved(base, "{ file = 'nothing-here' }").unwrap_err();
        assert!(message.contains("/base/nothing-here"), "{message}");
    }

    #[test]
    fn other_tables_are_refused_with_what_is_allowed() {
        for auth in ["{ env = 'A', file = 'B' }", "{ vault = 'x' }", "{}", "{ env = 7 }"] {
            let message = resolved(Path::new("/"), auth).unwrap_err();
            assert!(message.contains("{ env = \"NAME\" }"), "{auth}: {message}");
        }
    }
}
