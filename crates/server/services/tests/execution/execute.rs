//! The ordinary life of an action, and what is remembered of it.

use action::ActionDigest;
use reapi::execution as proto;
use reapi::execution::execution_stage::Value as Stage;

use crate::support::*;

#[tokio::test]
async fn e5_the_first_state_comes_at_once_and_the_stream_ends_with_done() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let action = farm.echo("a").await;
    let mut watch = farm.execute(action).await.unwrap();
    let first = watch.next().await.unwrap();
    assert!(first.name.starts_with("operations/") && !first.done && first.result.is_none());
    let first = metadata(&first);
    assert_eq!(first.action_digest, Some(action.to_proto()));
    assert_eq!(first.digest_function(), proto::digest_function::Value::Sha256);

    let lease = worker.until_leases(1).await.remove(0);
    worker.run_all().await;
    let running = watch.until(Stage::Executing).await;
    assert!(!running.done);
    worker.complete(lease.lease_id, finished(0, "out")).await;
    let response = watch.done().await;
    assert_eq!(stdout(&response), "out");
    assert!(!response.cached_result);
}

#[tokio::test]
async fn e29_partial_metadata_is_shown_while_it_runs() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "worker-seven", 1).await;
    let mut watch = farm.execute(farm.echo("a").await).await.unwrap();
    worker.until_leases(1).await;
    worker.run_all().await;
    loop {
        let operation = watch.next().await.expect("the stream ended early");
        if let Some(partial) = metadata(&operation).partial_execution_metadata {
            assert_eq!(partial.worker, "worker-seven");
            return;
        }
    }
}

#[tokio::test]
async fn e11_the_second_time_comes_from_the_cache_and_says_so() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let action = farm.echo("a").await;
    let watch = farm.execute(action).await.unwrap();
    let lease = worker.until_leases(1).await.remove(0);
    worker.complete(lease.lease_id, finished(0, "out")).await;
    assert!(!watch.done().await.cached_result);

    let again = farm.execute(action).await.unwrap().done().await;
    assert!(again.cached_result);
    assert_eq!(stdout(&again), "out");
    assert!(worker.leases().is_empty());
}

#[tokio::test]
async fn e9_skip_cache_lookup_runs_again_and_overwrites() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let action = farm.echo("a").await;
    for (skip_cache_lookup, out) in [(false, "first"), (true, "second")] {
        let request = proto::ExecuteRequest {
            skip_cache_lookup,
            ..request(action)
        };
        let watch = farm.execute_with(request).await.unwrap();
        let lease = worker.until_leases(1).await.remove(0);
        worker.complete(lease.lease_id, finished(0, out)).await;
        assert_eq!(stdout(&watch.done().await), out);
    }
    assert_eq!(
        stdout(&farm.execute(action).await.unwrap().done().await),
        "second"
    );
}

#[tokio::test]
async fn a4_what_failed_is_not_cached() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let action = farm.echo("a").await;
    let failures = [
        finished(1, "failed"),
        action::Report::failed(reapi::rpc::Code::DeadlineExceeded, "too slow").into_response(),
    ];
    for failure in failures {
        let watch = farm.execute(action).await.unwrap();
        let lease = worker.until_leases(1).await.remove(0);
        worker.complete(lease.lease_id, failure.clone()).await;
        assert_eq!(watch.done().await, failure);
        assert_eq!(farm.cache.get(&ActionDigest::new(action)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn e10_do_not_cache_is_not_stored() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let action = proto::Action {
        do_not_cache: true,
        ..Default::default()
    };
    let action = farm
        .action(command(&["date"]), action, proto::Directory::default())
        .await;
    for _ in 0..2 {
        let watch = farm.execute(action).await.unwrap();
        let lease = worker.until_leases(1).await.remove(0);
        worker.complete(lease.lease_id, finished(0, "now")).await;
        assert!(!watch.done().await.cached_result);
    }
}

#[tokio::test]
async fn e33_a_result_whose_outputs_are_not_stored_is_not_published() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let action = farm.echo("a").await;
    let watch = farm.execute(action).await.unwrap();
    let lease = worker.until_leases(1).await.remove(0);
    let nowhere = blob::Digest::of(F, b"never uploaded");
    let mut response = finished(0, "");
    response
        .result
        .as_mut()
        .unwrap()
        .output_files
        .push(proto::OutputFile {
            path: "out".into(),
            digest: Some(nowhere.to_proto()),
            ..Default::default()
        });
    worker.complete(lease.lease_id, response).await;
    let status = watch.done().await.status.unwrap();
    assert_eq!(status.code, reapi::rpc::Code::Unavailable as i32);
    assert!(
        status.message.contains(&nowhere.to_string()),
        "{}",
        status.message
    );
    assert_eq!(farm.cache.get(&ActionDigest::new(action)).await.unwrap(), None);
}

#[tokio::test]
async fn a6_instances_do_not_share_results_in_flight() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 2).await;
    let action = farm.echo("a").await;
    let _unnamed = farm.execute(action).await.unwrap();
    let request = proto::ExecuteRequest {
        instance_name: "team/a".into(),
        ..request(action)
    };
    let mut named = farm.execute_with(request).await.unwrap();
    assert!(named.next().await.unwrap().name.starts_with("team/a/operations/"));
    let leases = worker.until_leases(2).await;
    let mut instances: Vec<_> = leases
        .into_iter()
        .map(|lease| lease.assignment.unwrap().instance_name)
        .collect();
    instances.sort();
    assert_eq!(instances, ["", "team/a"]);
}

#[tokio::test]
async fn e13_the_default_timeout_is_given_to_actions_that_name_none() {
    let farm = Farm::start().await;
    let mut worker = FakeWorker::join(&farm, "w", 2).await;
    let _default = farm.execute(farm.echo("a").await).await.unwrap();
    let lease = worker.until_leases(1).await.remove(0);
    assert_eq!(lease.assignment.unwrap().timeout.unwrap().seconds, 60);
    let timeout = Some(prost_types::Duration { seconds: 7, nanos: 0 });
    let action = proto::Action {
        timeout,
        ..Default::default()
    };
    let action = farm
        .action(command(&["x"]), action, proto::Directory::default())
        .await;
    let _own = farm.execute(action).await.unwrap();
    let leases = worker.until_leases(2).await;
    assert!(
        leases
            .iter()
            .any(|lease| lease.assignment.as_ref().unwrap().timeout.unwrap().seconds == 7)
    );
}
