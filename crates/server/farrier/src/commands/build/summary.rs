//! What came of a build, in a few lines.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

/// Reasons that are told, the most frequent first.
const REASONS_TOLD_MAX: usize = 6;

/// What is told of where the time went: words, and the daemon's names for what is in it.
const SPENT: [(&str, &[&str]); 7] = [
    ("planning", &["planning"]),
    ("looking results up", &["look-up"]),
    ("at workers", &["worker"]),
    ("in the server's queue", &["queue"]),
    ("in transfers", &["upload", "download"]),
    ("waiting for a place here", &["slot"]),
    ("here", &["here", "keeping", "writing"]),
];
/// What is less is not worth a word.
const SPENT_SECONDS_MIN: f64 = 0.05;

/// For the end of a build.
pub(super) fn lines(counts: &Value, took: Duration) -> String {
    let count = |name: &str| counts[name].as_u64().unwrap_or_default();
    let (hits, remote, local, local_only) = (
        count("hits"),
        count("remote"),
        count("local"),
        count("local_only"),
    );
    let cacheable = hits + remote + local + local_only;
    let mut text = String::new();
    let percent = match cacheable {
        0 => String::new(),
        cacheable => format!(" ({} %)", hits * 100 / cacheable),
    };
    let took = took.as_secs_f64();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "farrier: {cacheable} steps in {took:.1} s: {hits} from the cache{percent}, {remote} by workers, {} here",
        local + local_only
    );
    let spared = counts["spared_ms"].as_f64().unwrap_or_default() / 1e3;
    if spared >= 0.1 {
        let _ = writeln!(text, "farrier: what came from the cache had taken {spared:.1} s");
    }
    if let Some(spent) = spent(&counts["phases_ms"]) {
        let _ = writeln!(text, "farrier: steps took {spent}");
    }
    if let Some((scans, why)) = unsure(&counts["unsure"]) {
        let _ = writeln!(
            text,
            "farrier: {scans} scans were unsure, and the compiler was asked: {why}"
        );
    }
    for (what, reasons) in [
        ("not kept", &counts["reasons"]),
        ("not by a worker", &counts["fallbacks"]),
    ] {
        if let Some(told) = told(reasons) {
            let _ = writeln!(text, "farrier: {what}: {told}");
        }
    }
    let compared = count("compared");
    if compared > 0 {
        let told = told(&counts["different"]).unwrap_or_else(|| "none".to_owned());
        let _ = writeln!(
            text,
            "farrier: compared: {compared} steps; outputs that differ: {told}"
        );
    }
    if let Some(dated) = dated(&counts["dated"]) {
        let _ = writeln!(text, "farrier: {dated}");
    }
    if let Some(failure) = counts["server_failure"].as_str() {
        let _ = writeln!(text, "farrier: the server is down: {failure}");
    }
    for (what, failure) in [
        ("workers are not asked", &counts["workers_failure"]),
        ("the server keeps no results", &counts["keeping_failure"]),
    ] {
        if let Some(failure) = failure.as_str() {
            let _ = writeln!(text, "farrier: {what}: {failure}");
        }
    }
    let left = count("uploads_left");
    if left > 0 {
        let _ = writeln!(text, "farrier: {left} results are not stored yet");
    }
    text
}

/// For the time of a build.
pub(super) fn progress(counts: &Value) -> String {
    let count = |name: &str| counts[name].as_u64().unwrap_or_default();
    format!(
        "farrier: {} from the cache, {} by workers, {} here, {} under way",
        count("hits"),
        count("remote"),
        count("local") + count("local_only") + count("real"),
        count("under_way")
    )
}

/// Which steps are never answered from the cache, for want of which variables.
fn dated(steps: &Value) -> Option<String> {
    let steps = steps.as_object().filter(|steps| !steps.is_empty())?;
    let names: Vec<_> = steps.keys().map(String::as_str).collect();
    let variables: BTreeSet<_> = steps.values().filter_map(Value::as_str).collect();
    let variables: Vec<_> = variables.into_iter().collect();
    Some(format!(
        "never the same twice: {}, and what is linked with it ({} is not set; --reproducible sets it)",
        names.join(", "),
        variables.join(", ")
    ))
}

