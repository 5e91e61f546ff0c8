//! `grpc-timeout`: how long a client wants to wait.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

const TIMEOUT: &str = "grpc-timeout";
/// Digits that the protocol allows.
const DIGITS_MAX: usize = 8;

/// When the call has to be over, if its client says so. What is malformed says nothing.
pub(crate) fn of(headers: &HeaderMap) -> Option<Instant> {
    let timeout = parse(headers.get(TIMEOUT)?.to_str().ok()?)?;
    Instant::now().checked_add(timeout)
}

fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_bounds_of_the_protocol() {
        let seconds = Duration::from_secs;
        assert_eq!(parse("2H"), Some(seconds(7200)));
        assert_eq!(parse("3M"), Some(seconds(180)));
        assert_eq!(parse("0S"), Some(seconds(0)));
        assert_eq!(parse("99999999m"), Some(Duration::from_millis(99_999_999)));
        assert_eq!(parse("5u"), Some(Duration::from_micros(5)));
        assert_eq!(parse("7n"), Some(Duration::from_nanos(7)));
        for wrong in ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "123456789S", "1é"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
