//! Persistent processes: a real runner and a real tool that is one, `examples/persistent_tool.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;
mod tool;

use std::time::{Duration, Instant};

use reapi::execution as proto;
use reapi::rpc::Code;
use support::{Farm, Job};
use tool::{MANNERS, MODES, MULTIPLEX, Manner, PROTO, Tool, Work, output, said};

#[tokio::test]
async fn one_process_serves_actions_that_see_nothing_of_each_other() {
    for mode in MODES {
        for manner in MANNERS {
            let mut farm = Farm::start_with(mode, 1, 2).await;
            let tool = Tool::new(&farm, manner, "one").await;
            let first = Work {
                lines: "in=src/a\nin=src/b\nout=out/deep/result\nout=left/behind\nout=tools/left\nout=src/left\n\
                        say=hello\nremember=this\nexit=3",
                sources: &[("a", "A"), ("b", "B")],
                outputs: &["out/deep/result", "src/left"],
                ..Work::default()
            };
            let response = tool.run(&mut farm, &first).await;
            let what = format!("{mode} {manner:?}: {response:?}");
            assert_eq!(
                said(&response),
                (3, "request 1\nhello\nremembered None\n".to_owned()),
                "{what}"
            );
            assert_eq!(output(&farm, &response, "out/deep/result").await, "AB", "{what}");
            assert_eq!(output(&farm, &response, "src/left").await, "AB", "{what}");
            assert!(
                response.result.as_ref().unwrap().stdout_digest.is_none(),
                "{what}"
            );
            let second = Work {
                lines: "in=src/b\nout=result\nlist=\nremember=that\ninputs=",
                sources: &[("b", "another B")],
                outputs: &["result", "left/behind"],
                ..Work::default()
            };
            let response = tool.run(&mut farm, &second).await;
            let (exit_code, text) = said(&response);
            let what = format!("{mode} {manner:?}: {text}");
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!((exit_code, lines[0]), (0, "request 2"), "{what}");
            let files = lines[1].split(' ').filter(|path| !path.contains("__sandbox"));
            let files: Vec<&str> = files.collect();
            assert_eq!(
                files,
                ["result", "src/b", "tools/compiler", "tools/data", "tools/flags"],
                "{what}"
            );
            assert_eq!(
                lines[2], "remembered Some(\"this\")",
                "its own memory is all it keeps: {what}"
            );
            let told: Vec<&str> = lines[3..]
                .iter()
                .filter_map(|line| Some(line.split_once(':')?.0))
                .collect();
            assert_eq!(
                told,
                ["src/b", "tools/compiler", "tools/data", "tools/flags"],
                "{what}"
            );
            assert_eq!(output(&farm, &response, "result").await, "another B", "{what}");
            assert_eq!(response.result.unwrap().output_files.len(), 1, "{what}");
        }
    }
}

#[tokio::test]
async fn other_tools_and_other_keys_have_other_processes() {
    let mut farm = Farm::start_with("best-effort", 1, 1).await;
    let (one, other) = (
        Tool::new(&farm, PROTO, "one").await,
        Tool::new(&farm, PROTO, "other").await,
    );
    let work = Work {
        lines: "in=tools/data\nout=out",
        outputs: &["out"],
        ..Work::default()
    };
    // One process is allowed: the idle one makes room for the next.
    for (tool, text, data) in [
        (&one, "request 1\n", "one"),
        (&one, "request 2\n", "one"),
        (&other, "request 1\n", "other"),
        (&one, "request 1\n", "one"),
    ] {
        let response = tool.run(&mut farm, &work).await;
        assert_eq!(said(&response).1, text);
        assert_eq!(output(&farm, &response, "out").await, data);
    }
    let mut job = one.job(&farm, &work).await;
    job.command.environment_variables = vec![proto::command::EnvironmentVariable {
        name: "A".to_owned(),
        value: "b".to_owned(),
    }];
    assert_eq!(said(&farm.execute(job).await).1, "request 1\n");
}

#[tokio::test]
async fn a_working_directory_is_where_the_process_stands() {
    for manner in [PROTO, MULTIPLEX] {
        let mut farm = Farm::start_with("best-effort", 1, 1).await;
        let tool = Tool::new(&farm, manner, "one").await;
        for number in 1..3 {
            let work = Work {
                lines: "in=a\nin=../tools/data\nout=out/result\ninputs=",
                sources: &[("a", "A")],
                outputs: &["out/result"],
                working_directory: "src",
                ..Work::default()
            };
            let response = tool.run(&mut farm, &work).await;
            let (exit_code, text) = said(&response);
            assert_eq!(exit_code, 0, "{text}");
            assert!(text.starts_with(&format!("request {number}\na:")), "{text}");
            assert!(text.contains("\n../tools/data:"), "{text}");
            assert_eq!(output(&farm, &response, "out/result").await, "Aone");
        }
    }
}

