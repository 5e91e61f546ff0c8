//! `ContentAddressableStorage.GetTree`.

use blob::Digest;
use prost::Message;
use reapi::execution::{Directory, DirectoryNode, FileNode, GetTreeRequest, GetTreeResponse};
use tonic::{Code, Status};

use crate::support::*;

/// A directory with a file named after it, so that each is different.
fn directory(name: &str, children: &[(&str, Digest)]) -> Directory {
    let file = FileNode {
        name: format!("a-file-of-{name}"),
        digest: Some(Digest::of(SHA256, name.as_bytes()).to_proto()),
        ..Default::default()
    };
    let directories = children
        .iter()
        .map(|(name, digest)| DirectoryNode {
            name: (*name).to_owned(),
            digest: Some(digest.to_proto()),
        })
        .collect();
    Directory {
        files: vec![file],
        directories,
        ..Default::default()
    }
}

fn digest_of_directory(directory: &Directory) -> Digest {
    Digest::of(SHA256, &directory.encode_to_vec())
}

async fn responses(server: &Server, request: GetTreeRequest) -> Result<Vec<GetTreeResponse>, Status> {
    let mut stream = server.cas().get_tree(request).await?.into_inner();
    let mut responses = Vec::new();
    while let Some(response) = stream.message().await? {
        responses.push(response);
    }
    Ok(responses)
}

async fn tree(
    server: &Server,
    root: &Digest,
    page_size: i32,
    page_token: &str,
) -> Result<Vec<GetTreeResponse>, Status> {
    let request = GetTreeRequest {
        root_digest: Some(root.to_proto()),
        page_size,
        page_token: page_token.to_owned(),
        ..Default::default()
    };
    responses(server, request).await
}

fn directories(responses: &[GetTreeResponse]) -> Vec<Directory> {
    responses
        .iter()
        .flat_map(|response| response.directories.clone())
        .collect()
}

/// root → a, b, c; a → shared; b → shared, missing; c → shared. Returns the root and what is stored, root first.
async fn small_tree(server: &Server) -> (Digest, Vec<Directory>) {
    let shared = directory("shared", &[]);
    let missing = directory("missing", &[]);
    let shared_digest = server.put_message(&shared).await;
    let a = directory("a", &[("s", shared_digest)]);
    let b = directory("b", &[("m", digest_of_directory(&missing)), ("s", shared_digest)]);
    let c = directory("c", &[("s", shared_digest)]);
    let mut children = Vec::new();
    for (name, child) in [("a", &a), ("b", &b), ("c", &c)] {
        children.push((name, server.put_message(child).await));
    }
    let root = directory("root", &children);
    (server.put_message(&root).await, vec![root, a, b, c, shared])
}

#[tokio::test]
async fn s8_every_directory_once_and_missing_children_left_out() {
    let server = Server::start().await;
    let (root, expected) = small_tree(&server).await;
    let responses = tree(&server, &root, 0, "").await.unwrap();
    assert_eq!(directories(&responses), expected);
    assert_eq!(responses.last().unwrap().next_page_token, "");
}

#[tokio::test]
async fn s8_only_a_missing_root_is_not_found() {
    let server = Server::start().await;
    let root = digest_of_directory(&directory("nowhere", &[]));
    refused(tree(&server, &root, 0, "").await, Code::NotFound);
    // With the root there and everything below missing, the root is the tree.
    let lonely = directory("lonely", &[("child", root)]);
    let lonely_digest = server.put_message(&lonely).await;
    assert_eq!(
        directories(&tree(&server, &lonely_digest, 0, "").await.unwrap()),
        [lonely]
    );
}

#[tokio::test]
async fn s8_pages_are_as_small_as_asked_and_any_token_goes_on_from_there() {
    let server = Server::start().await;
    let (root, expected) = small_tree(&server).await;
    for page_size in 1..=6 {
        let pages = tree(&server, &root, page_size, "").await.unwrap();
        assert_eq!(directories(&pages), expected);
        assert!(
            pages
                .iter()
                .all(|page| page.directories.len() <= page_size as usize)
        );
        let mut sent = 0;
        for (at, page) in pages.iter().enumerate() {
            sent += page.directories.len();
            assert_eq!(page.next_page_token.is_empty(), at + 1 == pages.len());
            if !page.next_page_token.is_empty() {
                let rest = tree(&server, &root, 0, &page.next_page_token).await.unwrap();
                assert_eq!(
                    directories(&rest),
                    expected[sent..],
                    "resumed after {sent} of page size {page_size}"
                );
            }
        }
    }
}

