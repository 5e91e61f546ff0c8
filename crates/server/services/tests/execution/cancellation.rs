//! Clients that cancel, leave, or come back.

use std::time::Duration;

use reapi::execution::execution_client::ExecutionClient;
use reapi::execution::execution_stage::Value as Stage;
use reapi::longrunning::CancelOperationRequest;
use scheduler::SchedulerOptions;

use crate::support::*;

#[tokio::test]
async fn e16_cancelling_one_operation_spares_a_merged_one() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let action = farm.echo("a").await;
    let mut first = farm.execute(action).await.unwrap();
    let second = farm.execute(action).await.unwrap();
    let lease = worker.until_leases(1).await.remove(0);
    let name = first.next().await.unwrap().name;
    farm.operations()
        .cancel_operation(CancelOperationRequest { name })
        .await
        .unwrap();
    assert_eq!(
        first.done().await.status.unwrap().code,
        reapi::rpc::Code::Cancelled as i32
    );
    assert_eq!(worker.leases().len(), 1);
    worker
        .complete(lease.lease_id, finished(0, "for the other"))
        .await;
    assert_eq!(stdout(&second.done().await), "for the other");
}

#[tokio::test]
async fn e2_cancelling_the_last_operation_takes_the_work_from_the_worker() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let mut watch = farm.execute(farm.echo("a").await).await.unwrap();
    worker.until_leases(1).await;
    let name = watch.until(Stage::Executing).await.name;
    farm.operations()
        .cancel_operation(CancelOperationRequest { name })
        .await
        .unwrap();
    assert_eq!(
        watch.done().await.status.unwrap().code,
        reapi::rpc::Code::Cancelled as i32
    );
    worker.until_leases(0).await;
}

#[tokio::test]
async fn e15_an_operation_outlives_its_client_for_a_while_only() {
    let options = SchedulerOptions {
        abandon_after: Duration::from_millis(200),
        ..SchedulerOptions::default()
    };
    let farm = Farm::with(options).await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let watch = farm.execute(farm.echo("a").await).await.unwrap();
    worker.until_leases(1).await;
    drop(watch);
    worker.until_leases(0).await;
}

#[tokio::test]
async fn e15_who_lets_go_on_purpose_is_not_waited_for_long() {
    let options = SchedulerOptions {
        let_go_after: Duration::from_millis(100),
        ..SchedulerOptions::default()
    };
    let farm = Farm::with(options).await;
    let mut worker = FakeWorker::join(&farm, "w", 2).await;
    // One resets its stream, the other closes its connection.
    let reset = farm.execute(farm.echo("a").await).await.unwrap();
    let mut client = ExecutionClient::new(farm.connection().await);
    let closed = client.execute(request(farm.echo("b").await)).await;
    let closed = closed.unwrap().into_inner();
    worker.until_leases(2).await;
    drop(reset);
    let left = worker.until_leases(1).await;
    assert_eq!(left[0].lease_id, 2);
    drop((client, closed));
    worker.until_leases(0).await;
}

#[tokio::test]
async fn e15_e8_a_client_that_comes_back_finds_its_operation() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let mut watch = farm.execute(farm.echo("a").await).await.unwrap();
    let name = watch.next().await.unwrap().name;
    let lease = worker.until_leases(1).await.remove(0);
    drop(watch);
    let mut again = farm.wait(&name).await.unwrap();
    assert_eq!(again.next().await.unwrap().name, name);
    worker.complete(lease.lease_id, finished(0, "kept")).await;
    assert_eq!(stdout(&again.done().await), "kept");
    // Finished operations stay visible.
    assert_eq!(stdout(&farm.wait(&name).await.unwrap().done().await), "kept");
}

#[tokio::test]
async fn e8_an_unknown_operation_is_not_found() {
    let farm = Farm::start().await;
    let status = farm.wait("operations/of-long-ago").await.err().unwrap();
    assert_eq!(status.code(), tonic::Code::NotFound);
}

#[tokio::test]
async fn when_the_server_stops_clients_are_told_to_come_back() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let mut watch = farm.execute(farm.echo("a").await).await.unwrap();
    worker.until_leases(1).await;
    farm.stop();
    let status = loop {
        match watch
            .next_result()
            .await
            .expect("the stream ended without a word")
        {
            Ok(operation) => assert!(!operation.done),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), tonic::Code::Unavailable);
}
