use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::directory::Directory;
use crate::input_tree::{Entry, InputTree};
use crate::walk::Walk;

const F: DigestFunction = DigestFunction::Sha256;

fn digest(content: &str) -> Digest {
    Digest::of(F, content.as_bytes())
}

fn walked(tree: &BuiltTree) -> InputTree {
    let store: HashMap<Digest, Directory> = tree.directories.iter().cloned().collect();
    let mut walk = Walk::new(tree.root);
    while !walk.is_done() {
        for digest in walk.wanted() {
            walk.supply(digest, store[&digest].clone()).unwrap();
        }
    }
    walk.finish().unwrap()
}

#[test]
fn parents_come_by_themselves_and_equal_directories_are_stored_once() {
    let mut builder = TreeBuilder::new();
    for top in ["a", "b"] {
        builder
            .insert_file(&format!("{top}/src/main.c"), digest("main"), false)
            .unwrap();
        builder
            .insert_symlink(&format!("{top}/src/link"), "../../x")
            .unwrap();
    }
    builder.insert_directory("empty/nested").unwrap();
    builder.insert_directory("").unwrap();
    let tree = builder.build(F).unwrap();
    // The root, `a` = `b`, `src`, `empty`, and the empty directory.
    assert_eq!(tree.directories.len(), 5);
    assert_eq!(tree.directories[0].0, tree.root);
    let names: Vec<&str> = tree
        .root_directory()
        .directories()
        .iter()
        .map(|node| node.name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "empty"]);
    assert_eq!(tree.file_digests(), digest("main").into());
    for (blob, (digest, directory)) in tree.blobs().zip(&tree.directories) {
        assert_eq!(blob.digest(), *digest);
        assert_eq!(directory.digest(F), *digest);
    }
}

#[test]
fn an_empty_builder_makes_the_empty_directory() {
    let tree = TreeBuilder::default().build(F).unwrap();
    assert_eq!(tree.root, Digest::empty(F));
    assert_eq!(tree.directories, [(Digest::empty(F), Directory::default())]);
}

#[test]
fn conflicts_name_both_sides() {
    let mut builder = TreeBuilder::new();
    builder.insert_file("a/b", digest("1"), false).unwrap();
    let conflict = |path: &str, kind, at: &str, existing| {
        Err(TreeBuildError::Conflict {
            path: path.to_owned(),
            kind,
            at: at.to_owned(),
            existing,
        })
    };
    use NodeKind::{Directory, File, Symlink};
    assert_eq!(
        builder.insert_file("a/b/c/d", digest("2"), false),
        conflict("a/b/c/d", File, "a/b", File)
    );
    assert_eq!(
        builder.insert_directory("a/b"),
        conflict("a/b", Directory, "a/b", File)
    );
    assert_eq!(
        builder.insert_symlink("a", "x"),
        conflict("a", Symlink, "a", Directory)
    );
    assert_eq!(
        builder.insert_file("a/b", digest("2"), false),
        conflict("a/b", File, "a/b", File)
    );
    assert_eq!(
        builder.insert_file("a/b", digest("1"), true),
        conflict("a/b", File, "a/b", File)
    );
    assert_eq!(builder.insert_file("a/b", digest("1"), false), Ok(()));
    let message = builder.insert_directory("a/b/c").unwrap_err().to_string();
    assert_eq!(
        message,
        "cannot put a directory at `a/b/c`: `a/b` is already there as a file"
    );
}

#[test]
fn bad_paths_are_refused() {
    let mut builder = TreeBuilder::new();
    for path in ["/a", "a/", "a//b", ".", "a/../b", "..", "a\0"] {
        let refused = builder.insert_file(path, digest("1"), false);
        assert!(
            matches!(refused, Err(TreeBuildError::Path(_))),
            "{path:?}: {refused:?}"
        );
        assert!(builder.insert_directory(path).is_err());
    }
    assert_eq!(
        builder.insert_file("", digest("1"), false),
        Err(TreeBuildError::Root { kind: NodeKind::File })
    );
    assert!(matches!(
        builder.insert_symlink("l", ""),
        Err(TreeBuildError::SymlinkTarget(_))
    ));
    assert_eq!(builder.build(F).unwrap().root, Digest::empty(F));
}

#[test]
fn files_of_another_digest_function_are_refused() {
    let mut builder = TreeBuilder::new();
    builder
        .insert_file("a", Digest::of(DigestFunction::Blake3, b"x"), false)
        .unwrap();
    assert!(matches!(
        builder.build(F),
        Err(TreeBuildError::MixedFunctions { .. })
    ));
}