/// Where the time of all steps went, one beside the other: what came to little is left out.
fn spent(phases: &Value) -> Option<String> {
    let told = SPENT.iter().filter_map(|(what, names)| {
        let seconds = names.iter().filter_map(|name| phases[name].as_f64()).sum::<f64>() / 1e3;
        (seconds >= SPENT_SECONDS_MIN).then(|| format!("{seconds:.1} s {what}"))
    });
    let told: Vec<_> = told.collect();
    (!told.is_empty()).then(|| told.join(", "))
}

/// How many scans were unsure, and why.
fn unsure(reasons: &Value) -> Option<(u64, String)> {
    let counts = reasons.as_object()?.values();
    let count = counts.filter_map(Value::as_u64).sum();
    Some((count, told(reasons)?))
}

/// `None` if there is nothing to tell.
fn told(reasons: &Value) -> Option<String> {
    let reasons = reasons.as_object().filter(|reasons| !reasons.is_empty())?;
    let mut reasons: Vec<_> = reasons
        .iter()
        .map(|(why, count)| (count.as_u64().unwrap_or_default(), why))
        .collect();
    reasons.sort_by(|a, b| b.cmp(a));
    let more = reasons.len().saturating_sub(REASONS_TOLD_MAX);
    let mut told: Vec<_> = reasons
        .iter()
        .take(REASONS_TOLD_MAX)
        .map(|(count, why)| format!("{count} ({why})"))
        .collect();
    if more > 0 {
        told.push(format!("and {more} other reasons"));
    }
    Some(told.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_build_is_told_in_a_few_lines() {
        let check =
            |counts: Value, expected: &str| assert_eq!(lines(&counts, Duration::from_millis(1234)), expected);
        check(
            json!({ "hits": 3, "remote": 0, "local": 1, "reasons": { "kind: Link": 2, "other": 5 } }),
            "farrier: 4 steps in 1.2 s: 3 from the cache (75 %), 0 by workers, 1 here\n\
             farrier: not kept: 5 (other), 2 (kind: Link)\n",
        );
        check(
            json!({ "server_failure": "why", "uploads_left": 2 }),
            "farrier: 0 steps in 1.2 s: 0 from the cache, 0 by workers, 0 here\n\
             farrier: the server is down: why\n\
             farrier: 2 results are not stored yet\n",
        );
        check(
            json!({ "hits": 1, "spared_ms": 2345.6 }),
            "farrier: 1 steps in 1.2 s: 1 from the cache (100 %), 0 by workers, 0 here\n\
             farrier: what came from the cache had taken 2.3 s\n",
        );
        check(
            json!({ "local": 1, "phases_ms": {
                "planning": 120.0, "look-up": 49.0, "worker": 3400.0, "upload": 40.0, "download": 60.0, "here": 900.0,
                "keeping": 60.0, "writing": 10.0, "slot": 0.0,
            }, "unsure": { "a macro": 2, "an include": 1 } }),
            "farrier: 1 steps in 1.2 s: 0 from the cache (0 %), 0 by workers, 1 here\n\
             farrier: steps took 0.1 s planning, 3.4 s at workers, 0.1 s in transfers, 1.0 s here\n\
             farrier: 3 scans were unsure, and the compiler was asked: 2 (a macro), 1 (an include)\n",
        );
        check(
            json!({ "workers_failure": "none", "keeping_failure": "read only" }),
            "farrier: 0 steps in 1.2 s: 0 from the cache, 0 by workers, 0 here\n\
             farrier: workers are not asked: none\n\
             farrier: the server keeps no results: read only\n",
        );
        check(
            json!({ "local": 2, "compared": 2, "different": { "a.o": 1 } }),
            "farrier: 2 steps in 1.2 s: 0 from the cache (0 %), 0 by workers, 2 here\n\
             farrier: compared: 2 steps; outputs that differ: 1 (a.o)\n",
        );
        check(
            json!({ "dated": { "init/version-timestamp.o": "KBUILD_BUILD_TIMESTAMP" } }),
            "farrier: 0 steps in 1.2 s: 0 from the cache, 0 by workers, 0 here\n\
             farrier: never the same twice: init/version-timestamp.o, and what is linked with it \
             (KBUILD_BUILD_TIMESTAMP is not set; --reproducible sets it)\n",
        );
        let many: serde_json::Map<_, _> = (0..9).map(|n| (n.to_string(), json!(n))).collect();
        let text = lines(&json!({ "reasons": many }), Duration::ZERO);
        assert!(
            text.contains("8 (8), 7 (7)") && text.contains("and 3 other reasons"),
            "{text}"
        );
    }
}
