//! `ActionCache.GetActionResult` and `UpdateActionResult`.

use blob::Digest;
use bytes::Bytes;
use prost::Message;
use reapi::execution::{
    Action, ActionResult, Command, Directory, FileNode, GetActionResultRequest, OutputDirectory, OutputFile,
    OutputSymlink, Tree, UpdateActionResultRequest, digest_function,
};
use tonic::{Code, Status};

use crate::support::*;

async fn get(server: &Server, request: GetActionResultRequest) -> Result<ActionResult, Status> {
    server
        .action_cache()
        .get_action_result(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn get_plain(server: &Server, action: &Digest) -> Result<ActionResult, Status> {
    get(
        server,
        GetActionResultRequest {
            action_digest: Some(action.to_proto()),
            ..Default::default()
        },
    )
    .await
}

fn update_request(action: &Digest, result: &ActionResult) -> UpdateActionResultRequest {
    UpdateActionResultRequest {
        action_digest: Some(action.to_proto()),
        action_result: Some(result.clone()),
        ..Default::default()
    }
}

async fn update(server: &Server, request: UpdateActionResultRequest) -> Result<ActionResult, Status> {
    server
        .action_cache()
        .update_action_result(request)
        .await
        .map(tonic::Response::into_inner)
}

fn command(name: &str) -> Command {
    Command {
        arguments: vec![name.to_owned()],
        ..Default::default()
    }
}

fn action(command: Digest) -> Action {
    Action {
        command_digest: Some(command.to_proto()),
        input_root_digest: Some(Digest::empty(SHA256).to_proto()),
        ..Default::default()
    }
}

/// An action with its command, both stored.
async fn stored_action(server: &Server, name: &str) -> Digest {
    let command = server.put_message(&command(name)).await;
    server.put_message(&action(command)).await
}

fn output_file(path: &str, digest: &Digest) -> OutputFile {
    OutputFile {
        path: path.to_owned(),
        digest: Some(digest.to_proto()),
        ..Default::default()
    }
}

#[tokio::test]
async fn a3_not_found_until_updated_then_the_last_writer_s_result() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    refused(get_plain(&server, &action).await, Code::NotFound);
    for exit_code in [0, 3] {
        let result = ActionResult {
            exit_code,
            ..Default::default()
        };
        assert_eq!(
            update(&server, update_request(&action, &result)).await.unwrap(),
            result
        );
        assert_eq!(get_plain(&server, &action).await.unwrap(), result);
    }
}

#[tokio::test]
async fn a1_a_result_is_not_found_while_anything_it_refers_to_is_missing() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let inside = FileNode {
        name: "inside".into(),
        digest: Some(digest_proto(b"inside")),
        ..Default::default()
    };
    let root = Directory {
        files: vec![inside],
        ..Default::default()
    };
    let tree = Tree {
        root: Some(root),
        children: vec![],
    };
    let tree_digest = Digest::of(SHA256, &tree.encode_to_vec()).to_proto();
    let directory = OutputDirectory {
        path: "dir".into(),
        tree_digest: Some(tree_digest),
        ..Default::default()
    };
    let result = ActionResult {
        output_files: vec![output_file("a.o", &Digest::of(SHA256, b"object"))],
        output_directories: vec![directory],
        stdout_digest: Some(digest_proto(b"output")),
        ..Default::default()
    };
    // Storing is not the moment to look: outputs may follow.
    update(&server, update_request(&action, &result)).await.unwrap();
    for missing in [
        Bytes::from("object"),
        "inside".into(),
        tree.encode_to_vec().into(),
        "output".into(),
    ] {
        refused(get_plain(&server, &action).await, Code::NotFound);
        server.put(missing).await;
    }
    assert_eq!(get_plain(&server, &action).await.unwrap(), result);
}

fn digest_proto(content: &[u8]) -> reapi::execution::Digest {
    Digest::of(SHA256, content).to_proto()
}

#[tokio::test]
async fn a2_contents_are_inlined_exactly_as_asked() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let [out, err, file] = [
        server.put("the output").await,
        server.put("the errors").await,
        server.put("an object").await,
    ];
    let result = ActionResult {
        output_files: vec![output_file("a.o", &file), output_file("b.o", &file)],
        output_symlinks: vec![OutputSymlink {
            path: "c.o".into(),
            target: "a.o".into(),
            ..Default::default()
        }],
        stdout_digest: Some(out.to_proto()),
        stdout_raw: "the output".into(),
        stderr_digest: Some(err.to_proto()),
        ..Default::default()
    };
    update(&server, update_request(&action, &result)).await.unwrap();
    let plain = get_plain(&server, &action).await.unwrap();
    // Unasked, nothing is inlined, even if it was when it was stored.
    assert!(plain.stdout_raw.is_empty() && plain.stderr_raw.is_empty());
    assert!(plain.output_files.iter().all(|file| file.contents.is_empty()));
    let request = GetActionResultRequest {
        action_digest: Some(action.to_proto()),
        inline_stdout: true,
        inline_stderr: true,
        inline_output_files: vec!["b.o".into(), "c.o".into(), "not/there".into()],
        ..Default::default()
    };
    let inlined = get(&server, request).await.unwrap();
    assert_eq!(
        (inlined.stdout_raw.as_ref(), inlined.stderr_raw.as_ref()),
        (&b"the output"[..], &b"the errors"[..])
    );
    let contents: Vec<&Bytes> = inlined.output_files.iter().map(|file| &file.contents).collect();
    assert_eq!(contents, ["", "an object"]);
    assert_eq!(inlined.output_symlinks, result.output_symlinks);
    assert_eq!(inlined.stdout_digest, result.stdout_digest);
}

