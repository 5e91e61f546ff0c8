use reclient::log_file::{Format, read_directories};
use reclient_api::log::CompletionStatus;

use super::*;

fn record(status: CompletionStatus) -> LogRecord {
    LogRecord {
        completion_status: status.into(),
        ..LogRecord::default()
    }
}

#[test]
fn commands_are_counted_kept_and_written() {
    let directory = tempfile::tempdir().unwrap();
    let log = LogFile::create(directory.path(), Format::Text, SystemTime::now()).unwrap();
    let flags = BTreeMap::from([("service".to_owned(), "s:1".to_owned())]);
    let ledger = Arc::new(Ledger::new(Some(log), 2, flags));
    {
        let _one = ledger.begin();
        let _two = ledger.begin();
        assert_eq!(ledger.summary().running_actions, 2);
    }
    for status in [
        CompletionStatus::StatusCacheHit,
        CompletionStatus::StatusCacheHit,
        CompletionStatus::StatusTimeout,
    ] {
        ledger.enter(record(status));
    }
    let summary = ledger.summary();
    assert_eq!(summary.running_actions, 0);
    assert_eq!(summary.completed_action_stats["STATUS_CACHE_HIT"], 2);
    let kept: Vec<_> = ledger
        .records()
        .iter()
        .map(LogRecord::completion_status)
        .collect();
    assert_eq!(
        kept,
        [CompletionStatus::StatusCacheHit, CompletionStatus::StatusTimeout]
    );

    let event = TimeInterval::default();
    ledger.add_events(BTreeMap::from([("BootstrapStartup".to_owned(), event)]));
    // Somebody asks for the sums, and then the daemon ends.
    ledger.close();
    let stats = ledger.close();
    assert_eq!(stats.num_records, 3);
    let proxy = &stats.proxy_info[0];
    assert!(
        proxy.event_times.contains_key("BootstrapStartup") && proxy.event_times.contains_key("ProxyUptime")
    );
    assert_eq!(proxy.flags["service"], "s:1");
    let peak = proxy.metrics["PEAK_NUM_ACTIONS"].value;
    assert_eq!(peak, Some(reclient_api::log::metric::Value::Int64Value(2)));

    let mut read = 0;
    let logs = read_directories(&[directory.path().to_owned()], Format::Text, &mut |_| read += 1);
    assert_eq!((read, logs.proxies.len(), logs.errors.len()), (3, 1, 0));
}

#[test]
fn speed_counts_while_something_runs() {
    let ledger = Arc::new(Ledger::new(None, 0, BTreeMap::new()));
    assert_eq!(ledger.summary().qps, 0);
    drop(ledger.begin());
    ledger.enter(record(CompletionStatus::StatusCacheHit));
    assert!(ledger.summary().qps > 0, "one in less than a second");
    assert!(ledger.records().is_empty());
}
