//! Commands from the request to the end, as a wrapper sees them.

use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Stdio;

use blob::InstanceName;
use daemon_api::{FrameError, HEADER_BYTES, Message, Report, decode_frame, encode_frame, frame_header};
use parking_lot::Mutex;
use rustix::process::{Pid, test_kill_process_group};
use settings::{Dialect, Settings};
use tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

use super::*;
use crate::daemon::{DaemonOptions, Witness};
use crate::rules::Rules;
use crate::service::ServiceOptions;

/// With a server that is not there, and one place on this machine.
fn daemon(witness: Option<Arc<dyn Witness>>) -> Arc<Daemon> {
    let options = DaemonOptions {
        service: ServiceOptions {
            endpoint: "http://127.0.0.1:9".to_owned(),
            tls: None,
            instance: InstanceName::default(),
            token: None,
        },
        is_own_server: false,
        strategy: Strategy::RemoteLocalFallback,
        idle: Duration::ZERO,
        platform: Vec::new(),
        host_name: "here".to_owned(),
        witness,
        rules: Rules {
            local_fraction: Some(0.0),
            ..Rules::default()
        },
        here: None,
        observer: None,
        memory: None,
    };
    Daemon::new(options, Group::new("test"))
}

/// A wrapper's end of a conversation.
struct Wrapper(UnixStream);

impl Wrapper {
    /// Asks for a command that the daemon does not understand.
    async fn asks(daemon: &Arc<Daemon>, settings: &Settings, words: &[&str]) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let daemon = daemon.clone();
        let tasks = Group::new("test");
        tasks.spawn("a conversation", async move {
            let _ = daemon.converse(theirs).await;
        });
        let mut wrapper = Wrapper(ours);
        let request = Request {
            arguments: words.iter().map(OsString::from).collect(),
            directory: "/".into(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            settings: settings.to_pairs(),
            is_terminal: false,
        };
        wrapper.say(&request).await;
        wrapper
    }

    async fn say(&mut self, message: &impl Message) {
        self.0.write_all(&encode_frame(message).unwrap()).await.unwrap();
    }

    async fn hear(&mut self) -> Answer {
        let heard: Result<Answer, FrameError> = async {
            let mut header = [0; HEADER_BYTES];
            self.0.read_exact(&mut header).await.unwrap();
            let (length, kind) = frame_header(header)?;
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            decode_frame(kind, &body)
        }
        .await;
        heard.unwrap()
    }

    async fn ran(&mut self, end: End) {
        let (output, error_output) = (Some(Vec::new()), Some(Vec::new()));
        self.say(&Report::Ran {
            end,
            output,
            error_output,
        })
        .await;
    }
}

fn settings(dialect: Dialect) -> Settings {
    Settings {
        dialect,
        ..Settings::default()
    }
}

#[tokio::test]
async fn what_runs_here_for_too_long_is_ended_with_all_that_it_has_started() {
    let daemon = daemon(None);
    let settings = Settings {
        exec_timeout: Some(Duration::from_millis(100)),
        strategy: Some(Strategy::Local),
        ..settings(Dialect::Reclient)
    };
    let mut wrapper = Wrapper::asks(&daemon, &settings, &["sleep", "1000"]).await;
    let Answer::Run { apart: true, .. } = wrapper.hear().await else {
        panic!("it runs by itself")
    };
    let mut child = std::process::Command::new("sh")
        .args(["-c", "sleep 1000 & sleep 1000"])
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let process = child.id();
    wrapper.say(&Report::Started { process }).await;
    let status = tokio::task::spawn_blocking(move || child.wait())
        .await
        .unwrap()
        .unwrap();
    let signal = status.signal().unwrap();
    wrapper.ran(End::Killed(signal)).await;
    let Answer::ErrorOutput(line) = wrapper.hear().await else {
        panic!("it is told why")
    };
    let line = String::from_utf8(line).unwrap();
    assert!(
        line.ends_with("]: TimeoutResultStatus: exec_timeout is over\n"),
        "{line}"
    );
    assert_eq!(wrapper.hear().await, Answer::Ended(End::Exited(142)));
    let group = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
    while test_kill_process_group(group).is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_ends_in_time_ends_as_it_does() {
    let daemon = daemon(None);
    let settings = Settings {
        exec_timeout: Some(Duration::from_secs(1000)),
        ..settings(Dialect::Reclient)
    };
    let mut wrapper = Wrapper::asks(&daemon, &settings, &["sleep", "0"]).await;
    assert!(matches!(wrapper.hear().await, Answer::Run { apart: true, .. }));
    wrapper.ran(End::Killed(9)).await;
    assert_eq!(wrapper.hear().await, Answer::Ended(End::Killed(9)));
}

#[tokio::test]
async fn what_runs_here_instead_of_elsewhere_waits_for_its_place() {
    let daemon = daemon(None);
    let elsewhere = settings(Dialect::Reclient);
    let mut first = Wrapper::asks(&daemon, &elsewhere, &["sleep", "0"]).await;
    assert!(matches!(first.hear().await, Answer::Run { .. }));
    let mut second = Wrapper::asks(&daemon, &elsewhere, &["sleep", "1"]).await;
    // What the build wants to be here is its own choice.
    let here = Settings {
        strategy: Some(Strategy::Local),
        ..elsewhere
    };
    let mut third = Wrapper::asks(&daemon, &here, &["sleep", "2"]).await;
    assert!(matches!(third.hear().await, Answer::Run { .. }));
    let waiting = async {
        loop {
            let told = daemon.running.to_json(10);
            let slot = told.iter().find(|command| command["phase"] == "slot");
            if let Some(slot) = slot {
                return slot["name"].clone();
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert_eq!(waiting.await, "sleep 1");
    first.ran(End::Exited(0)).await;
    assert!(matches!(second.hear().await, Answer::Run { .. }));
}

/// Writes down what it is told.
#[derive(Default)]
struct Books(Arc<Mutex<Vec<&'static str>>>);

struct Over(Arc<Mutex<Vec<&'static str>>>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.lock().push("over");
    }
}

impl Witness for Books {
    fn begins(&self) -> Box<dyn Send> {
        self.0.lock().push("begins");
        Box::new(Over(self.0.clone()))
    }

    fn finished(&self, _: &Finished) {
        self.0.lock().push("finished");
    }
}

#[tokio::test]
async fn whoever_keeps_books_knows_of_every_command_from_its_beginning() {
    let books = Books::default();
    let told = books.0.clone();
    let daemon = daemon(Some(Arc::new(books)));
    let mut wrapper = Wrapper::asks(&daemon, &settings(Dialect::Reclient), &["sleep", "0"]).await;
    assert!(matches!(wrapper.hear().await, Answer::Run { .. }));
    assert_eq!(*told.lock(), ["begins"]);
    wrapper.ran(End::Exited(0)).await;
    assert_eq!(wrapper.hear().await, Answer::Ended(End::Exited(0)));
    while told.lock().len() < 3 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(*told.lock(), ["begins", "finished", "over"]);
    // One whose caller goes is over as well.
    let mut gone = Wrapper::asks(&daemon, &settings(Dialect::Reclient), &["sleep", "0"]).await;
    assert!(matches!(gone.hear().await, Answer::Run { .. }));
    drop(gone);
    while told.lock().len() < 5 {
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(told.lock()[3..], ["begins", "over"]);
}
