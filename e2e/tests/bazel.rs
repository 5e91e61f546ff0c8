//! Real Bazel 4.2.3 builds our C++ project with `farrier up` doing the work.
//!
//! One test at a time: each of them keeps every core busy by itself, and two would only disturb each other's clocks.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use e2e::bazel::{Bazel, Build};
use e2e::build::User;
use e2e::contents::{Content, contents};
use e2e::farrier::Farrier;
use e2e::{process_tree, waiting};

/// Processes of a whole build of the project with its tests, without the slow and the failing ones.
const SPAWNS: usize = 150;

/// What most tests build: everything that is meant to succeed, and quickly.
const EVERYTHING: &[&str] = &[
    "--build_tag_filters=-fails,-slow",
    "--test_tag_filters=-fails,-slow",
    "//...",
];

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed must not make the others fail with it.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Builds and tests everything; all of it must succeed.
fn test_everything(bazel: &Bazel) -> Result<Build> {
    let build = bazel.run("test", EVERYTHING)?;
    build.assert_success().assert_said("10 tests pass");
    Ok(build)
}

#[test]
fn first_build_is_all_remote_and_the_next_all_hits() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    test_everything(&bazel)?
        .assert_all_spawns("remote", SPAWNS)
        .assert_said("words on standard error");

    bazel.clean()?;
    test_everything(&bazel)?
        .assert_all_spawns("remote cache hit", SPAWNS)
        .assert_said("words on standard error");

    // Another machine with its own checkout finds the same digests.
    let other = Bazel::remote(&farrier.grpc_url())?;
    test_everything(&other)?.assert_all_spawns("remote cache hit", SPAWNS);
    Ok(())
}

#[test]
fn the_daemon_behind_run_is_a_cache_in_front_of_the_server() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let user = User::new()?;
    // Free a moment ago; nobody else on this machine is given one meanwhile.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let endpoint = farrier.http_url();
    let listen = address.to_string();
    let words = ["daemon", "start", "--endpoint", &endpoint, "--listen", &listen];
    let mut daemon = user.farrier(&words)?.spawn()?;
    let _connection = waiting::until("the daemon serves", Duration::from_secs(30), || {
        Ok(TcpStream::connect(address).ok())
    })?;
    let build = |url: &str, runners: &[&str]| -> Result<()> {
        let bazel = Bazel::local_with_remote_cache(url)?;
        let build = bazel.run("build", &["//numbers/..."])?;
        build.assert_success().assert_spawns_by(runners, 20);
        Ok(())
    };
    let url = format!("grpc://{address}");
    build(&url, &["linux-sandbox", "processwrapper-sandbox", "local"])?;
    build(&url, &["remote cache hit"])?;
    // What was written there is at the server too.
    build(&farrier.grpc_url(), &["remote cache hit"])?;
    user.stop_daemon()?;
    assert!(daemon.wait()?.success());
    Ok(())
}

#[test]
fn outputs_are_the_same_as_of_a_local_build() -> Result<()> {
    let _alone = alone();
    let packages = ["data", "rules", "tools", "numbers"];
    let patterns: Vec<String> = packages
        .iter()
        .map(|package| format!("//{package}/..."))
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();

    let local = Bazel::local()?;
    local.run("build", &patterns)?.assert_success();
    let farrier = Farrier::start()?;
    let remote = Bazel::remote(&farrier.grpc_url())?;
    remote
        .run("build", &patterns)?
        .assert_success()
        .assert_all_spawns("remote", 80);

    for package in packages {
        let (wanted, found) = (
            contents(&local.built(package)?)?,
            contents(&remote.built(package)?)?,
        );
        assert_eq!(found, wanted, "in package {package}");
    }
    // What the comparison is for: a directory, symlinks in it and beside it, a program, a large and an empty file.
    let rules = contents(&remote.built("rules")?)?;
    assert_eq!(
        rules["letters/f/5.txt"],
        Content::of_file(b"first\nforge\n", true)
    );
    assert_eq!(rules["releases/latest"], Content::Symlink("v2".to_owned()));
    assert_eq!(
        rules["releases/v2/previous.txt"],
        Content::Symlink("../v1/notes.txt".to_owned())
    );
    assert_eq!(
        rules["linked_version.txt"],
        Content::Symlink("linked_version-2.1.txt".to_owned())
    );
    let data = contents(&remote.built("data")?)?;
    assert_eq!(data["deep/er/empty.txt"], Content::of_file(b"", true));
    assert_eq!(data["greeting.txt"], Content::of_file(b"hello, smith\n", true));
    assert!(matches!(&data["large.txt"], Content::File { bytes, .. } if bytes.len() > 6 << 20));
    Ok(())
}

