//! The journey against real storage and scripted executions.

use std::fs;

use ::action::{Report, missing_blobs_status};
use ::cas::{BlobStore, StoreError};
use blob::{Blob, BlobStream, ByteRange, Digest, DigestSet};
use clap::Parser;
use parking_lot::Mutex;
use prost::Message;
use reapi::execution::{ActionResult, OutputFile};
use reapi::rpc;
use tonic::Status;

use reapi::execution::ExecuteResponse;

use super::*;
use crate::commands::test_server::{Answer, TestServer, done, under_way};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: ExecOptions,
}

/// Options as typed, against `server`.
fn options(server: &TestServer, words: &[&str]) -> ExecOptions {
    let line = Line::try_parse_from(["exec"].iter().chain(words)).unwrap();
    ExecOptions {
        server: server.options(),
        quiet: true,
        ..line.options
    }
}

async fn run(server: &TestServer, words: &[&str]) -> Result<ExitCode> {
    journey(&options(server, words), &OperationSlot::default()).await
}

fn exited(exit_code: i32) -> ExecuteResponse {
    Report::success(ActionResult {
        exit_code,
        ..Default::default()
    })
    .into_response()
}

fn finished(response: &ExecuteResponse) -> Answer {
    Answer::Stream(
        vec![under_way("operations/1"), done("operations/1", response)],
        None,
    )
}

/// `ExitCode` has no equality.
fn code(exit: Result<ExitCode>) -> String {
    format!("{:?}", exit.unwrap())
}

fn expected(code: u8) -> String {
    format!("{:?}", ExitCode::from(code))
}

#[test]
fn exit_codes_are_those_of_a_shell() {
    for (code, exit) in [
        (0, 0),
        (1, 1),
        (255, 255),
        (256, 1),
        (137, 137),
        (-1, 255),
        (512 + 3, 3),
    ] {
        assert_eq!(as_exit_code(code), exit, "{code}");
    }
}

#[tokio::test]
async fn the_exit_code_is_the_command_s_own() {
    for exit_code in [0, 7, 137] {
        let server = TestServer::start(vec![finished(&exited(exit_code))]).await;
        assert_eq!(code(run(&server, &["--", "x"]).await), expected(exit_code as u8));
    }
}

#[tokio::test]
async fn a_timeout_is_124_and_a_failure_is_an_error() {
    let timed_out = Report::timed_out(ActionResult::default(), Duration::from_secs(1)).into_response();
    let server = TestServer::start(vec![finished(&timed_out)]).await;
    assert_eq!(code(run(&server, &["--", "x"]).await), expected(EXIT_TIMED_OUT));
    let failed = Report::failed(rpc::Code::Internal, "no disk").into_response();
    let server = TestServer::start(vec![finished(&failed)]).await;
    let error = run(&server, &["--", "x"]).await.unwrap_err().to_string();
    assert!(error.contains("no disk"), "{error}");
    let server = TestServer::start(vec![Answer::Refuse(Status::invalid_argument("bad platform"))]).await;
    let error = run(&server, &["--", "x"]).await.unwrap_err().to_string();
    assert!(error.contains("bad platform"), "{error}");
    let server = TestServer::start(vec![Answer::Refuse(Status::invalid_argument("bad platform"))]).await;
    assert_eq!(
        code(exec(options(&server, &["--", "x"])).await),
        expected(EXIT_NOT_EXECUTED)
    );
}

#[tokio::test]
async fn inputs_travel_and_outputs_come_back() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("src")).unwrap();
    fs::write(directory.path().join("src/a"), "input").unwrap();
    let output = Blob::from_bytes(DigestFunction::Sha256, vec![9; 2_000_000]);
    let file = |path: &str| OutputFile {
        path: path.to_owned(),
        digest: Some(output.digest().to_proto()),
        is_executable: true,
        ..Default::default()
    };
    let result = ActionResult {
        output_files: vec![file("out/made")],
        ..Default::default()
    };
    let server = TestServer::start(vec![finished(&Report::success(result).into_response())]).await;
    server.store.put(output).await.unwrap();
    let (source, to) = (directory.path().join("src"), directory.path().join("to"));
    let input = format!("--input={}=lib", source.display());
    let to_argument = format!("--output-dir-to={}", to.display());
    let words = [
        &input,
        &to_argument,
        "--output=out/made",
        "--workdir=work",
        "--env=B=2",
        "--env=A=1",
        "--",
        "x",
        "-y",
    ];
    assert_eq!(code(run(&server, &words).await), expected(0));
    assert_eq!(fs::read(to.join("work/out/made")).unwrap(), vec![9; 2_000_000]);

    // What the server was given.
    let prepared = prepare(&options(&server, &words)).await.unwrap();
    let store = ::cas::always_has_empty(server.store.clone());
    assert!(
        store
            .find_missing(&prepared.sources.digests())
            .await
            .unwrap()
            .is_empty()
    );
    let bytes = ::cas::tree::read_all(&*server.store, &prepared.action_digest.digest(), 10_000).await;
    let action = ::action::Action::decode(DigestFunction::Sha256, &bytes.unwrap().unwrap()).unwrap();
    let tree = ::cas::tree::fetch_input_tree(&*server.store, action.input_root_digest())
        .await
        .unwrap();
    assert!(tree.entry("lib/a").unwrap().is_some() && tree.directory_at("work").unwrap().is_some());
    let names: Vec<_> = prepared
        .command
        .environment()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["A", "B"]);
    assert_eq!(prepared.command.arguments(), ["x", "-y"]);
}

