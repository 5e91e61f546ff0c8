//! Workers that come, go, come back, lie, or do not know the token.

use std::time::Duration;

use reapi::execution::execution_stage::Value as Stage;
use scheduler::SchedulerOptions;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use worker_api::v1::WorkerState;
use worker_api::v1::workers_client::WorkersClient;

use crate::support::*;

fn impatient() -> SchedulerOptions {
    SchedulerOptions {
        reconnect_grace: Duration::from_millis(200),
        ..SchedulerOptions::default()
    }
}

#[tokio::test]
async fn only_workers_with_the_token_are_served() {
    let farm = Farm::start().await;
    for bearer in [
        None,
        Some("Bearer wrong!"),
        Some("Bearer "),
        Some("secret"),
        Some("Bearer secretx"),
    ] {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender
            .send(WorkerState {
                worker_id: "w".into(),
                ..Default::default()
            })
            .await
            .unwrap();
        let mut request = Request::new(ReceiverStream::new(receiver));
        if let Some(bearer) = bearer {
            request
                .metadata_mut()
                .insert("authorization", bearer.parse().unwrap());
        }
        let refused = WorkersClient::new(farm.channel.clone())
            .synchronize(request)
            .await
            .err()
            .unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated, "{bearer:?}");
    }
}

#[tokio::test]
async fn e7_e32_the_work_of_a_lost_worker_is_given_to_another() {
    let farm = Farm::with(impatient()).await;
    let mut lost = FakeWorker::join(&farm, "lost", 1).await;
    let mut watch = farm.execute(farm.echo("a").await).await.unwrap();
    lost.until_leases(1).await;
    watch.until(Stage::Executing).await;
    drop(lost);
    watch.until(Stage::Queued).await;
    let mut other = FakeWorker::join(&farm, "other", 1).await;
    let lease = other.until_leases(1).await.remove(0);
    other.complete(lease.lease_id, finished(0, "by the other")).await;
    assert_eq!(stdout(&watch.done().await), "by the other");
}

#[tokio::test]
async fn a_worker_that_comes_back_keeps_its_lease() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let watch = farm.execute(farm.echo("a").await).await.unwrap();
    let lease = worker.until_leases(1).await.remove(0);
    worker.run_all().await;
    let state = worker.state();
    // The new stream is there before the old one is noticed to be dead, as after a cut cable.
    let mut back = FakeWorker::connect(&farm, state).await.unwrap();
    drop(worker);
    assert_eq!(back.leases()[0].lease_id, lease.lease_id);
    tokio::time::sleep(Duration::from_millis(50)).await;
    back.complete(lease.lease_id, finished(0, "kept")).await;
    assert_eq!(stdout(&watch.done().await), "kept");
}

#[tokio::test]
async fn a_result_under_a_lost_lease_is_ignored() {
    let farm = Farm::with(impatient()).await;
    let mut slow = FakeWorker::join(&farm, "slow", 1).await;
    let mut watch = farm.execute(farm.echo("a").await).await.unwrap();
    let stale = slow.until_leases(1).await.remove(0);
    let state = slow.state();
    watch.until(Stage::Executing).await;
    drop(slow);
    watch.until(Stage::Queued).await;
    let mut quick = FakeWorker::join(&farm, "quick", 1).await;
    let fresh = quick.until_leases(1).await.remove(0);
    assert!(fresh.lease_id > stale.lease_id);
    let mut slow = FakeWorker::connect(&farm, WorkerState { slots: 0, ..state })
        .await
        .unwrap();
    slow.complete(stale.lease_id, finished(0, "too late")).await;
    quick.complete(fresh.lease_id, finished(0, "in time")).await;
    assert_eq!(stdout(&watch.done().await), "in time");
}

#[tokio::test]
async fn a_command_that_keeps_killing_workers_is_given_up() {
    let farm = Farm::with(impatient()).await;
    let watch = farm.execute(farm.echo("a").await).await.unwrap();
    for number in 0..3 {
        let mut worker = FakeWorker::join(&farm, &format!("victim-{number}"), 1).await;
        worker.until_leases(1).await;
        drop(worker);
    }
    let status = watch.done().await.status.unwrap();
    assert_eq!(status.code, reapi::rpc::Code::Unavailable as i32);
    assert!(status.message.contains("victim-2"), "{}", status.message);
}

#[tokio::test]
async fn a_draining_worker_gets_nothing_new() {
    let farm = Farm::start().await;
    let mut draining = FakeWorker::join(&farm, "draining", 8).await;
    draining.drain().await;
    let mut other = FakeWorker::join(&farm, "other", 1).await;
    let _watch = farm.execute(farm.echo("a").await).await.unwrap();
    other.until_leases(1).await;
    assert!(draining.leases().is_empty());
}

#[tokio::test]
async fn more_work_than_a_message_carries_follows_in_the_next_and_nothing_is_sent_twice() {
    let farm = Farm::with(SchedulerOptions::default()).await;
    let word = "x".repeat(100_000);
    let mut watches = Vec::new();
    for number in 0..4 {
        let number = number.to_string();
        let words: Vec<&str> = ["echo", &number]
            .into_iter()
            .chain(std::iter::repeat_n(&*word, 60))
            .collect();
        let command = command(&words);
        let action = farm.action(command, Default::default(), Default::default()).await;
        watches.push(farm.execute(action).await.unwrap());
    }
    let mut worker = FakeWorker::join(&farm, "w", 4).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let leases = worker.leases().to_vec();
        assert!(leases.len() <= 4);
        let carried: Vec<u64> = leases
            .iter()
            .filter(|lease| lease.assignment.is_some())
            .map(|lease| lease.lease_id)
            .collect();
        assert!(carried.len() <= 2, "three of these do not fit into a message");
        for lease_id in carried {
            assert!(seen.insert(lease_id), "sent although the worker holds it");
        }
        if seen.len() == 4 {
            return;
        }
        worker.hold(&seen).await;
    }
    panic!("the worker was told of {seen:?} only");
}

#[tokio::test]
async fn a_worker_learns_on_whose_behalf_it_works() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let mut call = Request::new(request(farm.echo("a").await));
    call.metadata_mut().insert("farrier-user", "ann".parse().unwrap());
    let _watch = farm.execution().execute(call).await.unwrap();
    let leases = worker.until_leases(1).await;
    assert_eq!(leases[0].assignment.as_ref().unwrap().user, "ann");
}
