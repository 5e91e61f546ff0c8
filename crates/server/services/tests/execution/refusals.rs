//! What is refused, with which code, and whether the message helps.

use blob::Digest;
use prost::Message;
use reapi::execution as proto;
use tonic::Code;

use crate::support::*;

fn node(name: &str, digest: Digest) -> proto::FileNode {
    proto::FileNode {
        name: name.into(),
        digest: Some(digest.to_proto()),
        ..Default::default()
    }
}

/// The code and message an action is refused with.
async fn refused(
    farm: &Farm,
    command: proto::Command,
    action: proto::Action,
    root: proto::Directory,
) -> (Code, String) {
    let action = farm.action(command, action, root).await;
    match farm.execute(action).await {
        Err(status) => (status.code(), status.message().to_owned()),
        Ok(_) => panic!("was accepted"),
    }
}

async fn invalid(farm: &Farm, command: proto::Command, root: proto::Directory, mentions: &str) {
    let (code, message) = refused(farm, command, proto::Action::default(), root).await;
    assert_eq!(code, Code::InvalidArgument, "{message}");
    assert!(
        message.contains(mentions),
        "`{message}` does not mention `{mentions}`"
    );
}

#[tokio::test]
async fn e3_a_missing_action_is_named() {
    let farm = Farm::start().await;
    let nowhere = Digest::of(F, b"no such action");
    let status = farm.execute(nowhere).await.err().unwrap();
    assert_eq!(missing(&details(&status)), [format!("blobs/{nowhere}")]);
}

#[tokio::test]
async fn e3_everything_missing_is_listed_at_once() {
    let farm = Farm::start().await;
    let nowhere = |text: &str| Digest::of(F, text.as_bytes());
    let (file, directory, command) = (nowhere("file"), nowhere("directory"), nowhere("command"));
    let root = proto::Directory {
        files: vec![node("here", farm.put("here").await), node("there", file)],
        directories: vec![proto::DirectoryNode {
            name: "sub".into(),
            digest: Some(directory.to_proto()),
        }],
        ..Default::default()
    };
    let root = farm.put(root.encode_to_vec()).await;
    let action = proto::Action {
        command_digest: Some(command.to_proto()),
        input_root_digest: Some(root.to_proto()),
        ..Default::default()
    };
    let action = farm.put(action.encode_to_vec()).await;
    let status = farm.execute(action).await.err().unwrap();
    let mut expected = [file, directory, command].map(|digest| format!("blobs/{digest}"));
    expected.sort();
    assert_eq!(missing(&details(&status)), expected);
}

#[tokio::test]
async fn e3_more_than_a_header_holds_are_listed_in_the_response() {
    let farm = Farm::start().await;
    let names: Vec<String> = (0..500).map(|number| format!("file-{number:04}")).collect();
    let files = names
        .iter()
        .map(|name| node(name, Digest::of(F, name.as_bytes())))
        .collect();
    let root = proto::Directory {
        files,
        ..Default::default()
    };
    let action = farm.action(command(&["x"]), proto::Action::default(), root).await;
    let response = farm.execute(action).await.unwrap().done().await;
    assert_eq!(missing(&response.status.unwrap()).len(), 500);
}

#[tokio::test]
async fn e4_an_impossible_platform_is_refused_with_the_nearest_match() {
    let farm = Farm::start().await;
    let linux = [("OSFamily", "linux"), ("ISA", "x86-64")];
    let _worker = FakeWorker::join_with(&farm, "the-linux-one", 1, &linux).await;
    let property = |name: &str, value: &str| proto::platform::Property {
        name: name.into(),
        value: value.into(),
    };
    let platform = proto::Platform {
        properties: vec![property("ISA", "arm-a64"), property("OSFamily", "linux")],
    };
    let action = proto::Action {
        platform: Some(platform),
        ..Default::default()
    };
    let action = farm
        .action(command(&["x"]), action, proto::Directory::default())
        .await;
    let status = farm.execute(action).await.unwrap().done().await.status.unwrap();
    assert_eq!(status.code, reapi::rpc::Code::FailedPrecondition as i32);
    for word in ["ISA", "arm-a64", "x86-64", "the-linux-one"] {
        assert!(
            status.message.contains(word),
            "`{}` does not mention {word}",
            status.message
        );
    }
}

#[tokio::test]
async fn e12_priorities_outside_the_range_are_refused() {
    let farm = Farm::start().await;
    let action = farm.echo("a").await;
    for priority in [-1001, 1001, i32::MIN] {
        let policy = proto::ExecutionPolicy { priority };
        let request = proto::ExecuteRequest {
            execution_policy: Some(policy),
            ..request(action)
        };
        assert_eq!(
            farm.execute_with(request).await.err().unwrap().code(),
            Code::InvalidArgument
        );
    }
}

