//! `farrier cas import`: uploads what `export` has written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use blob::DigestFunction;
use clap::Args;

use super::export::digest_of;
use crate::commands::connection::ServerOptions;
use crate::commands::output::print;
use remote_action::Sources;

#[derive(Args, Debug)]
pub(crate) struct ImportOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// What `export` has written.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Uploads what the server lacks. Bytes that do not match the name of their file are refused by the server.
pub(super) async fn import(options: ImportOptions) -> Result<()> {
    let mut sources = Sources::default();
    let mut count = 0;
    for function in DigestFunction::ALL {
        count += add(&options.directory.join(function.name()), function, &mut sources)?;
    }
    if count == 0 {
        bail!(
            "{} holds no blobs: there should be files named <hash>-<size> in folders named after digest functions",
            options.directory.display()
        );
    }
    let server = options.server.connect().await?;
    let sent = sources.upload_missing(&*server.store).await?;
    print(&format!(
        "{count} blobs, of which {} were missing and have been uploaded ({} bytes)\n",
        sent.blobs, sent.bytes
    ))
}

fn add(folder: &Path, function: DigestFunction, sources: &mut Sources) -> Result<u64> {
    if !folder.is_dir() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let digest = digest_of(function, name);
        let digest = digest
            .with_context(|| format!("{} is not the name of a {} blob", path.display(), function.name()))?;
        sources.add_file(digest, path);
        count += 1;
    }
    Ok(count)
}
