use std::time::Duration;

use daemon_api::Request;
use reclient_api::cmd::{ExcludeInput, NodeProperties, VirtualInput, input_type};
use reclient_api::proxy::{LocalExecutionOptions, ProxyExecutionOptions, RunRequest};
use settings::{Dialect, Settings, Strategy};

use super::*;

/// What rewrapper asks, with something in every field that travels.
fn full() -> (Request, Settings) {
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let settings = Settings {
        dialect: Dialect::Reclient,
        command_id: Some("c".to_owned()),
        invocation_id: Some("i".to_owned()),
        correlated_invocations_id: Some("ci".to_owned()),
        labels: map("type", "tool"),
        exec_root: Some("/src".into()),
        canonicalize_working_dir: true,
        strategy: Some(Strategy::Racing),
        exec_timeout: Some(Duration::from_secs(5)),
        reclient_timeout: Some(Duration::from_secs(6)),
        platform: map("OSFamily", "linux"),
        env_allow: Some(Vec::new()),
        env_unset_is_empty: true,
        env_set: vec![("A".into(), "b=c".into())],
        inputs: vec!["a.c".into(), "dir".into()],
        inputs_excluded: vec![".*[.]bak".to_owned()],
        virtual_inputs: vec![settings::VirtualInput {
            path: "v".into(),
            digest: "ab/1".to_owned(),
            mtime_ns: Some(-1),
            mode: Some(0o644),
        }],
        empty_directories: vec!["empty".into()],
        toolchain_inputs: vec!["bin/cc".into()],
        output_files: vec!["out/a.o".into()],
        output_directories: vec!["out/d".into()],
        preserve_symlink: true,
        accept_cache: Some(false),
        update_cache: Some(false),
        uncacheable: true,
        download_outputs: Some(false),
        download_regex: Some("-x".to_owned()),
        atomic_downloads: Some(true),
        preserve_unchanged_output_mtime: true,
        local_wrapper: vec!["./l".into()],
        remote_wrapper: vec!["./r".into()],
        compare: true,
        local_reruns: 2,
        remote_reruns: 3,
        log_env: true,
        ..Settings::default()
    };
    let request = Request {
        arguments: vec!["cc".into(), "-c".into()],
        directory: "/src/out".into(),
        environment: vec![("PATH".into(), "/bin".into()), ("X".into(), "y=z".into())],
        settings: settings.to_pairs(),
        is_terminal: false,
    };
    (request, settings)
}

fn small() -> RunRequest {
    let (request, settings) = full();
    run_request(&request, &settings)
}

#[test]
fn there_and_back() {
    let (request, settings) = full();
    let back = super::request(run_request(&request, &settings)).unwrap();
    assert_eq!(Settings::from_pairs(&back.settings), Ok(settings));
    assert_eq!(back, request);
}

