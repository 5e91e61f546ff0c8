//! The output of actions, read while they run (checklist E31).

use reapi::bytestream::{QueryWriteStatusRequest, ReadRequest, ReadResponse, WriteRequest, WriteResponse};
use reapi::execution::execution_stage::Value as Stage;
use reapi::longrunning as lro;
use tonic::{Code, Status, Streaming};
use worker_api::v1::followed_output::Output;

use crate::support::*;

async fn read(farm: &Farm, name: &str, read_offset: i64) -> Result<Streaming<ReadResponse>, Status> {
    let request = ReadRequest {
        resource_name: name.to_owned(),
        read_offset,
        read_limit: 0,
    };
    Ok(farm.byte_stream().read(request).await?.into_inner())
}

async fn piece(reader: &mut Streaming<ReadResponse>) -> Option<String> {
    let piece = tokio::time::timeout(PATIENCE, reader.message())
        .await
        .expect("the log says nothing")
        .unwrap()?;
    Some(String::from_utf8(piece.data.to_vec()).unwrap())
}

/// All that is left.
async fn rest(mut reader: Streaming<ReadResponse>) -> String {
    let mut text = String::new();
    while let Some(piece) = piece(&mut reader).await {
        text += &piece;
    }
    text
}

/// As a worker does it.
async fn send(farm: &Farm, name: &str, offset: i64, text: &str) -> Result<WriteResponse, Status> {
    let message = WriteRequest {
        resource_name: name.to_owned(),
        write_offset: offset,
        finish_write: false,
        data: text.to_owned().into(),
    };
    let written = farm.byte_stream().write(tokio_stream::iter([message])).await?;
    Ok(written.into_inner())
}

/// A worker that runs an action; the name of the operation, and of its standard output.
async fn running(farm: &Farm) -> (FakeWorker, Watch, String, String) {
    let mut worker = FakeWorker::join(farm, "w", 1).await;
    let mut watch = farm.execute(farm.echo("live").await).await.unwrap();
    worker.until_leases(1).await;
    let operation = watch.until(Stage::Executing).await;
    let stdout = metadata(&operation).stdout_stream_name;
    worker.run_all().await;
    (worker, watch, operation.name, stdout)
}

#[tokio::test]
async fn e31_names_are_set_while_a_worker_has_the_action() {
    let farm = Farm::start().await;
    let mut watch = {
        let mut request = request(farm.echo("x").await);
        request.instance_name = "team/a".into();
        let mut worker = FakeWorker::join(&farm, "w", 1).await;
        let mut watch = farm.execute_with(request).await.unwrap();
        let operation = watch.until(Stage::Executing).await;
        let (id, metadata) = (operation.name.rsplit_once('/').unwrap().1, metadata(&operation));
        assert_eq!(
            metadata.stdout_stream_name,
            format!("team/a/logstreams/{id}/stdout")
        );
        assert_eq!(
            metadata.stderr_stream_name,
            format!("team/a/logstreams/{id}/stderr")
        );
        let lease = worker.until_leases(1).await.remove(0);
        assert!(lease.followed_outputs.is_empty(), "nobody reads");
        worker.complete(lease.lease_id, finished(0, "x")).await;
        watch
    };
    let over = watch.until(Stage::Completed).await;
    assert_eq!(metadata(&over).stdout_stream_name, "");
}

