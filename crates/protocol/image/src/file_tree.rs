//! A directory tree in memory, as layers make it one after the other.

use std::collections::BTreeMap;
use std::ops::Bound;

use blob::Digest;
use merkle::{TreeBuildError, TreeBuilder};

use crate::error::ImageError;
use crate::limits::{PATH_BYTES_MAX, PATHS_MAX, SYMLINKS_FOLLOWED_MAX};

/// Nodes by path. Paths have no `.`, `..` or empty component, do not begin with a slash, and every directory above a node
/// is there.
#[derive(Debug, Default)]
pub struct FileTree {
    nodes: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    node: Node,
    /// Which layer it comes from.
    layer: usize,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File { digest: Digest, is_executable: bool },
    Symlink { target: String },
}

impl FileTree {
    /// An empty one.
    pub fn new() -> Self {
        FileTree::default()
    }

    /// How many files, directories and symlinks there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// As a tree of REAPI.
    pub fn into_builder(self) -> Result<TreeBuilder, TreeBuildError> {
        let mut builder = TreeBuilder::new();
        for (path, entry) in &self.nodes {
            match &entry.node {
                Node::Directory => builder.insert_directory(path)?,
                Node::File {
                    digest,
                    is_executable,
                } => builder.insert_file(path, *digest, *is_executable)?,
                Node::Symlink { target } => builder.insert_symlink(path, target)?,
            }
        }
        Ok(builder)
    }

    /// The path that a name of a tar means here: symlinks among its directories are followed as if this tree were the
    /// root, so nothing leads out of it. The last component is not followed. Empty for the root.
    pub(crate) fn resolve(&self, name: &str) -> Result<String, ImageError> {
        let mut ahead: Vec<&str> = name
            .split('/')
            .rev()
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        if ahead.contains(&"..") {
            return Err(ImageError::entry(name, "its path has a `..`"));
        }
        let Some(last) = (!ahead.is_empty()).then(|| ahead.remove(0)) else {
            return Ok(String::new());
        };
        let parent = self.follow(name, ahead.into_iter().map(str::to_owned).collect())?;
        let path = below(&parent, last);
        match path.len() <= PATH_BYTES_MAX {
            true => Ok(path),
            false => Err(ImageError::entry(
                name,
                format!("its path is longer than {PATH_BYTES_MAX} bytes"),
            )),
        }
    }

    /// Where components lead, the next one last in `ahead`. What does not exist is taken as a directory to be.
    fn follow(&self, name: &str, mut ahead: Vec<String>) -> Result<String, ImageError> {
        let mut at = String::new();
        let mut followed = 0;
        // Ends: a component is taken away in each round, and symlinks that bring new ones are counted.
        while let Some(part) = ahead.pop() {
            match part.as_str() {
                "" | "." => continue,
                // Above the root is the root.
                ".." => {
                    at.truncate(at.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = below(&at, &part);
            match self.nodes.get(&next).map(|entry| &entry.node) {
                None | Some(Node::Directory) => at = next,
                Some(Node::Symlink { target }) => {
                    followed += 1;
                    if followed > SYMLINKS_FOLLOWED_MAX {
                        return Err(ImageError::entry(
                            name,
                            format!("it leads through more than {SYMLINKS_FOLLOWED_MAX} symlinks"),
                        ));
                    }
                    if target.starts_with('/') {
                        at.clear();
                    }
                    ahead.extend(target.split('/').rev().map(str::to_owned));
                }
                Some(Node::File { .. }) => {
                    return Err(ImageError::entry(
                        name,
                        format!("it is below `{next}`, which is a file"),
                    ));
                }
            }
            if at.len() > PATH_BYTES_MAX {
                return Err(ImageError::entry(
                    name,
                    format!("its path is longer than {PATH_BYTES_MAX} bytes"),
                ));
            }
        }
        Ok(at)
    }

    pub(crate) fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path).map(|entry| &entry.node)
    }

    /// Puts a node at a resolved path, in place of whatever is there; a directory over a directory keeps what is in it.
    pub(crate) fn put(&mut self, path: &str, node: Node, layer: usize) -> Result<(), ImageError> {
        if path.is_empty() {
            return match node {
                Node::Directory => Ok(()),
                _ => Err(ImageError::entry(
                    "/",
                    "the root is to be something else than a directory",
                )),
            };
        }
        let above = path.match_indices('/').map(|(end, _)| &path[..end]);
        for directory in above {
            if self.node(directory) != Some(&Node::Directory) {
                self.insert(directory, Node::Directory, layer)?;
            }
        }
        if node != Node::Directory {
            self.remove_below(path, usize::MAX);
        }
        self.insert(path, node, layer)
    }

    fn insert(&mut self, path: &str, node: Node, layer: usize) -> Result<(), ImageError> {
        self.nodes.insert(path.to_owned(), Entry { node, layer });
        match self.nodes.len() <= PATHS_MAX {
            true => Ok(()),
            false => Err(ImageError::TooMuch {
                what: "files, directories and symlinks",
                max: PATHS_MAX as u64,
            }),
        }
    }

    /// Removes what earlier layers than `layer` have put at `path` and below.
    pub(crate) fn remove_earlier(&mut self, path: &str, layer: usize) {
        self.remove_below(path, layer);
        let has_children = self.range_below(path).next().is_some();
        // A directory stays for what this layer has put into it.
        if !has_children && self.nodes.get(path).is_some_and(|entry| entry.layer < layer) {
            self.nodes.remove(path);
        }
    }

    /// Removes what earlier layers than `layer` have put below `path`, but for directories that later ones have something
    /// in.
    pub(crate) fn remove_below(&mut self, path: &str, layer: usize) {
        // Children before their parents, so that emptied directories can go.
        let doomed: Vec<String> = self
            .range_below(path)
            .filter(|(_, entry)| entry.layer < layer)
            .map(|(path, _)| path.clone())
            .collect();
        for path in doomed.into_iter().rev() {
            if self.range_below(&path).next().is_none() {
                self.nodes.remove(&path);
            }
        }
    }

    fn range_below(&self, path: &str) -> impl Iterator<Item = (&String, &Entry)> {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let from = self
            .nodes
            .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded));
        from.take_while(move |(path, _)| path.starts_with(&prefix))
    }

    #[cfg(test)]
    pub(crate) fn listing(&self) -> Vec<String> {
        let line = |(path, entry): (&String, &Entry)| match &entry.node {
            Node::Directory => format!("{path}/"),
            Node::File {
                digest,
                is_executable,
            } => format!(
                "{path}{} {}",
                if *is_executable { "*" } else { "" },
                digest.size_bytes()
            ),
            Node::Symlink { target } => format!("{path} -> {target}"),
        };
        self.nodes.iter().map(line).collect()
    }
}

fn below(parent: &str, name: &str) -> String {
    match parent.is_empty() {
        true => name.to_owned(),
        false => format!("{parent}/{name}"),
    }
}
