//! Action results through a real server.

mod support;

use action::ActionDigest;
use blob::{Blob, Digest, DigestFunction, InstanceName};
use cas_remote::Compression;
use prost::Message;
use reapi::execution::{Action, ActionResult, Command, OutputFile};
use support::RunningServer;

const F: DigestFunction = DigestFunction::Sha256;

#[tokio::test]
async fn a_result_goes_there_and_comes_back() {
    let server = RunningServer::start(cas::memory(64 << 20)).await;
    let channel = server.connect(Compression::Auto).await;
    let instance = InstanceName::new("team/x").unwrap();
    let (store, cache) = (
        channel.blob_store(instance.clone()),
        channel.action_cache(instance),
    );
    let command = Command {
        arguments: vec!["true".into()],
        ..Default::default()
    };
    let command = Blob::from_bytes(F, command.encode_to_vec());
    let action = Action {
        command_digest: Some(command.digest().to_proto()),
        input_root_digest: Some(Digest::empty(F).to_proto()),
        ..Default::default()
    };
    let digest = ActionDigest::of(F, &action);
    let output = Blob::from_bytes(F, "the output");
    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "out/file".into(),
            digest: Some(output.digest().to_proto()),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(cache.get(&digest).await.unwrap(), None);
    let refused = cache.put(&digest, result.clone()).await.unwrap_err();
    assert!(
        refused.to_string().contains("FailedPrecondition"),
        "without the action: {refused}"
    );
    for blob in [command, Blob::from_bytes(F, action.encode_to_vec()), output] {
        store.put(blob).await.unwrap();
    }
    cache.put(&digest, result.clone()).await.unwrap();
    assert_eq!(cache.get(&digest).await.unwrap(), Some(result.clone()));
    // Per instance.
    assert_eq!(
        channel
            .action_cache(InstanceName::default())
            .get(&digest)
            .await
            .unwrap(),
        None
    );

    let capabilities = channel.capabilities(&InstanceName::default()).await.unwrap();
    assert!(capabilities.cache_capabilities.is_some());
}