#[tokio::test]
async fn e31_what_a_worker_sends_is_read_at_once_and_the_rest_comes_from_the_result() {
    let farm = Farm::start().await;
    let (mut worker, watch, _, stdout) = running(&farm).await;
    let mut reader = read(&farm, &stdout, 0).await.unwrap();
    let followed = worker.until_followed(1).await.remove(0);
    assert_eq!((followed.output(), followed.offset), (Output::Stdout, 0));
    let name = followed.write_resource_name;
    send(&farm, &name, 0, "one\n").await.unwrap();
    assert_eq!(piece(&mut reader).await.unwrap(), "one\n");
    // A second reader shares what is there, and the worker sends nothing twice.
    let mut second = read(&farm, &stdout, 1).await.unwrap();
    assert_eq!(piece(&mut second).await.unwrap(), "ne\n");
    worker.run_all().await;
    assert_eq!(worker.leases()[0].followed_outputs.len(), 1);
    send(&farm, &name, 4, "two\n").await.unwrap();
    assert_eq!(piece(&mut reader).await.unwrap(), "two\n");
    // Sent twice is refused, and says how to go on.
    assert_eq!(
        send(&farm, &name, 0, "one\n").await.unwrap_err().code(),
        Code::OutOfRange
    );
    let query = QueryWriteStatusRequest {
        resource_name: name.clone(),
    };
    let status = farm
        .byte_stream()
        .query_write_status(query)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((status.committed_size, status.complete), (8, false));

    let lease_id = worker.leases()[0].lease_id;
    worker.complete(lease_id, finished(0, "one\ntwo\nthree\n")).await;
    watch.done().await;
    assert_eq!(rest(reader).await, "three\n");
    assert_eq!(rest(second).await, "two\nthree\n");
    assert_eq!(
        send(&farm, &name, 8, "late").await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn e31_a_reader_that_leaves_is_no_longer_sent_to() {
    let farm = Farm::start().await;
    let (mut worker, _watch, _, stdout) = running(&farm).await;
    let stderr = stdout.replace("stdout", "stderr");
    let first = read(&farm, &stdout, 0).await.unwrap();
    let second = read(&farm, &stderr, 5).await.unwrap();
    let followed = worker.until_followed(2).await;
    assert_eq!((followed[1].output(), followed[1].offset), (Output::Stderr, 5));
    drop(second);
    let followed = worker.until_followed(1).await;
    assert_eq!(followed[0].output(), Output::Stdout);
    // Earlier bytes than the first reader's need a stream of their own; the same place does not.
    let later = read(&farm, &stderr, 7).await.unwrap();
    worker.until_followed(2).await;
    let earlier = read(&farm, &stderr, 3).await.unwrap();
    assert_eq!(worker.until_followed(3).await[2].offset, 3);
    drop((first, later, earlier));
    worker.until_followed(0).await;
}

#[tokio::test]
async fn e31_a_reader_may_come_before_the_action_runs_and_after_it_is_over() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    worker.drain().await;
    let mut watch = farm.execute(farm.echo("live").await).await.unwrap();
    let operation = watch.next().await.unwrap().name;
    let stdout = format!("logstreams/{}/stdout", operation.rsplit_once('/').unwrap().1);
    let early = read(&farm, &stdout, 0).await.unwrap();
    let mut other = FakeWorker::join(&farm, "other", 1).await;
    other.until_leases(1).await;
    let followed = other.until_followed(1).await.remove(0);
    send(&farm, &followed.write_resource_name, 0, "he").await.unwrap();
    let lease_id = other.leases()[0].lease_id;
    other.complete(lease_id, finished(0, "hello")).await;
    watch.done().await;
    assert_eq!(rest(early).await, "hello");
    assert_eq!(rest(read(&farm, &stdout, 0).await.unwrap()).await, "hello");
    assert_eq!(rest(read(&farm, &stdout, 3).await.unwrap()).await, "lo");
    assert_eq!(rest(read(&farm, &stdout, 5).await.unwrap()).await, "");
    assert_eq!(
        read(&farm, &stdout, 6).await.err().unwrap().code(),
        Code::OutOfRange
    );
    let delete = lro::DeleteOperationRequest { name: operation };
    farm.operations().delete_operation(delete).await.unwrap();
    assert_eq!(
        read(&farm, &stdout, 0).await.err().unwrap().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn e31_a_long_log_comes_from_its_blob() {
    let farm = Farm::start().await;
    let (mut worker, watch, _, stdout) = running(&farm).await;
    let mut reader = read(&farm, &stdout, 0).await.unwrap();
    let followed = worker.until_followed(1).await.remove(0);
    send(&farm, &followed.write_resource_name, 0, "begin")
        .await
        .unwrap();
    assert_eq!(piece(&mut reader).await.unwrap(), "begin");
    let log = farm.put(format!("begin{}end", "-".repeat(2_000_000))).await;
    let mut response = finished(0, "");
    response.result.as_mut().unwrap().stdout_digest = Some(log.to_proto());
    let lease_id = worker.leases()[0].lease_id;
    worker.complete(lease_id, response).await;
    watch.done().await;
    let rest = rest(reader).await;
    assert!(rest.len() == 2_000_003 && rest.ends_with("-end"));
}

#[tokio::test]
async fn e31_a_cancelled_action_ends_its_readers() {
    let farm = Farm::start().await;
    let (mut worker, watch, operation, stdout) = running(&farm).await;
    let reader = read(&farm, &stdout, 0).await.unwrap();
    let followed = worker.until_followed(1).await.remove(0);
    send(&farm, &followed.write_resource_name, 0, "so far")
        .await
        .unwrap();
    let cancel = lro::CancelOperationRequest { name: operation };
    farm.operations().cancel_operation(cancel).await.unwrap();
    watch.done().await;
    assert_eq!(rest(reader).await, "so far");
    assert_eq!(rest(read(&farm, &stdout, 0).await.unwrap()).await, "");
}

#[tokio::test]
async fn e31_another_attempt_is_another_log() {
    let farm = Farm::with(scheduler::SchedulerOptions {
        reconnect_grace: std::time::Duration::from_millis(200),
        ..Default::default()
    })
    .await;
    let (mut lost, watch, _, stdout) = running(&farm).await;
    let reader = read(&farm, &stdout, 0).await.unwrap();
    let followed = lost.until_followed(1).await.remove(0);
    send(&farm, &followed.write_resource_name, 0, "first")
        .await
        .unwrap();
    drop(lost);
    let mut other = FakeWorker::join(&farm, "other", 1).await;
    other.until_leases(1).await;
    // What there was, and the end, although the operation goes on.
    assert_eq!(rest(reader).await, "first");
    assert_eq!(
        send(&farm, &followed.write_resource_name, 5, "x")
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    let again = read(&farm, &stdout, 0).await.unwrap();
    let followed = other.until_followed(1).await.remove(0);
    send(&farm, &followed.write_resource_name, 0, "second")
        .await
        .unwrap();
    let lease_id = other.leases()[0].lease_id;
    other.complete(lease_id, finished(0, "second")).await;
    watch.done().await;
    assert_eq!(rest(again).await, "second");
}

#[tokio::test]
async fn e31_operations_that_share_an_execution_are_read_each_by_its_own_name() {
    let farm = Farm::start().await;
    let (mut worker, _watch, _, first) = running(&farm).await;
    let mut merged = farm.execute(farm.echo("live").await).await.unwrap();
    let operation = merged.until(Stage::Executing).await;
    let second = metadata(&operation).stdout_stream_name;
    assert_ne!(first, second);
    let _one = read(&farm, &first, 0).await.unwrap();
    let other = read(&farm, &second, 0).await.unwrap();
    for followed in worker.until_followed(2).await {
        send(&farm, &followed.write_resource_name, 0, "shared")
            .await
            .unwrap();
    }
    // Only this operation is over.
    let cancel = lro::CancelOperationRequest { name: operation.name };
    farm.operations().cancel_operation(cancel).await.unwrap();
    assert_eq!(rest(other).await, "shared");
    worker.until_followed(1).await;
}

#[tokio::test]
async fn e31_a_restarted_server_knows_the_same_names() {
    let scratch = tempfile::tempdir().unwrap();
    let journal = scratch.path().join("journal");
    let farm = Farm::with_journal(&journal).await;
    let (worker, mut watch, _, stdout) = running(&farm).await;
    let mut reader = read(&farm, &stdout, 0).await.unwrap();
    let state = worker.state();
    drop(worker);
    let ending = async {
        while let Some(Ok(_)) = watch.next_result().await {}
        // The server says why it ends.
        assert_eq!(reader.message().await.unwrap_err().code(), Code::Unavailable);
    };
    let (farm, ()) = tokio::join!(farm.restarted(&journal, cas::no_leases()), ending);
    let mut worker = FakeWorker::connect(&farm, state).await.unwrap();
    let mut reader = read(&farm, &stdout, 4).await.unwrap();
    let followed = worker.until_followed(1).await.remove(0);
    assert_eq!(followed.offset, 4);
    send(&farm, &followed.write_resource_name, 4, "two")
        .await
        .unwrap();
    assert_eq!(piece(&mut reader).await.unwrap(), "two");
}
