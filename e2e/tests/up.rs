//! `farrier up` and `farrier join` as a user meets them: start, stop, mistakes, more workers, and what a stranger can ask.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::client::Client;
use e2e::command::{farrier, said};
use e2e::farrier::Farrier;
use e2e::joined::Joined;
use e2e::{tools, waiting};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

const PATIENCE: Duration = Duration::from_secs(30);

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Runtime::new()?)
}

#[test]
fn health_and_reflection_answer() -> Result<()> {
    let farrier = Farrier::start_with(&["--slots", "0"])?;
    runtime()?.block_on(async {
        let channel = Channel::from_shared(farrier.http_url())?.connect().await?;
        for service in [
            "",
            "google.bytestream.ByteStream",
            "build.bazel.remote.execution.v2.Execution",
        ] {
            let request = HealthCheckRequest {
                service: service.to_owned(),
            };
            let response = HealthClient::new(channel.clone())
                .check(request)
                .await?
                .into_inner();
            ensure!(
                response.status().as_str_name() == "SERVING",
                "{service}: {response:?}"
            );
        }
        let list = MessageRequest::ListServices(String::new());
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(list),
        };
        let mut answers = ServerReflectionClient::new(channel)
            .server_reflection_info(tokio_stream::once(request))
            .await?
            .into_inner();
        let answer: ServerReflectionResponse = answers.message().await?.context("no answer")?;
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            anyhow::bail!("unexpected answer {:?}", answer.message_response);
        };
        let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        for name in [
            "build.bazel.remote.execution.v2.ContentAddressableStorage",
            "google.longrunning.Operations",
        ] {
            ensure!(names.contains(&name), "{name} is not in {names:?}");
        }
        Ok(())
    })
}

#[test]
fn ctrl_c_lets_running_actions_finish_and_leaves_nothing() -> Result<()> {
    let mut farrier = Farrier::start()?;
    farrier.worker()?;
    let below = farrier.descendants();
    runtime()?.block_on(async {
        let client = Client::connect(&farrier.http_url(), "").await?;
        let action = client.upload_shell_action("sleep 2; echo finished").await?;
        let executing = client.execute(&action);
        let interrupting = async {
            // Long enough for the action to have begun, short of its end.
            tokio::time::sleep(Duration::from_millis(1000)).await;
            farrier.interrupt()
        };
        let (response, interrupted) = tokio::join!(executing, interrupting);
        interrupted?;
        let result = response?.result.context("no result")?;
        ensure!(result.stdout_raw.as_ref() == b"finished\n", "{result:?}");
        anyhow::Ok(())
    })?;
    farrier.ends_without(&below, PATIENCE)
}

#[test]
fn another_machine_joins_with_the_token_and_not_without() -> Result<()> {
    let server = Farrier::start_with(&["--slots", "0"])?;
    let token = std::fs::read_to_string(server.data_directory().join("worker-token"))?;
    let scratch = tempfile::tempdir()?;
    let directory = scratch.path().join("worker").display().to_string();
    let refused = farrier(&[
        "join",
        &server.http_url(),
        "--token",
        "nonsense",
        "--data-dir",
        &directory,
    ])?;
    ensure!(!refused.status.success(), "a worker with a wrong token was taken");
    ensure!(said(&refused).contains("token"), "{}", said(&refused));

    let mut worker = Command::new(tools::farrier()?)
        .args([
            "join",
            &server.http_url(),
            "--token",
            token.trim(),
            "--data-dir",
            &directory,
        ])
        .args(["--slots", "1", "--name", "the-joined-one"])
        .stdin(Stdio::null())
        .spawn()?;
    let outcome = runtime()?.block_on(async {
        let client = Client::connect(&server.http_url(), "").await?;
        let action = client.upload_shell_action("echo joined").await?;
        client.execute(&action).await
    });
    e2e::process_tree::kill_tree(i32::try_from(worker.id())?);
    worker.wait()?;
    let result = outcome?.result.context("no result")?;
    ensure!(result.stdout_raw.as_ref() == b"joined\n", "{result:?}");
    ensure!(
        result.execution_metadata.context("no metadata")?.worker == "the-joined-one",
        "wrong worker"
    );
    Ok(())
}

#[test]
fn a_first_command_is_run_and_its_code_returned() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let address = waiting::free_address()?.to_string();
    let directory = scratch.path().display().to_string();
    let up = [
        "up",
        "--listen",
        &address,
        "--data-dir",
        &directory,
        "--once",
        "--",
    ];
    let output = farrier(&[&up[..], &["sh", "-c", "echo from a worker; exit 7"]].concat())?;
    ensure!(
        output.status.code() == Some(7),
        "{:?}: {}",
        output.status,
        said(&output)
    );
    ensure!(said(&output).contains("from a worker"), "{}", said(&output));
    Ok(())
}

