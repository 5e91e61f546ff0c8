//! `cargo xtask tidy`: rules about the shape of the project, checked like tests.

mod docs;
mod layers;
mod sizes;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

#[cfg(test)]
pub(crate) use self::sources::rust_files;

/// Runs every rule and lists everything that breaks one.
pub(crate) fn check() -> Result<()> {
    let root = root();
    let files = sources::rust_files(&root)?;
    let mut complaints = Vec::new();
    complaints.extend(layers::check(&root)?);
    complaints.extend(sources::check(&root, &files)?);
    complaints.extend(sizes::check(&root, &files)?);
    complaints.extend(docs::check(&root)?);
    if complaints.is_empty() {
        println!("tidy: {} source files, no complaint", files.len());
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    bail!("{} complaints", complaints.len())
}

/// The top of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_owned()
}
