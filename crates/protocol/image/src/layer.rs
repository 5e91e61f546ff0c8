//! One layer over those before it.

use std::io::{self, Read};

use blob::Digest;

use crate::error::ImageError;
use crate::file_tree::{FileTree, Node};
use crate::tar::{Kind, Tar, TarEntry};

/// Where the content of files goes.
pub trait Contents {
    /// Takes the `size_bytes` that `content` gives, and names them.
    fn store(&mut self, size_bytes: u64, content: &mut dyn Read) -> io::Result<Digest>;
}

/// What of a layer a directory tree of REAPI cannot have: devices, pipes and the like. How many.
pub type Skipped = u64;

/// Marks of a layer for what is no longer there.
const WHITEOUT: &str = ".wh.";
/// The mark for a directory of which nothing is left.
const OPAQUE: &str = ".wh..wh..opq";
/// Of file systems of old, which some tools leave behind: they mean nothing.
const META: &str = ".wh..wh.";

/// Applies the layer of this number, counted from the lowest, to `tree`. Later entries stand over earlier ones, but marks
/// of what is gone are about earlier layers alone, wherever in the layer they stand.
pub fn apply<R: Read>(
    tree: &mut FileTree,
    layer: usize,
    tar: &mut Tar<R>,
    contents: &mut dyn Contents,
) -> Result<Skipped, ImageError> {
    let mut skipped = 0;
    // Ends: a tar has a bounded number of entries.
    while let Some(entry) = tar.next_entry()? {
        let name = text(&entry.path, &entry.path)?;
        let path = tree.resolve(name)?;
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", &path));
        if last == OPAQUE {
            tree.remove_below(parent, layer);
            continue;
        }
        if last.starts_with(META) {
            continue;
        }
        if let Some(gone) = last.strip_prefix(WHITEOUT) {
            let is_name = !matches!(gone, "" | "." | "..");
            if !is_name {
                return Err(ImageError::entry(
                    name,
                    "it is no mark of anything that could be gone",
                ));
            }
            let gone = path[..path.len() - last.len()].to_owned() + gone;
            tree.remove_earlier(&gone, layer);
            continue;
        }
        match node(tree, &entry, name, tar, contents)? {
            Some(node) => tree.put(&path, node, layer)?,
            None => skipped += 1,
        }
    }
    Ok(skipped)
}

fn node<R: Read>(
    tree: &FileTree,
    entry: &TarEntry,
    name: &str,
    tar: &mut Tar<R>,
    contents: &mut dyn Contents,
) -> Result<Option<Node>, ImageError> {
    Ok(match &entry.kind {
        Kind::Directory => Some(Node::Directory),
        Kind::File => Some(Node::File {
            digest: contents.store(entry.size_bytes, tar)?,
            is_executable: entry.mode & 0o111 != 0,
        }),
        Kind::Symlink { target } => {
            let target = text(target, &entry.path)?;
            if target.is_empty() {
                return Err(ImageError::entry(name, "it is a symlink to nowhere"));
            }
            Some(Node::Symlink {
                target: target.to_owned(),
            })
        }
        Kind::HardLink { target } => {
            let target = text(target, &entry.path)?;
            match tree.node(&tree.resolve(target)?) {
                Some(node @ (Node::File { .. } | Node::Symlink { .. })) => Some(node.clone()),
                _ => {
                    return Err(ImageError::entry(
                        name,
                        format!("it is another name of `{target}`, which is no file"),
                    ));
                }
            }
        }
        Kind::Other => None,
    })
}

/// REAPI has names in UTF-8 only.
fn text<'a>(bytes: &'a [u8], path: &[u8]) -> Result<&'a str, ImageError> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'));
    text.ok_or_else(|| {
        let path = String::from_utf8_lossy(path);
        ImageError::entry(
            &path,
            "its name or its target is not UTF-8, and the protocol has no way to carry it",
        )
    })
}

#[cfg(test)]
mod tests;