/// Of the right shape.
const TOKEN_OF_NOBODY: &str =
    "0123456789abcdef.0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn mistakes_are_told_clearly() -> Result<()> {
    let running = Farrier::start_with(&["--slots", "0"])?;
    let directory = running.data_directory().display().to_string();
    let scratch = tempfile::tempdir()?;
    let elsewhere = scratch.path().display().to_string();
    let port = waiting::free_address()?.to_string();
    let taken = running.address().to_string();
    for (words, mentions) in [
        (vec!["up", "--listen", &port, "--data-dir", &directory], "process"),
        (
            vec!["up", "--listen", &taken, "--data-dir", &elsewhere],
            "already",
        ),
        (
            vec!["up", "--listen", &port, "--data-dir", "/proc/nowhere"],
            "/proc/nowhere",
        ),
        (vec!["up", "--listen", "nonsense"], "nonsense"),
        (vec!["up", "--cas-size", "many"], "64GiB"),
        (vec!["up", "--instance", "a/blobs"], "blobs"),
        (
            vec!["up", "--default-timeout", "2h", "--max-timeout", "1h"],
            "--max-timeout",
        ),
        (vec!["join", "http://127.0.0.1:1"], "--token"),
        (
            vec![
                "join",
                "http://127.0.0.1:1",
                "--token",
                TOKEN_OF_NOBODY,
                "--data-dir",
                &elsewhere,
            ],
            "127.0.0.1:1",
        ),
        (vec!["nonsense"], "nonsense"),
    ] {
        let output = farrier(&words)?;
        ensure!(!output.status.success(), "{words:?} succeeded");
        ensure!(
            said(&output).contains(mentions),
            "{words:?} does not mention {mentions}: {}",
            said(&output)
        );
        ensure!(
            !said(&output).contains("panicked"),
            "{words:?}: {}",
            said(&output)
        );
    }
    Ok(())
}

/// As root: without, no machine of ours lets anybody bound what others use.
#[test]
fn an_action_that_uses_up_its_memory_is_told_so_and_hurts_nobody() -> Result<()> {
    let farrier = Farrier::start_with(&["--action-memory", "64MiB", "--action-processes", "20"])?;
    let url = farrier.http_url();
    let exec = |words: &[&str]| {
        let exec = ["exec", "--no-cache", "--endpoint", &url, "--"];
        self::farrier(&exec.iter().chain(words).copied().collect::<Vec<_>>())
    };
    let greedy = exec(&["tail", "/dev/zero"])?;
    let text = said(&greedy);
    ensure!(greedy.status.code() == Some(137), "{text}");
    ensure!(
        text.contains("out of memory") && text.contains("it may have 64 MiB"),
        "{text}"
    );
    let bomb = exec(&["sh", "-c", "for i in $(seq 100); do sleep 60 & done; wait"])?;
    let text = said(&bomb);
    ensure!(bomb.status.code() != Some(0), "{text}");
    ensure!(text.contains("as many as it may (20)"), "{text}");
    let modest = exec(&["echo", "fine"])?;
    ensure!(
        said(&modest).contains("fine") && modest.status.success(),
        "{}",
        said(&modest)
    );
    Ok(())
}

/// Where files come beside the action's own, and where they come as the action opens them.
#[test]
fn an_action_that_writes_more_than_it_may_is_ended_and_told_so() -> Result<()> {
    for lazily in ["never", "always"] {
        let lazily = format!("--lazy-inputs={lazily}");
        let farrier = Farrier::start_with(&["--action-disk", "20MiB", &lazily])?;
        let url = farrier.http_url();
        let exec = |script: &str| {
            let exec = ["exec", "--no-cache", "--endpoint", &url, "--", "sh", "-c", script];
            self::farrier(&exec)
        };
        let greedy =
            exec("echo before; mkdir -p a/b && head -c 40M /dev/zero > a/b/large; sleep 60; echo after")?;
        let text = said(&greedy);
        ensure!(greedy.status.code() == Some(137), "{lazily}: {text}");
        ensure!(
            text.contains("wrote more than the 20 MiB that an action may") && text.contains("before"),
            "{lazily}: {text}"
        );
        let modest = exec("head -c 10M /dev/zero > large; sleep 2; echo fine")?;
        ensure!(modest.status.success(), "{lazily}: {}", said(&modest));
    }
    Ok(())
}

/// As root. Of two workers one has a small disk: what fills it and would go through on the other does.
#[test]
fn what_fails_for_want_of_disk_runs_elsewhere() -> Result<()> {
    let farrier = Farrier::start_with(&["--slots", "0"])?;
    let on_a_small_disk = r#"
        for word; do
            case $word in --data-dir=*)
                mkdir -p "${word#--data-dir=}" && mount -t tmpfs -o size=100m none "${word#--data-dir=}" || exit
            esac
        done
        exec "$@""#;
    let before = ["unshare", "--mount", "sh", "-c", on_a_small_disk, "sh"];
    let small = Joined::start_on(&before, &farrier.http_url(), &farrier, "small", 1)?;
    let fill = |name: &str| {
        let script = format!("(head -c 120M /dev/zero > {name}) 2> /dev/null && echo {name} is there");
        let url = farrier.http_url();
        let exec = [
            "exec",
            "--no-cache",
            "--endpoint",
            &url,
            "--",
            "sh",
            "-c",
            &script,
        ];
        self::farrier(&exec)
    };
    let alone = fill("first")?;
    ensure!(
        !alone.status.success() && said(&alone).contains("this worker's disk is full"),
        "{}",
        said(&alone)
    );
    let _large = Joined::start(&farrier, "large", 1)?;
    for name in ["second", "third"] {
        let both = fill(name)?;
        ensure!(
            both.status.success() && said(&both).contains(&format!("{name} is there")),
            "{}",
            said(&both)
        );
    }
    drop(small);
    Ok(())
}

