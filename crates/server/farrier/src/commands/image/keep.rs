//! An unpacked image on its way into the storage, and into the action cache.

use ::action::ContainerImage;
use anyhow::{Context, Result, anyhow};
use blob::{Blob, Digest};
use bytes::Bytes;
use image::{Config, ContentDigest};
use reapi::execution as proto;

use super::flatten::Flat;
use remote_action::Server;
use remote_action::{Sent, Sources};

/// What was kept.
pub(super) struct Kept {
    pub(super) tree: Digest,
    pub(super) paths: usize,
    pub(super) sent: Sent,
    pub(super) skipped: u64,
    /// What actions can ask for, the best first.
    pub(super) names: Vec<ContentDigest>,
}

/// Uploads all of it, and only then says under which names it is found.
pub(super) async fn keep(
    server: &Server,
    names: Vec<ContentDigest>,
    config: Bytes,
    flat: Flat,
) -> Result<Kept> {
    // A worker reads it for its variables: better to find out now that it cannot.
    Config::parse(&config)?;
    let Flat {
        tree,
        paths,
        skipped,
        contents,
    } = flat;
    let function = server.function;
    let mut sources = Sources::default();
    for digest in &tree.file_digests() {
        sources.add_file(*digest, contents.path_of(digest));
    }
    let config = sources.add(Blob::from_bytes(function, config));
    let tree_blob = tree.into_tree().blob();
    let tree = sources.add(tree_blob);
    let mut actions = Vec::with_capacity(names.len());
    for name in &names {
        let image =
            ContainerImage::parse(&name.to_string()).ok_or_else(|| anyhow!("{name} names no image"))?;
        let action = image.action(function);
        for blob in action.blobs {
            sources.add(Blob::from_bytes(function, blob));
        }
        actions.push(action.digest);
    }
    let sent = sources.upload_missing(&*server.store).await?;
    let results = server.remote.action_cache(server.instance.clone());
    for action in &actions {
        let put = results.put(action, result(&tree, &config)).await;
        put.context(
            "the image is uploaded, but its name cannot be kept: the server has to take results from clients \
             (`farrier up --client-results` says from whom)",
        )?;
    }
    Ok(Kept {
        tree,
        paths,
        sent,
        skipped,
        names,
    })
}

fn result(tree: &Digest, config: &Digest) -> proto::ActionResult {
    proto::ActionResult {
        output_directories: vec![proto::OutputDirectory {
            path: ContainerImage::ROOT.to_owned(),
            tree_digest: Some(tree.to_proto()),
            ..Default::default()
        }],
        output_files: vec![proto::OutputFile {
            path: ContainerImage::CONFIG.to_owned(),
            digest: Some(config.to_proto()),
            ..Default::default()
        }],
        ..Default::default()
    }
}
