use std::collections::BTreeMap;

use daemon_api::{Answer, HEADER_BYTES, encode_frame, frame_header};
use reclient_api::log::CompletionStatus;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// Gives these answers to every conversation, and this as its end.
struct Scripted {
    ledger: Ledger,
    answers: Vec<Answer>,
    done: Option<Done>,
}

#[async_trait]
impl Sessions for Scripted {
    async fn serve(&self, mut stream: UnixStream) -> Option<Done> {
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await.unwrap();
        let (length, _) = frame_header(header).unwrap();
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        for answer in &self.answers {
            stream.write_all(&encode_frame(answer).unwrap()).await.unwrap();
        }
        if let Some(done) = &self.done {
            self.ledger.enter(done.record.clone());
        }
        self.done.clone()
    }

    async fn shut_down(&self) {}

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}

fn done(ending: Ending) -> Done {
    Done {
        ending,
        execution_id: "id".to_owned(),
        record: LogRecord {
            completion_status: CompletionStatus::StatusCacheHit.into(),
            ..LogRecord::default()
        },
        fallback: None,
    }
}

async fn run(answers: Vec<Answer>, done: Option<Done>) -> (RunOutcome, Vec<CompletionStatus>) {
    let daemon = in_place(Scripted {
        ledger: Ledger::new(None, 10, BTreeMap::new()),
        answers,
        done,
    });
    let request = Request {
        arguments: vec!["cc".into()],
        directory: "/".into(),
        environment: Vec::new(),
        settings: Settings::default().to_pairs(),
        is_terminal: false,
    };
    let outcome = daemon.run(request).await;
    let entered = daemon.ledger().records();
    (
        outcome,
        entered.iter().map(LogRecord::completion_status).collect(),
    )
}

fn hit() -> Ending {
    Ending::Ended {
        exit_code: 0,
        is_cache_hit: true,
    }
}

#[tokio::test]
async fn what_the_daemon_knows_and_what_it_says_come_together() {
    let answers = vec![Answer::Output(b"out".to_vec()), Answer::Ended(End::Exited(0))];
    let (outcome, entered) = run(answers, Some(done(hit()))).await;
    assert_eq!((outcome.ending, outcome.output.as_slice()), (hit(), &b"out"[..]));
    assert_eq!(outcome.execution_id, "id");
    assert_eq!(entered, [CompletionStatus::StatusCacheHit], "once");

    let failed = Ending::RemoteError("no worker".to_owned());
    let (outcome, _) = run(vec![Answer::Ended(End::Exited(45))], Some(done(failed.clone()))).await;
    assert_eq!(outcome.ending, failed);
}

#[tokio::test]
async fn a_daemon_that_breaks_off_is_a_local_error() {
    let (outcome, entered) = run(Vec::new(), None).await;
    assert_eq!(outcome.ending.exit_code(), 35);
    assert_eq!(
        entered,
        [CompletionStatus::StatusLocalFailure],
        "it is entered all the same"
    );
    let answer = outcome.response(false);
    assert!(answer.stderr.starts_with(b"reclient["), "{answer:?}");
}

#[tokio::test]
async fn a_result_that_was_said_is_told_even_if_nothing_is_known_of_it() {
    let (outcome, entered) = run(vec![Answer::Ended(End::Exited(3))], None).await;
    assert_eq!(outcome.ending.exit_code(), 3);
    assert_eq!(entered, [CompletionStatus::StatusNonZeroExit]);
}
