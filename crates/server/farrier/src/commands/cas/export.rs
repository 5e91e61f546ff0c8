//! `farrier cas export`: blobs as plain files, `DIR/<function>/<hash>-<size>`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use blob::Digest;
use clap::Args;

use crate::commands::connection::ServerOptions;
use crate::commands::destination::{fetch, write_blob};
use crate::commands::digest_argument::DigestArgument;
use crate::commands::output::print;
use crate::commands::trees;

#[derive(Args, Debug)]
pub(crate) struct ExportOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// Where to write; made if it is not there. Files that are there already are left alone.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// The digests of Directories or Trees: everything below them is written too.
    #[arg(long)]
    tree: bool,
    /// What to write.
    #[arg(required = true, value_name = "DIGEST")]
    digests: Vec<DigestArgument>,
}

pub(super) async fn export(options: ExportOptions) -> Result<()> {
    let server = options.server.connect().await?;
    let named = options
        .digests
        .iter()
        .map(|digest| digest.resolve(server.function))
        .collect::<Result<_>>()?;
    let wanted = trees::with_everything_below(&*server.store, named, options.tree).await?;
    for digest in &wanted {
        let path = file_of(&options.output, digest);
        if path.exists() {
            continue;
        }
        let folder = path.parent().unwrap_or(&options.output);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        write_blob(fetch(&*server.store, *digest).await?, &path, 0o666).await?;
    }
    print(&format!(
        "{} blobs are in {}\n",
        wanted.len(),
        options.output.display()
    ))
}

/// Where a blob's bytes are.
pub(super) fn file_of(directory: &Path, digest: &Digest) -> PathBuf {
    let name = format!("{}-{}", digest.hash_hex(), digest.size_bytes());
    directory.join(digest.function().name()).join(name)
}

/// The reverse: which blob a file should hold.
pub(super) fn digest_of(function: blob::DigestFunction, name: &str) -> Option<Digest> {
    let (hash, size) = name.split_once('-')?;
    Digest::from_hex(function, hash, size.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;

    use super::*;

    #[test]
    fn a_file_s_name_is_read_back() {
        for function in DigestFunction::ALL {
            let digest = Digest::of(function, b"hello");
            let path = file_of(Path::new("out"), &digest);
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            assert_eq!(digest_of(function, name), Some(digest));
        }
        for name in ["", "-", "x-5", "README"] {
            assert_eq!(digest_of(DigestFunction::Sha256, name), None, "{name}");
        }
    }
}
