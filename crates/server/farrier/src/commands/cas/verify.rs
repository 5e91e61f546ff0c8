//! `farrier cas verify`.

use anyhow::{Result, bail};
use blob::{Blob, ByteRange, Digest};
use cas::BlobStore;
use clap::Args;
use futures::StreamExt;

use crate::commands::connection::ServerOptions;
use crate::commands::digest_argument::DigestArgument;
use crate::commands::output::print;
use crate::commands::trees;

#[derive(Args, Debug)]
pub(crate) struct VerifyOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// The digests of Directories or Trees: everything below them is read too.
    #[arg(long)]
    tree: bool,
    /// What to read.
    #[arg(required = true, value_name = "DIGEST")]
    digests: Vec<DigestArgument>,
}

/// Reads every blob to its end; prints what is missing or not what it should be, and fails if anything is.
pub(super) async fn verify(options: VerifyOptions) -> Result<()> {
    let server = options.server.connect().await?;
    let named = options
        .digests
        .iter()
        .map(|digest| digest.resolve(server.function))
        .collect::<Result<_>>()?;
    let wanted = trees::with_everything_below(&*server.store, named, options.tree).await?;
    let mut wrong = 0;
    for digest in &wanted {
        if let Err(reason) = read(&*server.store, digest).await {
            wrong += 1;
            print(&format!("{digest}: {reason}\n"))?;
        }
    }
    if wrong > 0 {
        bail!("{wrong} of {} blobs are not as they should be", wanted.len());
    }
    print(&format!(
        "{} blobs are there and match their digests\n",
        wanted.len()
    ))
}

async fn read(store: &dyn BlobStore, digest: &Digest) -> Result<(), String> {
    let stream = store
        .get(digest, ByteRange::FULL)
        .await
        .map_err(|error| error.to_string())?;
    let stream = stream.ok_or("it is missing")?;
    let mut checked = Blob::checked(*digest, stream).into_stream();
    while let Some(piece) = checked.next().await {
        piece.map_err(|error| error.to_string())?;
    }
    Ok(())
}
