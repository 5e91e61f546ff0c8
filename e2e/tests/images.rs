//! Actions in an image that people would have made elsewhere: a system of busybox alone, loaded by its digest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use e2e::farrier::Farrier;
use e2e::tools;
use serde_json::json;
use sha2::{Digest, Sha256};

const BUSYBOX: &str = "/bin/busybox";

fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A layer as people make them: what is in a directory, in a tar.
fn layer(directory: &Path) -> Result<Vec<u8>> {
    let tar = Command::new("tar")
        .args(["--create", "--owner=0", "--group=0", "--directory"])
        .arg(directory)
        .arg(".")
        .output()
        .context("tar does not start")?;
    ensure!(
        tar.status.success(),
        "tar: {}",
        String::from_utf8_lossy(&tar.stderr)
    );
    Ok(tar.stdout)
}

/// An OCI image layout in `directory`; the answer is the digest of its manifest.
fn busybox_image(directory: &Path) -> Result<String> {
    let trees = tempfile::tempdir()?;
    let at = |path: &str| trees.path().join(path);
    for path in ["lower/bin", "lower/etc", "upper/etc"] {
        fs::create_dir_all(at(path))?;
    }
    fs::copy(BUSYBOX, at("lower/bin/busybox"))
        .with_context(|| format!("{BUSYBOX} (busybox-static): run `e2e/install`"))?;
    for applet in ["sh", "cat", "ls", "pwd", "id"] {
        symlink("busybox", at("lower/bin").join(applet))?;
    }
    fs::write(at("lower/etc/release"), "first\n")?;
    fs::write(at("lower/etc/gone"), "gone\n")?;
    fs::write(at("upper/etc/release"), "second\n")?;
    fs::write(at("upper/etc/.wh.gone"), "")?;
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let add = |bytes: &[u8]| -> Result<serde_json::Value> {
        let hex = sha256(bytes);
        fs::write(blobs.join(&hex), bytes)?;
        Ok(
            json!({"mediaType": "application/octet-stream", "digest": format!("sha256:{hex}"), "size": bytes.len()}),
        )
    };
    let mut layers = Vec::new();
    for tree in ["lower", "upper"] {
        layers.push(add(&layer(&at(tree))?)?);
    }
    let config = add(json!({"config": {"Env": ["PATH=/bin", "IMAGE=busybox"]}})
        .to_string()
        .as_bytes())?;
    let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers}).to_string();
    let manifest = add(manifest.as_bytes())?;
    let digest = manifest["digest"].as_str().context("a digest")?.to_owned();
    fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#)?;
    fs::write(
        directory.join("index.json"),
        json!({"schemaVersion": 2, "manifests": [manifest]}).to_string(),
    )?;
    Ok(digest)
}

fn run(farrier: &Farrier, directory: &Path, words: &[&str]) -> Result<Output> {
    Command::new(tools::farrier()?)
        .args(words)
        .env("FARRIER_ENDPOINT", farrier.http_url())
        .current_dir(directory)
        .output()
        .context("farrier does not start")
}

fn exec(farrier: &Farrier, directory: &Path, image: &str, script: &str) -> Result<Output> {
    let platform = format!("container-image={image}");
    let words = [
        "exec",
        "--platform",
        &platform,
        "--input",
        "given",
        "--output",
        "made",
        "--",
        "sh",
        "-c",
        script,
    ];
    run(farrier, directory, &words)
}

#[test]
fn an_action_runs_in_an_image_by_its_digest_and_in_no_other() -> Result<()> {
    let farrier = Farrier::start()?;
    let scratch = tempfile::tempdir()?;
    fs::write(scratch.path().join("given"), "input\n")?;
    let digest = busybox_image(&scratch.path().join("image"))?;

    // Not loaded: refused, with what to do.
    let refused = exec(&farrier, scratch.path(), &digest, "true")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success(), "it ran");
    ensure!(
        said.contains(&digest) && said.contains("farrier image load"),
        "{said}"
    );
    // By a tag, nothing is known of its content.
    let refused = exec(&farrier, scratch.path(), "docker://busybox:latest", "true")?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success() && said.contains("@sha256:"), "{said}");

    let loaded = run(&farrier, scratch.path(), &["image", "load", "image"])?;
    let said = String::from_utf8_lossy(&loaded.stderr).into_owned();
    ensure!(loaded.status.success(), "{said}");
    ensure!(
        String::from_utf8_lossy(&loaded.stdout) == format!("container-image={digest}\n"),
        "{said}"
    );

    let script = "cat /etc/release given && echo $IMAGE && pwd && ls / /etc && test ! -e /usr && test ! -e /etc/passwd \
                  && echo out > made && id -u";
    let expected =
        "second\ninput\nbusybox\n/build\n/:\nbin\nbuild\ndev\netc\nproc\ntmp\n\n/etc:\nrelease\n1000\n";
    for name in [
        digest.clone(),
        format!("docker://registry.example/busybox@{digest}"),
    ] {
        let ran = exec(&farrier, scratch.path(), &name, script)?;
        let (said, erred) = (
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
        ensure!(ran.status.success(), "{said}\n{erred}");
        ensure!(said == expected, "{said}");
        ensure!(fs::read_to_string(scratch.path().join("made"))? == "out\n");
        fs::remove_file(scratch.path().join("made"))?;
    }
    Ok(())
}

/// The worker that has unpacked an image may die; what is found after its death is made anew.
#[test]
fn after_kill_9_an_image_is_unpacked_again() -> Result<()> {
    let mut farrier = Farrier::start()?;
    let scratch = tempfile::tempdir()?;
    fs::write(scratch.path().join("given"), "input\n")?;
    let digest = busybox_image(&scratch.path().join("image"))?;
    let loaded = run(&farrier, scratch.path(), &["image", "load", "image"])?;
    ensure!(loaded.status.success());
    for round in 0..2 {
        let script = format!("echo {round} > made && cat /etc/release");
        let ran = exec(&farrier, scratch.path(), &digest, &script)?;
        let (said, erred) = (
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr),
        );
        ensure!(ran.status.success() && said == "second\n", "{said}\n{erred}");
        if round == 0 {
            farrier.kill()?;
            farrier.restart()?;
        }
    }
    Ok(())
}
