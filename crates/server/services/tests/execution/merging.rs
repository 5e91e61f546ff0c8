//! One execution for everybody who asks for the same.

use reapi::execution as proto;
use reapi::execution::execution_stage::Value as Stage;

use crate::support::*;

#[tokio::test]
async fn equal_actions_in_flight_are_run_once() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 4).await;
    let action = farm.echo("a").await;
    let watches = [
        farm.execute(action).await.unwrap(),
        farm.execute(action).await.unwrap(),
        farm.execute(action).await.unwrap(),
    ];
    let lease = worker.until_leases(1).await.remove(0);
    worker.complete(lease.lease_id, finished(0, "once")).await;
    for watch in watches {
        assert_eq!(stdout(&watch.done().await), "once");
    }
    assert!(worker.leases().is_empty());
}

#[tokio::test]
async fn e10_do_not_cache_is_never_merged() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 4).await;
    let action = proto::Action {
        do_not_cache: true,
        ..Default::default()
    };
    let action = farm
        .action(command(&["date"]), action, proto::Directory::default())
        .await;
    let _first = farm.execute(action).await.unwrap();
    let _second = farm.execute(action).await.unwrap();
    worker.until_leases(2).await;
}

#[tokio::test]
async fn e12_the_lower_priority_number_runs_first() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let _busy = farm.execute(farm.echo("busy").await).await.unwrap();
    let busy = worker.until_leases(1).await.remove(0);
    let mut watches = Vec::new();
    let mut digests = Vec::new();
    for priority in [5, -5, 0] {
        let action = farm.echo(&format!("priority {priority}")).await;
        let policy = Some(proto::ExecutionPolicy { priority });
        let request = proto::ExecuteRequest {
            execution_policy: policy,
            ..request(action)
        };
        let mut watch = farm.execute_with(request).await.unwrap();
        watch.until(Stage::Queued).await;
        watches.push(watch);
        digests.push((priority, action.to_proto()));
    }
    digests.sort_by_key(|(priority, _)| *priority);
    let mut lease = busy;
    for (_, expected) in digests {
        worker.complete(lease.lease_id, finished(0, "")).await;
        lease = worker.until_leases(1).await.remove(0);
        assert_eq!(lease.assignment.as_ref().unwrap().action_digest, Some(expected));
    }
}
