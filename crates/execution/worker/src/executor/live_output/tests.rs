use std::pin::Pin;
use std::time::Duration;

use reapi::bytestream::byte_stream_server::{ByteStream, ByteStreamServer};
use reapi::bytestream::{QueryWriteStatusResponse, ReadRequest, ReadResponse, WriteResponse};
use tasks::Group;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Streaming};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A server whose calls are handed to the test, which plays it.
struct Played {
    writes: mpsc::Sender<(Streaming<WriteRequest>, oneshot::Sender<Status>)>,
    committed: i64,
}

#[tonic::async_trait]
impl ByteStream for Played {
    type ReadStream = Pin<Box<dyn Stream<Item = Result<ReadResponse, Status>> + Send>>;

    async fn read(&self, _: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        Err(Status::unimplemented("nobody reads here"))
    }

    async fn write(
        &self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<WriteResponse>, Status> {
        let (answer, answered) = oneshot::channel();
        let handed = self.writes.send((request.into_inner(), answer)).await;
        handed.map_err(|_| Status::aborted("the test is over"))?;
        Err(answered
            .await
            .unwrap_or_else(|_| Status::aborted("the test is over")))
    }

    async fn query_write_status(
        &self,
        _: Request<QueryWriteStatusRequest>,
    ) -> Result<Response<QueryWriteStatusResponse>, Status> {
        Ok(Response::new(QueryWriteStatusResponse {
            committed_size: self.committed,
            complete: false,
        }))
    }
}

struct Fixture {
    scratch: TempDir,
    channel: Channel,
    writes: mpsc::Receiver<(Streaming<WriteRequest>, oneshot::Sender<Status>)>,
    group: Group,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.group.stop();
    }
}

async fn fixture(committed: i64) -> Fixture {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handed, writes) = mpsc::channel(10);
    let group = Group::new("test");
    let service = ByteStreamServer::new(Played {
        writes: handed,
        committed,
    });
    let stopping = group.stopping();
    group.spawn("server", async move {
        let serving = tonic::transport::Server::builder().add_service(service);
        let serving = serving.serve_with_incoming(TcpListenerStream::new(listener));
        tokio::select! {
            served = serving => served.unwrap(),
            () = stopping.cancelled() => {}
        }
    });
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_lazy();
    Fixture {
        scratch: tempfile::tempdir().unwrap(),
        channel,
        writes,
        group,
    }
}

impl Fixture {
    fn logs(&self) -> Logs {
        Logs {
            stdout: self.scratch.path().join("stdout"),
            stderr: self.scratch.path().join("stderr"),
        }
    }

    async fn write(&mut self) -> (Streaming<WriteRequest>, oneshot::Sender<Status>) {
        let write = tokio::time::timeout(PATIENCE, self.writes.recv()).await;
        write.expect("the worker calls in time").unwrap()
    }
}

fn wanted(output: Output, offset: u64, name: &str) -> FollowedOutput {
    FollowedOutput {
        output: output as i32,
        offset,
        write_resource_name: name.to_owned(),
    }
}

async fn message(stream: &mut Streaming<WriteRequest>) -> (i64, String) {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let message = message
        .expect("the worker sends in time")
        .unwrap()
        .expect("it goes on");
    assert!(!message.finish_write);
    (
        message.write_offset,
        String::from_utf8(message.data.to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn a_log_is_sent_on_from_where_it_is_wanted_as_it_grows() {
    let mut fixture = fixture(0).await;
    let logs = fixture.logs();
    let (want, followed) = watch::channel(vec![wanted(Output::Stdout, 2, "out")]);
    let live_output = LiveOutput::new(fixture.channel.clone());
    let logs_of_script = fixture.logs();
    let script = async {
        let (mut out, _answer) = fixture.write().await;
        assert_eq!(
            message(&mut out).await,
            (2, String::new()),
            "before the file is there"
        );
        std::fs::write(&logs.stdout, "one").unwrap();
        assert_eq!(message(&mut out).await, (2, "e".to_owned()));
        let mut file = File::options().append(true).open(&logs.stdout).unwrap();
        io::Write::write_all(&mut file, b"two").unwrap();
        assert_eq!(message(&mut out).await, (3, "two".to_owned()));
        // Another one comes, the same ones again change nothing, and one goes.
        let both = vec![wanted(Output::Stdout, 2, "out"), wanted(Output::Stderr, 0, "err")];
        want.send_replace(both.clone());
        std::fs::write(&logs.stderr, "oops").unwrap();
        let (mut err, _answer) = fixture.write().await;
        message(&mut err).await;
        assert_eq!(message(&mut err).await, (0, "oops".to_owned()));
        want.send_replace(both.clone());
        want.send_replace(both[1..].to_vec());
        let ended = tokio::time::timeout(PATIENCE, out.message()).await;
        assert!(!matches!(ended.expect("in time"), Ok(Some(_))));
        io::Write::write_all(&mut file, b"three").unwrap();
        tokio::time::sleep(FOLLOWED_LOOK_PAUSE * 3).await;
        assert!(fixture.writes.try_recv().is_err());
    };
    live_output.beside(followed, &logs_of_script, script).await;
}

#[tokio::test]
async fn a_broken_call_goes_on_where_the_server_is_and_a_refused_one_does_not() {
    let mut fixture = fixture(4).await;
    let logs = fixture.logs();
    std::fs::write(&logs.stdout, "one\ntwo\n").unwrap();
    let (want, followed) = watch::channel(vec![wanted(Output::Stdout, 0, "out")]);
    let live_output = LiveOutput::new(fixture.channel.clone());
    let logs_of_script = fixture.logs();
    let script = async {
        let (mut first, answer) = fixture.write().await;
        message(&mut first).await;
        assert_eq!(message(&mut first).await, (0, "one\ntwo\n".to_owned()));
        answer.send(Status::unavailable("going down")).unwrap();
        let (mut second, answer) = fixture.write().await;
        assert_eq!(message(&mut second).await.0, 4);
        assert_eq!(message(&mut second).await, (4, "two\n".to_owned()));
        answer.send(Status::not_found("nobody reads")).unwrap();
        want.send_replace(vec![wanted(Output::Stdout, 0, "out")]);
        tokio::time::sleep(FOLLOWED_RETRY_PAUSE * 2).await;
        assert!(fixture.writes.try_recv().is_err());
    };
    live_output.beside(followed, &logs_of_script, script).await;
}

#[tokio::test]
async fn without_a_server_the_work_is_done_all_the_same() {
    let fixture = fixture(0).await;
    let nobody = LiveOutput::new(Channel::from_static("http://127.0.0.1:1").connect_lazy());
    let (want, followed) = watch::channel(vec![wanted(Output::Stdout, 0, "out")]);
    let work = async {
        drop(want);
        tokio::time::sleep(Duration::from_millis(20)).await;
        7
    };
    assert_eq!(nobody.beside(followed, &fixture.logs(), work).await, 7);
}
