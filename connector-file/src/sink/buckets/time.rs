//! A level of buckets by time: a pattern, formatted in a time zone.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::{self, BrokenDownTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::escape::MAX_NAME;

/// How a time is a directory.
#[derive(Clone, Debug)]
pub(crate) struct TimePattern {
    text: String,
    zone: TimeZone,
    unit: Unit,
}

/// The smallest unit of a pattern: how long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// What a pattern may contain.
const DIRECTIVES: &str = "%Y, %m, %d, %j, %H, %M, %S, %F and %T";

impl TimePattern {
    /// Checks a pattern and a zone.
    ///
    /// # Errors
    ///
    /// The name of the part of the option, and why it is refused.
    pub(crate) fn new(pattern: &str, zone: &str) -> Result<Self, (&'static str, String)> {
        let refuse = |reason: String| ("pattern", format!("{pattern:?} {reason}"));
        let zone = TimeZone::get(zone).map_err(|_| {
            (
                "zone",
                format!("{zone:?} is no zone of the IANA database, such as \"UTC\" or \"Europe/Berlin\""),
            )
        })?;
        if pattern.contains('\\') || pattern.contains("..") || pattern.chars().any(char::is_control) {
            return Err(refuse("could leave the directory".into()));
        }
        for part in pattern.split('/') {
            if part.is_empty() || part == "." {
                return Err(refuse("has an empty part between its slashes".into()));
            }
            if part.starts_with(['.', '_']) {
                return Err(refuse("has a part that begins with `.` or `_`, which would hide it".into()));
            }
            if part.len() > MAX_NAME / 2 {
                return Err(refuse(format!("has a part of more than {} bytes", MAX_NAME / 2)));
            }
        }
        let unit = smallest(pattern).map_err(refuse)?;
        let pattern = Self { text: pattern.to_owned(), zone, unit };
        pattern.try_out().map_err(|reason| ("pattern", format!("{:?} {reason}", pattern.text)))?;
        Ok(pattern)
    }

    /// Whether what it formats is read back as the same time, so that the end of a bucket is known from its name.
    fn try_out(&self) -> Result<(), String> {
        for sample in
            [DateTime::constant(2026, 11, 21, 17, 48, 59, 0), DateTime::constant(1999, 2, 3, 4, 5, 6, 0)]
        {
            let zoned = sample.to_zoned(self.zone.clone()).map_err(|e| format!("can't be formatted: {e}"))?;
            let text = strtime::format(&self.text, &zoned).map_err(|e| format!("can't be formatted: {e}"))?;
            if self.start_of(&text) != Some(self.unit.floor(sample)) {
                return Err(format!("gives {text:?}, which can't be read back"));
            }
        }
        Ok(())
    }

