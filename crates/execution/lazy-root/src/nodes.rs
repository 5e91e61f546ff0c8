//! What the kernel has heard of, by number.

use std::collections::HashMap;
use std::sync::Arc;

use blob::Digest;
use merkle::Directory;

use crate::InputFile;

/// The root's number, by the kernel's convention.
pub(crate) const ROOT: u64 = 1;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory(Digest),
    File(InputFile),
    Symlink(Arc<str>),
}

/// A path, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) path: Arc<str>,
    pub(crate) kind: Kind,
}

/// Every node that was looked up, for as long as the mount lives, so that a number never stands for another file: programs
/// compare them. There are at most as many as the tree has paths, which [`merkle::TREE_PATHS_MAX`] bounds.
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    by_path: HashMap<Arc<str>, u64>,
}

impl Nodes {
    pub(crate) fn new(root: Digest) -> Self {
        let path: Arc<str> = "".into();
        let node = Node {
            path: path.clone(),
            kind: Kind::Directory(root),
        };
        Nodes {
            nodes: vec![node],
            by_path: HashMap::from([(path, ROOT)]),
        }
    }

    /// What has this number; `None` if nobody was ever told it.
    pub(crate) fn get(&self, ino: u64) -> Option<&Node> {
        self.nodes.get(usize::try_from(ino.checked_sub(ROOT)?).ok()?)
    }

    /// The number of a node, the same whenever it is asked for.
    pub(crate) fn number(&mut self, node: &Node) -> u64 {
        if let Some(ino) = self.by_path.get(&node.path) {
            return *ino;
        }
        self.nodes.push(node.clone());
        let ino = self.nodes.len() as u64;
        self.by_path.insert(node.path.clone(), ino);
        ino
    }
}

/// `name` in `directory`, which is at `path`.
pub(crate) fn child(path: &str, directory: &Directory, name: &str) -> Option<Node> {
    let file = |name: &str| {
        let node = directory.file(name)?;
        Some(Kind::File(InputFile {
            digest: node.digest,
            is_executable: node.is_executable,
        }))
    };
    let kind = directory
        .directory(name)
        .map(|node| Kind::Directory(node.digest))
        .or_else(|| file(name))
        .or_else(|| Some(Kind::Symlink(directory.symlink(name)?.target.as_str().into())))?;
    let path = join(path, name).into();
    Some(Node { path, kind })
}

/// The path of `name` below `path`.
pub(crate) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}/{name}"),
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use merkle::TreeBuilder;

    use super::*;

    #[test]
    fn a_number_stands_for_one_path_for_ever() {
        let function = DigestFunction::Sha256;
        let content = Digest::of(function, b"content");
        let mut tree = TreeBuilder::new();
        tree.insert_file("file", content, true).unwrap();
        tree.insert_symlink("link", "../x").unwrap();
        let built = tree.build(function).unwrap();
        let root = built.root_directory();
        let mut nodes = Nodes::new(built.root);

        assert_eq!(child("a/b", root, "absent"), None);
        let link = child("a/b", root, "link").unwrap();
        assert_eq!(
            (&*link.path, &link.kind),
            ("a/b/link", &Kind::Symlink("../x".into()))
        );
        let file = child("", root, "file").unwrap();
        let numbers = (nodes.number(&file), nodes.number(&link), nodes.number(&file));
        assert_eq!(numbers, (2, 3, 2));
        assert_eq!(nodes.get(3), Some(&link));
        assert_eq!(nodes.get(ROOT).unwrap().kind, Kind::Directory(built.root));
        assert_eq!((nodes.get(0), nodes.get(4)), (None, None));
    }
}
