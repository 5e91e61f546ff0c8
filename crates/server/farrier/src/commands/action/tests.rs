//! What is shown, against a server in this process.

use blob::{Blob, DigestFunction};
use expect_test::expect;
use merkle::TreeBuilder;
use prost::Message;
use prost_types::Timestamp;
use reapi::execution::{ExecutedActionMetadata, OutputFile, platform};

use super::*;
use crate::commands::test_server::TestServer;

const F: DigestFunction = DigestFunction::Sha256;

struct Stored {
    input: Blob,
    directory: Blob,
    command: Blob,
    action: Blob,
    result: ActionResult,
}

fn stored() -> Stored {
    let input = Blob::from_bytes(F, "int main;");
    let mut tree = TreeBuilder::new();
    tree.insert_file("main.c", input.digest(), false).unwrap();
    let tree = tree.build(F).unwrap();
    let command = proto::Command {
        arguments: ["gcc", "-DX=a b", "main.c"].map(str::to_owned).into(),
        environment_variables: vec![proto::command::EnvironmentVariable {
            name: "LANG".into(),
            value: "C".into(),
        }],
        output_paths: vec!["a.out".into()],
        ..Default::default()
    };
    let command = Blob::from_bytes(F, command.encode_to_vec());
    let property = platform::Property {
        name: "OSFamily".into(),
        value: "linux".into(),
    };
    let action = proto::Action {
        command_digest: Some(command.digest().to_proto()),
        input_root_digest: Some(tree.root.to_proto()),
        timeout: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        platform: Some(proto::Platform {
            properties: vec![property],
        }),
        ..Default::default()
    };
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let result = ActionResult {
        output_files: vec![OutputFile {
            path: "a.out".into(),
            digest: Some(input.digest().to_proto()),
            is_executable: true,
            ..Default::default()
        }],
        exit_code: 1,
        stdout_raw: "hello\n\x1b[31mred\n".into(),
        stderr_digest: Some(command.digest().to_proto()),
        execution_metadata: Some(ExecutedActionMetadata {
            worker: "w1".into(),
            execution_start_timestamp: at(10),
            execution_completed_timestamp: at(12),
            ..Default::default()
        }),
        ..Default::default()
    };
    let directory = tree.root_directory().blob(F);
    Stored {
        input,
        directory,
        command,
        action: Blob::from_bytes(F, action.encode_to_vec()),
        result,
    }
}

#[tokio::test]
async fn everything_there_is_shown() {
    let server = TestServer::start(vec![]).await;
    let Stored {
        input,
        directory,
        command,
        action,
        mut result,
    } = stored();
    let digest = action.digest();
    let long = Blob::from_bytes(F, "0123456789".repeat(500));
    result.stderr_digest = Some(long.digest().to_proto());
    server
        .action_cache
        .put(&ActionDigest::new(digest), result)
        .await
        .unwrap();
    for blob in [input, directory, command, action, long] {
        server.store.put(blob).await.unwrap();
    }
    let connected = server.options().connect().await.unwrap();
    let shown = show(&connected, digest)
        .await
        .unwrap()
        .replace(&"0123456789".repeat(200), "0123456789 * 200");
    expect![[r#"
        Action 895365fc95daf31a2a21fe9aae8ab3feae5d0c4c0fab40dd25242a2382783521/165
          timeout         60.000 s
          cacheable       yes
          platform        OSFamily=linux

        Command 140805adf0bd1526b3b785ec860b8eba66a1f5fc4cc9fc5e6e1d27a69185333e/40
          $ gcc '-DX=a b' main.c
          environment
            LANG=C
          outputs
            a.out

        Input root dd216c00e3e39491cd227fbbe872e57a9eed4e943dbe7945f62c914277d244aa/80
          1 files of 9 bytes, 0 directories, 0 symlinks; 1 distinct files, depth 1

        Result
          exit code       1
          worker          w1
          ran             2.000 s
          outputs
            a.out (executable d0044c695f618c01506cfe1ea63eb15ba1150c21fcc302d40acea345fd4710fa/9)
          stdout
            | hello
            | ?[31mred
          stderr (6735ad9f2e97ef671a692791f3c4a075723d91c7f9c4ee1df5f2bc7ef87dc76d/5000)
            | 0123456789 * 200
            … and 3000 bytes more
    "#]]
    .assert_eq(&shown);
}

#[tokio::test]
async fn each_missing_part_is_said() {
    let server = TestServer::start(vec![]).await;
    let Stored {
        action, directory, ..
    } = stored();
    let digest = action.digest();
    let connected = server.options().connect().await.unwrap();
    let error = show(&connected, digest).await.unwrap_err().to_string();
    assert!(error.contains("neither the Action"), "{error}");

    server.store.put(action).await.unwrap();
    let shown = show(&connected, digest).await.unwrap();
    expect![[r#"
        Action 895365fc95daf31a2a21fe9aae8ab3feae5d0c4c0fab40dd25242a2382783521/165
          timeout         60.000 s
          cacheable       yes
          platform        OSFamily=linux

        Command 140805adf0bd1526b3b785ec860b8eba66a1f5fc4cc9fc5e6e1d27a69185333e/40
          is not on the server

        Input root dd216c00e3e39491cd227fbbe872e57a9eed4e943dbe7945f62c914277d244aa/80
          is not on the server

        Result
          none in the action cache
    "#]]
    .assert_eq(&shown);
    server.store.put(directory).await.unwrap();
    let shown = show(&connected, digest).await.unwrap();
    assert!(shown.contains("files that are not on the server"), "{shown}");

    let no_action = Blob::from_bytes(F, "\x07 not an action");
    let digest = no_action.digest();
    server.store.put(no_action).await.unwrap();
    let error = show(&connected, digest).await.unwrap_err().to_string();
    assert!(error.contains("is not an Action"), "{error}");
}
