//! A field's text as Avro bytes.

use super::error::{FaultReason, shown};
use super::times::TimeFormat;
use crate::contract::{Datum, write_bytes, write_long};

/// How a field's text becomes Avro.
#[derive(Debug, Clone)]
pub(super) enum Encoding {
    String,
    Bytes,
    Int,
    Long,
    Float,
    Double,
    Boolean,
    /// A decimal number as whole units of its last place.
    Decimal {
        scale: u32,
        whole: Whole,
    },
    /// Days since 1970-01-01.
    Date(TimeFormat),
    /// Time since the epoch, in so many units a millisecond.
    Timestamp {
        format: TimeFormat,
        per_ms: i64,
    },
    Enum {
        symbols: Vec<String>,
    },
}

/// The Avro type of a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Int,
    Long,
}

impl Encoding {
    /// What is wanted, for messages.
    pub(super) fn wanted(&self) -> String {
        match self {
            Encoding::String => "text".to_owned(),
            Encoding::Bytes => "bytes".to_owned(),
            Encoding::Int | Encoding::Long => "a whole number".to_owned(),
            Encoding::Float | Encoding::Double => "a number".to_owned(),
            Encoding::Boolean => "true or false (or yes, no, 1, 0)".to_owned(),
            Encoding::Decimal { scale, .. } => format!("a number with at most {scale} decimal places"),
            Encoding::Date(_) => "a date".to_owned(),
            Encoding::Timestamp { .. } => "a time".to_owned(),
            Encoding::Enum { .. } => "a symbol of the enum".to_owned(),
        }
    }

    /// Whether a text of no characters is a value.
    pub(super) fn takes_empty(&self) -> bool {
        matches!(self, Encoding::String | Encoding::Bytes)
    }

    /// Appends the bytes of a text. On error `out` is as before.
    pub(super) fn write(&self, text: &str, out: &mut Vec<u8>) -> Result<(), FaultReason> {
        let not_a = || FaultReason::NotA { found: shown(text), wanted: self.wanted() };
        let number = text.trim();
        match self {
            Encoding::String | Encoding::Bytes => write_bytes(text.as_bytes(), out),
            Encoding::Int => {
                write_long(whole(number, Whole::Int).map_err(|_| self.not_whole(number, Whole::Int))?, out)
            }
            Encoding::Long => {
                write_long(whole(number, Whole::Long).map_err(|_| self.not_whole(number, Whole::Long))?, out)
            }
            Encoding::Float => number.parse::<f32>().map_err(|_| not_a())?.write(out),
            Encoding::Double => number.parse::<f64>().map_err(|_| not_a())?.write(out),
            Encoding::Boolean => boolean(number).ok_or_else(not_a)?.write(out),
            Encoding::Decimal { scale, whole } => write_long(decimal(number, *scale, *whole)?, out),
            Encoding::Date(format) => write_long(i64::from(format.read_days(number)?), out),
            Encoding::Timestamp { format, per_ms } => {
                let ms = format.read_ms(number)?;
                let (min, max) = (i64::MIN / per_ms, i64::MAX / per_ms);
                let units = ms.checked_mul(*per_ms);
                write_long(units.ok_or_else(|| out_of_range(number, "a timestamp", min, max))?, out);
            }
            Encoding::Enum { symbols } => {
                let index = symbols.iter().position(|symbol| symbol == number);
                let unknown = || FaultReason::NoSymbol { found: shown(number), symbols: symbols.join(", ") };
                write_long(index.ok_or_else(unknown)? as i64, out);
            }
        }
        Ok(())
    }

    fn not_whole(&self, text: &str, kind: Whole) -> FaultReason {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return beyond(text, kind);
        }
        FaultReason::NotA { found: shown(text), wanted: self.wanted() }
    }
}

fn out_of_range(found: &str, wanted: &'static str, min: i64, max: i64) -> FaultReason {
    FaultReason::OutOfRange { found: shown(found), wanted, min, max }
}

fn beyond(found: &str, kind: Whole) -> FaultReason {
    match kind {
        Whole::Int => out_of_range(found, "an int", i32::MIN.into(), i32::MAX.into()),
        Whole::Long => out_of_range(found, "a long", i64::MIN, i64::MAX),
    }
}

fn whole(text: &str, kind: Whole) -> Result<i64, std::num::ParseIntError> {
    match kind {
        Whole::Int => text.parse::<i32>().map(i64::from),
        Whole::Long => text.parse(),
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is(&["true", "yes", "t", "y", "1"]) => Some(true),
        () if is(&["false", "no", "f", "n", "0"]) => Some(false),
        () => None,
    }
}

