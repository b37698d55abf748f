//! The option `buckets`: how it is written, and what it says once it is checked.

use connector_api::Result;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::escape::{MAX_NAME, escape_front};
use super::time::TimePattern;

/// Levels of buckets, one directory in the other. None: all files lie directly in the base directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BucketOptions(pub Vec<BucketLevel>);

/// One level of buckets: by a time, or by the value of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BucketLevel {
    /// Which time tells the bucket: "event" (the rows' event times), "processing" (when they are written), or "field" (what `field`
    /// holds). Without it, the value of `field` is the bucket.
    pub time: Option<BucketTime>,
    /// The field (JSON: of the object's top level; Arrow: the column). By value the directory is `field=value`, escaped.
    pub field: Option<String>,
    /// The directory of a time: %Y, %m, %d, %j, %H, %M, %S, %F and %T, such as `%Y-%m-%d/%H`; no unit left out.
    pub pattern: Option<String>,
    /// The IANA time zone that times are written in; UTC when left out.
    pub zone: Option<String>,
}

/// Which time tells a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BucketTime {
    /// The rows' event times.
    Event,
    /// The time of day at which a row is dealt to its bucket.
    Processing,
    /// The value of a field: a number of seconds or milliseconds since the Unix epoch (milliseconds from 10^11 on), an RFC 3339 text, or a
    /// date with or without a time of day, which is then one of the zone.
    Field,
}

impl BucketOptions {
    /// Buckets by event time.
    pub fn event_time(pattern: impl Into<String>) -> Self {
        Self::time(BucketTime::Event, pattern)
    }

    /// Buckets by the time of writing.
    pub fn processing_time(pattern: impl Into<String>) -> Self {
        Self::time(BucketTime::Processing, pattern)
    }

    /// Buckets by the value of a field.
    pub fn field(name: impl Into<String>) -> Self {
        Self(vec![BucketLevel { field: Some(name.into()), ..BucketLevel::default() }])
    }

    fn time(time: BucketTime, pattern: impl Into<String>) -> Self {
        Self(vec![BucketLevel { time: Some(time), pattern: Some(pattern.into()), ..BucketLevel::default() }])
    }
}

/// The levels, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct BucketRules {
    pub(crate) levels: Vec<Rule>,
}

/// One level, checked.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    Time {
        of: TimeOf,
        pattern: TimePattern,
    },
    /// `front`: the directory up to the value.
    Value {
        field: String,
        front: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TimeOf {
    Event,
    Processing,
    Field(String),
}

/// What decides when buckets have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The watermark.
    Event,
    /// The time of day.
    Processing,
    /// Nothing but the end of the input.
    None,
}

impl BucketRules {
    /// Checks the option.
    ///
    /// # Errors
    ///
    /// The name of the option, and why it is refused.
    pub(crate) fn new(options: &BucketOptions) -> Result<Self, (String, String)> {
        let mut levels = Vec::with_capacity(options.0.len());
        for (i, level) in options.0.iter().enumerate() {
            let rule = level.checked().map_err(|(part, reason)| {
                let option = if part.is_empty() { "buckets".into() } else { format!("buckets.{part}") };
                let which = if options.0.len() > 1 { format!("level {}: ", i + 1) } else { String::new() };
                (option, format!("{which}{reason}"))
            })?;
            levels.push(rule);
        }
        let has =
            |wanted: &TimeOf| levels.iter().any(|rule| matches!(rule, Rule::Time { of, .. } if of == wanted));
        if has(&TimeOf::Event) && has(&TimeOf::Processing) {
            let reason =
                "mixes event time and processing time: a bucket would end by neither; use one of them";
            return Err(("buckets.time".into(), reason.into()));
        }
        Ok(Self { levels })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    pub(crate) fn clock(&self) -> Clock {
        let found = self.levels.iter().find_map(|rule| match rule {
            Rule::Time { of: TimeOf::Event, .. } => Some(Clock::Event),
            Rule::Time { of: TimeOf::Processing, .. } => Some(Clock::Processing),
            _ => None,
        });
        found.unwrap_or(Clock::None)
    }

    /// When a bucket has ended (milliseconds since the Unix epoch); none for one that only the end of the input ends.
    pub(crate) fn end_of(&self, bucket: &str) -> Option<i64> {
        let mut parts = bucket.split('/');
        let mut end = None;
        for rule in &self.levels {
            match rule {
                Rule::Value { .. } => drop(parts.next()?),
                Rule::Time { of: TimeOf::Field(_), .. } => return end,
                Rule::Time { pattern, .. } => {
                    let name: Vec<&str> = parts.by_ref().take(pattern.depth()).collect();
                    // The shortest stretch that it lies in.
                    let this = pattern.end_of(&name.join("/"))?;
                    end = Some(end.map_or(this, |end: i64| end.min(this)));
                }
            }
        }
        end
    }
}

impl BucketLevel {
    fn checked(&self) -> Result<Rule, (&'static str, String)> {
        if self.field.as_deref() == Some("") {
            return Err(("field", "is empty; give the name of a field".into()));
        }
        let Some(time) = self.time else {
            let Some(field) = &self.field else {
                return Err(("", "says neither `time` nor `field`".into()));
            };
            for (option, given) in [("pattern", &self.pattern), ("zone", &self.zone)] {
                if given.is_some() {
                    return Err((
                        option,
                        "goes with `time`; for a time that is in a field say time = \"field\"".into(),
                    ));
                }
            }
            let mut front = String::new();
            escape_front(field, &mut front);
            front.push('=');
            if front.len() > MAX_NAME / 2 {
                return Err(("field", format!("is longer than {} bytes, escaped", MAX_NAME / 2 - 1)));
            }
            return Ok(Rule::Value { field: field.clone(), front });
        };
        let Some(pattern) = &self.pattern else {
            return Err((
                "pattern",
                "is missing: how is a time a directory? For example \"%Y-%m-%d/%H\"".into(),
            ));
        };
        let of = match (time, &self.field) {
            (BucketTime::Event, None) => TimeOf::Event,
            (BucketTime::Processing, None) => TimeOf::Processing,
            (BucketTime::Field, Some(field)) => TimeOf::Field(field.clone()),
            (BucketTime::Field, None) => {
                return Err(("field", "is missing: which field holds the time?".into()));
            }
            (_, Some(_)) => {
                return Err((
                    "field",
                    "goes with time = \"field\", or with no `time` in a level of its own".into(),
                ));
            }
        };
        Ok(Rule::Time { of, pattern: TimePattern::new(pattern, self.zone.as_deref().unwrap_or("UTC"))? })
    }
}

struct LevelsVisitor;

impl<'de> de::Visitor<'de> for LevelsVisitor {
    type Value = BucketOptions;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a table such as { time = \"event\", pattern = \"%Y-%m-%d/%H\" } or { field = \"country\" }, or a list of them")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<BucketOptions, A::Error> {
        Ok(BucketOptions(vec![BucketLevel::deserialize(MapAccessDeserializer::new(map))?]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<BucketOptions, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(BucketOptions)
    }
}

impl<'de> Deserialize<'de> for BucketOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LevelsVisitor)
    }
}

