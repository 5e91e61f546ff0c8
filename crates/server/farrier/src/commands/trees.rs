//! Trees that are stored, in either form: a `Tree` message, or `Directory` messages that refer to each other.

use ::cas::BlobStore;
use ::cas::tree::{DIRECTORY_BYTES_MAX, fetch_input_tree, read_all};
use action_cache::TREE_BYTES_MAX;
use anyhow::{Context, Result, anyhow, bail};
use blob::Digest;
use merkle::{Directory, InputTree, Tree};

/// Which form a tree was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Directory,
    Tree,
}

/// Fetches the tree that a digest names, whichever form it has. Directories that the server lacks are listed in it.
pub(crate) async fn fetch(store: &dyn BlobStore, digest: Digest) -> Result<(Form, InputTree)> {
    let bytes = read_all(store, &digest, TREE_BYTES_MAX.max(DIRECTORY_BYTES_MAX))
        .await?
        .ok_or_else(|| anyhow!("the server does not have blob {digest}"))?;
    // A Directory's bytes are never a Tree's: what is a name in the one is a message in the other.
    let no_directory = match Directory::decode(digest.function(), &bytes) {
        // Protobuf skips what it does not know, and so finds an empty message in bytes of all sorts.
        Ok(directory) if directory.is_empty() && directory.encode() != bytes => {
            "it holds no node, but other bytes".to_owned()
        }
        Ok(_) => return Ok((Form::Directory, fetch_input_tree(store, digest).await?)),
        Err(error) => error.to_string(),
    };
    match Tree::decode(digest.function(), bytes) {
        Ok(tree) => Ok((Form::Tree, tree.into_input_tree())),
        Err(no_tree) => {
            bail!("blob {digest} is neither a Directory ({no_directory}) nor a Tree ({no_tree})")
        }
    }
}

/// As [`fetch`], for a digest that is known to name a `Tree`, with nothing missing.
pub(crate) async fn fetch_tree(store: &dyn BlobStore, digest: Digest) -> Result<InputTree> {
    let bytes = read_all(store, &digest, TREE_BYTES_MAX)
        .await?
        .ok_or_else(|| anyhow!("the server does not have Tree {digest}"))?;
    let tree =
        Tree::decode(digest.function(), bytes).with_context(|| format!("blob {digest} is not a Tree"))?;
    Ok(tree.into_input_tree())
}

/// All blobs that a tree refers to: its files and, where they are blobs of their own, its directories.
pub(crate) async fn everything_below(store: &dyn BlobStore, digest: Digest) -> Result<Vec<Digest>> {
    let (form, tree) = fetch(store, digest).await?;
    let tree = complete(tree)?;
    let mut digests: Vec<Digest> = tree.files().iter().copied().collect();
    if form == Form::Directory {
        digests.extend(tree.directories().keys());
    }
    Ok(digests)
}

/// These blobs and, where they are said to be trees, all that they refer to; each once.
pub(crate) async fn with_everything_below(
    store: &dyn BlobStore,
    mut digests: Vec<Digest>,
    are_trees: bool,
) -> Result<Vec<Digest>> {
    if are_trees {
        for digest in digests.clone() {
            digests.extend(everything_below(store, digest).await?);
        }
    }
    digests.sort_unstable();
    digests.dedup();
    Ok(digests)
}

/// An error that names what is missing.
pub(crate) fn complete(tree: InputTree) -> Result<InputTree> {
    match tree.missing().as_slice() {
        [] => Ok(tree),
        [first, ..] => bail!(
            "the server lacks {} directories of tree {}, {first} among them",
            tree.missing().len(),
            tree.root()
        ),
    }
}

#[cfg(test)]
mod tests {
    use blob::{Blob, DigestFunction};
    use merkle::TreeBuilder;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    #[tokio::test]
    async fn both_forms_are_told_apart() {
        for paths in [&["a"][..], &["a/b/c", "a/d", "e"], &[], &["a/b", "c/b"]] {
            let store = ::cas::memory(1 << 20);
            let mut builder = TreeBuilder::new();
            for path in paths {
                builder
                    .insert_file(path, Digest::of(F, path.as_bytes()), false)
                    .unwrap();
            }
            let built = builder.build(F).unwrap();
            ::cas::tree::upload_tree(&*::cas::always_has_empty(store.clone()), &built)
                .await
                .unwrap();
            let root = built.root;
            let tree = built.into_tree();
            store.put(tree.blob()).await.unwrap();
            let store = ::cas::always_has_empty(store);
            let (form, fetched) = fetch(&*store, root).await.unwrap();
            assert_eq!((form, fetched.root()), (Form::Directory, root), "{paths:?}");
            let (form, fetched) = fetch(&*store, tree.blob().digest()).await.unwrap();
            assert_eq!((form, fetched.root()), (Form::Tree, root), "{paths:?}");
            assert_eq!(
                fetch_tree(&*store, tree.blob().digest()).await.unwrap().root(),
                root
            );
        }
    }

    #[tokio::test]
    async fn what_is_no_tree_says_why() {
        let store = ::cas::memory(1 << 20);
        let text = Blob::from_bytes(F, "just text");
        let digest = text.digest();
        store.put(text).await.unwrap();
        let error = fetch(&*store, digest).await.unwrap_err().to_string();
        assert!(error.contains("neither a Directory"), "{error}");
        // Protobuf reads it as one unknown field of 32 bytes.
        let unknown_field = format!("z {}", "x".repeat(32));
        assert!(Directory::decode(F, unknown_field.as_bytes()).is_ok());
        let unknown_field = Blob::from_bytes(F, unknown_field);
        let digest = unknown_field.digest();
        store.put(unknown_field).await.unwrap();
        let error = fetch(&*store, digest).await.unwrap_err().to_string();
        assert!(error.contains("neither a Directory"), "{error}");
        let error = fetch(&*store, Digest::of(F, b"absent"))
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("does not have"), "{error}");
    }

    #[tokio::test]
    async fn missing_directories_are_named() {
        let store = ::cas::memory(1 << 20);
        let mut builder = TreeBuilder::new();
        builder.insert_file("a/b", Digest::of(F, b"x"), false).unwrap();
        let built = builder.build(F).unwrap();
        store.put(built.root_directory().blob(F)).await.unwrap();
        let (_, tree) = fetch(&*store, built.root).await.unwrap();
        let error = complete(tree).unwrap_err().to_string();
        assert!(error.contains("lacks 1 directories"), "{error}");
    }
}
