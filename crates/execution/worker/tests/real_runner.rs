//! Whole actions: a real runner, real files, real processes; only the server and the store are stand-ins.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only functions marked as tests for tests"
)]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::time::{Duration, Instant};

use merkle::{Tree, TreeBuilder};
use reapi::rpc::Code;
use support::{F, Farm, Job, shell};

fn code(response: &reapi::execution::ExecuteResponse) -> Code {
    Code::try_from(response.status.as_ref().map_or(0, |status| status.code)).unwrap()
}

#[tokio::test]
async fn inputs_outputs_exit_code_and_logs() {
    whole_action(Farm::start("best-effort", 1).await).await;
}

#[tokio::test]
async fn the_same_without_any_sandbox() {
    whole_action(Farm::start("off", 1).await).await;
}

async fn whole_action(mut farm: Farm) {
    let mut tree = TreeBuilder::new();
    tree.insert_file(
        "bin/greet",
        farm.put("#!/bin/sh\necho hello $1; cat ../data; echo oops >&2\n")
            .await,
        true,
    )
    .unwrap();
    tree.insert_file("data", farm.put("some data\n").await, false)
        .unwrap();
    tree.insert_symlink("work/link", "../data").unwrap();
    let mut command = shell(
        "../bin/greet you && mkdir -p tree/sub && cp link tree/sub/copy && ln -s copy tree/sub/link \
         && cp ../bin/greet out/deep/greet && pwd > out/pwd && exit 7",
        &["tree", "out/deep/greet", "out/pwd", "out/absent"],
    );
    command.working_directory = "work".into();
    let input_root = farm.put_tree(tree).await;
    for _ in 0..2 {
        let job = Job {
            command: command.clone(),
            input_root,
            timeout: Duration::from_secs(30),
        };
        let response = farm.execute(job).await;
        assert_eq!(code(&response), Code::Ok, "{response:?}");
        let result = response.result.unwrap();
        assert_eq!(result.exit_code, 7);
        assert_eq!(
            (&result.stdout_raw[..], &result.stderr_raw[..]),
            (&b"hello you\nsome data\n"[..], &b"oops\n"[..])
        );
        let files: Vec<_> = result
            .output_files
            .iter()
            .map(|file| (&*file.path, file.is_executable))
            .collect();
        assert_eq!(files, [("out/deep/greet", true), ("out/pwd", false)]);
        let tree = Tree::decode(F, farm.read(&result.output_directories[0].tree_digest).await).unwrap();
        let paths: Vec<String> = tree
            .as_input_tree()
            .entries()
            .unwrap()
            .map(|(path, _)| path)
            .collect();
        assert_eq!(paths, ["sub", "sub/copy", "sub/link"]);
        let metadata = result.execution_metadata.unwrap();
        assert!(metadata.execution_completed_timestamp.is_some() && !metadata.auxiliary_metadata.is_empty());
    }
    farm.end().await;
}

/// An action can write nothing that another one reads (E27).
#[tokio::test]
async fn no_action_changes_the_inputs_of_another() {
    let mut farm = Farm::start("best-effort", 1).await;
    let mut tree = TreeBuilder::new();
    tree.insert_file("input", farm.put("original").await, false)
        .unwrap();
    tree.insert_file("output/given", farm.put("given").await, false)
        .unwrap();
    let input_root = farm.put_tree(tree).await;
    let mut run = async |script: &str| {
        let command = shell(script, &["output"]);
        let response = farm
            .execute(Job {
                command,
                input_root,
                timeout: Duration::from_secs(30),
            })
            .await;
        (response.result.unwrap(), farm.capabilities.hardlinks_safe)
    };
    let attack = "exec 2>/dev/null; chmod u+w input; echo changed > input; truncate -s 0 input; \
                  echo appended >> output/given; rm -f input; echo new > input; cat input";
    let (attacked, hardlinks_safe) = run(attack).await;
    assert_eq!(
        &attacked.stdout_raw[..],
        b"new\n",
        "a private name may be given to something else"
    );
    let (after, _) = run("cat input output/given").await;
    assert_eq!(&after.stdout_raw[..], b"originalgiven");
    if rustix::process::geteuid().is_root() {
        assert!(hardlinks_safe, "as root, inputs are linked");
        let (refused, _) = run("chmod u+w input || echo x > input").await;
        assert_ne!(refused.exit_code, 0, "{refused:?}");
    }
    farm.end().await;
}

