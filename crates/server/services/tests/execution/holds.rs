//! What was promised to a build is kept while its actions wait and run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cas::{Hold, Invocation, Leases};
use prost::Message;
use reapi::execution::RequestMetadata;
use scheduler::SchedulerOptions;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::support::*;

/// Counts what is held for the build "a".
#[derive(Default)]
pub(crate) struct Counting {
    pub(crate) held: Arc<AtomicI64>,
}

struct Held(Arc<AtomicI64>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Leases for Counting {
    fn hold(&self, invocation: Option<&Invocation>) -> Hold {
        if invocation.is_none_or(|invocation| invocation.as_str() != "a") {
            return Hold::nothing();
        }
        self.held.fetch_add(1, Ordering::SeqCst);
        Hold::of(Held(self.held.clone()))
    }
}

/// Executes for the build "a"; answers the stream and the operation's name.
pub(crate) async fn execute_for_a(farm: &Farm, word: &str) -> (Watch, String) {
    let metadata = RequestMetadata {
        tool_invocation_id: "a".to_owned(),
        ..RequestMetadata::default()
    };
    let mut call = Request::new(request(farm.echo(word).await));
    call.metadata_mut().insert_bin(
        "build.bazel.remote.execution.v2.requestmetadata-bin",
        MetadataValue::from_bytes(&metadata.encode_to_vec()),
    );
    let states = farm.execution().execute(call).await.unwrap().into_inner();
    let mut watch = Watch { states };
    let name = watch.next().await.unwrap().name;
    (watch, name)
}

#[tokio::test]
async fn a_build_is_held_from_acceptance_until_its_action_is_done() {
    let leases = Arc::new(Counting::default());
    let held = leases.held.clone();
    let farm = Farm::with_leases(SchedulerOptions::default(), leases).await;
    let mut worker = FakeWorker::join(&farm, "w", 1).await;
    let mut watches = Vec::new();
    for word in ["a", "b"] {
        watches.push(execute_for_a(&farm, word).await.0);
    }
    // One runs, one waits.
    assert_eq!(held.load(Ordering::SeqCst), 2);
    for (left, watch) in [1, 0].into_iter().zip(watches) {
        let lease = worker.until_leases(1).await.remove(0);
        worker.run_all().await;
        worker.complete(lease.lease_id, finished(0, "out")).await;
        watch.done().await;
        assert_eq!(held.load(Ordering::SeqCst), left);
    }
}
