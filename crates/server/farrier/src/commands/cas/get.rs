//! `farrier cas get`.

use anyhow::Result;

use ::action::InputPath;

use super::GetOptions;
use crate::commands::destination::{Destination, Writing, fetch, write_blob};
use crate::commands::output::{print_bytes, print_stream};
use crate::commands::trees;

pub(super) async fn get(options: GetOptions) -> Result<()> {
    let server = options.server.connect().await?;
    let digest = options.digest.resolve(server.function)?;
    if let Some(directory) = &options.tree {
        let (_, tree) = trees::fetch(&*server.store, digest).await?;
        let tree = trees::complete(tree)?;
        let mut writing = Writing::default();
        writing.add_tree(&InputPath::root(), &tree)?;
        return Destination::open(directory)?.write(&*server.store, writing).await;
    }
    let blob = fetch(&*server.store, digest).await?;
    match &options.output {
        Some(path) => write_blob(blob, path, 0o666).await,
        None => print_stream(blob.into_stream(), print_bytes).await,
    }
}
