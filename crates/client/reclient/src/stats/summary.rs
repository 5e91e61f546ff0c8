//! Lines about a build that people read.

use std::collections::BTreeMap;

use reclient_api::log::CompletionStatus;
use reclient_api::stats::Stats;

/// The largest unit that sizes have.
const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];

/// `3 cache hits, 1 remote execution`: how commands ended, from counts by the names of [`CompletionStatus`]; in its order.
pub fn completed(counts: &BTreeMap<String, i64>) -> String {
    let statuses = (0..).map_while(|number| CompletionStatus::try_from(number).ok());
    let parts: Vec<String> = statuses
        .filter_map(|status| {
            let name = status.as_str_name();
            let count = *counts.get(name).filter(|count| **count > 0)?;
            let words = name
                .trim_start_matches("STATUS_")
                .to_lowercase()
                .replace('_', " ");
            let plural = if count > 1 { "s" } else { "" };
            Some(format!("{count} {words}{plural}"))
        })
        .collect();
    parts.join(", ")
}

/// What bootstrap says at the end of a build.
pub fn stats_line(stats: &Stats) -> String {
    let count = |name: &str| {
        let found = stats.stats.iter().find(|stat| stat.name == name);
        found.map_or(0, |stat| stat.count)
    };
    let statuses = stats.stats.iter().find(|stat| stat.name == "CompletionStatus");
    let counts = statuses.map(|stat| &stat.counts_by_value).into_iter().flatten();
    let counts = counts.map(|value| (value.name.clone(), value.count)).collect();
    let completed = match completed(&counts) {
        none if none.is_empty() => none,
        some => format!(", {some}"),
    };
    format!(
        "RBE Stats: down {}, up {}{completed}",
        bytes(count("RemoteMetadata.RealBytesDownloaded")),
        bytes(count("RemoteMetadata.RealBytesUploaded"))
    )
}

/// `999 B`, `1.50 KB`: in thousands, two digits behind the point.
fn bytes(number: i64) -> String {
    if number < 1000 {
        return format!("{number} B");
    }
    let mut size = number as f64 / 1000.0;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{size:.2} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use reclient_api::stats::{Stat, stat};

    use super::*;

    #[test]
    fn endings_are_counted_in_their_order() {
        let check = |counts: &[(&str, i64)], expected: &str| {
            let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count));
            assert_eq!(completed(&counts.collect()), expected);
        };
        check(&[], "");
        check(&[("STATUS_CACHE_HIT", 1)], "1 cache hit");
        check(
            &[
                ("STATUS_NON_ZERO_EXIT", 2),
                ("STATUS_CACHE_HIT", 3),
                ("STATUS_REMOTE_EXECUTION", 1),
                ("STATUS_TIMEOUT", 0),
            ],
            "3 cache hits, 1 remote execution, 2 non zero exits",
        );
        check(&[("STATUS_INTERRUPTED", 1), ("SOMETHING", 9)], "1 interrupted");
    }

    #[test]
    fn sizes_are_in_thousands() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1500, "1.50 KB"),
            (2_000_000, "2.00 MB"),
            (i64::MAX, "9223.37 PB"),
        ];
        for (number, expected) in cases {
            assert_eq!(bytes(number), expected);
        }
    }

    #[test]
    fn the_line_at_the_end() {
        let number = |name: &str, count| Stat {
            name: name.to_owned(),
            count,
            ..Stat::default()
        };
        let mut stats = Stats {
            stats: vec![
                number("RemoteMetadata.RealBytesDownloaded", 1500),
                number("RemoteMetadata.RealBytesUploaded", 7),
                number("[type=tool].RemoteMetadata.RealBytesUploaded", 5),
            ],
            ..Stats::default()
        };
        assert_eq!(stats_line(&stats), "RBE Stats: down 1.50 KB, up 7 B");
        stats.stats.push(Stat {
            name: "CompletionStatus".to_owned(),
            counts_by_value: vec![stat::Value {
                name: "STATUS_CACHE_HIT".to_owned(),
                count: 2,
            }],
            ..Stat::default()
        });
        assert_eq!(
            stats_line(&stats),
            "RBE Stats: down 1.50 KB, up 7 B, 2 cache hits"
        );
    }
}
