//! The kinds of values that flags take, as Go's `flag` package and reclient's own lists and maps are written.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false` and their short forms; alone it is true.
    Bool,
    /// A whole number, in Go's notations.
    Int,
    /// A number.
    Float,
    /// As `1h30m`, `250ms`, `0`.
    Duration,
    /// Text.
    Text,
    /// A path, or something else that need not be text.
    Path,
    /// Texts or paths with commas between them.
    List,
    /// `key=value` with commas between them.
    Map,
}

impl Kind {
    /// The word for it in usage texts.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Bool => "",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Duration => "duration",
            Kind::Text => "string",
            Kind::Path => "path",
            Kind::List => "value,…",
            Kind::Map => "key=value,…",
        }
    }

    /// Why this is no such value, if it is none.
    pub(crate) fn complaint(self, value: &OsStr) -> Option<&'static str> {
        let text = value.to_str();
        match self {
            Kind::Bool => text.and_then(bool_of).is_none().then_some("is no boolean"),
            Kind::Int => text.and_then(int_of).is_none().then_some("is no whole number"),
            Kind::Float => text.and_then(float_of).is_none().then_some("is no number"),
            Kind::Duration => text
                .and_then(nanoseconds_of)
                .is_none()
                .then_some("is no duration, as 1h30m or 250ms"),
            Kind::Text => text.is_none().then_some("is not UTF-8"),
            Kind::Path | Kind::List => None,
            Kind::Map => text
                .and_then(map_of)
                .is_none()
                .then_some("is no list of key=value with commas between them"),
        }
    }
}

pub(crate) fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Decimal, or `0x`, `0o`, `0b`, or octal after a leading zero.
pub(crate) fn int_of(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    // No second sign: `from_str_radix` would take one.
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if is_negative { -number } else { number }).ok()
}

pub(crate) fn float_of(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// Negative durations are values too: some flags mean "none" by them.
pub(crate) fn nanoseconds_of(text: &str) -> Option<i64> {
    let (is_negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, nanoseconds) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        sum += number * nanoseconds;
    }
    let sum = if is_negative { -sum } else { sum };
    (sum.abs() < i64::MAX as f64).then_some(sum as i64)
}

/// Longer names before those that they begin with.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
    ("h", 3.6e12),
];

/// A duration that is not negative.
pub(crate) fn duration_of(text: &str) -> Option<Duration> {
    Some(Duration::from_nanos(u64::try_from(nanoseconds_of(text)?).ok()?))
}

pub(crate) fn list_of(value: &OsStr) -> Vec<OsString> {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .filter(|element| !element.is_empty())
        .map(|element| OsStr::from_bytes(element).to_owned())
        .collect()
}

pub(crate) fn map_of(text: &str) -> Option<BTreeMap<String, String>> {
    text.split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_go_s() {
        for word in ["1", "t", "T", "true", "TRUE", "True"] {
            assert_eq!(bool_of(word), Some(true), "{word}");
        }
        for word in ["0", "f", "F", "false", "FALSE", "False"] {
            assert_eq!(bool_of(word), Some(false), "{word}");
        }
        for word in ["", "yes", "tRUE", " true"] {
            assert_eq!(bool_of(word), None, "{word}");
        }
    }

    #[test]
    fn numbers_are_go_s() {
        let cases: [(&str, Option<i64>); 14] = [
            ("0", Some(0)),
            ("10", Some(10)),
            ("-1", Some(-1)),
            ("+7", Some(7)),
            ("0x10", Some(16)),
            ("0o17", Some(15)),
            ("017", Some(15)),
            ("0b11", Some(3)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("--1", None),
            ("1.5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(int_of(text), expected, "{text}");
        }
        assert_eq!(float_of("0.75"), Some(0.75));
        assert_eq!(float_of("NaN"), None);
    }

    #[test]
    fn durations_are_go_s() {
        let cases: [(&str, Option<i64>); 14] = [
            ("0", Some(0)),
            ("1h", Some(3_600_000_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("250ms", Some(250_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("2µs", Some(2000)),
            ("5us", Some(5000)),
            ("7ns", Some(7)),
            ("-1s", Some(-1_000_000_000)),
            ("10", None),
            ("", None),
            ("-", None),
            ("1x", None),
            ("99999999999h", None),
        ];
        for (text, expected) in cases {
            assert_eq!(nanoseconds_of(text), expected, "{text}");
        }
        assert_eq!(duration_of("3m"), Some(Duration::from_secs(180)));
        assert_eq!(duration_of("-3m"), None);
    }

    #[test]
    fn lists_and_maps_have_commas() {
        assert_eq!(list_of(OsStr::new("a,b c,,d")), ["a", "b c", "d"]);
        assert_eq!(list_of(OsStr::new("")), [] as [&str; 0]);
        let map = map_of("a=b,image=docker://x@sha256:1=2").unwrap();
        assert_eq!(map["image"], "docker://x@sha256:1=2");
        assert_eq!(map_of(""), Some(BTreeMap::new()));
        assert_eq!(map_of("a"), None);
        assert_eq!(map_of("=a"), None);
    }
}
