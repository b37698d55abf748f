//! A level at work: the bucket of one row after the other.

use connector_api::{Batch, Error, Result};
use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::escape::{MAX_NAME, NULL, escape};
use super::options::{Rule, TimeOf};
use super::time::TimePattern;
use crate::format::{FieldValue, FileBatch};

/// One level, with what it found for the row before.
#[derive(Debug)]
pub(super) enum Level {
    Time { of: TimeOf, pattern: TimePattern, name: String, from: i64, to: i64, null: bool },
    Value { field: String, front: usize, name: String, value: String, null: bool, begun: bool },
}

/// From this number on, a number is one of milliseconds: in seconds it would be the year 5138.
const MILLIS_FROM: u64 = 100_000_000_000;

impl Level {
    pub(super) fn new(rule: &Rule) -> Self {
        match rule {
            Rule::Time { of, pattern } => Self::Time {
                of: of.clone(),
                pattern: pattern.clone(),
                name: String::new(),
                from: i64::MAX,
                to: i64::MIN,
                null: false,
            },
            Rule::Value { field, front } => Self::Value {
                field: field.clone(),
                front: front.len(),
                name: front.clone(),
                value: String::new(),
                null: false,
                begun: false,
            },
        }
    }

    /// The directory of the row looked at last.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Time { name, .. } | Self::Value { name, .. } => name,
        }
    }

    /// Looks at a row; says whether its directory is that of the row before.
    ///
    /// # Errors
    ///
    /// When it can't be told; names the row and the option.
    pub(super) fn is_same<B: FileBatch>(
        &mut self,
        batch: &Batch<B>,
        row: usize,
        now: i64,
        stamped: bool,
    ) -> Result<bool> {
        match self {
            Self::Time { of, pattern, name, from, to, null } => {
                let (option, instant) = match of {
                    TimeOf::Processing if !stamped || batch.timestamps.is_empty() => {
                        ("buckets.time", Some(now))
                    }
                    TimeOf::Event | TimeOf::Processing => match batch.timestamps.get(row) {
                        Some(time) => ("buckets.time", Some(*time)),
                        None => return Err(without_times()),
                    },
                    TimeOf::Field(field) => {
                        let value = batch
                            .rows
                            .field(row, field)
                            .map_err(|why| in_row(row, "buckets.field", field, &why))?;
                        let instant = instant(value, pattern)
                            .map_err(|why| in_row(row, "buckets.field", field, &why))?;
                        ("buckets.field", instant)
                    }
                };
                let Some(instant) = instant else {
                    let was = std::mem::replace(null, true);
                    if !was {
                        (*from, *to) = (i64::MAX, i64::MIN);
                        name.clear();
                        if let TimeOf::Field(field) = of {
                            super::escape::escape_front(field, name);
                        }
                        name.push('=');
                        name.push_str(NULL);
                    }
                    return Ok(was);
                };
                if *from <= instant && instant < *to {
                    return Ok(true);
                }
                let before = std::mem::take(name);
                (*name, *from, *to) = pattern.locate(instant).map_err(|why| in_row(row, option, "", &why))?;
                *null = false;
                Ok(before == *name)
            }
            Self::Value { field, front, name, value, null, begun } => {
                let found =
                    batch.rows.field(row, field).map_err(|why| in_row(row, "buckets.field", field, &why))?;
                let is_null = found == FieldValue::Null;
                let before = value.len();
                // Written behind the value before, to be compared without a place of its own.
                found.write_to(value);
                let same = *begun && *null == is_null && value[..before] == value[before..];
                value.drain(..before);
                if same {
                    return Ok(true);
                }
                (*null, *begun) = (is_null, true);
                name.truncate(*front);
                if is_null {
                    name.push_str(NULL);
                } else {
                    escape(value, name);
                }
                if name.len() > MAX_NAME {
                    let why = format!(
                        "the value has {} bytes: the directory of its bucket would have a name of {} bytes, and {MAX_NAME} are allowed",
                        value.len(),
                        name.len()
                    );
                    return Err(in_row(row, "buckets.field", field, &why));
                }
                Ok(false)
            }
        }
    }
}

fn in_row(row: usize, option: &str, field: &str, why: &str) -> Error {
    let field = if field.is_empty() { String::new() } else { format!(" {field:?}") };
    Error::data(
        "a record to write",
        None,
        format!("row {row} of the batch has no bucket by `{option}`{field}: {why}"),
    )
}

fn without_times() -> Error {
    Error::config(
        "buckets.time",
        "is \"event\", and the rows have no event times: assign them in the pipeline or the source, or say \
         time = \"processing\", or time = \"field\" with the field that holds the time",
    )
}

/// The time that a field holds (milliseconds since the Unix epoch); none for null.
fn instant(value: FieldValue<'_>, pattern: &TimePattern) -> Result<Option<i64>, String> {
    let outside = |_| "the time is outside the years -9999 to 9999".to_owned();
    Ok(Some(match value {
        FieldValue::Null => return Ok(None),
        FieldValue::Instant(millis) => millis,
        FieldValue::Integer(n) if n.unsigned_abs() >= MILLIS_FROM => n,
        FieldValue::Integer(seconds) => seconds * 1_000,
        FieldValue::Float(n) => {
            let millis = if n.abs() >= MILLIS_FROM as f64 { n } else { n * 1_000.0 };
            let instant =
                SignedDuration::try_from_secs_f64(millis / 1_000.0).map_err(|_| format!("{n} is no time"))?;
            Timestamp::from_duration(instant).map_err(outside)?.as_millisecond()
        }
        FieldValue::Text(text) => match text.parse::<Timestamp>() {
            Ok(instant) => instant.as_millisecond(),
            Err(_) => {
                let local = text.parse::<DateTime>().map_err(|_| {
                    format!(
                        "{:?} is no time: neither RFC 3339 nor a date",
                        text.chars().take(60).collect::<String>()
                    )
                })?;
                let zoned = local.to_zoned(pattern.zone().clone()).map_err(outside)?;
                zoned.timestamp().as_millisecond()
            }
        },
    }))
}