#[tokio::test]
async fn a_timeout_keeps_the_log_and_leaves_no_process() {
    let mut farm = Farm::start("best-effort", 1).await;
    let input_root = farm.put_tree(TreeBuilder::new()).await;
    let script = "echo before; echo partial > out; (setsid sh -c 'sleep 4711; echo late > out') & sleep 4711";
    let job = Job {
        command: shell(script, &["out"]),
        input_root,
        timeout: Duration::from_millis(400),
    };
    let response = farm.execute(job).await;
    assert_eq!(code(&response), Code::DeadlineExceeded);
    assert!(
        response.message.contains("longer than its timeout of 400ms"),
        "{}",
        response.message
    );
    let text = farm.read(&response.server_logs["farrier"].digest).await;
    assert!(
        String::from_utf8(text.to_vec())
            .unwrap()
            .contains("killed: out of time")
    );
    let result = response.result.unwrap();
    assert_eq!(&result.stdout_raw[..], b"before\n");
    assert_eq!(farm.read(&result.output_files[0].digest).await, b"partial\n");
    assert_ne!(result.exit_code, 0);
    farm.end().await;
}

#[tokio::test]
async fn a_withdrawn_action_dies_and_its_directory_goes() {
    let mut farm = Farm::start("best-effort", 1).await;
    let input_root = farm.put_tree(TreeBuilder::new()).await;
    let command = shell("while :; do date > file; sleep 0.01; done", &[]);
    farm.begin(Job {
        command,
        input_root,
        timeout: Duration::from_secs(50),
    })
    .await;
    let appeared = Instant::now();
    while std::fs::read_dir(farm.builds())
        .unwrap()
        .next()
        .is_none_or(|entry| !entry.unwrap().path().join("root/file").exists())
    {
        assert!(appeared.elapsed() < Duration::from_secs(30), "the action starts");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    farm.want(vec![]).await;
    while !farm.state().await.leases.is_empty() {}
    assert_eq!(
        farm.script("echo next", &[]).await.result.unwrap().stdout_raw,
        "next\n"
    );
    farm.end().await;
}

#[tokio::test]
async fn what_cannot_be_run_is_told_like_a_shell_tells_it() {
    let mut farm = Farm::start("best-effort", 1).await;
    let mut tree = TreeBuilder::new();
    tree.insert_file("plain", farm.put("#!/bin/sh\n").await, false)
        .unwrap();
    let input_root = farm.put_tree(tree).await;
    for (program, exit_code) in [("no-such-program", 127), ("./nor-this", 127), ("./plain", 126)] {
        let mut command = shell("", &[]);
        command.arguments = vec![program.into()];
        let response = farm
            .execute(Job {
                command,
                input_root,
                timeout: Duration::from_secs(9),
            })
            .await;
        let result = response.result.unwrap();
        assert_eq!(result.exit_code, exit_code, "{program}");
        let stderr = String::from_utf8(result.stderr_raw.to_vec()).unwrap();
        assert!(
            stderr.contains(program) && response.message.contains(program),
            "{stderr}"
        );
    }
    let signaled = farm.script("kill -SEGV $$", &[]).await;
    let log = &signaled.server_logs["farrier"];
    let text = String::from_utf8(farm.read(&log.digest).await.to_vec()).unwrap();
    assert!(
        log.human_readable && text.contains("killed by signal 11"),
        "{text}"
    );
    assert_eq!(signaled.result.unwrap().exit_code, 139);
    // What the command has to say for itself is enough.
    assert!(farm.script("exit 3", &[]).await.server_logs.is_empty());
    farm.end().await;
}

#[tokio::test]
async fn floods_odd_files_and_traps_do_no_harm() {
    let mut farm = Farm::start("best-effort", 1).await;
    let flood = farm
        .script("head -c 50000000 /dev/zero; echo end >&2", &[])
        .await
        .result
        .unwrap();
    let kept = farm.read(&flood.stdout_digest).await;
    assert!(
        kept.len() >= 1 << 20 && kept.len() < (1 << 20) + 1000,
        "{} bytes",
        kept.len()
    );
    assert!(flood.stdout_raw.is_empty());

    let odd = farm.script(
        "mkdir -p o/closed/in; mkfifo o/pipe; echo x > o/closed/in/f; chmod -R 0 o/closed",
        &["o"],
    );
    let odd = odd.await;
    assert_eq!(code(&odd), Code::Ok, "{odd:?}");
    assert!(odd.message.contains("o/pipe"), "{}", odd.message);

    let traps = farm
        .script(
            "ln -s /etc/passwd s; rm -r d; ln -s / d; ln -s loop loop",
            &["s", "d/etc/hostname", "loop"],
        )
        .await;
    assert_eq!(code(&traps), Code::FailedPrecondition);
    let links = farm
        .script("ln -s /etc/passwd s; ln -s loop loop", &["s", "loop"])
        .await
        .result
        .unwrap();
    assert_eq!((links.output_symlinks.len(), links.output_files.len()), (2, 0));
    farm.end().await;
}

#[tokio::test]
async fn what_an_action_heaps_up_is_refused_and_goes_away() {
    let mut farm = Farm::start("best-effort", 1).await;
    let deep = "perl -e 'for (1 .. 3000) { mkdir q{d}; chdir q{d} or die }'";
    for (script, output, word) in [
        ("truncate -s 1T huge", "huge", "bytes together"),
        (deep, "d", "deep"),
    ] {
        let response = farm.script(script, &[output]).await;
        assert_eq!(code(&response), Code::ResourceExhausted, "{response:?}");
        let message = response.status.unwrap().message;
        assert!(message.contains(word), "{message}");
    }
    // The worker goes on, with nothing of it left.
    let next = farm.script("ls -A; echo fine", &[]).await.result.unwrap();
    assert_eq!(&next.stdout_raw[..], b"fine\n");
    farm.end().await;
}

/// An input that is the cache's own file cannot be made an output that shares it, but its content can.
#[tokio::test]
async fn a_link_to_an_input_changes_no_input() {
    let mut farm = Farm::start("best-effort", 1).await;
    let mut tree = TreeBuilder::new();
    tree.insert_file("input", farm.put("original").await, false)
        .unwrap();
    let input_root = farm.put_tree(tree).await;
    let mut run = async |script: &str| {
        let job = Job {
            command: shell(script, &["out"]),
            input_root,
            timeout: Duration::from_secs(30),
        };
        farm.execute(job).await
    };
    let stolen = "exec 2>/dev/null; mkdir out; ln input out/stolen; ln /etc/passwd out/passwd; ln /proc/self/exe out/exe; \
                  ln . out/dir; echo changed > out/stolen; chmod 777 out/stolen; ls out; true";
    let first = run(stolen).await;
    assert_eq!(code(&first), Code::Ok, "{first:?}");
    let listed = String::from_utf8(first.result.unwrap().stdout_raw.to_vec()).unwrap();
    assert!(["", "stolen\n"].contains(&&*listed), "{listed}");
    let again = run("cat input; stat -c %a input").await.result.unwrap();
    let said = String::from_utf8(again.stdout_raw.to_vec()).unwrap();
    assert!(said.starts_with("original") && !said.contains("777"), "{said}");
    farm.end().await;
}

#[tokio::test]
async fn many_large_and_small_files() {
    let mut farm = Farm::start("best-effort", 2).await;
    let mut tree = TreeBuilder::new();
    for number in 0..500u32 {
        let size = if number % 50 == 0 {
            700_000
        } else {
            number as usize
        };
        let digest = farm.put(number.to_le_bytes().repeat(size / 4 + 1)).await;
        tree.insert_file(
            &format!("d{}/s{}/f{number}", number % 7, number % 3),
            digest,
            number % 2 == 0,
        )
        .unwrap();
    }
    let input_root = farm.put_tree(tree).await;
    let command = shell("cp -a . /tmp/all && mv /tmp/all out", &["out"]);
    let response = farm
        .execute(Job {
            command,
            input_root,
            timeout: Duration::from_secs(50),
        })
        .await;
    assert_eq!(code(&response), Code::Ok, "{response:?}");
    let result = response.result.unwrap();
    assert_eq!(result.exit_code, 0, "{result:?}");
    let tree = Tree::decode(F, farm.read(&result.output_directories[0].tree_digest).await).unwrap();
    assert_eq!(tree.root_digest(), input_root, "what goes in comes out");
    farm.end().await;
}

/// A process that is forked costs what its parent has in memory. So a command comes from the runner, which has little, and its
/// ancestors, up to the worker, are no copies of that.
#[tokio::test]
async fn however_large_a_worker_is_its_commands_come_from_small_processes() {
    const LARGE_BYTES: usize = 1 << 30;
    // What is reserved shows in the size of every copy; it need not be written.
    let large = std::hint::black_box(vec![0_u8; LARGE_BYTES]);
    let mut farm = Farm::start("off", 1).await;
    let script = r#"
        process=$$
        while [ "$process" -gt 1 ]; do
            size=0
            while read -r name value rest; do
                case $name in PPid:) parent=$value ;; VmSize:) size=$value ;; esac
            done < /proc/$process/status
            echo $process $size
            process=$parent
        done"#;
    let result = farm.script(script, &[]).await.result.unwrap();
    let text = String::from_utf8(result.stdout_raw.to_vec()).unwrap();
    let processes: Vec<(u32, usize)> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(process, kib)| (process.parse().unwrap(), kib.parse::<usize>().unwrap() << 10))
        .collect();
    let own = std::process::id();
    let worker = processes.iter().position(|(process, _)| *process == own);
    let (above, rest) = processes.split_at(worker.expect("the worker is an ancestor"));
    assert!(
        above.len() >= 3,
        "the command, and more than one process of the runner: {text}"
    );
    assert!(
        above
            .iter()
            .all(|(_, bytes)| (1..LARGE_BYTES / 4).contains(bytes)),
        "{text}"
    );
    assert!(rest[0].1 > LARGE_BYTES, "{text}");
    drop(large);
    farm.end().await;
}

