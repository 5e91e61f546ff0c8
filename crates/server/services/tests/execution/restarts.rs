//! The server's process ends, and another goes on with its journal; clients and workers come back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reapi::execution::execution_stage::Value as Stage;
use reapi::longrunning::WaitOperationRequest;
use tonic::Code;

use crate::holds::{Counting, execute_for_a};
use crate::support::*;

#[tokio::test]
async fn what_runs_is_finished_by_its_worker_and_its_client_hears_of_it() {
    let scratch = tempfile::tempdir().unwrap();
    let journal = scratch.path().join("journal");
    let farm = Farm::with_journal(&journal).await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let mut watch = farm.execute(farm.echo("a").await).await.unwrap();
    let name = watch.until(Stage::Executing).await.name;
    let lease = worker.until_leases(1).await.remove(0);
    worker.run_all().await;
    let state = worker.state();
    drop(worker);
    let ending = async { while let Some(Ok(_)) = watch.next_result().await {} };
    let (farm, ()) = tokio::join!(farm.restarted(&journal, cas::no_leases()), ending);

    let mut other = FakeWorker::join(&farm, "other", 1).await;
    let mut watch = farm.wait(&name).await.unwrap();
    assert_eq!(metadata(&watch.next().await.unwrap()).stage(), Stage::Executing);
    let mut worker = FakeWorker::connect(&farm, state).await.unwrap();
    assert_eq!(worker.leases()[0].lease_id, lease.lease_id);
    worker.complete(lease.lease_id, finished(0, "once")).await;
    assert_eq!(stdout(&watch.done().await), "once");
    assert!(worker.until_leases(0).await.is_empty());

    // New leases are new, and the result is in the cache.
    assert_eq!(
        stdout(&farm.execute(farm.echo("a").await).await.unwrap().done().await),
        "once"
    );
    let _watch = farm.execute(farm.echo("b").await).await.unwrap();
    let given = tokio::select! {
        leases = other.until_leases(1) => leases,
        leases = worker.until_leases(1) => leases,
    };
    assert!(given[0].lease_id > lease.lease_id);
}

#[tokio::test]
async fn what_waits_goes_on_waiting_with_its_inputs_held_and_what_is_over_can_be_asked_for() {
    let scratch = tempfile::tempdir().unwrap();
    let journal = scratch.path().join("journal");
    let farm = Farm::with_journal(&journal).await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let (watch, over) = execute_for_a(&farm, "over").await;
    let lease = worker.until_leases(1).await.remove(0);
    worker.complete(lease.lease_id, finished(5, "over")).await;
    watch.done().await;
    let (_running, _) = execute_for_a(&farm, "runs").await;
    let (_waiting, name) = execute_for_a(&farm, "waits").await;
    worker.until_leases(1).await;
    drop(worker);

    let leases = Arc::new(Counting::default());
    let held = leases.held.clone();
    let farm = farm.restarted(&journal, leases).await;
    assert_eq!(held.load(Ordering::SeqCst), 2);
    let response = farm.wait(&over).await.unwrap().done().await;
    assert_eq!(response.result.unwrap().exit_code, 5);
    let watch = farm.wait(&name).await.unwrap();
    // A worker that was restarted too: it has nothing, and gets what waits.
    let mut worker = FakeWorker::join(&farm, "new", 1).await;
    let lease = worker.until_leases(1).await.remove(0);
    worker.complete(lease.lease_id, finished(0, "at last")).await;
    assert_eq!(stdout(&watch.done().await), "at last");
    assert_eq!(held.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_only_asks_now_and_then_has_not_let_go() {
    let scratch = tempfile::tempdir().unwrap();
    let journal = scratch.path().join("journal");
    let farm = Farm::with_journal(&journal).await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let (_watch, name) = execute_for_a(&farm, "a").await;
    worker.until_leases(1).await;
    let state = worker.state();
    drop(worker);

    let farm = farm.restarted(&journal, cas::no_leases()).await;
    let mut worker = FakeWorker::connect(&farm, state).await.unwrap();
    let request = WaitOperationRequest {
        name,
        timeout: Some(prost_types::Duration {
            seconds: 0,
            nanos: 50_000_000,
        }),
    };
    let asked = farm
        .operations()
        .wait_operation(request)
        .await
        .unwrap()
        .into_inner();
    assert!(!asked.done);
    tokio::time::sleep(Duration::from_millis(500)).await;
    worker.run_all().await;
    assert_eq!(worker.leases().len(), 1, "it goes on");
}

#[tokio::test]
async fn without_a_journal_a_client_is_told_to_execute_again() {
    let scratch = tempfile::tempdir().unwrap();
    let farm = Farm::start().await;
    let _worker = FakeWorker::join(&farm, "w", 1).await;
    let (_watch, name) = execute_for_a(&farm, "a").await;
    drop(_worker);
    let farm = farm
        .restarted(&scratch.path().join("journal"), cas::no_leases())
        .await;
    assert_eq!(farm.wait(&name).await.err().unwrap().code(), Code::NotFound);
}