    /// How many directories it gives, one in the other.
    pub(crate) fn depth(&self) -> usize {
        self.text.matches('/').count() + 1
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The bucket of an instant (milliseconds since the Unix epoch), with the longest stretch around it, up to the next
    /// change of the zone's offset, that has the same: its first millisecond, and the first behind it.
    ///
    /// # Errors
    ///
    /// When the instant is outside the years -9999 to 9999.
    pub(crate) fn locate(&self, millis: i64) -> Result<(String, i64, i64), String> {
        let outside = |_| format!("{millis} ms since the Unix epoch is outside the years -9999 to 9999");
        let instant = Timestamp::from_millisecond(millis).map_err(outside)?;
        let offset = self.zone.to_offset(instant);
        let text =
            strtime::format(&self.text, &instant.to_zoned(self.zone.clone())).map_err(|e| e.to_string())?;
        let local = offset.to_datetime(instant);
        let start = self.unit.floor(local);
        let at =
            |local: DateTime, offset: Offset| offset.to_timestamp(local).ok().map(Timestamp::as_millisecond);
        // At the ends of the calendar the stretch is the instant alone.
        let mut from = at(start, offset).unwrap_or(millis);
        let mut to = self.unit.after(start).and_then(|end| at(end, offset)).unwrap_or(millis + 1);
        // A change at the instant itself begins its stretch.
        if let Some(change) =
            self.zone.preceding(instant.checked_add(SignedDuration::from_nanos(1)).unwrap_or(instant)).next()
        {
            from = from.max(change.timestamp().as_millisecond());
        }
        if let Some(change) = self.zone.following(instant).next() {
            to = to.min(change.timestamp().as_millisecond());
        }
        Ok((text, from.min(millis), to.max(millis + 1)))
    }

    /// When a bucket has ended for good (milliseconds since the Unix epoch): no instant from there on is in it, also where
    /// a clock that is put back shows its hours twice. None for a name that the pattern does not give.
    pub(crate) fn end_of(&self, bucket: &str) -> Option<i64> {
        let end = self.unit.after(self.start_of(bucket)?)?;
        Some(self.zone.to_ambiguous_timestamp(end).later().ok()?.as_millisecond())
    }

    /// The local time that a bucket begins with.
    fn start_of(&self, bucket: &str) -> Option<DateTime> {
        let read = BrokenDownTime::parse(&self.text, bucket).ok()?;
        let date = match read.day_of_year() {
            Some(day) => Date::new(read.year()?, 1, 1).ok()?.with().day_of_year(day).build().ok()?,
            None => Date::new(read.year()?, read.month().unwrap_or(1), read.day().unwrap_or(1)).ok()?,
        };
        let (hour, minute, second) =
            (read.hour().unwrap_or(0), read.minute().unwrap_or(0), read.second().unwrap_or(0));
        Some(date.to_datetime(Time::new(hour, minute, second, 0).ok()?))
    }
}

/// The smallest unit; refuses patterns that leave out a larger one, because then one directory would stand for many times.
fn smallest(pattern: &str) -> Result<Unit, String> {
    let mut has = [false; 6];
    let mut set = |units: &[Unit]| units.iter().for_each(|unit| has[*unit as usize] = true);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            continue;
        }
        match chars.next() {
            Some('Y') => set(&[Unit::Year]),
            Some('m') => set(&[Unit::Month]),
            Some('d') => set(&[Unit::Day]),
            Some('j') => set(&[Unit::Month, Unit::Day]),
            Some('H') => set(&[Unit::Hour]),
            Some('M') => set(&[Unit::Minute]),
            Some('S') => set(&[Unit::Second]),
            Some('F') => set(&[Unit::Year, Unit::Month, Unit::Day]),
            Some('T') => set(&[Unit::Hour, Unit::Minute, Unit::Second]),
            Some(other) => return Err(format!("contains %{other}; known are {DIRECTIVES}")),
            None => return Err(format!("ends in a `%`; known are {DIRECTIVES}")),
        }
    }
    let all = [Unit::Year, Unit::Month, Unit::Day, Unit::Hour, Unit::Minute, Unit::Second];
    let units = has.iter().take_while(|has| **has).count();
    if units == 0 {
        return Err("has no year (%Y): buckets of different years would be one".into());
    }
    if has[units..].contains(&true) {
        return Err(format!(
            "leaves the {} out: times that lie apart would be in one bucket",
            name(all[units])
        ));
    }
    Ok(all[units - 1])
}

fn name(unit: Unit) -> &'static str {
    match unit {
        Unit::Year => "year",
        Unit::Month => "month",
        Unit::Day => "day",
        Unit::Hour => "hour",
        Unit::Minute => "minute",
        Unit::Second => "second",
    }
}

impl Unit {
    fn floor(self, at: DateTime) -> DateTime {
        let unless = |smaller: Unit, value: i8, least: i8| if self < smaller { least } else { value };
        DateTime::constant(
            at.year(),
            unless(Self::Month, at.month(), 1),
            unless(Self::Day, at.day(), 1),
            unless(Self::Hour, at.hour(), 0),
            unless(Self::Minute, at.minute(), 0),
            unless(Self::Second, at.second(), 0),
            0,
        )
    }

