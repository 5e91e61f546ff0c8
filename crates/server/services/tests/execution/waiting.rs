//! What a client hears about an action that waits.

use admin_api::v1::Waiting;
use reapi::execution::execution_stage::Value as Stage;
use reapi::longrunning::Operation;
use scheduler::SchedulerOptions;

use crate::support::*;

fn waiting(operation: &Operation) -> Option<Waiting> {
    let partial = metadata(operation).partial_execution_metadata?;
    let told = partial.auxiliary_metadata.iter();
    told.filter_map(|any| any.to_msg().ok()).next()
}

#[tokio::test]
async fn what_waits_says_why_and_how_much_is_before_it() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let mut busy = farm.execute(farm.echo("busy").await).await.unwrap();
    let lease = worker.until_leases(1).await.remove(0);
    let executing = busy.until(Stage::Executing).await;
    assert_eq!(waiting(&executing), None, "it does not wait");
    let mut watches = Vec::new();
    for (number, word) in ["a", "b", "c"].into_iter().enumerate() {
        let mut watch = farm.execute(farm.echo(word).await).await.unwrap();
        let told = waiting(&watch.until(Stage::Queued).await).unwrap();
        assert_eq!(
            (told.ahead, told.more_ahead, told.attempt),
            (number as u32, false, 1)
        );
        assert!(
            told.reason.contains("free slot; matching workers: 1"),
            "{}",
            told.reason
        );
        watches.push(watch);
    }
    worker.complete(lease.lease_id, finished(0, "")).await;
    worker.until_leases(1).await;
    let executing = watches[0].until(Stage::Executing).await;
    assert_eq!(waiting(&executing), None);
}

#[tokio::test]
async fn what_no_worker_can_run_yet_says_so_while_workers_may_still_come() {
    let farm = Farm::with(SchedulerOptions::default()).await;
    let mut watch = farm.execute(farm.echo("early").await).await.unwrap();
    let told = waiting(&watch.until(Stage::Queued).await).unwrap();
    assert!(
        told.reason.contains("waits for workers to connect"),
        "{}",
        told.reason
    );
}
