//! RFC 3339 time in UTC, with nine digits of fraction: as text it sorts like the time (D5, D9).

use std::time::{Duration, SystemTime};

/// `2026-11-23T15:09:18.`
const SECOND_LEN: usize = 20;

/// Time since the epoch; a clock that stands before 1970 counts as 1970.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// Writes times, and remembers the text of the last second.
#[derive(Debug)]
pub(crate) struct Rfc3339 {
    second: Option<u64>,
    text: [u8; SECOND_LEN],
}

impl Rfc3339 {
    pub(crate) const fn new() -> Self {
        Self {
            second: None,
            text: *b"0000-00-00T00:00:00.",
        }
    }

    /// Appends for example `2026-11-23T15:09:18.456847665Z`.
    pub(crate) fn write(&mut self, since_epoch: Duration, out: &mut Vec<u8>) {
        if self.second != Some(since_epoch.as_secs()) {
            self.second = Some(since_epoch.as_secs());
            self.text = second(since_epoch.as_secs());
        }
        let mut fraction = *b"000000000Z";
        let (digits, _) = fraction.split_at_mut(9);
        decimal(u64::from(since_epoch.subsec_nanos()), digits);
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&fraction);
    }
}

/// Writes a number right-aligned over `digits`, which must be zeros; higher digits are lost.
fn decimal(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn second(seconds: u64) -> [u8; SECOND_LEN] {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut text = *b"0000-00-00T00:00:00.";
    let fields = [
        (0..4, year),
        (5..7, month),
        (8..10, day),
        (11..13, of_day / 3600),
        (14..16, of_day / 60 % 60),
        (17..19, of_day % 60),
    ];
    for (place, value) in fields {
        if let Some(digits) = text.get_mut(place) {
            decimal(value, digits);
        }
    }
    text
}

/// The date `days` after 1970-01-01 in the Gregorian calendar.
///
/// Counts from 1 March of year 0, so that the leap day is the last of its year: 400 years have
/// 146 097 days, and five months from March on have 153.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(clock: &mut Rfc3339, seconds: u64, nanos: u32) -> String {
        let mut out = Vec::new();
        clock.write(Duration::new(seconds, nanos), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_with_nine_digits() {
        let clock = &mut Rfc3339::new();
        let cases = [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_399, 999_999_999, "2000-02-28T23:59:59.999999999Z"),
            (951_782_400, 1, "2000-02-29T00:00:00.000000001Z"),
            (951_868_800, 500_000_000, "2000-03-01T00:00:00.500000000Z"),
            (1_795_446_558, 456_847_665, "2026-11-23T15:09:18.456847665Z"),
            (1_795_446_558, 7, "2026-11-23T15:09:18.000000007Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000000000Z"),
        ];
        for (seconds, nanos, expected) in cases {
            assert_eq!(text(clock, seconds, nanos), expected);
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..146_097 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn times_far_away_do_not_panic() {
        text(&mut Rfc3339::new(), u64::MAX, 999_999_999);
        assert_eq!(
            since_epoch(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            Duration::ZERO
        );
    }
}
