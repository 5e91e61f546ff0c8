//! Times in certificates: whole seconds, in UTC.

use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use time::OffsetDateTime;

/// For people: `2026-11-27 07:33 UTC`.
pub fn shown(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (date, month) = (time.date(), u8::from(time.month()));
    format!(
        "{:04}-{month:02}-{:02} {:02}:{:02} UTC",
        date.year(),
        date.day(),
        time.hour(),
        time.minute()
    )
}

/// Before 1970 is 1970.
pub(crate) fn unix(time: SystemTime) -> UnixTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::since_unix_epoch(since)
}

/// Of a number in a certificate. Before 1970 is 1970.
pub(crate) fn of_timestamp(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_to_the_minute() {
        assert_eq!(shown(of_timestamp(1_795_764_815)), "2026-11-27 07:33 UTC");
        assert_eq!(shown(of_timestamp(-1)), "1970-01-01 00:00 UTC");
    }
}
