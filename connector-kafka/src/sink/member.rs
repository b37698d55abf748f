//! One member of a JSON object, found without making anything of the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, Visitor};
use serde_json::de::StrRead;

/// What an object has under a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Member<'a> {
    /// The text of a string; owned where it was written with escapes.
    Text(Cow<'a, str>),
    /// A number or a boolean, as it is written.
    Scalar(&'a [u8]),
    Null,
    /// Nothing under that name, or something that is no object in the middle of the path.
    Missing,
    /// An object or a list.
    Nested,
}

/// What the object has under a path of names; of a name that occurs twice the last one counts. All of the text must be one JSON object.
pub(super) fn member<'a>(object: &'a [u8], path: &[String]) -> Result<Member<'a>, String> {
    let text = std::str::from_utf8(object).map_err(|e| format!("the value is no UTF-8 ({e})"))?;
    let mut found = Some(Scan { text, at: 0 }.whole(path.first().map(String::as_str))?);
    for name in path.iter().skip(1) {
        // Within the whole, which was found well-formed: only an object begins with a brace.
        let object = found.flatten().filter(|text| text.starts_with('{'));
        found = object.map(|text| Scan { text, at: 0 }.whole(Some(name))).transpose()?;
    }
    let Some(text) = found.flatten() else { return Ok(Member::Missing) };
    match text.as_bytes().first() {
        Some(b'"') => Ok(Member::Text(Scan { text, at: 0 }.next::<Text<'a>>()?.0)),
        Some(b'{' | b'[') => Ok(Member::Nested),
        Some(b'n') => Ok(Member::Null),
        _ => Ok(Member::Scalar(text.as_bytes())),
    }
}

/// A place in a JSON text. What lies between the marks of an object is serde_json's to read.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// Reads an object up to the end of the text; gives the text of the member of this name.
    fn whole(mut self, name: Option<&str>) -> Result<Option<&'a str>, String> {
        if self.mark() != Some(b'{') {
            return Err("the value is no JSON object".to_owned());
        }
        let mut found = None;
        self.space();
        let mut is_open = !self.text[self.at..].starts_with('}');
        if !is_open {
            self.at += 1;
        }
        while is_open {
            self.space();
            let key = self.next::<Text<'a>>()?.0;
            if self.mark() != Some(b':') {
                return Err(self.wrong("a `:` is missing"));
            }
            self.space();
            let start = self.at;
            self.next::<IgnoredAny>()?;
            if Some(&*key) == name {
                found = Some(&self.text[start..self.at]);
            }
            is_open = match self.mark() {
                Some(b',') => true,
                Some(b'}') => false,
                _ => return Err(self.wrong("a `,` or `}` is missing")),
            };
        }
        self.space();
        if self.at == self.text.len() {
            Ok(found)
        } else {
            Err(self.wrong("something stands behind the object"))
        }
    }

    fn space(&mut self) {
        let rest = self.text.as_bytes().iter().skip(self.at);
        self.at += rest.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
    }

    /// The next byte that is no white space, which is passed.
    fn mark(&mut self) -> Option<u8> {
        self.space();
        let byte = self.text.as_bytes().get(self.at).copied().filter(u8::is_ascii)?;
        self.at += 1;
        Some(byte)
    }

    /// The value that begins here, which is passed.
    fn next<T: Deserialize<'a>>(&mut self) -> Result<T, String> {
        let read = StrRead::new(&self.text[self.at..]);
        let mut values = serde_json::Deserializer::new(read).into_iter();
        match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                Ok(value)
            }
            Some(Err(error)) => {
                // serde_json counts from where it began.
                let error = error.to_string();
                let what = error.split(" at line").next().unwrap_or_default();
                Err(self.wrong(what))
            }
            None => Err(self.wrong("the value ends too early")),
        }
    }

    fn wrong(&self, what: &str) -> String {
        format!("the value is no JSON object ({what}, at byte {})", self.at)
    }
}

/// A string, borrowed unless it was written with escapes; serde's own `Cow` is always owned.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrowing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(object: &'a str, path: &str) -> Result<Member<'a>, String> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        member(object.as_bytes(), &path)
    }

    #[test]
    fn a_member_is_found_by_its_path_as_it_is_written() {
        let text = r#" { "a" : "x" , "b":[{"a":1}],"c":{"a":{"a":-1.50e3},"b":123456789012345678901234567890},"d":null,
                       "e":false,"\u0066":"q\n\u00e9", "z":"no \u007b } , \" :"} "#;
        for (path, expected) in [
            ("a", Member::Text("x".into())),
            ("b", Member::Nested),
            ("c", Member::Nested),
            ("c.a.a", Member::Scalar(b"-1.50e3")),
            ("c.b", Member::Scalar(b"123456789012345678901234567890")),
            ("d", Member::Null),
            ("e", Member::Scalar(b"false")),
            ("f", Member::Text("q\n\u{e9}".into())),
            ("g", Member::Missing),
            ("a.b", Member::Missing),
            ("b.a", Member::Missing),
            ("d.a", Member::Missing),
            ("c.z.a", Member::Missing),
            ("z", Member::Text("no { } , \" :".into())),
        ] {
            assert_eq!(find(text, path), Ok(expected), "{path}");
        }
        assert_eq!(find("{}", "a"), Ok(Member::Missing));
        assert_eq!(find("{ }", "a"), Ok(Member::Missing));
        assert_eq!(find(r#"{"a":1,"a":2}"#, "a"), Ok(Member::Scalar(b"2")));
    }

    #[test]
    fn a_text_without_escapes_is_borrowed() {
        assert!(matches!(find(r#"{"a":"x"}"#, "a"), Ok(Member::Text(Cow::Borrowed("x")))));
    }

    #[test]
    fn what_is_no_object_is_refused_wherever_it_breaks() {
        for text in [
            "",
            " ",
            "x",
            "1",
            "null",
            "[]",
            "\"a\"",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,",
            "{\"a\":1,}",
            "{,}",
            "{\"a\":1}}",
            "{\"a\":1} {}",
            "{\"a\" 1}",
            "{a:1}",
            "{1:1}",
            "{\"a\":01}",
            "{\"a\":[1}",
            "{\"a\":tru}",
            "{\"a\":\"x}",
            "{\"a\":1é}",
            "é",
            "{é}",
            "{\"a\":1 \"b\":2}",
        ] {
            let error = find(text, "a").unwrap_err();
            assert!(error.contains("no JSON object"), "{text}: {error}");
        }
        assert!(member(b"{\"a\":\"\xff\"}", &["a".to_owned()]).is_err());
    }

    #[test]
    fn it_agrees_with_serde_json_on_what_an_object_is() {
        let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "\"b\"", "1", "null", " "];
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = "{".to_owned();
            for _ in 0..8 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            let expected = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text);
            match (find(&text, "a"), expected) {
                (Ok(found), Ok(map)) => match map.get("a") {
                    None => assert_eq!(found, Member::Missing, "{text}"),
                    Some(value) if value.is_null() => assert_eq!(found, Member::Null, "{text}"),
                    Some(value) if value.is_string() => {
                        assert_eq!(found, Member::Text(value.as_str().unwrap().into()), "{text}");
                    }
                    Some(value) if value.is_number() => assert_eq!(found, Member::Scalar(b"1"), "{text}"),
                    Some(_) => assert_eq!(found, Member::Nested, "{text}"),
                },
                (Err(_), Err(_)) => {}
                (found, expected) => panic!("{text}: {found:?}, {expected:?}"),
            }
        }
    }
}