#[tokio::test]
async fn what_a_process_gets_wrong_is_done_in_the_ordinary_way() {
    for manner in MANNERS {
        let mut farm = Farm::start_with("best-effort", 1, 2).await;
        for (mistake, data) in [
            ("crash=", "crash"),
            ("garbage=", "garbage"),
            ("wrong-id=", "wrong-id"),
        ] {
            let tool = Tool::new(&farm, manner, data).await;
            let fine = Work {
                lines: "say=fine",
                ..Work::default()
            };
            assert_eq!(said(&tool.run(&mut farm, &fine).await).1, "request 1\nfine\n");
            let lines = format!("{mistake}\nin=src/a\nout=out\nsay=done\nexit=4");
            let work = Work {
                lines: &lines,
                sources: &[("a", "A")],
                outputs: &["out"],
                ..Work::default()
            };
            let response = tool.run(&mut farm, &work).await;
            assert_eq!(
                said(&response),
                (4, "ordinary request 1\ndone\n".to_owned()),
                "{mistake}"
            );
            assert_eq!(output(&farm, &response, "out").await, "A", "{mistake}");
            // And the next one has a new process.
            assert_eq!(said(&tool.run(&mut farm, &fine).await).1, "request 1\nfine\n");
        }
    }
}

#[tokio::test]
async fn a_process_that_touches_its_tools_serves_nobody_again() {
    let mut farm = Farm::start_with("best-effort", 1, 1).await;
    let tool = Tool::new(&farm, PROTO, "one").await;
    let evil = Work {
        lines: "remove=tools/data\nout=tools/data",
        ..Work::default()
    };
    // What it did there is not taken for the result of an action either. Run by itself, it harms nobody.
    assert_eq!(
        said(&tool.run(&mut farm, &evil).await),
        (0, "ordinary request 1\n".to_owned())
    );
    let fine = Work {
        lines: "in=tools/data\nout=out",
        outputs: &["out"],
        ..Work::default()
    };
    let response = tool.run(&mut farm, &fine).await;
    assert_eq!(said(&response).1, "request 1\n");
    assert_eq!(output(&farm, &response, "out").await, "one");
}

#[tokio::test]
async fn a_kind_that_always_fails_is_not_tried_for_ever() {
    let mut farm = Farm::start_with("best-effort", 1, 1).await;
    let tool = Tool::new(&farm, PROTO, "one").await;
    for _ in 0..5 {
        let work = Work {
            lines: "crash=",
            ..Work::default()
        };
        assert_eq!(said(&tool.run(&mut farm, &work).await).1, "ordinary request 1\n");
    }
    let work = Work {
        lines: "say=fine",
        ..Work::default()
    };
    assert_eq!(
        said(&tool.run(&mut farm, &work).await).1,
        "ordinary request 1\nfine\n"
    );
}

/// Whatever still runs the tool, by its command line.
fn tools_running() -> usize {
    let processes = std::fs::read_dir("/proc").unwrap();
    let lines = processes.filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok());
    let mark = format!("--mark-{}", std::process::id());
    lines
        .filter(|line| String::from_utf8_lossy(line).contains(&mark))
        .count()
}

fn marked(mut job: Job) -> Job {
    job.command
        .arguments
        .insert(1, format!("--mark-{}", std::process::id()));
    job
}