/// `29.33` with a scale of 2 is 2933. Exact: what does not fit is refused, not rounded.
fn decimal(text: &str, scale: u32, kind: Whole) -> Result<i64, FaultReason> {
    let not_a =
        || FaultReason::NotA { found: shown(text), wanted: format!("a number with at most {scale} decimal places") };
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (units, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if !are_digits(units) || !are_digits(fraction) || (units.is_empty() && fraction.is_empty()) {
        return Err(not_a());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale as usize {
        return Err(FaultReason::TooManyDecimals { found: shown(text), scale });
    }
    let padding = std::iter::repeat_n(b'0', scale as usize - fraction.len());
    let all = units.bytes().chain(fraction.bytes()).chain(padding);
    // Counted downwards, since the smallest long has no positive counterpart.
    let negative =
        all.map(|digit| i64::from(digit - b'0')).try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_sub(digit));
    let value = negative.and_then(|negative| if is_negative { Some(negative) } else { negative.checked_neg() });
    value.filter(|value| kind == Whole::Long || i32::try_from(*value).is_ok()).ok_or_else(|| beyond(text, kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::Input;

    fn long(encoding: &Encoding, text: &str) -> Result<i64, String> {
        let mut out = Vec::new();
        encoding.write(text, &mut out).map_err(|reason| reason.to_string())?;
        Ok(i64::read(&mut Input::new(&out)).unwrap())
    }

    const CENTS: Encoding = Encoding::Decimal { scale: 2, whole: Whole::Long };

    #[test]
    fn decimals_are_exact_or_refused() {
        for (text, value) in [("29.33", 2933), ("29", 2900), ("-0.5", -50), (".07", 7), ("1.500", 150), ("+3.", 300)] {
            assert_eq!(long(&CENTS, text), Ok(value), "{text}");
        }
        assert_eq!(long(&CENTS, "-92233720368547758.08"), Ok(i64::MIN));
        for (text, reason) in [
            ("29.333", "\"29.333\" has more than 2 decimal places: raise the field's scale, nothing is rounded"),
            ("$5", "\"$5\" is not a number with at most 2 decimal places"),
            ("1,5", "\"1,5\" is not a number with at most 2 decimal places"),
            (".", "\".\" is not a number with at most 2 decimal places"),
            (
                "92233720368547758.08",
                "92233720368547758.08 is out of range: a long goes from -9223372036854775808 to 9223372036854775807",
            ),
        ] {
            assert_eq!(long(&CENTS, text), Err(reason.to_owned()), "{text}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_told_from_what_is_no_number() {
        assert_eq!(long(&Encoding::Int, " 42 "), Ok(42));
        assert_eq!(
            long(&Encoding::Int, "2147483648"),
            Err("2147483648 is out of range: an int goes from -2147483648 to 2147483647".to_owned())
        );
        assert_eq!(long(&Encoding::Int, "4.0"), Err("\"4.0\" is not a whole number".to_owned()));
        assert_eq!(long(&Encoding::Long, "x"), Err("\"x\" is not a whole number".to_owned()));
    }

    #[test]
    fn enums_and_booleans_say_what_there_is() {
        let encoding = Encoding::Enum { symbols: vec!["CARD".to_owned(), "CASH".to_owned()] };
        assert_eq!(long(&encoding, "CASH"), Ok(1));
        let reason = "\"cheque\" is no symbol of the enum; its symbols are: CARD, CASH";
        assert_eq!(long(&encoding, "cheque"), Err(reason.to_owned()));
        let mut out = Vec::new();
        Encoding::Boolean.write("Yes", &mut out).unwrap();
        Encoding::Boolean.write("0", &mut out).unwrap();
        assert_eq!(out, [1, 0]);
        assert!(Encoding::Boolean.write("maybe", &mut out).is_err());
    }

    proptest! {
        #[test]
        fn every_decimal_comes_out_as_its_digits(cents: i32) {
            let sign = if cents < 0 { "-" } else { "" };
            let (units, rest) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
            prop_assert_eq!(long(&CENTS, &format!("{sign}{units}.{rest:02}")), Ok(i64::from(cents)));
        }

        #[test]
        fn any_text_is_taken_or_refused_without_a_panic(text: String, scale in 0_u32..19) {
            let _ = long(&Encoding::Decimal { scale, whole: Whole::Int }, &text);
            let _ = long(&Encoding::Int, &text);
        }
    }
}
