//! `farrier stats`: how builds went, and what is kept for the next ones.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::Value;

use super::report::{ReportOptions, asked};
use crate::byte_size::ByteSize;
use crate::commands::output::print;

/// Builds that are told.
const BUILDS_TOLD_MAX: usize = 20;

/// Runs `farrier stats`.
pub(crate) fn stats(options: &ReportOptions) -> Result<ExitCode> {
    let stats = asked("stats", None)?;
    match options.json {
        true => print(&format!("{stats}\n"))?,
        false => print(&table(&stats, SystemTime::now()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn table(stats: &Value, now: SystemTime) -> String {
    let builds: Vec<_> = stats["builds"].as_array().into_iter().flatten().collect();
    let mut text = format!(
        "{:>10}  {:>8}  {:>6}  {:>5}  {:>7}  {:>6}  {:>6}  {:>9}\n",
        "ago", "took", "steps", "hits", "remote", "here", "other", "spared"
    );
    let skipped = builds.len().saturating_sub(BUILDS_TOLD_MAX);
    // Writing to a string cannot fail.
    for build in builds.iter().skip(skipped) {
        let _ = writeln!(text, "{}", line(build, now));
    }
    let cache = &stats["cache"];
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let _ = match cache.is_null() {
        true => writeln!(text, "this machine keeps no results"),
        false => writeln!(
            text,
            "this machine keeps {} results, {} of {}",
            count(&cache["results"]),
            ByteSize(count(&cache["bytes"])),
            ByteSize(count(&cache["capacity_bytes"]))
        ),
    };
    let _ = writeln!(
        text,
        "{} steps and {} files are remembered",
        count(&stats["steps_known"]),
        count(&stats["files_known"])
    );
    text
}

fn line(build: &Value, now: SystemTime) -> String {
    let count = |name: &str| build[name].as_u64().unwrap_or_default();
    let (begun, ended) = (count("begun_us"), count("ended_us"));
    let ago = now
        .duration_since(UNIX_EPOCH + Duration::from_micros(ended))
        .unwrap_or_default();
    let here = count("local") + count("local_only");
    let steps = count("hits") + count("remote") + here;
    let percent = (count("hits") * 100).checked_div(steps);
    format!(
        "{:>8} s  {:>6.1} s  {steps:>6}  {:>5}  {:>7}  {here:>6}  {:>6}  {:>7.1} s",
        ago.as_secs(),
        ended.saturating_sub(begun) as f64 / 1e6,
        percent.map_or_else(String::new, |percent| format!("{percent} %")),
        count("remote"),
        count("real"),
        build["spared_ms"].as_f64().unwrap_or_default() / 1e3,
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_build_is_a_line() {
        let build = json!({
            "begun_us": 1_000_000, "ended_us": 3_500_000, "hits": 3, "remote": 0, "local": 1, "local_only": 0, "real": 7,
            "spared_ms": 1500.0,
        });
        let now = UNIX_EPOCH + Duration::from_secs(60);
        assert_eq!(
            line(&build, now),
            "      56 s     2.5 s       4   75 %        0       1       7      1.5 s"
        );
        let stats = json!({ "builds": [build], "cache": null, "steps_known": 4, "files_known": 50 });
        let text = table(&stats, now);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with("4 steps and 50 files are remembered\n"), "{text}");
    }
}