/// One test, because the others would see each other's tools.
#[tokio::test]
async fn what_hangs_is_ended_and_nothing_stays() {
    for (manner, hang, survives) in [
        (PROTO, "hang=", false),
        (MULTIPLEX, "hang=", true),
        (MULTIPLEX, "deaf=", false),
    ] {
        let mut farm = Farm::start_with("best-effort", 1, 1).await;
        let tool = Tool::new(&farm, manner, "one").await;
        let fine = Work {
            lines: "say=fine",
            ..Work::default()
        };
        let lines = format!("in=src/a\nout=out\n{hang}");
        let hanging = Work {
            lines: &lines,
            sources: &[("a", "A")],
            outputs: &["out"],
            timeout: Some(Duration::from_millis(700)),
            ..Work::default()
        };
        let response = farm.execute(marked(tool.job(&farm, &hanging).await)).await;
        let status = response.status.clone().unwrap();
        assert_eq!(status.code, Code::DeadlineExceeded as i32, "{status:?}");
        assert_eq!(response.message, status.message);
        let account = farm.read(&response.server_logs["farrier"].digest).await;
        let account = String::from_utf8(account).unwrap();
        assert!(account.contains("killed: out of time"), "{account}");
        assert_eq!(
            output(&farm, &response, "out").await,
            "A",
            "what it had done is there"
        );
        assert_eq!(tools_running(), usize::from(survives), "{manner:?} {hang}");
        let response = farm.execute(marked(tool.job(&farm, &fine).await)).await;
        let number = if survives { 2 } else { 1 };
        assert_eq!(said(&response).1, format!("request {number}\nfine\n"));

        // The same when nobody wants it any more.
        let forever = Work {
            timeout: None,
            ..hanging.clone()
        };
        let began = Instant::now();
        farm.begin(marked(tool.job(&farm, &forever).await)).await;
        while !farm.state().await.leases.iter().any(is_executing) {}
        farm.want(vec![]).await;
        let gone = async {
            while tools_running() > usize::from(survives) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(25));
        let response = farm.execute(marked(tool.job(&farm, &fine).await)).await;
        assert_eq!(said(&response).0, 0);

        drop(farm);
        let gone = async {
            while tools_running() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone)
            .await
            .expect("processes end with their worker");
    }
}

fn is_executing(lease: &worker_api::v1::LeaseState) -> bool {
    use worker_api::v1::lease_state::State;
    use worker_api::v1::running::Phase;
    matches!(&lease.state, Some(State::Running(running)) if running.phase() == Phase::Executing)
}

#[tokio::test]
async fn a_multiplex_process_answers_in_any_order() {
    let mut farm = Farm::start_with("best-effort", 3, 1).await;
    for is_json in [false, true] {
        let manner = Manner { is_json, ..MULTIPLEX };
        let tool = Tool::new(&farm, manner, "one").await;
        let mut jobs = Vec::new();
        // Each waits until as many others have been answered.
        for (name, lines) in [
            ("first", "until-ended=2\nin=src/a\nout=out\nlist=src"),
            ("second", "until-ended=1\nin=src/a\nout=out\nlist=src"),
            ("third", "in=src/a\nout=out\nlist=src"),
        ] {
            let work = Work {
                lines,
                sources: &[("a", name)],
                outputs: &["out"],
                ..Work::default()
            };
            jobs.push(tool.job(&farm, &work).await);
        }
        let responses = farm.execute_all(jobs).await;
        for (response, name) in responses.iter().zip(["first", "second", "third"]) {
            let (exit_code, text) = said(response);
            assert_eq!(exit_code, 0, "{text}");
            assert!(text.starts_with("request "), "{text}");
            assert!(text.ends_with("src/a\n"), "{text}");
            assert_eq!(output(&farm, response, "out").await, name);
        }
    }
}

#[tokio::test]
async fn what_is_not_fit_for_it_runs_in_the_ordinary_way() {
    let mut farm = Farm::start_with("best-effort", 1, 1).await;
    let tool = Tool::new(&farm, PROTO, "one").await;
    let unmarked = Work {
        lines: "say=x",
        is_unmarked: true,
        ..Work::default()
    };
    assert_eq!(
        said(&tool.run(&mut farm, &unmarked).await).1,
        "ordinary request 1\nx\n"
    );
    let writes_tools = Work {
        lines: "say=x\nout=tools/out",
        outputs: &["tools"],
        ..Work::default()
    };
    assert_eq!(
        said(&tool.run(&mut farm, &writes_tools).await).1,
        "ordinary request 1\nx\n"
    );
    let mut job = tool.job(&farm, &Work::default()).await;
    job.command.arguments.pop();
    assert_eq!(said(&farm.execute(job).await).1, "ordinary request 1\n");
    // What cannot be started says so as any command does.
    let mut job = tool.job(&farm, &Work::default()).await;
    job.command.arguments[0] = "tools/absent".to_owned();
    let (exit_code, text) = said(&farm.execute(job).await);
    assert!(exit_code == 127 && text.contains("tools/absent"), "{text}");
    // A worker that keeps no processes has none.
    let mut farm = Farm::start("best-effort", 1).await;
    let tool = Tool::new(&farm, PROTO, "one").await;
    let work = Work {
        lines: "say=x",
        ..Work::default()
    };
    assert_eq!(
        said(&tool.run(&mut farm, &work).await).1,
        "ordinary request 1\nx\n"
    );
}
