//! `farrier run --reproducible`: variables by which builds leave out when, where and by whom they were done.

use std::ffi::{OsStr, OsString};

/// The time of everything that asks for one, in seconds since 1970: the first that all archive formats can hold.
const EPOCH: u64 = 315_532_800;
/// Who builds, and where.
const NOBODY: &str = "farrier";

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// Variables to set: those of the Linux kernel, and the one that compilers and archivers know. What is set already stays,
/// and the kernel's time follows the other.
pub(super) fn variables(set: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    let is_set = |name: &str| set(name).is_some_and(|value| !value.is_empty());
    let named = set("SOURCE_DATE_EPOCH");
    let named = named.as_deref().and_then(OsStr::to_str);
    let epoch = named.and_then(|epoch| epoch.parse().ok()).unwrap_or(EPOCH);
    let mut variables = vec![
        ("SOURCE_DATE_EPOCH", OsString::from(EPOCH.to_string())),
        ("KBUILD_BUILD_TIMESTAMP", date(epoch).into()),
        ("KBUILD_BUILD_USER", NOBODY.into()),
        ("KBUILD_BUILD_HOST", NOBODY.into()),
        ("KBUILD_BUILD_VERSION", "1".into()),
    ];
    variables.retain(|(name, _)| !is_set(name));
    variables
}

/// As `date --date` reads it again.
fn date(epoch: u64) -> String {
    let (mut days, seconds) = (epoch / SECONDS_OF_A_DAY, epoch % SECONDS_OF_A_DAY);
    // 400 years have always as many days, so what is beyond them costs no loop.
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let mut year = 1970 + days / DAYS_OF_400_YEARS * 400;
    days %= DAYS_OF_400_YEARS;
    let is_leap = |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{year}-{month:02}-{:02} {hours:02}:{minutes:02}:{:02} UTC",
        days + 1,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (epoch, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (EPOCH, "1980-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(epoch), expected, "{epoch}");
        }
        assert!(date(u64::MAX).ends_with(" UTC"));
    }

    #[test]
    fn what_is_set_stays() {
        let names = |set: &[(&str, &str)]| {
            let value = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            };
            variables(value)
        };
        assert_eq!(names(&[]).len(), 5);
        let some = names(&[("KBUILD_BUILD_USER", "me"), ("SOURCE_DATE_EPOCH", "0")]);
        assert!(
            some.iter()
                .all(|(name, _)| *name != "KBUILD_BUILD_USER" && *name != "SOURCE_DATE_EPOCH")
        );
        let time = some
            .iter()
            .find(|(name, _)| *name == "KBUILD_BUILD_TIMESTAMP")
            .unwrap();
        assert_eq!(time.1, "1970-01-01 00:00:00 UTC");
    }
}
