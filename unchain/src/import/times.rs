//! Times as files write them: RFC 3339, Unix time, or a strptime pattern with a zone.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{Offset, TimeZone};

use super::error::{FaultReason, shown};

/// How a column's text is a time.
#[derive(Debug, Clone)]
pub(super) struct TimeFormat {
    kind: Kind,
    /// For texts that do not say their offset.
    zone: Option<TimeZone>,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rfc3339,
    /// Unix time with so many digits of a second; fractions may follow.
    Unix(u32),
    Pattern,
}

/// The names of the formats that are no patterns.
const NAMED: [(&str, Kind); 5] = [
    ("rfc3339", Kind::Rfc3339),
    ("unix", Kind::Unix(0)),
    ("unix_ms", Kind::Unix(3)),
    ("unix_us", Kind::Unix(6)),
    ("unix_ns", Kind::Unix(9)),
];

pub(super) const DEFAULT_FORMAT: &str = "rfc3339";

impl TimeFormat {
    /// A format by its name or pattern, with a zone for texts without an offset.
    ///
    /// # Errors
    /// What is wrong with the setting, as the end of a sentence.
    pub(super) fn new(format: &str, zone: Option<&str>) -> Result<TimeFormat, String> {
        let named = NAMED.iter().find(|(name, _)| *name == format).map(|(_, kind)| *kind);
        let kind = match named {
            Some(kind) => kind,
            None if format.contains('%') => {
                check_pattern(format)?;
                Kind::Pattern
            }
            None => {
                return Err("is no format: rfc3339, unix, unix_ms, unix_us and unix_ns are, and patterns as \
                            %Y-%m-%d %H:%M:%S"
                    .to_owned());
            }
        };
        let zone = zone.map(parse_zone).transpose()?;
        Ok(TimeFormat { kind, zone, name: format.to_owned() })
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn read_ms(&self, text: &str) -> Result<i64, FaultReason> {
        let text = text.trim();
        let read = match self.kind {
            Kind::Unix(digits) => unix_ms(text, digits).ok_or_else(|| "a number is wanted".to_owned()),
            Kind::Rfc3339 => self.rfc3339(text),
            Kind::Pattern => self.pattern(text),
        };
        read.map_err(|reason| FaultReason::Time { found: shown(text), format: self.name.clone(), reason })
    }

    /// Days since 1970-01-01.
    pub(super) fn read_days(&self, text: &str) -> Result<i32, FaultReason> {
        let text = text.trim();
        let day = match self.kind {
            Kind::Unix(_) => return self.read_ms(text).map(|ms| days_of(ms.div_euclid(86_400_000))),
            Kind::Rfc3339 => text.get(..10).unwrap_or(text).parse::<Date>().map_err(reason),
            Kind::Pattern => BrokenDownTime::parse(&self.name, text).and_then(|time| time.to_date()).map_err(reason),
        };
        let midnight = day.and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).map_err(reason));
        let days = midnight.map(|midnight| days_of(midnight.as_second().div_euclid(86_400)));
        days.map_err(|reason| FaultReason::Time { found: shown(text), format: self.name.clone(), reason })
    }

    fn rfc3339(&self, text: &str) -> Result<i64, String> {
        match text.parse::<Timestamp>() {
            Ok(timestamp) => Ok(timestamp.as_millisecond()),
            Err(_) if text.parse::<DateTime>().is_ok() && text.len() >= 10 => {
                let local = text.parse::<DateTime>().map_err(reason)?;
                self.at(local)
            }
            Err(_) => Err("a time as 2026-01-31T12:00:00Z is wanted; say how it is written with `format`".to_owned()),
        }
    }

    fn pattern(&self, text: &str) -> Result<i64, String> {
        let time = BrokenDownTime::parse(&self.name, text).map_err(reason)?;
        if time.offset().is_some() || time.timestamp().is_some() {
            return time.to_timestamp().map(Timestamp::as_millisecond).map_err(reason);
        }
        // A date alone means its midnight.
        self.at(time.to_datetime().map_err(reason)?)
    }

    fn at(&self, local: DateTime) -> Result<i64, String> {
        let zone = self.zone.clone().ok_or("it has no offset: say its zone, as `zone = \"UTC\"`")?;
        zone.to_timestamp(local).map(Timestamp::as_millisecond).map_err(reason)
    }
}

fn reason(error: jiff::Error) -> String {
    error.to_string()
}

fn days_of(days: i64) -> i32 {
    i32::try_from(days).expect("every time that is read is within the years to 9999")
}

/// A pattern that formats no time will read none.
fn check_pattern(pattern: &str) -> Result<(), String> {
    let sample = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
    let formatted = BrokenDownTime::from(&sample).to_string(pattern);
    formatted.map(drop).map_err(|error| format!("is no strptime pattern: {error}"))
}