#[tokio::test]
async fn s8_malformed_tokens_page_sizes_and_roots_are_refused() {
    let server = Server::start().await;
    let (root, _) = small_tree(&server).await;
    let elsewhere = Digest::of(SHA256, b"elsewhere").to_string();
    for token in [
        "x",
        "1",
        "deadbeef/12",
        "\0",
        &elsewhere,
        &format!("{elsewhere}0000000000000000000"),
    ] {
        refused(tree(&server, &root, 0, token).await, Code::InvalidArgument);
    }
    refused(tree(&server, &root, -1, "").await, Code::InvalidArgument);
    refused(
        responses(&server, GetTreeRequest::default()).await,
        Code::InvalidArgument,
    );
    for digest in malformed_digests() {
        let request = GetTreeRequest {
            root_digest: Some(digest),
            ..Default::default()
        };
        refused(responses(&server, request).await, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn s8_blobs_that_are_no_directories_are_an_error_not_an_omission() {
    let server = Server::start().await;
    let garbage = server.put("\u{7f} no directory").await;
    refused(tree(&server, &garbage, 0, "").await, Code::InvalidArgument);
    let mut bad = directory("bad", &[]);
    bad.directories.push(DirectoryNode {
        name: "x".into(),
        digest: Some(digest_of("nonsense", 3)),
    });
    let parent = directory("parent", &[("bad", server.put_message(&bad).await)]);
    let parent_digest = server.put_message(&parent).await;
    refused(tree(&server, &parent_digest, 0, "").await, Code::InvalidArgument);
}

#[tokio::test]
async fn g6_the_empty_directory_is_a_tree() {
    let server = Server::start().await;
    let empty = Digest::empty(SHA256);
    assert_eq!(
        directories(&tree(&server, &empty, 0, "").await.unwrap()),
        [Directory::default()]
    );
    let parent = directory("parent", &[("empty", empty)]);
    let root = server.put_message(&parent).await;
    assert_eq!(
        directories(&tree(&server, &root, 0, "").await.unwrap()),
        [parent, Directory::default()]
    );
}

#[tokio::test]
async fn s9_a_large_tree_comes_in_messages_that_every_client_takes() {
    let server = Server::start().await;
    // 40 directories of about 200 KiB: 8 MiB in all.
    let mut children = Vec::new();
    for i in 0..40 {
        let mut child = directory(&format!("child-{i:02}"), &[]);
        let file = |n| FileNode {
            name: format!("file-{n:05}-{}", "x".repeat(30)),
            digest: Some(Digest::of(SHA256, &[i]).to_proto()),
            ..Default::default()
        };
        child.files.extend((0..1700).map(file));
        children.push((format!("child-{i:02}"), server.put_message(&child).await));
    }
    let children: Vec<(&str, Digest)> = children
        .iter()
        .map(|(name, digest)| (name.as_str(), *digest))
        .collect();
    let root = server.put_message(&directory("root", &children)).await;
    let pages = tree(&server, &root, 0, "").await.unwrap();
    assert_eq!(directories(&pages).len(), 41);
    assert!(pages.len() >= 4 && pages.iter().all(|page| page.encoded_len() < 4 << 20));
}

#[tokio::test]
async fn s8_a_tree_of_many_paths_is_sent_as_what_it_is() {
    let server = Server::start().await;
    // 2^40 paths, 41 directories.
    let mut below = server.put_message(&directory("bottom", &[])).await;
    for level in 0..40 {
        below = server
            .put_message(&directory(
                &format!("level-{level}"),
                &[("a", below), ("b", below)],
            ))
            .await;
    }
    assert_eq!(
        directories(&tree(&server, &below, 0, "").await.unwrap()).len(),
        41
    );
}