#[tokio::test]
async fn e13_timeouts_that_are_too_long_or_negative_are_refused() {
    let farm = Farm::start().await;
    for seconds in [601, 1_000_000_000, -1] {
        let timeout = Some(prost_types::Duration { seconds, nanos: 0 });
        let action = proto::Action {
            timeout,
            ..Default::default()
        };
        let (code, message) = refused(&farm, command(&["x"]), action, proto::Directory::default()).await;
        assert_eq!(code, Code::InvalidArgument, "{message}");
    }
}

#[tokio::test]
async fn e17_to_e20_malformed_commands_are_refused() {
    let farm = Farm::start().await;
    let root = proto::Directory::default;
    invalid(&farm, command(&[]), root(), "argument").await;
    let variable = |name: &str| proto::command::EnvironmentVariable {
        name: name.into(),
        value: "v".into(),
    };
    let twice = proto::Command {
        environment_variables: vec![variable("A"), variable("A")],
        ..command(&["x"])
    };
    invalid(&farm, twice, root(), "`A`").await;
    for directory in ["not/there", "/abs", "..", "a/../../b"] {
        let elsewhere = proto::Command {
            working_directory: directory.into(),
            ..command(&["x"])
        };
        invalid(&farm, elsewhere, root(), directory).await;
    }
    for path in ["/abs", "..", "a/../../b", "a//b", "a/"] {
        let escaping = proto::Command {
            output_paths: vec![path.into()],
            ..command(&["x"])
        };
        invalid(&farm, escaping, root(), path).await;
    }
    let repeated = proto::Command {
        output_paths: vec!["a".into(), "a".into()],
        ..command(&["x"])
    };
    invalid(&farm, repeated, root(), "`a`").await;
}

#[tokio::test]
async fn e25_unknown_node_properties_are_refused() {
    let farm = Farm::start().await;
    let unknown = proto::Command {
        output_node_properties: vec!["colour".into()],
        ..command(&["x"])
    };
    invalid(&farm, unknown, proto::Directory::default(), "colour").await;
}

#[tokio::test]
async fn e26_malformed_input_roots_are_refused() {
    let farm = Farm::start().await;
    let file = farm.put("content").await;
    let files = |names: &[&str]| proto::Directory {
        files: names.iter().map(|name| node(name, file)).collect(),
        ..Default::default()
    };
    for (names, mentions) in [
        (&["b", "a"][..], "`a`"),
        (&["a", "a"], "`a`"),
        (&[".."], "`..`"),
        (&["."], "`.`"),
        (&["a/b"], "a/b"),
        (&[""], "name"),
        (&["nul\0"], "nul"),
    ] {
        invalid(&farm, command(&["x"]), files(names), mentions).await;
    }
    let mut both = files(&["same"]);
    both.directories.push(proto::DirectoryNode {
        name: "same".into(),
        digest: Some(Digest::empty(F).to_proto()),
    });
    invalid(&farm, command(&["x"]), both, "`same`").await;
    let nonsense = farm.put("this is no Directory at all").await;
    let sub = proto::Directory {
        directories: vec![proto::DirectoryNode {
            name: "sub".into(),
            digest: Some(nonsense.to_proto()),
        }],
        ..Default::default()
    };
    invalid(&farm, command(&["x"]), sub, &nonsense.to_string()).await;
}

#[tokio::test]
async fn g3_g5_g7_malformed_names_and_digests_are_refused() {
    let farm = Farm::start().await;
    let action = farm.echo("a").await;
    let code = |request| async { farm.execute_with(request).await.err().unwrap().code() };
    for instance_name in ["/", "a//b", "blobs", "x/operations", "no-such-instance"] {
        let request = proto::ExecuteRequest {
            instance_name: instance_name.into(),
            ..request(action)
        };
        assert_eq!(code(request).await, Code::InvalidArgument, "{instance_name}");
    }
    assert_eq!(
        code(proto::ExecuteRequest::default()).await,
        Code::InvalidArgument
    );
    let upper = proto::Digest {
        hash: action.hash_hex().to_uppercase(),
        size_bytes: action.size_bytes() as i64,
    };
    let upper = proto::ExecuteRequest {
        action_digest: Some(upper),
        ..Default::default()
    };
    assert_eq!(code(upper).await, Code::InvalidArgument);
    let murmur = proto::digest_function::Value::Murmur3 as i32;
    assert_eq!(
        code(proto::ExecuteRequest {
            digest_function: murmur,
            ..request(action)
        })
        .await,
        Code::InvalidArgument
    );
    // The right hash under another function names another blob, which is not there.
    let blake3 = proto::digest_function::Value::Blake3 as i32;
    let status = farm
        .execute_with(proto::ExecuteRequest {
            digest_function: blake3,
            ..request(action)
        })
        .await;
    let subjects = missing(&details(&status.err().unwrap()));
    assert!(subjects[0].starts_with("blobs/blake3/"), "{subjects:?}");
}