    /// The start of the next one; none at the end of the calendar.
    fn after(self, start: DateTime) -> Option<DateTime> {
        use jiff::ToSpan;
        let span = match self {
            Self::Year => 1.year(),
            Self::Month => 1.month(),
            Self::Day => 1.day(),
            Self::Hour => 1.hour(),
            Self::Minute => 1.minute(),
            Self::Second => 1.second(),
        };
        start.checked_add(span).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::random::SeededRandom;

    fn millis(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn bucket(pattern: &str, zone: &str, instant: &str) -> String {
        TimePattern::new(pattern, zone).unwrap().locate(millis(instant)).unwrap().0
    }

    #[test]
    fn the_zone_decides_and_utc_is_one() {
        assert_eq!(bucket("%Y-%m-%d/%H", "UTC", "2026-01-01T00:30:00Z"), "2026-01-01/00");
        assert_eq!(bucket("%Y-%m-%d/%H", "Europe/Berlin", "2026-01-01T00:30:00Z"), "2026-01-01/01");
        assert_eq!(bucket("dt=%F/h=%H", "America/New_York", "2026-01-01T00:30:00Z"), "dt=2025-12-31/h=19");
        assert_eq!(bucket("%Y/%j", "UTC", "2026-12-31T00:30:00Z"), "2026/365");
    }

    #[test]
    fn an_hour_that_comes_twice_is_one_bucket_that_ends_once() {
        let berlin = TimePattern::new("%F/%H", "Europe/Berlin").unwrap();
        for instant in ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"] {
            assert_eq!(berlin.locate(millis(instant)).unwrap().0, "2026-10-25/02");
        }
        assert_eq!(berlin.end_of("2026-10-25/02"), Some(millis("2026-10-25T02:00:00Z")));
        // The hour that is skipped in spring is nobody's.
        assert_eq!(bucket("%F/%H", "Europe/Berlin", "2026-03-29T01:00:00Z"), "2026-03-29/03");
        assert_eq!(berlin.end_of("2026-03-29/01"), Some(millis("2026-03-29T01:00:00Z")));
        // Minutes within the hour that comes twice end the second time.
        let minutes = TimePattern::new("%F/%H-%M", "Europe/Berlin").unwrap();
        assert_eq!(minutes.end_of("2026-10-25/02-10"), Some(millis("2026-10-25T01:11:00Z")));
    }

    #[test]
    fn a_day_that_a_clock_goes_back_into_ends_with_its_second_end() {
        // In 2006, St. John's went from 00:01 on the 29th of October back to 23:01 on the 28th.
        let days = TimePattern::new("%F", "America/St_Johns").unwrap();
        for (instant, expected) in [
            ("2006-10-29T02:29:30Z", "2006-10-28"),
            ("2006-10-29T02:30:30Z", "2006-10-29"),
            ("2006-10-29T02:31:30Z", "2006-10-28"),
            ("2006-10-29T03:30:30Z", "2006-10-29"),
        ] {
            assert_eq!(days.locate(millis(instant)).unwrap().0, expected, "{instant}");
        }
        assert_eq!(days.end_of("2006-10-28"), Some(millis("2006-10-29T03:30:00Z")));
    }

    /// The stretch is exactly right, and no instant behind the end of a bucket is in it.
    #[test]
    fn the_stretch_has_one_bucket_and_nothing_comes_behind_the_end() {
        let coins = SeededRandom::new(3);
        let zones = [
            "UTC",
            "Europe/Berlin",
            "America/St_Johns",
            "America/Sao_Paulo",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "Pacific/Apia",
        ];
        for zone in zones {
            for pattern in ["%Y", "%Y/%m", "%F", "%F/%H", "%F/%H-%M", "%F/%T"] {
                let pattern = TimePattern::new(pattern, zone).unwrap();
                let name = |millis| pattern.locate(millis).unwrap().0;
                let mut instants: Vec<i64> = (0..40).map(|_| coins.below(2_000_000_000_000) as i64).collect();
                let changes = pattern.zone().following(Timestamp::UNIX_EPOCH).take(90);
                for change in changes.map(|change| change.timestamp().as_millisecond()) {
                    instants.extend([change - 1, change, change + 1, change + 1_800_000, change - 1_800_001]);
                }
                for instant in instants {
                    let (text, from, to) = pattern.locate(instant).unwrap();
                    assert!(from <= instant && instant < to);
                    assert_eq!((name(from), name(to - 1)), (text.clone(), text.clone()), "{zone} {instant}");
                    let end = pattern.end_of(&text).unwrap();
                    assert!(instant < end, "{zone}: {text} is over at {end}, and {instant} is in it");
                    for behind in [end, end + 1, end + 1_799_999, end + 3_600_000] {
                        assert_ne!(name(behind), text, "{zone} {instant}");
                    }
                }
            }
        }
    }

    #[test]
    fn patterns_that_leave_hide_mix_or_are_unknown_are_refused() {
        let patterns = [
            "", "/%Y", "%Y/", "%Y//%m", "%Y/./%m", "../%Y", "%Y..", ".%Y", "%Y/.%m", "_%Y", "%Y/_x", "a\\%Y",
            "day", "%H", "%Y/%d", "%m-%d", "%Y%", "%Y-%Q", "%Y-%s", "%-Y", "%Y\0", "%G/%V", "%Y%%",
        ];
        for pattern in patterns {
            match TimePattern::new(pattern, "UTC") {
                Err((option, reason)) => assert_eq!((option, reason.is_empty()), ("pattern", false)),
                Ok(_) => panic!("{pattern:?} is taken"),
            }
        }
        assert!(TimePattern::new(&format!("%Y{}", "x".repeat(200)), "UTC").is_err());
        for zone in ["", "Europe/Nowhere", "../UTC"] {
            assert_eq!(TimePattern::new("%Y", zone).map_err(|e| e.0).err(), Some("zone"), "{zone:?}");
        }
        for pattern in ["%Y", "%Y%m%d%H", "year=%Y/month=%m/day=%d", "%F/%T", "data/%Y"] {
            assert!(TimePattern::new(pattern, "UTC").is_ok(), "{pattern}");
        }
    }

    #[test]
    fn instants_outside_the_calendar_are_errors_and_its_ends_are_not() {
        let hours = TimePattern::new("%F/%H", "Europe/Berlin").unwrap();
        for outside in [i64::MAX, i64::MIN] {
            assert!(hours.locate(outside).is_err());
        }
        for edge in [Timestamp::MIN, Timestamp::MAX] {
            let edge = edge.as_second() * 1_000;
            let (_, from, to) = hours.locate(edge).unwrap();
            assert!(from <= edge && edge < to);
        }
    }
}