#[test]
fn a_changed_source_file_runs_only_what_depends_on_it() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let build = |bazel: &Bazel| bazel.run("build", &["//tools:romanize", "//tools:word_count"]);
    build(&bazel)?.assert_success().assert_all_spawns("remote", 8);

    let source = bazel.project().join("numbers/roman.cc");
    let text = fs::read_to_string(&source)?;
    fs::write(&source, text.replace("3999", "3998"))?;
    let changed = build(&bazel)?;
    changed.assert_success().assert_all_spawns("remote", 2);
    let others: Vec<_> = changed
        .spawns
        .iter()
        .filter(|spawn| !spawn.output.contains("roman"))
        .map(|spawn| &spawn.output)
        .collect();
    assert!(others.is_empty(), "{others:?} do not depend on the change");

    // Back to what it was: everything is known already, also on a machine that starts from nothing.
    fs::write(&source, text)?;
    build(&bazel)?
        .assert_success()
        .assert_all_spawns("remote cache hit", 2);
    Ok(())
}

#[test]
fn nothing_needs_to_be_downloaded() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    // Bazel 4 refuses outputs that are symlinks in this mode.
    let words = [
        "--remote_download_minimal",
        "--build_tag_filters=-fails,-slow,-symlink-output",
        "--test_tag_filters=-fails,-slow",
        "//...",
    ];
    bazel
        .run("test", &words)?
        .assert_success()
        .assert_all_spawns("remote", SPAWNS - 2)
        .assert_said("10 tests pass");
    assert!(
        !bazel.built("data/large.txt")?.exists(),
        "Bazel downloaded what it was told not to"
    );

    bazel.clean()?;
    bazel
        .run("test", &words)?
        .assert_success()
        .assert_all_spawns("remote cache hit", SPAWNS - 2);
    Ok(())
}

#[test]
fn every_hit_survives_kill_9_of_the_server() -> Result<()> {
    let _alone = alone();
    let mut farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    test_everything(&bazel)?.assert_all_spawns("remote", SPAWNS);

    // At once: what was acknowledged is kept, not only what was there for a while.
    farrier.kill()?;
    farrier.restart()?;
    bazel.clean()?;
    test_everything(&bazel)?.assert_all_spawns("remote cache hit", SPAWNS);

    // The worker of the new server works: one of these was never built before.
    bazel
        .run("build", &["//slow:slow_0"])?
        .assert_success()
        .assert_all_spawns("remote", 1);
    Ok(())
}

#[test]
fn a_build_survives_kill_9_of_the_server_under_it() -> Result<()> {
    let _alone = alone();
    let mut farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    // By default Bazel 4 gives up after about three seconds, which a busy machine may need to start the server.
    let build = bazel.start("build", &["--remote_retries=8", "//slow:slow"])?;
    until_sleeping(&farrier)?;
    farrier.kill()?;
    farrier.restart()?;
    build.finish()?.assert_success();
    assert_eq!(
        fs::read_to_string(bazel.built("slow/slow.txt")?)?.lines().count(),
        6
    );
    Ok(())
}

