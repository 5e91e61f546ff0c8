//! `farrier cas put`.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use blob::{Digest, DigestFunction};
use merkle::TreeBuilder;
use uuid::Uuid;

use super::PutOptions;
use crate::commands::local_files::{Input, collect, digest_of_file};
use crate::commands::output::print;
use remote_action::Sources;

/// Bytes of standard input that are copied at a time.
const PIECE_BYTES: usize = 256 * 1024;

pub(super) async fn put(options: PutOptions) -> Result<()> {
    let function = options.server.digest_function;
    let mut sources = Sources::default();
    let mut spooled = None;
    let mut digests = Vec::with_capacity(options.paths.len());
    for path in &options.paths {
        let digest = if path == Path::new("-") {
            let spool = spooled.insert(Spool::of_standard_input().await?);
            add_file(function, &spool.path, &mut sources).await?
        } else if path.is_dir() {
            add_directory(function, path, &mut sources).await?
        } else {
            add_file(function, path, &mut sources).await?
        };
        digests.push(digest);
    }
    let server = options.server.connect().await?;
    sources.upload_missing(&*server.store).await?;
    digests
        .iter()
        .try_for_each(|digest| print(&format!("{digest}\n")))
}

async fn add_file(function: DigestFunction, path: &Path, sources: &mut Sources) -> Result<Digest> {
    let file = path.to_owned();
    let digest = tokio::task::spawn_blocking(move || digest_of_file(function, &file))
        .await
        .context("hashing a file")?
        .with_context(|| format!("cannot read {}", path.display()))?;
    sources.add_file(digest, path.to_owned());
    Ok(digest)
}

async fn add_directory(function: DigestFunction, path: &Path, sources: &mut Sources) -> Result<Digest> {
    let mut tree = TreeBuilder::new();
    collect(
        vec![Input::at_root(path.to_owned())],
        function,
        &mut tree,
        sources,
    )
    .await?;
    let tree = tree.build(function)?;
    for directory in tree.blobs() {
        sources.add(directory);
    }
    Ok(tree.root)
}

/// A temporary file with what came from standard input: its digest must be known before the first byte is sent.
/// Removed when dropped.
struct Spool {
    path: PathBuf,
}

impl Spool {
    async fn of_standard_input() -> Result<Self> {
        let spool = Spool {
            path: std::env::temp_dir().join(format!("farrier-{}.stdin", Uuid::new_v4().simple())),
        };
        let path = spool.path.clone();
        tokio::task::spawn_blocking(move || copy_standard_input(&path))
            .await
            .context("reading standard input")??;
        Ok(spool)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file is left behind");
        }
    }
}

fn copy_standard_input(path: &Path) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let cannot = || format!("cannot write {}", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(cannot)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut standard_input = std::io::stdin().lock();
    loop {
        match standard_input
            .read(&mut piece)
            .context("cannot read standard input")?
        {
            0 => return Ok(()),
            read => file.write_all(&piece[..read]).with_context(cannot)?,
        }
    }
}
