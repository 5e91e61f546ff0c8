//! An image on this machine: an OCI image layout as a directory or a tar, or a tar that `docker save` has written.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use image::{
    Config, ContentDigest, DOCUMENT_BYTES_MAX, Decompressed, Descriptor, DockerImage, Document,
    Kind as EntryKind, Tar,
};

use super::resolve::{Found, Kind, Layer, Pieces, Top};
use super::spool::Spool;

/// What is in a layout, and what it begins with.
pub(super) struct Layout {
    files: Files,
    top: Top,
}

/// Files by their paths in a layout.
enum Files {
    Directory(PathBuf),
    /// Unpacked under names of our own: those in a tar are a stranger's.
    Unpacked {
        files: HashMap<String, PathBuf>,
        /// Keeps them.
        _spool: Spool,
    },
}

const INDEX: &str = "index.json";
const DOCKER_MANIFEST: &str = "manifest.json";
/// Files in a tar of an image.
const FILES_MAX: usize = 10_000;

impl Layout {
    /// Reads what there is. Blocking.
    pub(super) fn open(path: &Path, spool: Spool) -> Result<Self> {
        let files = match std::fs::metadata(path)?.is_dir() {
            true => Files::Directory(path.to_owned()),
            false => unpack(path, spool)?,
        };
        let top = if files.has(INDEX) {
            match Document::parse(&files.read(INDEX)?)? {
                Document::Index(descriptors) => Top::Descriptors(descriptors),
                Document::Manifest(_) => bail!("its {INDEX} is no index"),
            }
        } else if files.has(DOCKER_MANIFEST) {
            Top::Found(files.docker_image()?)
        } else {
            bail!(
                "it is no OCI image layout (which has an {INDEX}), and nothing that `docker save` writes ({DOCKER_MANIFEST})"
            )
        };
        Ok(Layout { files, top })
    }

    pub(super) fn into_parts(self) -> (Box<dyn Pieces>, Top) {
        (Box::new(self.files), self.top)
    }
}

fn unpack(path: &Path, mut spool: Spool) -> Result<Files> {
    let mut tar = Tar::new(Decompressed::new(File::open(path)?)?);
    let mut files = HashMap::new();
    let mut links = Vec::new();
    while let Some(entry) = tar.next_entry()? {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_start_matches("./").to_owned();
        let name = text(&entry.path);
        match &entry.kind {
            EntryKind::File => {
                let at = spool.take_in(&mut tar)?;
                files.insert(name, at);
            }
            // Docker has saved layers that several images share in this way.
            EntryKind::Symlink { target } => links.push((name, text(target))),
            EntryKind::HardLink { target } => links.push((name, format!("/{}", text(target)))),
            EntryKind::Directory | EntryKind::Other => {}
        }
        ensure!(
            files.len() + links.len() <= FILES_MAX,
            "it has more than {FILES_MAX} files"
        );
    }
    for (name, target) in links {
        if let Some(at) = files.get(&beside(&name, &target)).cloned() {
            files.insert(name, at);
        }
    }
    Ok(Files::Unpacked { files, _spool: spool })
}

/// Where a symlink leads: only ever a key to look up, never a path on this machine.
fn beside(name: &str, target: &str) -> String {
    let mut at: Vec<&str> = match target.starts_with('/') {
        true => Vec::new(),
        false => name
            .split('/')
            .rev()
            .skip(1)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect(),
    };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                at.pop();
            }
            part => at.push(part),
        }
    }
    at.join("/")
}

impl Files {
    fn path(&self, name: &str) -> Option<PathBuf> {
        match self {
            Files::Directory(directory) => {
                // Names come from documents: `blobs/sha256/…`, or a fixed one of ours.
                let path = directory.join(name);
                path.is_file().then_some(path)
            }
            Files::Unpacked { files, .. } => files.get(name).cloned(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.path(name).is_some()
    }

    fn read(&self, name: &str) -> Result<Bytes> {
        let path = self.path(name).ok_or_else(|| anyhow!("`{name}` is not in it"))?;
        let mut bytes = Vec::new();
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    /// The names of layers are paths in the tar; what they have to be, the configuration says, and its own digest is what
    /// Docker calls the image's id.
    fn docker_image(&self) -> Result<Found> {
        ensure!(
            matches!(self, Files::Unpacked { .. }),
            "what `docker save` writes is to be loaded as the tar that it is"
        );
        let images = DockerImage::parse(&self.read(DOCKER_MANIFEST)?)?;
        let [image] = &images[..] else {
            bail!("it has {} images; save one at a time", images.len());
        };
        let config = self.read(&image.config)?;
        let plain = Config::parse(&config)?.layers;
        ensure!(
            plain.len() == image.layers.len(),
            "it has {} layers, and its configuration speaks of {}",
            image.layers.len(),
            plain.len()
        );
        let layer = |(name, plain): (&String, &ContentDigest)| {
            Ok(Layer {
                path: self
                    .path(name)
                    .ok_or_else(|| anyhow!("layer `{name}` is not in it"))?,
                compressed: None,
                plain: Some(plain.clone()),
            })
        };
        Ok(Found {
            names: vec![ContentDigest::of(&config)],
            layers: image
                .layers
                .iter()
                .zip(&plain)
                .map(layer)
                .collect::<Result<_>>()?,
            config,
        })
    }
}

#[async_trait]
impl Pieces for Files {
    async fn document(&mut self, _kind: Kind, descriptor: &Descriptor) -> Result<Bytes> {
        self.read(&descriptor.digest.layout_path())
    }

    async fn layer(&mut self, descriptor: &Descriptor) -> Result<PathBuf> {
        let name = descriptor.digest.layout_path();
        self.path(&name)
            .ok_or_else(|| anyhow!("layer `{name}` is not in it"))
    }
}
