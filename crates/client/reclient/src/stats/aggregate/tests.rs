use prost_types::Timestamp;
use reclient_api::cmd::{Command, CommandResult, Identifiers};
use reclient_api::log::{CompletionStatus, LocalMetadata, RemoteMetadata};

use super::*;

fn interval(from_ms: i64, to_ms: i64) -> TimeInterval {
    let at = |ms: i64| {
        Some(Timestamp {
            seconds: ms / 1000,
            nanos: (ms % 1000) as i32 * 1_000_000,
        })
    };
    TimeInterval {
        from: at(from_ms),
        to: at(to_ms),
    }
}

fn record(id: &str, uploaded: i64, hit: bool, labels: &[(&str, &str)]) -> LogRecord {
    use command_result_status::Value::{CacheHit, Success};
    let result = CommandResult {
        status: if hit { CacheHit } else { Success }.into(),
        ..CommandResult::default()
    };
    let status = match hit {
        true => CompletionStatus::StatusCacheHit,
        false => CompletionStatus::StatusRemoteExecution,
    };
    LogRecord {
        command: Some(Command {
            identifiers: Some(Identifiers {
                command_id: id.to_owned(),
                invocation_id: "build".to_owned(),
                ..Identifiers::default()
            }),
            ..Command::default()
        }),
        result: Some(result),
        remote_metadata: Some(RemoteMetadata {
            cache_hit: hit,
            real_bytes_uploaded: uploaded,
            ..RemoteMetadata::default()
        }),
        local_metadata: Some(LocalMetadata {
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            event_times: BTreeMap::from([(
                EXECUTION.to_owned(),
                interval(uploaded * 1000, uploaded * 1000 + 2500),
            )]),
            ..LocalMetadata::default()
        }),
        completion_status: status.into(),
    }
}

fn find<'a>(stats: &'a Stats, name: &str) -> &'a Stat {
    let found = stats.stats.iter().find(|stat| stat.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {:?}", names(stats)))
}

fn names(stats: &Stats) -> Vec<&str> {
    stats.stats.iter().map(|stat| stat.name.as_str()).collect()
}

#[test]
fn records_are_added_up() {
    let mut aggregate = Aggregate::default();
    aggregate.add(&record("a", 10, true, &[("type", "tool")]));
    aggregate.add(&record("b", 30, false, &[("type", "tool")]));
    aggregate.add(&record("c", 20, false, &[]));
    let stats = aggregate.stats(Vec::new(), MachineInfo::default());
    assert_eq!(stats.num_records, 3);
    assert_eq!(stats.invocation_ids, ["build"]);
    assert!((stats.build_cache_hit_ratio - 1.0 / 3.0).abs() < 1e-9);
    assert_eq!(stats.build_latency, 22.0);

    let uploaded = find(&stats, "RemoteMetadata.RealBytesUploaded");
    assert_eq!(
        (uploaded.count, uploaded.median, uploaded.average),
        (60, 20, 20.0)
    );
    let outliers: Vec<_> = uploaded
        .outliers
        .iter()
        .map(|outlier| (outlier.command_id.as_str(), outlier.value))
        .collect();
    assert_eq!(outliers, [("b", 30), ("c", 20)]);
    assert_eq!(
        find(&stats, "[type=tool].RemoteMetadata.RealBytesUploaded").count,
        40
    );
    assert_eq!(find(&stats, "RemoteMetadata.CacheHit").count, 1);

    let times = find(&stats, "LocalMetadata.EventTimes.ProxyExecutionMillis");
    assert_eq!((times.count, times.median), (3, 2500));

    let counts = |name: &str| -> Vec<(String, i64)> {
        let values = find(&stats, name).counts_by_value.iter();
        values.map(|value| (value.name.clone(), value.count)).collect()
    };
    assert_eq!(
        counts("CompletionStatus"),
        [
            ("STATUS_CACHE_HIT".to_owned(), 1),
            ("STATUS_REMOTE_EXECUTION".to_owned(), 2)
        ]
    );
    assert_eq!(
        counts("Result.Status"),
        [("CACHE_HIT".to_owned(), 1), ("SUCCESS".to_owned(), 2)]
    );
    assert!(
        !names(&stats).contains(&"RemoteMetadata.NumInputFiles"),
        "only zeros"
    );
    assert!(!names(&stats).iter().any(|name| name.contains("Command.")));
}

#[test]
fn mismatches_are_gathered() {
    let mismatch = |path: &str, ignored| Mismatch {
        path: path.to_owned(),
        ignored,
        ..Mismatch::default()
    };
    let mut one = record("a", 1, false, &[]);
    one.local_metadata.as_mut().unwrap().verification = Some(Verification {
        mismatches: vec![mismatch("b.o", true), mismatch("a.o", false)],
        total_verified: 5,
        ..Verification::default()
    });
    let mut aggregate = Aggregate::default();
    aggregate.add(&one);
    let stats = aggregate.stats(Vec::new(), MachineInfo::default());
    assert_eq!(
        find(&stats, "LocalMetadata.Verification.Mismatches.Mismatch.Ignored").count,
        1
    );
    let verification = stats.verification.unwrap();
    let paths: Vec<_> = verification
        .mismatches
        .iter()
        .map(|mismatch| mismatch.path.as_str())
        .collect();
    assert_eq!(paths, ["a.o", "b.o"]);
    assert_eq!(
        (
            verification.total_mismatches,
            verification.total_ignored_mismatches,
            verification.total_verified
        ),
        (2, 1, 5)
    );
}

#[test]
fn nothing_is_nothing() {
    let stats = Aggregate::default().stats(Vec::new(), MachineInfo::default());
    assert_eq!(
        (stats.num_records, stats.build_latency, stats.stats.len()),
        (0, 0.0, 0)
    );
}
