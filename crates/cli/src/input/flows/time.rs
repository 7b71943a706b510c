//! Times as people write them.

use jiff::Timestamp;

/// A time as requests have it.
pub fn to_proto(time: Timestamp) -> podgate_hubble::proto::Timestamp {
    podgate_hubble::proto::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// `5m` ago, or a point in time.
pub fn time(text: &str) -> Result<Timestamp, String> {
    if let Some(nanos) = duration(text) {
        let ago = i64::try_from(nanos).map(jiff::SignedDuration::from_nanos);
        let then = ago.ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok());
        return then.ok_or_else(|| format!("{text} ago was before the calendar begins"));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let day = text.parse::<jiff::civil::Date>().ok().and_then(|day| {
        let zoned = day.to_zoned(jiff::tz::TimeZone::UTC);
        zoned.ok().map(|zoned| zoned.timestamp())
    });
    day.ok_or_else(|| "write 5m or 1h30m for so long ago, 2026-01-31T10:00:00Z, or 2026-01-31".to_owned())
}

/// `1h30m` in nanoseconds.
fn duration(text: &str) -> Option<u128> {
    let mut rest = text;
    let mut sum = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let unit: u128 = match unit {
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            _ => return None,
        };
        sum += u128::from(number.parse::<u32>().ok()?) * unit;
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("1h30m"), Some(5_400_000_000_000));
        assert_eq!(duration("250ms"), Some(250_000_000));
        for text in ["", "5", "m", "5x", "-5m"] {
            assert_eq!(duration(text), None, "{text}");
        }
        let at = |text: &str| time(text).unwrap().to_string();
        assert_eq!(at("2026-01-31T10:00:00+01:00"), "2026-01-31T09:00:00Z");
        assert_eq!(at("2026-01-31"), "2026-01-31T00:00:00Z");
        assert!(time("yesterday").unwrap_err().contains("1h30m"));
    }
}
