//! The Gregorian calendar of days since 1970-01-01, which is how Avro counts dates.

const DAYS_OF_400_YEARS: i64 = 146_097;
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

impl Day {
    /// The day that is so many days after 1970-01-01, or before it where negative.
    pub fn of(days_since_1970: i32) -> Day {
        let days = i64::from(days_since_1970);
        // Years are counted from March 0000, so that the leap day is a year's last and 400 years repeat exactly.
        let since_march_0000 = days + 719_468;
        let cycle = since_march_0000.div_euclid(DAYS_OF_400_YEARS);
        let day_of_cycle = since_march_0000.rem_euclid(DAYS_OF_400_YEARS);
        let year_of_cycle =
            (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
        let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        // From March on, five months have 153 days again and again.
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
        // 1970-01-01 was a Thursday.
        let weekday = (days + 4).rem_euclid(7);
        let small = |number: i64| u8::try_from(number).expect("parts of a date are below 32");
        Day { year, month: small(month), day: small(day), weekday: small(weekday) }
    }

    fn month_name(self) -> &'static str {
        MONTHS[usize::from(self.month) - 1]
    }

    fn weekday_name(self) -> &'static str {
        WEEKDAYS[usize::from(self.weekday)]
    }

    /// Midnight of the day as RFC 5322 writes it in a mail's `Date`.
    pub fn rfc5322(self) -> String {
        format!("{}, {:02} {} {:04} 00:00:00 +0000", self.weekday_name(), self.day, self.month_name(), self.year)
    }

    /// Midnight of the day as C's `asctime` writes it in an mbox's `From ` line.
    pub fn asctime(self) -> String {
        format!("{} {} {:2} 00:00:00 {:04}", self.weekday_name(), self.month_name(), self.day, self.year)
    }
}

/// The calendar month of a day, `YYYY-MM`.
pub fn month_of(days_since_1970: i32) -> String {
    let day = Day::of(days_since_1970);
    format!("{:04}-{:02}", day.year, day.month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_across_leap_years_and_the_epoch() {
        let date = |days| {
            let day = Day::of(days);
            (day.year, day.month, day.day, day.weekday_name())
        };
        assert_eq!(date(0), (1970, 1, 1, "Thu"));
        assert_eq!(date(-1), (1969, 12, 31, "Wed"));
        assert_eq!(date(9_862), (1997, 1, 1, "Wed"));
        assert_eq!(date(10_407), (1998, 6, 30, "Tue"));
        assert_eq!(date(11_016), (2000, 2, 29, "Tue"));
        assert_eq!(date(11_017), (2000, 3, 1, "Wed"));
    }

    #[test]
    fn every_day_of_eight_centuries_follows_its_day_before() {
        let mut before = Day::of(-150_000);
        for days in -149_999..150_000 {
            let today = Day::of(days);
            let next_in_month = (today.year, today.month, today.day) == (before.year, before.month, before.day + 1);
            let new_month = today.day == 1
                && before.day >= 28
                && (today.month, today.year)
                    == if before.month == 12 { (1, before.year + 1) } else { (before.month + 1, before.year) };
            assert!(next_in_month || new_month, "{before:?} is followed by {today:?}");
            before = today;
        }
    }

    #[test]
    fn dates_are_written_as_mails_want_them() {
        assert_eq!(Day::of(9_862).rfc5322(), "Wed, 01 Jan 1997 00:00:00 +0000");
        assert_eq!(Day::of(9_862).asctime(), "Wed Jan  1 00:00:00 1997");
        assert_eq!(month_of(9_893), "1997-02");
    }
}
