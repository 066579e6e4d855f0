//! Event times as text: RFC 3339 in UTC with milliseconds, of one length, so that their order as bytes is their order.

/// The last millisecond of the year 9999: later times have no text of the same length.
pub const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// The bytes of a time's text.
pub(super) const TEXT_BYTES: usize = "1970-01-01T00:00:00.000Z".len();

const DAY_MS: i64 = 86_400_000;
const DAYS_OF_400_YEARS: i64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

/// Appends the text of a time from the Unix epoch to [`MAX_TIME_MS`].
pub(super) fn write_time(time_ms: i64, out: &mut Vec<u8>) {
    debug_assert!((0..=MAX_TIME_MS).contains(&time_ms), "{time_ms} has no text");
    let (year, month, day) = civil(time_ms.div_euclid(DAY_MS));
    let of_day = time_ms.rem_euclid(DAY_MS);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    for (number, digits, end) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (hour, 2, b':'),
        (minute, 2, b':'),
        (second, 2, b'.'),
        (of_day % 1_000, 3, b'Z'),
    ] {
        for place in (0..digits).rev() {
            let digit = number / 10_i64.pow(place) % 10;
            out.push(b'0' + u8::try_from(digit).expect("a decimal digit"));
        }
        out.push(end);
    }
}

/// The text of a time; times without one are shown in milliseconds.
pub fn format_time(time_ms: i64) -> String {
    if !(0..=MAX_TIME_MS).contains(&time_ms) {
        return format!("{time_ms} ms");
    }
    let mut text = Vec::with_capacity(TEXT_BYTES);
    write_time(time_ms, &mut text);
    String::from_utf8(text).expect("digits and separators")
}

/// Milliseconds since the Unix epoch of a time as `1997-01-31T12:00:00Z`, with or without three digits of milliseconds.
pub fn parse_time(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, separator)| bytes.get(*at) != Some(separator)) {
        return None;
    }
    let millis = match bytes.get(19..)? {
        b"Z" => 0,
        [b'.', _, _, _, b'Z'] => number(20, 23)?,
        _ => return None,
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let days = days(year, month, day);
    if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1_000 + millis)
}

/// Year, month and day of a count of days since 1970-01-01. Years begin in March here, so that the leap day is the last.
fn civil(days_since_1970: i64) -> (i64, i64, i64) {
    let days = days_since_1970 + DAYS_TO_1970;
    let (cycle, of_cycle) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    // From March on, five months have 153 days again and again.
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let calendar_month = (month + 2) % 12 + 1;
    (cycle * 400 + year + i64::from(calendar_month <= 2), calendar_month, day)
}

/// The inverse of [`civil`]; of a date that does not exist it gives some day, which has another date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let march_year = year - i64::from(month <= 2);
    let (cycle, of_cycle) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * DAYS_OF_400_YEARS + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - DAYS_TO_1970
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_times_have_their_known_texts() {
        for (text, time_ms) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("1997-01-01T00:00:00.000Z", 852_076_800_000),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("9999-12-31T23:59:59.999Z", MAX_TIME_MS),
        ] {
            assert_eq!(format_time(time_ms), text);
            assert_eq!(parse_time(text), Some(time_ms));
        }
        assert_eq!(parse_time("1997-01-01T00:00:00Z"), Some(852_076_800_000));
        assert_eq!(format_time(-1), "-1 ms");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "1997-01-01", "1997-02-29T00:00:00Z", "1997-13-01T00:00:00Z", "1997-00-10T00:00:00Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
        for text in ["1997-01-01T24:00:00Z", "1997-01-01T00:00:00", "1997-01-01T00:00:00.12Z", "+997-01-01T00:00:00Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_come_back_and_stand_in_the_order_of_their_times(a in 0..=MAX_TIME_MS, b in 0..=MAX_TIME_MS) {
            prop_assert_eq!(parse_time(&format_time(a)), Some(a));
            prop_assert_eq!(format_time(a).len(), TEXT_BYTES);
            prop_assert_eq!(format_time(a).cmp(&format_time(b)), a.cmp(&b));
        }
    }
}
