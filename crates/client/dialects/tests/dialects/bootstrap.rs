//! bootstrap and those around it, with a reproxy that this very test program is.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use daemon_api::Request;
use reclient::address::Address;
use reclient::log_file::{Format, LogFile};
use reclient::text_proto::from_text;
use reclient_api::log::LocalMetadata;
use reclient_api::stats::Stats;
use reproxy::ledger::Ledger;
use reproxy::outcome::{Ending, Facts, RunOutcome, record};
use reproxy::service::{Daemon, routes};
use reproxy::serving::serve;
use settings::Settings;
use tokio::sync::Notify;

use crate::support::{Place, script, text};

/// Set, it makes this program a reproxy at that address.
const ADDRESS: &str = "DIALECTS_TEST_ADDRESS";
/// Where its logs go.
const LOGS: &str = "DIALECTS_TEST_LOGS";

/// Prints its words and the variable `MARK`, and ends with 5 when the first is `fail`.
struct Words {
    ledger: Arc<Ledger>,
    is_down: Notify,
}

#[async_trait]
impl Daemon for Words {
    async fn run(&self, request: Request) -> RunOutcome {
        let _running = self.ledger.begin();
        let settings = Settings::from_pairs(&request.settings).unwrap();
        let words: Vec<_> = request
            .arguments
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect();
        let mark = request.environment.iter().find(|(name, _)| name == "MARK");
        let mark = mark.map(|(_, value)| value.to_str().unwrap()).unwrap_or_default();
        let ending = Ending::Ended {
            exit_code: if words[0] == "fail" { 5 } else { 0 },
            is_cache_hit: words[0] == "hit",
        };
        let record = record(Facts {
            request: &request,
            settings: &settings,
            ending: &ending,
            execution_id: "id",
            began: SystemTime::now(),
            ended: SystemTime::now(),
            remote: None,
            local: LocalMetadata::default(),
        });
        self.ledger.enter(record.clone());
        RunOutcome {
            ending,
            output: format!("{} {mark}\n", words.join(" ")).into_bytes(),
            error_output: b"err\n".to_vec(),
            execution_id: "id".to_owned(),
            record,
            fallback: None,
        }
    }

