//! A command that the client talks to.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use runner_api::{Conversation, Outcome, Reply, Request, RunError, Runner, read_frame, write_frame};
use rustix::pipe::PipeFlags;
use tokio_util::sync::CancellationToken;

use crate::host::{Host, assert_invalid, eventually, mark, modes, processes_marked, shell};

/// Our ends and the command's.
fn pipes() -> (File, File, Conversation) {
    let pipe = || -> (OwnedFd, OwnedFd) { rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap() };
    let ((stdin, to_command), (from_command, stdout)) = (pipe(), pipe());
    // These tests may be another user than the runner; a worker never is.
    for end in [&stdin, &stdout] {
        rustix::fs::fchmod(end, rustix::fs::Mode::from_raw_mode(0o666)).unwrap();
    }
    (
        to_command.into(),
        from_command.into(),
        Conversation { stdin, stdout },
    )
}

fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}

#[tokio::test]
async fn what_is_said_arrives_and_the_end_of_input_ends_it() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let (mut to_command, from_command, conversation) = pipes();
        let script = "echo begin >&2; while read line; do echo \"$PWD $line\"; done; echo by name > /dev/stdout; exit 3";
        let cancel = CancellationToken::new();
        let said = blocking(move || {
            let mut lines = BufReader::new(from_command).lines();
            let mut ask = |question: &[u8]| {
                to_command.write_all(question).unwrap();
                lines.next().unwrap().unwrap()
            };
            let answers = [ask(b"one\n"), ask(b"two\n")];
            drop(to_command);
            (answers, lines.map(Result::unwrap).collect::<Vec<_>>())
        });
        let response = host
            .runner
            .converse(shell(&build, script), conversation, &cancel)
            .await
            .unwrap();
        assert_eq!(response.outcome, Outcome::Exited(3));
        let (answers, last) = said.await.unwrap();
        assert!(
            answers[0].ends_with(" one") && answers[1].ends_with(" two"),
            "{answers:?}"
        );
        assert_eq!(last, ["by name"]);
        assert_eq!(fs::read_to_string(&build.stderr).unwrap(), "begin\n");
        assert!(!build.stdout.exists(), "the conversation is no log");
    }
}

#[tokio::test]
async fn cancelling_kills_it_with_all_it_started() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let (build, mark) = (host.build().await, mark(40));
        let (_to_command, mut from_command, conversation) = pipes();
        let cancel = CancellationToken::new();
        let script = format!("setsid sleep {mark} & echo there; cat; sleep {mark}");
        let request = shell(&build, &script);
        let run = host.runner.converse(request, conversation, &cancel);
        let heard = blocking(move || {
            let mut bytes = [0; 6];
            from_command.read_exact(&mut bytes).unwrap();
            (bytes, from_command)
        });
        let cancelling = async {
            let (bytes, from_command) = heard.await.unwrap();
            assert_eq!(&bytes, b"there\n");
            eventually("its child runs", || !processes_marked(&mark).is_empty()).await;
            cancel.cancel();
            from_command
        };
        let (ended, mut from_command) = tokio::join!(run, cancelling);
        assert!(matches!(ended, Err(RunError::Cancelled)), "{ended:?}");
        assert_eq!(processes_marked(&mark), []);
        // Nobody else holds the other end: neither the runner nor its supervisor.
        assert_eq!(from_command.read(&mut [0; 1]).unwrap(), 0);
    }
}

#[tokio::test]
async fn without_its_descriptors_it_is_refused() {
    let host = Host::start(modes()[0]).await;
    let build = host.build().await;
    let mut connection = UnixStream::connect(host.directory.path().join("socket")).unwrap();
    let request = Request::Converse(shell(&build, "true"));
    write_frame(&mut connection, &request.encode()).unwrap();
    let reply = Reply::decode(&read_frame(&mut connection).unwrap()).unwrap();
    assert_invalid(&reply);
}
