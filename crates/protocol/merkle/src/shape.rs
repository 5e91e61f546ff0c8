//! The shape of a tree of directories: an order, a depth, and what it would expand to.
//!
//! Directories that are the same are stored once, so a tree is a graph without cycles in which a node may have
//! many parents. Everything here is counted on that graph, in one pass over its references and without
//! recursion, so that a tree which stands for more paths than can exist costs no more than its directories.

use std::collections::{HashMap, VecDeque};

use blob::Digest;

use crate::directory::Directory;

/// What is known about a tree before anything is expanded. Directories that are not at hand count as empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Each directory once, the root first, parents before children; the same for the same tree, always.
    pub(crate) order: Vec<Digest>,
    /// Directories on the longest way down, the root included.
    pub(crate) depth: usize,
    /// Nodes that would exist with every path written out; `u64::MAX` stands for that and more.
    pub(crate) paths: u64,
    /// Length of the longest path in bytes.
    pub(crate) path_bytes: usize,
}

/// A directory contains itself. Honest hashing cannot bring that about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cyclic;

#[derive(Default)]
struct Seen {
    /// References from directories that are not yet in the order.
    references: usize,
    depth: usize,
    /// Ways that lead here from the root.
    ways: u64,
    /// Length of the longest of them, in bytes, with a slash at its end.
    path_bytes: usize,
}

/// Looks at everything that is reachable from `root`.
pub(crate) fn survey<'a>(
    root: Digest,
    directory: impl Fn(&Digest) -> Option<&'a Directory>,
) -> Result<Shape, Cyclic> {
    let mut seen = count_references(root, &directory);
    let first = seen.get_mut(&root).ok_or(Cyclic)?;
    if first.references > 0 {
        return Err(Cyclic);
    }
    (first.depth, first.ways) = (1, 1);
    let mut shape = Shape {
        order: Vec::with_capacity(seen.len()),
        depth: 1,
        paths: 0,
        path_bytes: 0,
    };
    let mut ready = VecDeque::from([root]);
    while let Some(digest) = ready.pop_front() {
        shape.order.push(digest);
        let Some(directory) = directory(&digest) else {
            continue;
        };
        let Seen {
            depth,
            ways,
            path_bytes,
            ..
        } = seen[&digest];
        shape.depth = shape.depth.max(depth);
        shape.paths = shape
            .paths
            .saturating_add(ways.saturating_mul(directory.node_count() as u64));
        if let Some(longest) = longest_name(directory) {
            shape.path_bytes = shape.path_bytes.max(path_bytes.saturating_add(longest));
        }
        for node in directory.directories() {
            let child = seen.get_mut(&node.digest).ok_or(Cyclic)?;
            child.references -= 1;
            child.depth = child.depth.max(depth + 1);
            child.ways = child.ways.saturating_add(ways);
            child.path_bytes = child.path_bytes.max(
                path_bytes
                    .saturating_add(node.name.as_str().len())
                    .saturating_add(1),
            );
            if child.references == 0 {
                ready.push_back(node.digest);
            }
        }
    }
    // What is on a cycle never runs out of references.
    if shape.order.len() == seen.len() {
        Ok(shape)
    } else {
        Err(Cyclic)
    }
}

fn count_references<'a>(
    root: Digest,
    directory: impl Fn(&Digest) -> Option<&'a Directory>,
) -> HashMap<Digest, Seen> {
    let mut seen = HashMap::from([(root, Seen::default())]);
    let mut unread = vec![root];
    while let Some(digest) = unread.pop() {
        for node in directory(&digest).map_or(&[][..], Directory::directories) {
            seen.entry(node.digest)
                .or_insert_with(|| {
                    unread.push(node.digest);
                    Seen::default()
                })
                .references += 1;
        }
    }
    seen
}

/// In bytes.
fn longest_name(directory: &Directory) -> Option<usize> {
    let files = directory.files().iter().map(|node| &node.name);
    let directories = directory.directories().iter().map(|node| &node.name);
    let symlinks = directory.symlinks().iter().map(|node| &node.name);
    files
        .chain(directories)
        .chain(symlinks)
        .map(|name| name.as_str().len())
        .max()
}