/// As root, like the one above. Eight actions that need 80 MB each have 200 MiB together: some are killed for what the
/// others use. Nobody hears of it: they run again, when there is room.
#[test]
fn what_was_crowded_out_of_memory_runs_again_unnoticed() -> Result<()> {
    let farrier = Farrier::start_with(&["--memory", "200MiB", "--slots", "4"])?;
    let url = farrier.http_url();
    // Each holds its memory for a while, so that four overlap.
    let script =
        |number: u32| format!("$x = 'a'; $x x= 80_000_000; select(undef, undef, undef, 0.5); print {number}");
    let running: Vec<_> = (0..8)
        .map(|number| {
            let url = url.clone();
            let script = script(number);
            std::thread::spawn(move || {
                self::farrier(&[
                    "exec",
                    "--no-cache",
                    "--endpoint",
                    &url,
                    "--",
                    "perl",
                    "-e",
                    &script,
                ])
            })
        })
        .collect();
    for (number, thread) in running.into_iter().enumerate() {
        let output = thread.join().expect("it does not panic")?;
        ensure!(output.status.success(), "{}", said(&output));
        ensure!(said(&output).contains(&number.to_string()), "{}", said(&output));
    }
    Ok(())
}

#[test]
fn workers_and_queue_are_shown_to_people_and_programs() -> Result<()> {
    let farrier = Farrier::start_with(&["--slots", "1", "--resource", "license=2"])?;
    let url = farrier.http_url();
    let shown = |words: &[&str]| -> Result<String> {
        let output = self::farrier(&[words, &["--endpoint", &url]].concat())?;
        ensure!(output.status.success(), "{}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    };
    let mut sleeping = Vec::new();
    for number in ["1", "2"] {
        let words = [
            "exec",
            "--endpoint",
            &url,
            "--",
            "sh",
            "-c",
            "sleep 3; echo $0",
            number,
        ];
        let mut command = Command::new(tools::farrier()?);
        sleeping.push(command.args(words).stdout(Stdio::null()).spawn()?);
    }
    waiting::until("one runs and one waits", PATIENCE, || {
        let queue = shown(&["queue"])?;
        Ok(queue.contains("1 waiting, 1 running").then_some(()))
    })?;
    let queue = shown(&["queue"])?;
    ensure!(queue.contains("the first waits for a free slot"), "{queue}");
    let workers = shown(&["workers"])?;
    ensure!(
        workers.contains("ready") && workers.contains(" 1/1 ") && workers.contains("license=0/2"),
        "{workers}"
    );
    ensure!(workers.contains("sh -c sleep 3"), "{workers}");

    let queue: serde_json::Value = serde_json::from_str(&shown(&["queue", "--json"])?)?;
    ensure!(
        queue["queued"] == 1 && queue["queues"][0]["running"] == 1,
        "{queue}"
    );
    let workers: serde_json::Value = serde_json::from_str(&shown(&["workers", "--json"])?)?;
    let worker = &workers["workers"][0];
    ensure!(
        worker["slots_used"] == 1 && worker["actions"][0]["arguments"][0] == "sh",
        "{workers}"
    );
    for mut child in sleeping {
        waiting::end_of(&mut child, PATIENCE)?.context("exec does not end")?;
    }

    let token = format!(
        "--token-file={}",
        farrier.data_directory().join("worker-token").display()
    );
    let drained = shown(&["drain", "*", &token])?;
    ensure!(drained.starts_with("out of service: *\n"), "{drained}");
    let workers = shown(&["workers"])?;
    ensure!(workers.contains("draining"), "{workers}");
    let back = shown(&["drain", "*", "--undo", &token])?;
    ensure!(
        back == "out of service: none\nworkers that take nothing new: none\n",
        "{back}"
    );
    let token = std::fs::read_to_string(farrier.data_directory().join("worker-token"))?;
    let (_, server) = token.trim().split_once('.').context("a token names its server")?;
    let guessed = format!("{}.{server}", "0".repeat(64));
    let stranger = self::farrier(&["drain", "*", "--token", &guessed, "--endpoint", &url])?;
    ensure!(
        said(&stranger).contains("wrong worker token"),
        "{}",
        said(&stranger)
    );
    Ok(())
}
