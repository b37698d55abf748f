//! A value as the name of a directory.

/// What stands for null and for a field that is missing, as Hive and those who read its layout have it.
pub(crate) const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// The longest name of a directory, escaped: any file system takes it.
pub(crate) const MAX_NAME: usize = 240;

/// Appends a text so that it can be part of a directory's name: no two texts give the same, and none gives a separator, a
/// character that some system refuses, or two dots in a row.
///
/// Written as `%` and two hexadecimal digits, as Hive does it: control characters, `"#%&'*/:;<=>?[\]^{|}` and `` ` ``, and a dot after a dot. A
/// text that is [`NULL`] has its first character written so, which tells it from null; so has one that begins with a dot.
pub(crate) fn escape(text: &str, out: &mut String) {
    let mut dot = true;
    let forged = text == NULL;
    for (i, c) in text.char_indices() {
        let special = c.is_ascii_control() || "\"#%&'*/:;<=>?[\\]^{|}`".contains(c);
        if special || (c == '.' && dot) || (forged && i == 0) {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            // Only ASCII is escaped.
            let byte = c as u8;
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        } else {
            out.push(c);
        }
        dot = c == '.';
    }
}

/// Like [`escape`], for what a name begins with: also not hidden by `.` or `_` in front.
pub(crate) fn escape_front(text: &str, out: &mut String) {
    match text.strip_prefix('_') {
        Some(rest) => {
            out.push_str("%5F");
            escape(rest, out);
        }
        None => escape(text, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::naming;
    use std::collections::HashMap;
    use std::path::Path;
    use testkit::random::SeededRandom;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        escape(text, &mut out);
        out
    }

    /// What readers of the layout do.
    fn unescaped(name: &str) -> String {
        let mut out = Vec::new();
        let mut bytes = name.bytes();
        while let Some(b) = bytes.next() {
            if b == b'%' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                out.push(b);
            }
        }
        String::from_utf8(out).unwrap()
    }

    fn check(text: &str, seen: &mut HashMap<String, String>) {
        let name = escaped(text);
        assert_eq!(unescaped(&name), text);
        assert!(name != NULL, "{text:?} is taken for null");
        if let Some(other) = seen.insert(name.clone(), text.to_owned()) {
            assert_eq!(other, text, "both give {name:?}");
        }
        assert!(!name.contains('/') && !name.contains('\0'));
        for directory in [format!("f={name}"), format!("day/f={name}")] {
            let path = naming::path_in(Path::new("/out"), &format!("{directory}/part")).unwrap();
            assert_eq!(path.components().count(), 3 + directory.matches('/').count() + 1, "{path:?}");
            assert!(path.parent().unwrap().ends_with(&directory) && path.starts_with("/out"));
        }
    }

    #[test]
    fn no_value_leaves_the_directory_hides_it_or_collides_with_another() {
        let mut seen = HashMap::new();
        for text in [
            "",
            ".",
            "..",
            "...",
            "a..b",
            "../..",
            "/",
            "\\",
            "%",
            "%2E",
            "%2e",
            "a/b",
            "a%2Fb",
            NULL,
            "%5F_HIVE_DEFAULT_PARTITION__",
            "_",
            "é",
            "\0",
            "a=b",
            "~",
        ] {
            check(text, &mut seen);
        }
        let coins = SeededRandom::new(1);
        let alphabet: Vec<char> = "..//%%\\_=a2EFe5é\0\n:日".chars().collect();
        for _ in 0..20_000 {
            let length = coins.below(7);
            let text: String =
                (0..length).map(|_| alphabet[coins.below(alphabet.len() as u64) as usize]).collect();
            check(&text, &mut seen);
        }
    }

    #[test]
    fn a_name_is_never_hidden_by_what_it_begins_with() {
        for (text, expected) in [("_a", "%5Fa"), (".a", "%2Ea"), ("__", "%5F_"), ("a", "a"), ("", "")] {
            let mut out = String::new();
            escape_front(text, &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn plain_values_stay_as_they_are() {
        for text in ["DE", "New York", "1.5", "-7", "2026-01-31", "a_b", "Köln", "x@y,z+1"] {
            assert_eq!(escaped(text), text);
        }
    }
}