#[test]
fn properties_go_to_files_symlinks_directories_and_the_root() {
    let mut builder = TreeBuilder::new();
    builder.insert_file("d/f", digest("f"), false).unwrap();
    builder.insert_symlink("d/l", "f").unwrap();
    for (at, path) in ["", "d", "d/f", "d/l"].into_iter().enumerate() {
        builder
            .set_node_properties(path, NodeProperties::new(None, Some(at as u32)))
            .unwrap();
    }
    assert!(matches!(
        builder.set_node_properties("d/x", NodeProperties::default()),
        Err(TreeBuildError::NoSuchNode { .. })
    ));
    assert!(
        builder
            .set_node_properties("d/f/x", NodeProperties::default())
            .is_err()
    );
    // The same file again changes nothing.
    builder.insert_file("d/f", digest("f"), false).unwrap();
    let tree = builder.build(F).unwrap();
    let mode = |properties: Option<&NodeProperties>| properties.and_then(NodeProperties::unix_mode);
    let directory = &tree.directories[1].1;
    assert_eq!(mode(tree.root_directory().node_properties()), Some(0));
    assert_eq!(mode(directory.node_properties()), Some(1));
    assert_eq!(
        mode(
            directory
                .file("f")
                .and_then(|file| file.node_properties.as_deref())
        ),
        Some(2)
    );
    assert_eq!(
        mode(
            directory
                .symlink("l")
                .and_then(|link| link.node_properties.as_deref())
        ),
        Some(3)
    );
}

#[test]
fn depth_is_bounded_and_costs_no_stack() {
    let deep = vec!["d"; TREE_DEPTH_MAX - 1].join("/");
    let mut builder = TreeBuilder::new();
    builder
        .insert_file(&format!("{deep}/f"), digest("f"), false)
        .unwrap();
    assert!(matches!(
        builder.insert_directory(&format!("{deep}/d")),
        Err(TreeBuildError::TooDeep { .. })
    ));
    let tree = builder.build(F).unwrap();
    assert_eq!(tree.directories.len(), TREE_DEPTH_MAX);
    assert_eq!(walked(&tree).depth(), TREE_DEPTH_MAX);
    assert_eq!(tree.into_tree().as_input_tree().depth(), TREE_DEPTH_MAX);
}

/// What a model of the tree says: path and a text for the node.
fn model() -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    let path = prop::collection::vec("[a-c]{1,2}", 1..5).prop_map(|names| names.join("/"));
    prop::collection::vec((path, prop::option::of("[xy]{0,2}")), 0..20)
}

fn insert(builder: &mut TreeBuilder, path: &str, content: Option<&str>) -> Result<(), TreeBuildError> {
    match content {
        None => builder.insert_directory(path),
        Some("") => builder.insert_symlink(path, "target"),
        Some(content) => builder.insert_file(path, digest(content), content.starts_with('x')),
    }
}

proptest! {
    #[test]
    fn build_then_walk_is_identity(inserts in model()) {
        let mut builder = TreeBuilder::new();
        let mut expected = BTreeMap::new();
        for (path, content) in &inserts {
            if insert(&mut builder, path, content.as_deref()).is_ok() {
                for (at, _) in path.match_indices('/') {
                    expected.insert(path[..at].to_owned(), None);
                }
                expected.insert(path.clone(), content.clone());
            }
        }
        let tree = builder.build(F).unwrap();
        let walked = walked(&tree);
        let entries: Vec<(String, Entry<'_>)> = walked.entries().unwrap().collect();
        prop_assert_eq!(entries.len() as u64, walked.path_count());
        let found: BTreeMap<String, Option<String>> = entries
            .iter()
            .map(|(path, entry)| {
                let content = match entry {
                    Entry::Directory(_) => None,
                    Entry::Symlink(symlink) => {
                        assert_eq!(symlink.target.as_str(), "target");
                        Some(String::new())
                    }
                    Entry::File(file) => {
                        let content = expected[path].clone().unwrap();
                        assert_eq!((file.digest, file.is_executable), (digest(&content), content.starts_with('x')));
                        Some(content)
                    }
                };
                (path.clone(), content)
            })
            .collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(entries.len(), found.len());

        // The order of insertion leaves no trace.
        let mut again = TreeBuilder::new();
        for (path, content) in expected.iter().rev() {
            insert(&mut again, path, content.as_deref()).unwrap();
        }
        let again = again.build(F).unwrap();
        prop_assert_eq!(&again.directories, &tree.directories);

        // Parents stand before children, each directory once.
        let positions: HashMap<Digest, usize> =
            tree.directories.iter().enumerate().map(|(at, (digest, _))| (*digest, at)).collect();
        prop_assert_eq!(positions.len(), tree.directories.len());
        for (digest, directory) in &tree.directories {
            for node in directory.directories() {
                prop_assert!(positions[digest] < positions[&node.digest]);
            }
        }
    }
}
