use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use ::action::ContainerImage;
use ::cas::tree::read_all;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::ContentDigest;
use merkle::Tree;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::commands::test_server::TestServer;

/// One entry of a tar; the type flag as in `tar.rs`.
fn entry(path: &str, type_flag: u8, target: &str, content: &[u8]) -> Vec<u8> {
    let mut block = [0u8; 512];
    block[..path.len()].copy_from_slice(path.as_bytes());
    block[100..108].copy_from_slice(b"0000755\0");
    block[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    block[156] = type_flag;
    block[157..157 + target.len()].copy_from_slice(target.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = block.to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(path: &str, content: &str) -> Vec<u8> {
    entry(path, b'0', "", content.as_bytes())
}

fn tar(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image of two layers, one of them compressed, by the digests of its pieces.
struct Made {
    blobs: HashMap<ContentDigest, Vec<u8>>,
    config: ContentDigest,
    manifest: ContentDigest,
    layers: Vec<ContentDigest>,
}

fn made() -> Made {
    let lower = tar(&[
        file("bin/tool", "old"),
        file("gone", "x"),
        entry("link", b'2', "bin/tool", b""),
    ]);
    let upper = tar(&[file("bin/tool", "new"), file(".wh.gone", "")]);
    let mut blobs = HashMap::new();
    let mut add = |bytes: Vec<u8>| {
        let digest = ContentDigest::of(&bytes);
        blobs.insert(digest.clone(), bytes);
        digest
    };
    let plain = [ContentDigest::of(&lower), ContentDigest::of(&upper)].map(|digest| digest.to_string());
    let layers = vec![add(lower), add(gzip(&upper))];
    let config = json!({"config": {"Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": plain}});
    let config = add(config.to_string().into_bytes());
    let descriptor =
        |digest: &ContentDigest| json!({"digest": digest.to_string(), "size": blobs[digest].len()});
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor(&config),
        "layers": layers.iter().map(descriptor).collect::<Vec<Value>>(),
    })
    .to_string()
    .into_bytes();
    let digest = ContentDigest::of(&manifest);
    blobs.insert(digest.clone(), manifest);
    Made {
        blobs,
        config,
        manifest: digest,
        layers,
    }
}

impl Made {
    fn index(&self) -> String {
        let size = self.blobs[&self.manifest].len();
        json!({"schemaVersion": 2, "manifests": [{"digest": self.manifest.to_string(), "size": size}]})
            .to_string()
    }

    fn write_layout(&self, directory: &std::path::Path) {
        std::fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        std::fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        std::fs::write(directory.join("index.json"), self.index()).unwrap();
        for (digest, bytes) in &self.blobs {
            std::fs::write(directory.join(digest.layout_path()), bytes).unwrap();
        }
    }

    fn layout_tar(&self) -> Vec<u8> {
        let mut entries = vec![file("./oci-layout", "{}"), file("./index.json", &self.index())];
        for (digest, bytes) in &self.blobs {
            entries.push(entry(&digest.layout_path(), b'0', "", bytes));
        }
        tar(&entries)
    }

    /// As Docker wrote it for years: layers by names of its own, one of them a link to another image's.
    fn docker_tar(&self) -> Vec<u8> {
        let manifest =
            json!([{"Config": "c.json", "RepoTags": null, "Layers": ["a/layer.tar", "b/layer.tar"]}]);
        tar(&[
            entry("a/layer.tar", b'2', "../other/layer.tar", b""),
            entry("other/layer.tar", b'0', "", &self.blobs[&self.layers[0]]),
            entry("b/layer.tar", b'0', "", &self.blobs[&self.layers[1]]),
            entry("c.json", b'0', "", &self.blobs[&self.config]),
            file("manifest.json", &manifest.to_string()),
        ])
    }
}

async fn load(server: &TestServer, path: &std::path::Path) -> Result<()> {
    run(ImageCommand::Load(LoadOptions {
        server: server.options(),
        choice: Choice { platform: None },
        path: path.to_owned(),
    }))
    .await
}

/// What an action would find that asks for it.
async fn found(server: &TestServer, name: &ContentDigest) -> Option<Vec<String>> {
    let function = server.options().digest_function;
    let action = ContainerImage::parse(&name.to_string()).unwrap().action(function);
    let result = server.action_cache.get(&action.digest).await.unwrap()?;
    let tree = blob::Digest::required(
        function,
        result.output_directories[0].tree_digest.as_ref(),
        "tree",
    )
    .unwrap();
    let bytes = read_all(&*server.store, &tree, 1 << 20).await.unwrap().unwrap();
    let tree = Tree::decode(function, bytes).unwrap();
    let new = blob::Digest::of(function, b"new");
    assert!(
        tree.as_input_tree().files().iter().eq([&new]),
        "the upper layer's file alone"
    );
    Some(
        tree.as_input_tree()
            .entries()
            .unwrap()
            .map(|(path, _)| path)
            .collect(),
    )
}

#[tokio::test]
async fn layouts_and_what_docker_saves_are_found_by_their_digests() {
    let made = made();
    let scratch = tempfile::tempdir().unwrap();
    let path = |name: &str| scratch.path().join(name);
    made.write_layout(&path("layout"));
    std::fs::write(path("layout.tar"), made.layout_tar()).unwrap();
    std::fs::write(path("layout.tar.gz"), gzip(&made.layout_tar())).unwrap();
    std::fs::write(path("docker.tar"), made.docker_tar()).unwrap();
    for (name, has_manifest) in [
        ("layout", true),
        ("layout.tar", true),
        ("layout.tar.gz", true),
        ("docker.tar", false),
    ] {
        let server = TestServer::start(vec![]).await;
        load(&server, &path(name)).await.unwrap();
        let expected = Some(["link", "bin", "bin/tool"].map(str::to_owned).to_vec());
        assert_eq!(found(&server, &made.config).await, expected, "{name}");
        assert_eq!(
            found(&server, &made.manifest).await.is_some(),
            has_manifest,
            "{name}"
        );
        assert_eq!(found(&server, &made.layers[0]).await, None);
        // And again: what is there is not sent twice, and the names are the same.
        load(&server, &path(name)).await.unwrap();
    }
}

#[tokio::test]
async fn damaged_images_leave_no_name() {
    let scratch = tempfile::tempdir().unwrap();
    let server = TestServer::start(vec![]).await;
    let original = made();
    for damaged in [
        &original.config,
        &original.manifest,
        &original.layers[0],
        &original.layers[1],
    ] {
        let path = scratch.path().join(damaged.to_string());
        let mut made = made();
        let bytes = made.blobs.get_mut(damaged).unwrap();
        // Still JSON, and still a tar.
        match bytes.iter().position(|byte| *byte == b'2') {
            Some(at) if bytes[0] == b'{' => bytes[at] = b'3',
            _ => bytes.extend_from_slice(&[0; 512]),
        }
        made.write_layout(&path);
        let error = format!("{:#}", load(&server, &path).await.unwrap_err());
        assert!(error.contains("damaged"), "{error}");
    }
    let mut swapped = made();
    swapped.layers.swap(0, 1);
    let path = scratch.path().join("docker.tar");
    std::fs::write(&path, swapped.docker_tar()).unwrap();
    let error = format!("{:#}", load(&server, &path).await.unwrap_err());
    assert!(error.contains("damaged"), "{error}");
    assert_eq!(found(&server, &original.manifest).await, None);
    assert_eq!(found(&server, &original.config).await, None);

    std::fs::write(scratch.path().join("text"), "just text, longer than four bytes").unwrap();
    std::fs::create_dir(scratch.path().join("empty")).unwrap();
    for other in ["text", "empty", "absent"] {
        assert!(
            load(&server, &scratch.path().join(other)).await.is_err(),
            "{other}"
        );
    }
}

/// A registry that gives tokens to everybody, and nothing to who has none.
async fn registry(made: Arc<Made>, group: &Group) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let calls: Arc<Mutex<Vec<String>>> = Arc::default();
    let (told, address) = (calls.clone(), host.clone());
    let stopping = group.stopping();
    group.spawn("registry", async move {
        loop {
            let (mut stream, _) = tokio::select! {
                accepted = listener.accept() => accepted.unwrap(),
                () = stopping.cancelled() => return,
            };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap();
            let path = request.split(' ').nth(1).unwrap().to_owned();
            let has_token = request.to_lowercase().contains("authorization: bearer secret");
            let (status, header, body) = answer(&made, &address, &path, has_token);
            told.lock().push(path);
            let head = format!(
                "HTTP/1.1 {status}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&body).await.unwrap();
        }
    });
    (host, calls)
}

fn answer(made: &Made, host: &str, path: &str, has_token: bool) -> (&'static str, String, Vec<u8>) {
    if path.starts_with("/token?service=here&scope=repository%3Atools%2Fsome%3Apull") {
        return ("200 OK", String::new(), br#"{"token": "secret"}"#.to_vec());
    }
    if !has_token {
        let scope = "repository:tools/some:pull";
        let header = format!(
            "www-authenticate: Bearer realm=\"http://{host}/token\",service=\"here\",scope=\"{scope}\"\r\n"
        );
        return ("401 Unauthorized", header, Vec::new());
    }
    let wanted = path.strip_prefix("/v2/tools/some/");
    let digest = match wanted.and_then(|wanted| wanted.split_once('/')) {
        Some(("manifests", "good")) => Some(made.manifest.clone()),
        Some(("manifests" | "blobs", digest)) => ContentDigest::parse(digest),
        _ => None,
    };
    match digest.and_then(|digest| made.blobs.get(&digest)) {
        Some(bytes) => ("200 OK", String::new(), bytes.clone()),
        None => ("404 Not Found", String::new(), Vec::new()),
    }
}

async fn pull(server: &TestServer, reference: String) -> Result<()> {
    run(ImageCommand::Pull(PullOptions {
        server: server.options(),
        choice: Choice { platform: None },
        plain_http: false,
        token: None,
        reference: reference.parse().unwrap(),
    }))
    .await
}

#[tokio::test]
async fn an_image_of_a_registry_by_tag_and_by_digest() {
    let made = Arc::new(made());
    let group = Group::new("test");
    let (host, calls) = registry(made.clone(), &group).await;
    for version in [":good".to_owned(), format!("@{}", made.manifest)] {
        let server = TestServer::start(vec![]).await;
        pull(&server, format!("{host}/tools/some{version}"))
            .await
            .unwrap();
        assert!(found(&server, &made.manifest).await.is_some());
        assert!(found(&server, &made.config).await.is_some());
    }
    let tokens = calls
        .lock()
        .iter()
        .filter(|path| path.starts_with("/token"))
        .count();
    assert_eq!(tokens, 2, "one for each pull");
    let server = TestServer::start(vec![]).await;
    let error = format!(
        "{:#}",
        pull(&server, format!("{host}/tools/some:other"))
            .await
            .unwrap_err()
    );
    assert!(error.contains("does not have it"), "{error}");
}

/// What is not what its digest says is not kept, whoever the registry is.
#[tokio::test]
async fn a_registry_that_lies_is_found_out() {
    let mut lying = made();
    let upper = lying.layers[1].clone();
    let mut other = gzip(&tar(&[file("bin/tool", "evil")]));
    other.resize(lying.blobs[&upper].len(), 0);
    lying.blobs.insert(upper, other);
    let manifest = lying.manifest.clone();
    let group = Group::new("test");
    let (host, _) = registry(Arc::new(lying), &group).await;
    let server = TestServer::start(vec![]).await;
    let error = format!(
        "{:#}",
        pull(&server, format!("{host}/tools/some@{manifest}"))
            .await
            .unwrap_err()
    );
    assert!(error.contains("damaged"), "{error}");
    assert_eq!(found(&server, &manifest).await, None);
}