impl JsonSchema for BucketOptions {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "BucketOptions".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let level = generator.subschema_for::<BucketLevel>();
        json_schema!({ "oneOf": [level, { "type": "array", "items": level }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<BucketRules, (String, String)> {
        BucketRules::new(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn one_level_is_a_table_and_several_are_a_list() {
        let one = rules(r#"{"time": "event", "pattern": "%Y-%m-%d/%H", "zone": "Europe/Berlin"}"#).unwrap();
        assert_eq!((one.levels.len(), one.clock()), (1, Clock::Event));
        let two = rules(r#"[{"time": "processing", "pattern": "%F"}, {"field": "country"}]"#).unwrap();
        assert_eq!((two.levels.len(), two.clock()), (2, Clock::Processing));
        let field = rules(r#"{"time": "field", "field": "ts", "pattern": "%F"}"#).unwrap();
        assert_eq!(field.clock(), Clock::None);
        assert!(serde_json::from_str::<BucketOptions>(r#"{"tim": "event"}"#).is_err());
        assert!(serde_json::from_str::<BucketOptions>(r#""event""#).is_err());
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let cases = [
            ("{}", "buckets"),
            (r#"{"time": "event"}"#, "buckets.pattern"),
            (r#"{"time": "event", "pattern": "%H"}"#, "buckets.pattern"),
            (r#"{"time": "event", "pattern": "%Y", "zone": "X/Y"}"#, "buckets.zone"),
            (r#"{"time": "event", "pattern": "%Y", "field": "f"}"#, "buckets.field"),
            (r#"{"time": "field", "pattern": "%Y"}"#, "buckets.field"),
            (r#"{"field": ""}"#, "buckets.field"),
            (r#"{"field": "f", "pattern": "%Y"}"#, "buckets.pattern"),
            (r#"{"field": "f", "zone": "UTC"}"#, "buckets.zone"),
            (
                r#"[{"time": "event", "pattern": "%Y"}, {"time": "processing", "pattern": "%F"}]"#,
                "buckets.time",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(rules(text).map_err(|e| e.0).err().as_deref(), Some(expected), "{text}");
        }
        let long = format!(r#"{{"field": "{}"}}"#, "x".repeat(130));
        assert_eq!(rules(&long).map_err(|e| e.0).err().as_deref(), Some("buckets.field"));
    }

    #[test]
    fn the_end_of_a_bucket_is_read_off_its_levels() {
        let rules = |text| super::tests::rules(text).unwrap();
        let day = 86_400_000;
        let both = rules(r#"[{"field": "f"}, {"time": "event", "pattern": "%F/%H"}]"#);
        assert_eq!(both.end_of("f=x/1970-01-02/03"), Some(day + 4 * 3_600_000));
        assert_eq!(both.end_of("f=x/1970-01-02"), None);
        assert_eq!(rules(r#"{"field": "f"}"#).end_of("f=1970-01-01"), None);
        assert_eq!(rules(r#"{"time": "field", "field": "f", "pattern": "%F"}"#).end_of("1970-01-01"), None);
        let after = rules(r#"[{"time": "event", "pattern": "%F"}, {"field": "f"}]"#);
        assert_eq!(after.end_of("1970-01-01/f=x"), Some(day));
    }
}
