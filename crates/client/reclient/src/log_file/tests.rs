use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use reclient_api::cmd::{Command, Identifiers, InputSpec};
use reclient_api::log::{LogRecord, ProxyInfo};

use super::*;

fn record(id: &str) -> LogRecord {
    LogRecord {
        command: Some(Command {
            identifiers: Some(Identifiers {
                command_id: id.to_owned(),
                ..Identifiers::default()
            }),
            input: Some(InputSpec {
                inputs: vec!["a.c".to_owned()],
                ..InputSpec::default()
            }),
            args: vec!["cc".to_owned(), "\n\n\n".to_owned()],
            ..Command::default()
        }),
        ..LogRecord::default()
    }
}

/// A second of 2026.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn read(directory: &Path, format: Format) -> (Vec<LogRecord>, Logs) {
    let mut records = Vec::new();
    let logs = read_directories(&[directory.to_owned()], format, &mut |record| {
        records.push(record)
    });
    (records, logs)
}

#[test]
fn logs_are_written_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("made");
    let mut log = LogFile::create(&directory, Format::Text, now()).unwrap();
    assert_eq!(log.path(), directory.join("reproxy_2026-09-21_14_13_20.rpl"));
    log.append(&record("one")).unwrap();
    log.append(&record("two")).unwrap();
    let text = fs::read_to_string(log.path()).unwrap();
    assert!(
        text.ends_with("}\n\n\n") && text.matches("\n\n\n").count() == 2,
        "{text}"
    );

    let info = ProxyInfo {
        flags: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
        ..ProxyInfo::default()
    };
    write_proxy_info(&directory, now(), &info).unwrap();

    let (records, logs) = read(&directory, Format::Text);
    assert_eq!(records, [record("one"), record("two")]);
    assert_eq!(logs.proxies, [info]);
    assert!(logs.errors.is_empty());
    assert!(read(&directory, Format::ReducedText).0.is_empty());
}

#[test]
fn a_reduced_log_has_neither_inputs_nor_arguments() {
    let directory = tempfile::tempdir().unwrap();
    let mut log = LogFile::create(directory.path(), Format::ReducedText, now()).unwrap();
    log.append(&record("one")).unwrap();
    let (records, _) = read(directory.path(), Format::ReducedText);
    let command = records[0].command.as_ref().unwrap();
    assert_eq!((command.args.len(), &command.input), (0, &None));
    assert_eq!(command.identifiers.as_ref().unwrap().command_id, "one");
}

#[test]
fn what_is_wrong_is_named_and_the_rest_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let good = "command {\n  args: \"x\"\n}";
    let text = format!("{good}\n\n\nspeed: 9\n\n\n{good}\n\n\ncommand {{\n");
    fs::write(directory.path().join("a.rpl"), text).unwrap();
    fs::write(directory.path().join("b.rpi"), "nonsense").unwrap();
    let (records, logs) = read(directory.path(), Format::Text);
    assert_eq!(records.len(), 2);
    assert_eq!(logs.errors.len(), 3);
    let (_, logs) = read(&directory.path().join("nowhere"), Format::Text);
    assert!(logs.errors[0].to_string().starts_with("cannot read"));
}

#[test]
fn old_logs_go() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["a.rpl", "b.rrpl", "c.rpi", "keep.txt"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let day = Duration::from_secs(24 * 3600);
    let later = SystemTime::now() + 2 * day;
    assert_eq!(remove_older(directory.path(), 3 * day, later).unwrap(), 0);
    assert_eq!(remove_older(directory.path(), day, later).unwrap(), 3);
    assert!(directory.path().join("keep.txt").exists());
}

#[test]
fn paths_of_logs_have_formats() {
    assert_eq!(log_path("text:///l/a"), Some((Format::Text, Path::new("/l/a"))));
    assert_eq!(
        log_path("reducedtext://a"),
        Some((Format::ReducedText, Path::new("a")))
    );
    for wrong in ["", "/a", "json:///a", "text://"] {
        assert_eq!(log_path(wrong), None, "{wrong}");
    }
}