fn parse_zone(zone: &str) -> Result<TimeZone, String> {
    if ["UTC", "Z", "utc"].contains(&zone) {
        return Ok(TimeZone::UTC);
    }
    if let Some(offset) = parse_offset(zone) {
        return Ok(offset.to_time_zone());
    }
    TimeZone::get(zone).map_err(|_| {
        format!("has the zone {zone:?}, which is neither UTC, nor an offset as +02:00, nor a name that this machine's time-zone database has")
    })
}

fn parse_offset(text: &str) -> Option<Offset> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replace(':', "");
    if digits.len() != 4 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    if minutes > 59 { None } else { Offset::from_seconds(sign * (hours * 3600 + minutes * 60)).ok() }
}

/// Unix time with so many digits of a second, to milliseconds; what is finer is cut off.
fn unix_ms(text: &str, digits: u32) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|digit| digit.is_ascii_digit()) || whole.starts_with('+') {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    if digits >= 3 {
        return Some(whole.div_euclid(10_i64.pow(digits - 3)));
    }
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let signed = if text.starts_with('-') { -millis } else { millis };
    whole.checked_mul(1_000)?.checked_add(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(format: &str, zone: Option<&str>, text: &str) -> i64 {
        TimeFormat::new(format, zone).unwrap().read_ms(text).unwrap()
    }

    fn wrong(format: &str, zone: Option<&str>, text: &str) -> String {
        TimeFormat::new(format, zone).unwrap().read_ms(text).unwrap_err().to_string()
    }

    const NOON: i64 = 852_120_000_000;

    #[test]
    fn one_time_in_many_ways_of_writing() {
        for text in ["1997-01-01T12:00:00Z", "1997-01-01 12:00:00Z", "1997-01-01T14:00:00.000+02:00"] {
            assert_eq!(ms("rfc3339", None, text), NOON, "{text}");
        }
        assert_eq!(ms("rfc3339", Some("UTC"), "1997-01-01T12:00:00"), NOON);
        assert_eq!(ms("rfc3339", Some("UTC"), "1997-01-01 12:00:00.250"), NOON + 250);
        assert_eq!(ms("%Y-%m-%d %H:%M:%S", Some("+02:00"), "1997-01-01 14:00:00"), NOON);
        assert_eq!(ms("%d.%m.%Y %H:%M", Some("-0330"), " 01.01.1997 08:30 "), NOON);
        assert_eq!(ms("%Y-%m-%d %H:%M:%S %z", None, "1997-01-01 14:00:00 +0200"), NOON);
        assert_eq!(ms("%m/%d/%Y %I:%M %p", Some("UTC"), "01/01/1997 12:00 PM"), NOON);
        assert_eq!(ms("%Y%m%d", Some("UTC"), "19970101"), NOON - 12 * 3_600_000);
        assert_eq!(ms("%s", None, "852120000"), NOON);
        assert_eq!(ms("unix", None, "852120000"), NOON);
        assert_eq!(ms("unix", None, "852120000.5"), NOON + 500);
        assert_eq!(ms("unix_ms", None, "852120000001"), NOON + 1);
        assert_eq!(ms("unix_us", None, "852120000001999"), NOON + 1);
    }

    #[test]
    fn what_is_no_time_says_what_is_wanted() {
        assert!(wrong("rfc3339", None, "1997-01-01T12:00:00").contains("say its zone, as `zone = \"UTC\"`"));
        assert!(wrong("rfc3339", None, "yesterday").contains("as 2026-01-31T12:00:00Z"));
        assert!(wrong("unix", None, "12:00").contains("a number is wanted"));
        let pattern = wrong("%Y-%m-%d", Some("UTC"), "1997/01/01");
        assert!(pattern.starts_with("\"1997/01/01\" is no time by \"%Y-%m-%d\""), "{pattern}");
    }

    #[test]
    fn formats_and_zones_that_there_are_not_are_refused() {
        assert!(TimeFormat::new("iso", None).unwrap_err().contains("rfc3339"));
        assert!(TimeFormat::new("%Y %J", None).unwrap_err().contains("strptime"));
        assert!(TimeFormat::new("unix", Some("Mars/Base")).unwrap_err().contains("Mars/Base"));
    }

    #[test]
    fn days_are_counted_from_1970() {
        let day = |format, text| TimeFormat::new(format, None).unwrap().read_days(text).unwrap();
        assert_eq!(day("rfc3339", "1970-01-02"), 1);
        assert_eq!(day("%Y%m%d", "19700201"), 31);
        assert_eq!(day("%d.%m.%Y", "31.12.1969"), -1);
    }
}