/// Not a test of right or wrong: says what one trivial action costs from assignment to result.
/// `cargo test --release -p worker --test real_runner -- --ignored --nocapture latency`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn latency() {
    for sandbox in ["best-effort", "off"] {
        let mut farm = Farm::start(sandbox, 1).await;
        let mut tree = TreeBuilder::new();
        for number in 0..10 {
            let digest = farm.put(format!("input {number}")).await;
            tree.insert_file(&format!("src/pkg{}/f{number}", number % 3), digest, false)
                .unwrap();
        }
        let input_root = farm.put_tree(tree).await;
        let mut times = Vec::new();
        let mut parts: Vec<[f64; 3]> = Vec::new();
        for _ in 0..300 {
            let mut command = shell("", &[]);
            command.arguments = vec!["/bin/true".into()];
            let began = Instant::now();
            let response = farm
                .execute(Job {
                    command,
                    input_root,
                    timeout: Duration::from_secs(9),
                })
                .await;
            times.push(began.elapsed());
            let metadata = response.result.unwrap().execution_metadata.unwrap();
            let ms = |from: Option<prost_types::Timestamp>, to: Option<prost_types::Timestamp>| {
                let (from, to) = (from.unwrap(), to.unwrap());
                (to.seconds - from.seconds) as f64 * 1e3 + f64::from(to.nanos - from.nanos) / 1e6
            };
            parts.push([
                ms(
                    metadata.input_fetch_start_timestamp,
                    metadata.input_fetch_completed_timestamp,
                ),
                ms(
                    metadata.input_fetch_completed_timestamp,
                    metadata.execution_completed_timestamp,
                ),
                ms(
                    metadata.output_upload_start_timestamp,
                    metadata.worker_completed_timestamp,
                ),
            ]);
        }
        times.sort();
        let median = |part: usize| {
            let mut values: Vec<f64> = parts.iter().map(|parts| parts[part]).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        println!(
            "{sandbox}: p50 {:?}, p99 {:?}; inputs {:.2} ms, run {:.2} ms, outputs {:.2} ms",
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            median(0),
            median(1),
            median(2)
        );
        farm.end().await;
    }
}
