//! From what an image is found by to its layers.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use image::{ContentDigest, DOCUMENT_BYTES_MAX, Descriptor, Document, INDEX_DEPTH_MAX, Platform};

/// Where documents and layers are.
#[async_trait]
pub(super) trait Pieces: Send {
    /// An index, a manifest or a configuration. Whether it is what the digest says is for the caller to see.
    async fn document(&mut self, kind: Kind, descriptor: &Descriptor) -> Result<Bytes>;

    /// A file that holds a layer, as it is compressed. Whether it is what the digest says is seen when it is read.
    async fn layer(&mut self, descriptor: &Descriptor) -> Result<PathBuf>;
}

/// What a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Manifest,
    Config,
}

/// What an image begins with.
pub(super) enum Top {
    /// Several of which one has to be chosen.
    Descriptors(Vec<Descriptor>),
    /// All there is to know, from what `docker save` writes.
    Found(Found),
}

/// An image, complete.
pub(super) struct Found {
    /// What it is known by, the best first.
    pub(super) names: Vec<ContentDigest>,
    pub(super) config: Bytes,
    /// From the lowest to the highest.
    pub(super) layers: Vec<Layer>,
}

/// One layer, and what it has to be.
pub(super) struct Layer {
    pub(super) path: PathBuf,
    /// The digest of the file.
    pub(super) compressed: Option<ContentDigest>,
    /// The digest of the tar in it.
    pub(super) plain: Option<ContentDigest>,
}

/// Follows indexes to the one image for `platform`.
pub(super) async fn resolve(pieces: &mut dyn Pieces, top: Top, platform: &Platform) -> Result<Found> {
    let mut descriptors = match top {
        Top::Found(found) => return Ok(found),
        Top::Descriptors(descriptors) => descriptors,
    };
    let mut names = Vec::new();
    for _ in 0..=INDEX_DEPTH_MAX {
        let chosen = Document::choose(&descriptors, platform)?.clone();
        let bytes = checked(pieces, Kind::Manifest, &chosen).await?;
        names.push(chosen.digest);
        let manifest = match Document::parse(&bytes)? {
            Document::Index(found) => {
                descriptors = found;
                continue;
            }
            Document::Manifest(manifest) => manifest,
        };
        let config = checked(pieces, Kind::Config, &manifest.config).await?;
        // What Docker calls the image's id.
        names.push(manifest.config.digest.clone());
        let mut layers = Vec::with_capacity(manifest.layers.len());
        for layer in &manifest.layers {
            layers.push(Layer {
                path: pieces.layer(layer).await?,
                compressed: Some(layer.digest.clone()),
                plain: None,
            });
        }
        return Ok(Found {
            names,
            config,
            layers,
        });
    }
    bail!("the image's indexes lead to more indexes, more than {INDEX_DEPTH_MAX} deep")
}

async fn checked(pieces: &mut dyn Pieces, kind: Kind, descriptor: &Descriptor) -> Result<Bytes> {
    let Descriptor {
        digest, size_bytes, ..
    } = descriptor;
    ensure!(
        *size_bytes <= DOCUMENT_BYTES_MAX,
        "document {digest} of the image has {size_bytes} bytes; at most {DOCUMENT_BYTES_MAX} are taken"
    );
    let bytes = pieces
        .document(kind, descriptor)
        .await
        .with_context(|| format!("cannot read {digest}"))?;
    ensure!(
        digest.is_of(&bytes),
        "what was found as {digest} is something else; the image is damaged"
    );
    Ok(bytes)
}