#[tokio::test]
async fn a2_g14_inlining_stops_before_the_message_is_full() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let mut result = ActionResult::default();
    for i in 0..20 {
        let file = server.put(noise(i, 300_000)).await;
        result
            .output_files
            .push(output_file(&format!("out/{i:02}"), &file));
    }
    update(&server, update_request(&action, &result)).await.unwrap();
    let request = GetActionResultRequest {
        action_digest: Some(action.to_proto()),
        inline_output_files: result.output_files.iter().map(|file| file.path.clone()).collect(),
        ..Default::default()
    };
    let inlined = get(&server, request).await.unwrap();
    let count = inlined
        .output_files
        .iter()
        .filter(|file| !file.contents.is_empty())
        .count();
    assert!((1..=13).contains(&count), "{count} files were inlined");
    assert_eq!(inlined.output_files.len(), 20);
}

#[tokio::test]
async fn a2_output_that_exists_only_inline_is_kept() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let result = ActionResult {
        stdout_raw: "only here".into(),
        ..Default::default()
    };
    update(&server, update_request(&action, &result)).await.unwrap();
    assert_eq!(get_plain(&server, &action).await.unwrap(), result);
}

#[tokio::test]
async fn a3_missing_action_or_command_is_a_failed_precondition_that_names_it() {
    let server = Server::start().await;
    let command = command("not uploaded");
    let command_digest = Digest::of(SHA256, &command.encode_to_vec());
    let action = action(command_digest);
    let action_digest = Digest::of(SHA256, &action.encode_to_vec());
    let request = update_request(&action_digest, &ActionResult::default());
    let status = refused(update(&server, request.clone()).await, Code::FailedPrecondition);
    assert_eq!(missing_subjects(&status), [format!("blobs/{action_digest}")]);
    server.put_message(&action).await;
    let status = refused(update(&server, request.clone()).await, Code::FailedPrecondition);
    assert_eq!(missing_subjects(&status), [format!("blobs/{command_digest}")]);
    refused(get_plain(&server, &action_digest).await, Code::NotFound);
    server.put_message(&command).await;
    update(&server, request).await.unwrap();
    get_plain(&server, &action_digest).await.unwrap();
}

#[tokio::test]
async fn a3_only_where_it_is_allowed() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let mut request = update_request(&action, &ActionResult::default());
    request.instance_name = WORKERS_ONLY.to_owned();
    refused(update(&server, request).await, Code::PermissionDenied);
}

#[tokio::test]
async fn a3_malformed_results_are_refused_and_not_stored() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let file = server.put("x").await;
    let mut bad = vec![
        ActionResult {
            output_files: vec![output_file("/etc/passwd", &file)],
            ..Default::default()
        },
        ActionResult {
            output_files: vec![output_file("a", &file), output_file("a", &file)],
            ..Default::default()
        },
        ActionResult {
            output_files: vec![OutputFile {
                path: "a".into(),
                ..Default::default()
            }],
            ..Default::default()
        },
    ];
    for digest in malformed_digests() {
        bad.push(ActionResult {
            stdout_digest: Some(digest),
            ..Default::default()
        });
    }
    for result in bad {
        refused(
            update(&server, update_request(&action, &result)).await,
            Code::InvalidArgument,
        );
    }
    let mut without_result = update_request(&action, &ActionResult::default());
    without_result.action_result = None;
    refused(update(&server, without_result).await, Code::InvalidArgument);
    let garbage = server.put("\u{7f} no action").await;
    refused(
        update(&server, update_request(&garbage, &ActionResult::default())).await,
        Code::InvalidArgument,
    );
    for digest in malformed_digests() {
        let mut request = update_request(&action, &ActionResult::default());
        request.action_digest = Some(digest.clone());
        refused(update(&server, request).await, Code::InvalidArgument);
        let request = GetActionResultRequest {
            action_digest: Some(digest),
            ..Default::default()
        };
        refused(get(&server, request).await, Code::InvalidArgument);
    }
    refused(get_plain(&server, &action).await, Code::NotFound);
}

#[tokio::test]
async fn g14_a_result_too_large_for_an_answer_is_refused_when_it_is_stored() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let result = ActionResult {
        stdout_raw: noise(1, (4 << 20) + 1),
        ..Default::default()
    };
    refused(
        update(&server, update_request(&action, &result)).await,
        Code::InvalidArgument,
    );
}

#[tokio::test]
async fn a4_a_non_zero_exit_code_is_read_back_as_it_is() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    let result = ActionResult {
        exit_code: 1,
        ..Default::default()
    };
    server
        .cache
        .put(&action::ActionDigest::new(action), result.clone())
        .await
        .unwrap();
    assert_eq!(get_plain(&server, &action).await.unwrap(), result);
}

#[tokio::test]
async fn a6_equal_hashes_of_two_functions_are_two_actions() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    update(&server, update_request(&action, &ActionResult::default()))
        .await
        .unwrap();
    let request = GetActionResultRequest {
        action_digest: Some(action.to_proto()),
        digest_function: digest_function::Value::Blake3 as i32,
        ..Default::default()
    };
    refused(get(&server, request).await, Code::NotFound);
}

#[tokio::test]
async fn a8_a_result_of_no_bytes_is_a_result() {
    let server = Server::start().await;
    let action = stored_action(&server, "cc").await;
    update(&server, update_request(&action, &ActionResult::default()))
        .await
        .unwrap();
    assert_eq!(
        get_plain(&server, &action).await.unwrap(),
        ActionResult::default()
    );
}
