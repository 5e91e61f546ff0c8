//! What the clouds say, and in how many seconds it will be so. Pure.

use std::time::{Duration, SystemTime};

use serde_json::Value;

/// What Google and Azure give at least, and what is taken where nothing is said.
const SHORTEST: Duration = Duration::from_secs(30);
/// Whoever says more is not believed: a worker that leaves takes nothing new.
const LONGEST: Duration = Duration::from_secs(600);

/// A number of seconds, if that is what the text begins with.
pub(super) fn seconds(text: &str) -> Duration {
    let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
    number.map_or(SHORTEST, Duration::from_secs).min(LONGEST)
}

/// `{"action": "terminate", "time": "2026-11-27T08:22:00Z"}`, whatever the action: the machine stops.
pub(super) fn of_aws(text: &str, now: SystemTime) -> Duration {
    let said: Option<Value> = serde_json::from_str(text).ok();
    let at = said.as_ref().and_then(|said| said.get("time")?.as_str());
    let at = at
        .and_then(unix_seconds)
        .map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
    match at {
        Some(at) => at.duration_since(now).unwrap_or_default().min(LONGEST),
        None => SHORTEST,
    }
}

/// `TRUE` or `FALSE`.
pub(super) fn of_gcp(text: &str) -> Option<Duration> {
    text.trim().eq_ignore_ascii_case("true").then_some(SHORTEST)
}

/// Events of a whole set of machines, of which one may be this one's end.
pub(super) fn of_azure(text: &str, name: &str) -> Option<Duration> {
    let said: Value = serde_json::from_str(text).ok()?;
    let is_ours = |event: &Value| match event.get("Resources").and_then(Value::as_array) {
        Some(resources) if !name.is_empty() => resources.iter().any(|resource| {
            resource
                .as_str()
                .is_some_and(|resource| resource.eq_ignore_ascii_case(name))
        }),
        // Nobody says whose it is.
        _ => true,
    };
    let is_end = |event: &Value| {
        let kind = event.get("EventType").and_then(Value::as_str);
        kind.is_some_and(|kind| ["Preempt", "Terminate"].contains(&kind))
    };
    let events = said.get("Events")?.as_array()?;
    events
        .iter()
        .any(|event| is_end(event) && is_ours(event))
        .then_some(SHORTEST)
}

/// Of `2026-11-27T08:22:00Z`, seconds since 1970.
fn unix_seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, between: char| -> Option<[u64; 3]> {
        let numbers: Option<Vec<u64>> = text.split(between).map(|number| number.parse().ok()).collect();
        numbers?.try_into().ok()
    };
    let time = time.split_once('.').map_or(time, |(whole, _)| whole);
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Counted from March, so that the day that comes every four years is the last of its year.
    let (years, months) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + day - 1;
    // Between that count's first day and 1970.
    let days = days.checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:00Z", Some(951_825_600)),
            ("2026-11-27T07:33:35Z", Some(1_795_764_815)),
            ("2026-11-27T07:33:35.250Z", Some(1_795_764_815)),
            ("2026-11-27T07:33:35", None),
            ("2026-13-27T07:33:35Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("soon", None),
        ] {
            assert_eq!(unix_seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn each_cloud_is_understood() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_764_815);
        let seconds_of = |left: Duration| left.as_secs();
        for (text, left) in [
            (r#"{"action":"terminate","time":"2026-11-27T07:35:33Z"}"#, 118),
            (r#"{"action":"stop","time":"2026-11-27T07:30:00Z"}"#, 0),
            (r#"{"action":"stop","time":"2027-11-27T07:30:00Z"}"#, 600),
            ("terminate", 30),
        ] {
            assert_eq!(seconds_of(of_aws(text, now)), left, "{text}");
        }
        assert_eq!(
            (of_gcp("TRUE\n"), of_gcp("FALSE"), of_gcp("")),
            (Some(SHORTEST), None, None)
        );
        let azure = |events: &str| {
            of_azure(
                &format!(r#"{{"DocumentIncarnation":1,"Events":[{events}]}}"#),
                "vm_1",
            )
        };
        for (events, ends) in [
            ("", false),
            (
                r#"{"EventType":"Preempt","Resources":["VM_1"],"NotBefore":""}"#,
                true,
            ),
            (r#"{"EventType":"Preempt","Resources":["vm_2"]}"#, false),
            (r#"{"EventType":"Reboot","Resources":["vm_1"]}"#, false),
            (r#"{"EventType":"Freeze"},{"EventType":"Terminate"}"#, true),
        ] {
            assert_eq!(azure(events).is_some(), ends, "{events}");
        }
        assert_eq!(of_azure("?", "vm_1"), None);
        for (text, left) in [
            ("", 30),
            ("90", 90),
            ("90 s\n", 90),
            ("soon", 30),
            ("99999", 600),
            ("0", 0),
        ] {
            assert_eq!(seconds_of(seconds(text)), left, "{text}");
        }
    }
}
