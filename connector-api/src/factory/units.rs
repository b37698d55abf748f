//! Quantities as people write them: `8 MiB`, `1s`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes: a whole number, or a text such as `8 MiB`, `1.5 GB`, `512`.
///
/// Units: B, KB, MB, GB, TB (powers of 1,000) and KiB, MiB, GiB, TiB (powers of 1,024), in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A span of time: a text such as `100ms`, `1s`, `10m`, `1.5h`, `7d`. A bare number is refused, since its unit is a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

const SIZES: [(&str, u64); 9] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];
/// In nanoseconds.
const SPANS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

fn scaled(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Option<u64> {
    let text = text.trim();
    let cut = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = (text[..cut].replace('_', ""), text[cut..].trim().to_ascii_lowercase());
    let factor = if unit.is_empty() { bare? } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    (value.is_finite() && value >= 0.0 && value < u64::MAX as f64).then_some(value as u64)
}

impl std::str::FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        scaled(text, &SIZES, Some(1)).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not a size; write a number with B, KB, MB, GB, KiB, MiB or GiB, as in \"8 MiB\""
            )
        })
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        scaled(text, &SPANS, None).map(|nanos| Self(Duration::from_nanos(nanos))).ok_or_else(|| {
            format!("`{text}` is not a time span; write a number with us, ms, s, m, h or d, as in \"1s\"")
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match unit.iter().find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size)) {
            Some((name, size)) => write!(f, "{} {name}", self.0 / size),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

struct Visitor<T>(std::marker::PhantomData<T>);

impl<'de> de::Visitor<'de> for Visitor<ByteSize> {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as \"8 MiB\"")
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(n))
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<ByteSize, E> {
        u64::try_from(n).map(ByteSize).map_err(|_| E::custom(format!("`{n}` is negative; a size is not")))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> de::Visitor<'de> for Visitor<Span> {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time span such as \"1s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor::<Self>(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor::<Self>(std::marker::PhantomData))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

macro_rules! schema {
    ($type:ty, $format:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}
schema!(ByteSize, "byte size");
schema!(Span, "time span");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_people_write_them() {
        let size = |text: &str| text.parse::<ByteSize>().map(|s| s.0);
        assert_eq!((size("8 MiB"), size("1.5kb"), size("512")), (Ok(8 << 20), Ok(1_500), Ok(512)));
        let span = |text: &str| text.parse::<Span>().map(|s| s.0.as_millis());
        assert_eq!((span("100ms"), span("1.5 s"), span("10m")), (Ok(100), Ok(1_500), Ok(600_000)));
    }

    #[test]
    fn nonsense_is_refused_with_what_is_allowed() {
        for text in ["", "MiB", "-1 MiB", "8 MeB", "99999999999 TiB", "1..2 kb"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        for text in ["5", "1 fortnight", "", "s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn shown_quantities_read_back() {
        for n in [0, 1, 1023, 1024, 8 << 20, 3 << 30] {
            assert_eq!(ByteSize(n).to_string().parse(), Ok(ByteSize(n)));
        }
        for millis in [1, 100, 1_000, 90_000, 3_600_000] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