#[test]
fn a_build_survives_kill_9_of_its_worker() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let worker = farrier.worker()?;
    let mut build = bazel.start("build", &["//slow:slow"])?;
    until_sleeping(&farrier)?;

    let below = process_tree::descendants(worker.pid);
    assert!(
        below.iter().any(is_sleep),
        "the actions run below the worker: {below:?}"
    );
    process_tree::kill(worker.pid);
    waiting::until(
        "nothing of the killed worker runs",
        Duration::from_secs(10),
        || Ok((!below.iter().any(process_tree::still_runs)).then_some(())),
    )?;
    assert!(build.is_running()?, "the build was to be in the middle");

    build.finish()?.assert_success().assert_all_spawns("remote", 7);
    assert_eq!(
        fs::read_to_string(bazel.built("slow/slow.txt")?)?.lines().count(),
        6
    );
    assert_ne!(farrier.worker()?.pid, worker.pid);
    Ok(())
}

#[test]
fn ctrl_c_stops_what_runs_on_the_workers() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let build = bazel.start("build", &["//slow:endless"])?;
    until_sleeping(&farrier)?;
    build.interrupt()?;
    build.ended()?;
    waiting::until("nothing sleeps on the worker", Duration::from_secs(20), || {
        Ok((!farrier.descendants().iter().any(is_sleep)).then_some(()))
    })
}

#[test]
fn shards_flaky_tests_and_properties_of_execution_work() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start_with(&["--resource", "license=1"])?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let build = bazel.run(
        "test",
        &[
            "--jobs=200",
            "//features:sharded_test",
            "//features:licensed_test",
        ],
    )?;
    build.assert_success().assert_said("2 tests pass");
    let tests = build
        .spawns
        .iter()
        .filter(|spawn| spawn.output.ends_with("/test.xml"));
    assert_eq!(tests.count(), 4 + 1, "{:#?}", build.spawns);

    // It fails one time in three. Bazel 4's log of execution cannot take two attempts of one test, and Bazel ends over
    // it when it is done.
    let said = match bazel.run("test", &["--flaky_test_attempts=10", "//features:flaky_test"]) {
        Ok(build) => build.output,
        Err(error) => error.to_string(),
    };
    assert!(said.contains("1 test passes"), "{said}");

    // Bazel calls it a problem of the remote environment, and says which.
    let Err(refused) = bazel.run("test", &["//features:impossible_test"]) else {
        panic!("nobody has two licenses");
    };
    let refused = refused.to_string();
    assert!(
        refused.contains("none offers license=2, only 1 and less"),
        "{refused}"
    );
    Ok(())
}

#[test]
fn two_hundred_jobs_are_no_more_than_the_machine_has_room_for() -> Result<()> {
    let _alone = alone();
    let slots = 2;
    let farrier = Farrier::start_with(&["--slots", &slots.to_string()])?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let mut build = bazel.start("build", &["--jobs=200", "//many:all_of_it"])?;
    let mut most = 0;
    while build.is_running()? {
        let at_once = farrier
            .descendants()
            .iter()
            .filter(|process| is_sleep(process))
            .count();
        most = most.max(at_once);
        std::thread::sleep(Duration::from_millis(20));
    }
    let build = build.finish()?;
    build.assert_success().assert_all_spawns("remote", 300);
    assert!(
        (1..=slots).contains(&most),
        "{most} actions at once on {slots} slots"
    );
    Ok(())
}

