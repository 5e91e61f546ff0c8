use std::time::Duration;

use super::*;

fn ended(exit_code: i32, is_cache_hit: bool) -> Ending {
    Ending::Ended {
        exit_code,
        is_cache_hit,
    }
}

#[test]
fn exit_codes_statuses_and_lines() {
    use command_result_status::Value;
    let cases = [
        (ended(0, false), 0, Value::Success, None),
        (ended(0, true), 0, Value::CacheHit, None),
        (ended(3, true), 3, Value::NonZeroExit, None),
        (
            Ending::Timeout,
            142,
            Value::Timeout,
            Some("TimeoutResultStatus: exec_timeout is over"),
        ),
        (
            Ending::RemoteTimeout,
            59,
            Value::Timeout,
            Some("TimeoutResultStatus: reclient_timeout is over"),
        ),
        (
            Ending::Interrupted,
            8,
            Value::Interrupted,
            Some("InterruptedResultStatus: interrupted"),
        ),
        (
            Ending::RemoteError("r".to_owned()),
            45,
            Value::RemoteError,
            Some("RemoteErrorResultStatus: r"),
        ),
        (
            Ending::LocalError("l".to_owned()),
            35,
            Value::LocalError,
            Some("LocalErrorResultStatus: l"),
        ),
    ];
    for (ending, code, status, line) in cases {
        let result = ending.result();
        assert_eq!((result.exit_code, result.status()), (code, status), "{ending:?}");
        assert_eq!(
            ending.line("id"),
            line.map(|line| format!("reclient[id]: {line}\n"))
        );
    }
}

#[test]
fn a_success_depends_on_how_it_came_about() {
    use CompletionStatus as Status;
    let success = ended(0, false);
    let cases = [
        (Strategy::Local, true, Status::StatusLocalExecution),
        (Strategy::Local, false, Status::StatusLocalExecution),
        (Strategy::Remote, false, Status::StatusRemoteExecution),
        (
            Strategy::RemoteLocalFallback,
            false,
            Status::StatusRemoteExecution,
        ),
        (Strategy::RemoteLocalFallback, true, Status::StatusLocalFallback),
        (Strategy::Racing, true, Status::StatusRacingLocal),
        (Strategy::Racing, false, Status::StatusRacingRemote),
    ];
    for (strategy, here, expected) in cases {
        assert_eq!(
            completion_status(&success, Some(strategy), here),
            expected,
            "{strategy:?}"
        );
        let known = completion_status(&ended(0, true), Some(strategy), here);
        assert_eq!(known, Status::StatusCacheHit);
        let failed = completion_status(&ended(1, false), Some(strategy), here);
        assert_eq!(failed, Status::StatusNonZeroExit);
    }
}

fn request() -> Request {
    Request {
        arguments: vec!["cc".into()],
        directory: "/src/out".into(),
        environment: vec![("SECRET".into(), "s".into())],
        settings: Vec::new(),
        is_terminal: false,
    }
}

fn record_of(settings: &Settings) -> LogRecord {
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
    record(Facts {
        request: &request(),
        settings,
        ending: &ended(0, false),
        execution_id: "12ab-34",
        began,
        ended: began + Duration::from_millis(1500),
        remote: None,
        local: LocalMetadata {
            executed_locally: true,
            ..LocalMetadata::default()
        },
    })
}

#[test]
fn a_record_says_what_and_how() {
    let settings = Settings {
        labels: [("type".to_owned(), "tool".to_owned())].into(),
        strategy: Some(Strategy::Local),
        exec_root: Some("/src".into()),
        ..Settings::default()
    };
    let written = record_of(&settings);
    let command = written.command.clone().unwrap();
    assert_eq!(
        (command.exec_root.as_str(), command.working_directory.as_str()),
        ("/src", "out")
    );
    let identifiers = command.identifiers.unwrap();
    assert_eq!(identifiers.command_id, "8ea55c85-12ab");
    assert_eq!(identifiers.tool_name, "re-client");
    assert_eq!(
        written.completion_status(),
        CompletionStatus::StatusLocalExecution
    );
    let local = written.local_metadata.unwrap();
    assert_eq!(local.result.unwrap().exit_code, 0);
    assert_eq!(local.event_times[PROXY_EXECUTION].to.unwrap().seconds, 11);
    assert!(
        local.environment.is_empty(),
        "the environment is a secret unless it is asked for"
    );

    let settings = Settings {
        log_env: true,
        command_id: Some("mine".to_owned()),
        ..settings
    };
    let written = record_of(&settings);
    assert_eq!(
        written.command.unwrap().identifiers.unwrap().command_id,
        "8ea55c85-mine"
    );
    assert_eq!(written.local_metadata.unwrap().environment["SECRET"], "s");
}

#[test]
fn an_answer_has_a_line_only_where_nothing_was_printed() {
    let outcome = |output: &[u8]| RunOutcome {
        ending: Ending::RemoteError("no worker".to_owned()),
        output: output.to_vec(),
        error_output: Vec::new(),
        execution_id: "id".to_owned(),
        record: LogRecord::default(),
        fallback: None,
    };
    let answer = outcome(b"").response(false);
    assert_eq!(
        answer.stderr,
        b"reclient[id]: RemoteErrorResultStatus: no worker\n"
    );
    assert_eq!(answer.action_log, None);
    let answer = outcome(b"text").response(true);
    assert_eq!((answer.stdout, answer.stderr), (b"text".to_vec(), Vec::new()));
    assert!(answer.action_log.is_some());
}

#[test]
fn a_fallback_is_told() {
    let outcome = RunOutcome {
        ending: ended(0, false),
        output: Vec::new(),
        error_output: Vec::new(),
        execution_id: "id".to_owned(),
        record: LogRecord::default(),
        fallback: Some(Fallback {
            ending: Ending::RemoteError("gone".to_owned()),
            output: b"o".to_vec(),
            error_output: b"e".to_vec(),
        }),
    };
    let told = outcome.response(false).remote_fallback_info.unwrap();
    assert_eq!(
        (told.exit_code, told.stdout, told.stderr),
        (45, b"o".to_vec(), b"e".to_vec())
    );
}

#[test]
fn an_action_log_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let written = record_of(&Settings::default());
    write_action_log(&path, &written).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        reclient::text_proto::from_text::<LogRecord>(&text).unwrap(),
        written
    );
}
