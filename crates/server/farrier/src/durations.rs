//! Durations as people write them: `30s`, `10m`, `2h`.

use std::time::Duration;

/// Reads a whole number with a unit `ms`, `s`, `m` or `h`; a bare number is seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration; write for example 500ms, 30s, 10m or 2h");
    let (number, milliseconds) = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)]
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, *factor)))
        .unwrap_or((text, 1_000));
    let number: u64 = number.trim().parse().map_err(|_| bad())?;
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("30", 30_000),
            ("500ms", 500),
            ("10m", 600_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)));
        }
        for text in ["", "s", "-1s", "1.5h", "soon", "99999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