#[test]
fn tests_that_fail_are_reported_with_their_logs() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let words = [
        "--keep_going",
        "//outcomes:wrong_sum_test",
        "//outcomes:exit_code_test",
        "//outcomes:signal_test",
    ];
    for _ in 0..2 {
        let build = bazel.run("test", &words)?;
        assert_eq!(build.exit_code, 3, "{}", build.output);
        // A failure is never served from the cache: the second time it runs again.
        let tests: Vec<_> = build.spawns.iter().filter(|spawn| spawn.exit_code != 0).collect();
        assert_eq!(tests.len(), 3, "{:#?}", build.spawns);
        assert!(tests.iter().all(|spawn| spawn.runner == "remote"), "{tests:#?}");
        assert!(tests.iter().any(|spawn| spawn.exit_code == 42), "{tests:#?}");
        build
            .assert_said("//outcomes:wrong_sum_test")
            .assert_said("3 fail remotely");
    }
    let log = bazel.test_log("outcomes/wrong_sum_test")?;
    assert!(
        log.contains("adding two and two") && log.contains("2 + 2 == 5 does not hold"),
        "{log}"
    );
    let log = bazel.test_log("outcomes/exit_code_test")?;
    assert!(
        log.contains("a line on standard output") && log.contains("a line on standard error"),
        "{log}"
    );
    let log = bazel.test_log("outcomes/signal_test")?;
    assert!(log.contains("about to be killed"), "{log}");
    Ok(())
}

#[test]
fn a_test_out_of_time_is_reported_with_its_log() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let build = bazel.run("test", &["--test_timeout=3", "//outcomes:endless_test"])?;
    assert_eq!(build.exit_code, 3, "{}", build.output);
    build.assert_said("TIMEOUT: //outcomes:endless_test");
    let log = bazel.test_log("outcomes/endless_test")?;
    assert!(log.contains("printed before the time was up"), "{log}");
    assert!(!log.contains("printed after an hour"), "{log}");

    // Its children ignored every signal that can be ignored, and left its process group.
    let left: Vec<_> = farrier.descendants().into_iter().filter(is_sleep).collect();
    assert!(left.is_empty(), "still running: {left:?}");
    Ok(())
}

#[test]
fn actions_that_fail_are_reported_with_their_reason() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start()?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let build = bazel.run(
        "build",
        &["--keep_going", "//outcomes:broken", "//outcomes:forgetful"],
    )?;
    assert_eq!(build.exit_code, 1, "{}", build.output);
    build
        .assert_said("(Exit 3)")
        .assert_said("the reason on standard error");
    build.assert_said("declared output 'outcomes/forgetful.txt' was not created");
    Ok(())
}

#[test]
fn local_builds_share_results_through_the_cache() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start_with(&["--slots", "0"])?;
    let words = ["//text/...", "//rules/...", "//data:large"];
    let first = Bazel::local_with_remote_cache(&farrier.grpc_url())?;
    let build = first.run("build", &words)?;
    build.assert_success();
    assert!(
        build.spawns.iter().all(|spawn| !spawn.remote_cache_hit),
        "{:#?}",
        build.spawns
    );

    let second = Bazel::local_with_remote_cache(&farrier.grpc_url())?;
    second
        .run("build", &words)?
        .assert_success()
        .assert_all_spawns("remote cache hit", 38);
    assert_eq!(
        contents(&second.built("rules")?)?,
        contents(&first.built("rules")?)?
    );
    Ok(())
}

#[test]
fn an_instance_with_slashes_in_its_name() -> Result<()> {
    let _alone = alone();
    let farrier = Farrier::start_with(&["--instance", "team/smithy"])?;
    let bazel = Bazel::remote(&farrier.grpc_url())?;
    let words = ["--remote_instance_name=team/smithy", "//data/..."];
    bazel
        .run("build", &words)?
        .assert_success()
        .assert_all_spawns("remote", 30);
    bazel.clean()?;
    bazel
        .run("build", &words)?
        .assert_success()
        .assert_all_spawns("remote cache hit", 30);
    Ok(())
}

/// Waits until actions of `//slow` run on the worker.
fn until_sleeping(farrier: &Farrier) -> Result<()> {
    waiting::until("an action sleeps on the worker", Duration::from_secs(60), || {
        Ok(farrier.descendants().iter().any(is_sleep).then_some(()))
    })
}

fn is_sleep(process: &process_tree::Process) -> bool {
    process
        .arguments
        .first()
        .is_some_and(|program| program == "sleep")
}
