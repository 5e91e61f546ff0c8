//! The services, called as others call reproxy.

#![allow(clippy::unwrap_used, reason = "tests: a failure is one")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use daemon_api::Request;
use reclient::address::Address;
use reclient_api::cmd::command_result_status;
use reclient_api::log::LocalMetadata;
use reclient_api::proxy::AddProxyEventsRequest;
use reproxy::client::Reproxy;
use reproxy::ledger::Ledger;
use reproxy::outcome::{Ending, Facts, RunOutcome, record};
use reproxy::service::{Daemon, routes};
use reproxy::serving::serve;
use reproxy::wire::run_request;
use settings::{Settings, Strategy};
use tokio::sync::Notify;

/// Prints its first argument and ends with the number that the second is; `wait` never ends.
struct Echo {
    ledger: Arc<Ledger>,
    is_waiting: Notify,
    was_dropped: Arc<AtomicBool>,
    is_down: Notify,
}

struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Daemon for Echo {
    async fn run(&self, request: Request) -> RunOutcome {
        let _running = self.ledger.begin();
        let words: Vec<_> = request
            .arguments
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect();
        if words == ["wait"] {
            let _dropped = Dropped(self.was_dropped.clone());
            self.is_waiting.notify_one();
            std::future::pending::<()>().await;
        }
        let ending = Ending::Ended {
            exit_code: words[1].parse().unwrap(),
            is_cache_hit: false,
        };
        let settings = Settings::from_pairs(&request.settings).unwrap();
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
            output: words[0].into(),
            error_output: Vec::new(),
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

/// Serves at this address while the test goes on.
async fn with_daemon<F: Future<Output = ()>>(address: Address, test: impl FnOnce(Arc<Echo>, Reproxy) -> F) {
    let echo = Arc::new(Echo {
        ledger: Arc::new(Ledger::new(None, 10, BTreeMap::new())),
        is_waiting: Notify::new(),
        was_dropped: Arc::default(),
        is_down: Notify::new(),
    });
    let stop = echo.clone();
    let stop = Box::pin(async move { stop.is_down.notified().await });
    let serving = serve(&address, routes(echo.clone()), stop);
    let testing = async {
        let mut tries = 0;
        let client = loop {
            match Reproxy::connect(&address, Duration::from_secs(5)).await {
                Ok(client) => break client,
                Err(error) if tries == 1000 => panic!("{error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
            tries += 1;
        };
        test(echo, client).await;
    };
    let (served, ()) = tokio::join!(serving, testing);
    served.unwrap();
}

fn unix(directory: &Path) -> Address {
    Address::Unix(directory.join("made/reproxy.sock"))
}

fn run(words: &[&str], action_log: bool) -> reclient_api::proxy::RunRequest {
    let settings = Settings {
        strategy: Some(Strategy::Remote),
        reclient_timeout: Some(Duration::from_secs(60)),
        action_log: action_log.then(|| "log".into()),
        exec_root: Some("/".into()),
        ..Settings::default()
    };
    let request = Request {
        arguments: words.iter().map(Into::into).collect(),
        directory: "/".into(),
        environment: Vec::new(),
        settings: Vec::new(),
        is_terminal: false,
    };
    run_request(&request, &settings)
}

#[tokio::test]
async fn a_life_of_reproxy() {
    let directory = tempfile::tempdir().unwrap();
    let address = unix(directory.path());
    // A socket that somebody has left is in the way.
    std::fs::create_dir_all(directory.path().join("made")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(address.socket_file().unwrap()).unwrap());
    with_daemon(address.clone(), |_, client| async move {
        let answer = client.run(run(&["hello", "3"], true)).await.unwrap();
        assert_eq!(answer.stdout, b"hello");
        let result = answer.result.unwrap();
        assert_eq!(
            (result.exit_code, result.status()),
            (3, command_result_status::Value::NonZeroExit)
        );
        assert_eq!(answer.action_log.unwrap().command.unwrap().args, ["hello", "3"]);
        let answer = client.run(run(&["hello", "0"], false)).await.unwrap();
        assert_eq!(answer.action_log, None);

        let mut wrong = run(&["x", "0"], false);
        wrong.command.as_mut().unwrap().exec_root = "relative".to_owned();
        let refused = client.run(wrong).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);

        let summary = client.summary().await.unwrap();
        assert_eq!(summary.completed_action_stats["STATUS_NON_ZERO_EXIT"], 1);
        let event_times = BTreeMap::from([("BootstrapStartup".to_owned(), Default::default())]);
        client
            .add_events(AddProxyEventsRequest { event_times })
            .await
            .unwrap();
        let stats = client.shut_down().await.unwrap().unwrap();
        assert_eq!(stats.num_records, 2);
        assert!(stats.proxy_info[0].event_times.contains_key("BootstrapStartup"));
    })
    .await;
    assert!(
        !address.socket_file().unwrap().exists(),
        "nobody is there any more"
    );
}

#[tokio::test]
async fn a_caller_that_goes_takes_its_command_along() {
    let directory = tempfile::tempdir().unwrap();
    with_daemon(unix(directory.path()), |echo, client| async move {
        {
            let wait = client.run(run(&["wait"], false));
            tokio::select! {
                answer = wait => panic!("{answer:?}"),
                () = echo.is_waiting.notified() => {}
            }
        }
        while !echo.was_dropped.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(client.summary().await.unwrap().running_actions, 0);
        client.shut_down().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn over_tcp() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = Address::parse(&format!("localhost:{port}")).unwrap();
    with_daemon(address, |_, client| async move {
        assert_eq!(
            client.run(run(&["hello", "0"], false)).await.unwrap().stdout,
            b"hello"
        );
        client.shut_down().await.unwrap();
    })
    .await;
}