    async fn shut_down(&self) {
        self.is_down.notify_one();
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

/// No test: what the tests start as reproxy.
#[tokio::test]
async fn a_reproxy() {
    let Ok(address) = env::var(ADDRESS) else { return };
    let logs = env::var(LOGS).unwrap();
    let log = LogFile::create(logs.as_ref(), Format::ReducedText, SystemTime::now()).unwrap();
    let daemon = Arc::new(Words {
        ledger: Arc::new(Ledger::new(Some(log), 0, BTreeMap::new())),
        is_down: Notify::new(),
    });
    let stop = daemon.clone();
    let stop = Box::pin(async move { stop.is_down.notified().await });
    println!("http_proxy={}", env::var("http_proxy").unwrap_or_default());
    println!("arguments={}", env::var("REPROXY_ARGUMENTS").unwrap_or_default());
    serve(&Address::parse(&address).unwrap(), routes(daemon), stop)
        .await
        .unwrap();
}

/// A program of ours that knows where this program is, with the address of the place.
fn command(place: &Place, program: &str) -> Command {
    let reproxy = place.path("their-reproxy");
    if !reproxy.exists() {
        script(
            &reproxy,
            "#!/bin/sh\nREPROXY_ARGUMENTS=\"$*\" exec \"$TEST_PROGRAM\" --exact bootstrap::a_reproxy --nocapture\n",
        );
    }
    let address = format!("unix://{}", place.path("reproxy.sock").display());
    let mut command = place.command(program);
    command
        .env("TEST_PROGRAM", env::current_exe().unwrap())
        .env(ADDRESS, &address)
        .env(LOGS, place.path("logs"))
        .env("TMPDIR", place.path("tmp"))
        .env("RBE_server_address", &address);
    command
}

fn start(place: &Place, flags: &[&str]) -> Output {
    fs::create_dir_all(place.path("tmp")).unwrap();
    let re_proxy = format!("-re_proxy={}", place.path("their-reproxy").display());
    let output_dir = format!("-output_dir={}", place.path("out").display());
    command(place, "bootstrap")
        .args([&re_proxy, &output_dir])
        .args(flags)
        .output()
        .unwrap()
}

fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_build_from_its_start_to_its_end() {
    let place = Place::new();
    let output = start(
        &place,
        &["-service=s:1", "-service_no_auth", "-metrics_project=p"],
    );
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("-metrics_project has no effect") && said.ends_with("Proxy started successfully.\n"),
        "{said}"
    );
    let pid = || fs::read_to_string(place.path("reproxy.sock.pid")).unwrap();
    let first = pid();

    // A start is a restart.
    assert!(start(&place, &["-service_no_auth"]).status.success());
    assert_ne!(pid(), first);

    let mut rewrapper = command(&place, "rewrapper");
    rewrapper
        .env("MARK", "seen")
        .args(["-action_log=log", "--", "hit", "it"]);
    assert_eq!(
        run(rewrapper),
        (Some(0), "hit it seen\n".to_owned(), "err\n".to_owned())
    );
    let log = fs::read_to_string(place.path("work/log")).unwrap();
    assert!(log.contains("STATUS_CACHE_HIT"), "{log}");
    let mut rewrapper = command(&place, "rewrapper");
    rewrapper.args(["--", "fail"]);
    assert_eq!(run(rewrapper).0, Some(5));

    let (code, said, _) = run(command(&place, "reproxystatus"));
    assert_eq!(code, Some(0));
    assert!(
        said.contains(") had failed actions\nActions completed: 2 (1 cache hit, 1 non zero exit)\n"),
        "{said}"
    );

    let mut shutdown = command(&place, "bootstrap");
    shutdown
        .arg("-shutdown")
        .arg(format!("-proxy_log_dir={}", place.path("logs").display()))
        .arg(format!("-output_dir={}", place.path("out").display()));
    let (code, _, said) = run(shutdown);
    assert_eq!(
        (code, said.as_str()),
        (
            Some(0),
            "RBE Stats: down 0 B, up 0 B, 1 cache hit, 1 non zero exit\n"
        )
    );
    let metrics = fs::read_to_string(place.path("out/rbe_metrics.txt")).unwrap();
    let metrics: Stats = from_text(&metrics).unwrap();
    assert_eq!(metrics.num_records, 2);
    assert_eq!(metrics.build_cache_hit_ratio, 0.5);
    assert!(
        metrics
            .proxy_info
            .iter()
            .any(|proxy| proxy.event_times.contains_key("BootstrapStartup"))
    );
    assert!(place.path("out/rbe_metrics.pb").exists() && !place.path("reproxy.sock.pid").exists());

    let printed = fs::read_to_string(place.path("out/reproxy_outerr.log")).unwrap();
    assert!(printed.contains("--service=s:1"), "{printed}");

    // Nobody is there any more: a warning, and the logs are read all the same.
    let mut shutdown = command(&place, "bootstrap");
    shutdown
        .args(["-shutdown", "-log_format=reducedtext"])
        .arg(format!("-proxy_log_dir={}", place.path("logs").display()));
    let (code, _, said) = run(shutdown);
    assert_eq!(code, Some(0));
    assert!(
        said.starts_with("bootstrap: warning: no reproxy is running at unix://"),
        "{said}"
    );
    assert!(
        said.contains("1 cache hit") && place.path("tmp/rbe_metrics.pb").exists(),
        "{said}"
    );

    let mut dumpstats = command(&place, "dumpstats");
    dumpstats
        .args(["-log_format=reducedtext"])
        .arg(format!("-proxy_log_dir={}", place.path("logs").display()))
        .arg(format!("-output_dir={}", place.path("dump").display()));
    let (code, _, said) = run(dumpstats);
    assert!(code == Some(0) && said.contains("1 cache hit"), "{said}");
    assert!(place.path("dump/rbe_metrics.txt").exists());
}

#[test]
fn in_a_hurry_the_numbers_are_reproxy_s_own() {
    let place = Place::new();
    fs::create_dir_all(place.path("tmp")).unwrap();
    let config = "service_no_auth=true\nexec_strategy=local\nproxy_log_dir=/there/is/none\n";
    fs::write(place.path("work/re.cfg"), config).unwrap();
    let mut bootstrap = command(&place, "bootstrap");
    bootstrap
        .env("RBE_HTTP_PROXY", "http://p:1")
        .args(["-cfg=re.cfg", "-re_proxy=../their-reproxy"]);
    let (code, _, said) = run(bootstrap);
    assert_eq!(code, Some(0), "{said}");
    let printed = fs::read_to_string(place.path("tmp/reproxy_outerr.log")).unwrap();
    assert!(printed.contains("http_proxy=http://p:1"), "{printed}");
    assert!(
        printed.contains("/work/re.cfg") && printed.contains("--log_format=text"),
        "{printed}"
    );

    let mut rewrapper = command(&place, "rewrapper");
    rewrapper.args(["--", "hit"]);
    assert_eq!(run(rewrapper).0, Some(0));
    let mut shutdown = command(&place, "bootstrap");
    shutdown.args(["-cfg=re.cfg", "-shutdown", "-fast_log_collection"]);
    let (code, _, said) = run(shutdown);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "RBE Stats: down 0 B, up 0 B, 1 cache hit\n")
    );
}