#[test]
fn allowed_variables_travel_with_their_values() {
    let (request, mut settings) = full();
    settings.env_allow = Some(vec!["PATH".into(), "UNSET".into()]);
    let environment = |settings: &Settings| {
        let command = run_request(&request, settings).command.unwrap();
        let variables = command.input.unwrap().environment_variables;
        variables
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(environment(&settings), ["A=b=c", "PATH=/bin", "UNSET="]);
    settings.env_unset_is_empty = false;
    assert_eq!(environment(&settings), ["A=b=c", "PATH=/bin"]);
}

#[test]
fn an_action_log_is_asked_for_when_it_is_needed() {
    let (request, mut settings) = full();
    let is_asked = |settings: &Settings| {
        run_request(&request, settings)
            .execution_options
            .unwrap()
            .include_action_log
    };
    assert!(!is_asked(&settings));
    settings.fail_on_mismatch = true;
    assert!(is_asked(&settings));
    settings = Settings {
        action_log: Some("log".into()),
        ..Settings::default()
    };
    assert!(is_asked(&settings));
}

#[test]
fn the_exec_root_itself_is_a_working_directory() {
    let mut run = small();
    run.command.as_mut().unwrap().working_directory = String::new();
    assert_eq!(
        super::request(run).unwrap().directory,
        std::path::Path::new("/src")
    );
}

#[test]
fn a_local_run_has_its_own_options() {
    let mut run = small();
    let options = run.execution_options.as_mut().unwrap();
    options.set_execution_strategy(reclient_api::proxy::execution_strategy::Value::Local);
    options.local_execution_options = Some(LocalExecutionOptions {
        accept_cached: true,
        ..LocalExecutionOptions::default()
    });
    let settings = Settings::from_pairs(&super::request(run).unwrap().settings).unwrap();
    assert_eq!(
        (settings.accept_cache, settings.update_cache),
        (Some(true), Some(true))
    );
}

#[test]
fn what_cannot_be_done_is_refused() {
    let check = |change: &dyn Fn(&mut RunRequest), expected: &str| {
        let mut run = small();
        change(&mut run);
        assert_eq!(super::request(run).unwrap_err().to_string(), expected);
    };
    let command = |run: &mut RunRequest| run.command.take().unwrap();
    check(&|run| run.command = None, "wrong request: no command");
    check(
        &|run| run.execution_options = None,
        "wrong request: no execution_options",
    );
    check(
        &|run| run.execution_options = Some(ProxyExecutionOptions::default()),
        "wrong request: no execution_strategy",
    );
    check(
        &|run| run.execution_options.as_mut().unwrap().reclient_timeout = 0,
        "wrong request: reclient_timeout is not positive",
    );
    check(
        &|run| run.execution_options.as_mut().unwrap().num_local_reruns = -1,
        "wrong request: a negative number of reruns",
    );
    check(
        &|run| {
            let local = LocalExecutionOptions {
                platform: 1,
                ..LocalExecutionOptions::default()
            };
            run.execution_options.as_mut().unwrap().local_execution_options = Some(local);
        },
        "not done by this daemon: local runs in an image",
    );
    for (directory, root, expected) in [
        (
            "../x",
            "/src",
            "wrong request: working_directory is not below exec_root",
        ),
        (
            "/x",
            "/src",
            "wrong request: working_directory is not below exec_root",
        ),
        ("x", "src", "wrong request: exec_root is not absolute"),
    ] {
        check(
            &|run| {
                let mut command = command(run);
                (command.working_directory, command.exec_root) = (directory.to_owned(), root.to_owned());
                run.command = Some(command);
            },
            expected,
        );
    }
    let input = |run: &mut RunRequest| run.command.as_mut().unwrap().input.take().unwrap();
    check(
        &|run| {
            let mut input = input(run);
            input.virtual_inputs = vec![VirtualInput {
                path: "v".to_owned(),
                contents: b"x".to_vec(),
                ..VirtualInput::default()
            }];
            run.command.as_mut().unwrap().input = Some(input);
        },
        "not done by this daemon: virtual inputs with contents; upload them and name their digest",
    );
    check(
        &|run| {
            let mut input = input(run);
            input.input_node_properties = [("a".to_owned(), NodeProperties::default())].into();
            run.command.as_mut().unwrap().input = Some(input);
        },
        "not done by this daemon: input_node_properties",
    );
    check(
        &|run| {
            let mut input = input(run);
            input.exclude_inputs = vec![ExcludeInput {
                regex: "x".to_owned(),
                r#type: input_type::Value::File.into(),
            }];
            run.command.as_mut().unwrap().input = Some(input);
        },
        "not done by this daemon: exclude_inputs of one type",
    );
    check(
        &|run| run.command.as_mut().unwrap().remote_working_directory = "a/b".to_owned(),
        "not done by this daemon: another remote_working_directory; use canonicalize_working_dir",
    );
    check(
        &|run| run.command.as_mut().unwrap().args.clear(),
        "wrong request: a command without args",
    );
}