#[tokio::test]
async fn a_broken_stream_is_taken_up_again() {
    let server = TestServer::start(vec![
        Answer::Refuse(Status::unavailable("starting")),
        Answer::Stream(vec![under_way("operations/1")], Some(Status::unavailable("cut"))),
        // Ends without an error and without the end of the action.
        Answer::Stream(vec![under_way("operations/1")], None),
        Answer::Refuse(Status::not_found("restarted")),
        Answer::Stream(
            vec![under_way("operations/2")],
            Some(Status::internal("cut again")),
        ),
        Answer::Stream(vec![done("operations/2", &exited(3))], None),
    ])
    .await;
    assert_eq!(code(run(&server, &["--", "x"]).await), expected(3));
    let calls = [
        "execute",
        "execute",
        "wait operations/1",
        "wait operations/1",
        "execute",
        "wait operations/2",
    ];
    assert_eq!(*server.calls.lock(), calls);
}

fn missing_status(missing: &DigestSet) -> Status {
    let proto = missing_blobs_status(missing);
    Status::with_details(
        tonic::Code::FailedPrecondition,
        proto.message.clone(),
        proto.encode_to_vec().into(),
    )
}

/// A store that can lose everything at once.
struct Losing(Mutex<Arc<dyn BlobStore>>);

impl Losing {
    fn now(&self) -> Arc<dyn BlobStore> {
        self.0.lock().clone()
    }
}

#[tonic::async_trait]
impl BlobStore for Losing {
    async fn get(&self, digest: &Digest, range: ByteRange) -> Result<Option<BlobStream>, StoreError> {
        self.now().get(digest, range).await
    }
    async fn put(&self, blob: Blob) -> Result<(), StoreError> {
        self.now().put(blob).await
    }
    async fn find_missing(&self, digests: &DigestSet) -> Result<DigestSet, StoreError> {
        self.now().find_missing(digests).await
    }
}

#[tokio::test]
async fn inputs_that_the_server_lost_are_uploaded_once_more() {
    let losing = Arc::new(Losing(Mutex::new(::cas::memory(1 << 20))));
    let lose = |named: Digest, in_response: bool| {
        let losing = losing.clone();
        Answer::Do(Box::new(move || {
            *losing.0.lock() = ::cas::memory(1 << 20);
            let missing = DigestSet::from(named);
            match in_response {
                true => finished(&Report::missing(&missing).into_response()),
                false => Answer::Refuse(missing_status(&missing)),
            }
        }))
    };
    // The name of one of its blobs, without a server to ask.
    let nobody = TestServer::start(vec![]).await;
    let prepared = prepare(&options(&nobody, &["--", "x"])).await.unwrap();
    let named = prepared.action_digest.digest();
    for in_response in [false, true] {
        let server = TestServer::start_with(
            losing.clone(),
            vec![lose(named, in_response), finished(&exited(0))],
        )
        .await;
        assert_eq!(code(run(&server, &["--", "x"]).await), expected(0));
        assert!(
            losing
                .find_missing(&prepared.sources.digests())
                .await
                .unwrap()
                .len()
                <= 1,
            "all but the empty blob"
        );
        let twice = vec![lose(named, in_response), lose(named, in_response)];
        let server = TestServer::start_with(losing.clone(), twice).await;
        let error = run(&server, &["--", "x"]).await.unwrap_err().to_string();
        assert!(error.contains("too small"), "{error}");
        let stranger = Digest::of(DigestFunction::Sha256, b"stranger");
        let server = TestServer::start_with(losing.clone(), vec![lose(stranger, in_response)]).await;
        let error = run(&server, &["--", "x"]).await.unwrap_err().to_string();
        assert!(error.contains("no part"), "{error}");
    }
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_sent() {
    let server = TestServer::start(vec![]).await;
    for (words, why) in [
        (&["--output=/etc/passwd", "--", "x"][..], "absolute"),
        (&["--output=/", "--", "x"], "absolute"),
        (&["--output=../../x", "--workdir=a", "--", "x"], "leads out"),
        (&["--workdir=/", "--", "x"], "absolute"),
        (&["--env=A=1", "--env=A=2", "--", "x"], "A"),
        (&["--input=no-such-file", "--", "x"], "cannot find"),
        (&["--", ""], "argument"),
    ] {
        let error = format!("{:#}", run(&server, words).await.unwrap_err());
        assert!(error.contains(why), "{words:?}: {error}");
    }
    assert!(server.calls.lock().is_empty());
}

#[tokio::test]
async fn a_result_that_leads_out_of_the_destination_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let empty = Digest::empty(DigestFunction::Sha256).to_proto();
    let file = OutputFile {
        path: "../evil".into(),
        digest: Some(empty),
        ..Default::default()
    };
    let result = ActionResult {
        output_files: vec![file],
        ..Default::default()
    };
    let server = TestServer::start(vec![finished(&Report::success(result).into_response())]).await;
    let to = format!("--output-dir-to={}", directory.path().join("to").display());
    let error = format!("{:#}", run(&server, &[&to, "--", "x"]).await.unwrap_err());
    assert!(error.contains("outside of the tree"), "{error}");
    assert!(!directory.path().join("evil").exists());
}