#[test]
fn a_reproxy_that_dies_is_explained() {
    let place = Place::new();
    script(
        &place.path("their-reproxy"),
        "#!/bin/sh\necho the reason; exit 14\n",
    );
    let output = start(&place, &["-service_no_auth"]);
    assert_eq!(output.status.code(), Some(14));
    assert!(
        text(&output.stderr).contains("the reason"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_reproxy_that_is_slow_is_not_waited_for_for_ever() {
    let place = Place::new();
    script(&place.path("their-reproxy"), "#!/bin/sh\nexec sleep 2\n");
    let output = start(&place, &["-service_no_auth", "-reproxy_wait_seconds=0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("does not listen at"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn nobody_is_started_without_credentials() {
    let place = Place::new();
    let output = start(&place, &["-service=s:1"]);
    assert_eq!(output.status.code(), Some(14));
    assert!(!place.path("out").exists());
}

#[test]
fn reproxy_becomes_the_daemon() {
    let place = Place::new();
    fs::create_dir(place.path("bin")).unwrap();
    script(
        &place.path("bin/farrier"),
        "#!/bin/sh\necho $$ $FARRIER_SOCKET \"$@\"\n",
    );
    let path = format!("{}:{}", place.path("bin").display(), env::var("PATH").unwrap());
    let child = command(&place, "reproxy")
        .env("PATH", path)
        .args(["-service=s:1", "-use_batches=false"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let number = child.id();
    let output = child.wait_with_output().unwrap();
    let socket = place.path("reproxy.sock");
    let expected = format!(
        "{number} {0}.farrier daemon start --reproxy-address unix://{0} --endpoint grpcs://s:1 --idle 21600s\n",
        socket.display()
    );
    assert_eq!(text(&output.stdout), expected);
    assert!(text(&output.stderr).contains("-use_batches has no effect"));
}

#[test]
fn what_is_beside_a_link_is_found() {
    let place = Place::new();
    fs::create_dir_all(place.path("tmp")).unwrap();
    // Both links lead to a program that lies elsewhere; farrier lies beside the links.
    script(
        &place.path("farrier"),
        "#!/bin/sh\necho farrier \"$1\" \"$2\"; exit 7\n",
    );
    let (code, _, said) = run(command(&place, "bootstrap"));
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("farrier daemon start"), "{said}");
}

#[test]
fn wrong_addresses_are_named() {
    let place = Place::new();
    for program in ["bootstrap", "reproxy", "reproxystatus"] {
        let mut command = place.command(program);
        command.arg("-server_address=nowhere");
        let (code, _, said) = run(command);
        assert_eq!(code, Some(1), "{program}");
        assert!(said.contains("is no address"), "{program}: {said}");
    }
    let mut status = place.command("reproxystatus");
    status.arg("-color=pink");
    assert_eq!(run(status).0, Some(1));
}
