use blob::DigestFunction;

use super::*;
use crate::builder::TreeBuilder;
use crate::node::DirectoryNode;

const F: DigestFunction = DigestFunction::Sha256;

fn sample() -> InputTree {
    let content = Digest::of(F, b"x");
    let mut builder = TreeBuilder::new();
    builder.insert_file("lib/b.c", content, false).unwrap();
    builder.insert_file("lib/a.c", content, true).unwrap();
    builder.insert_file("z", content, false).unwrap();
    builder.insert_symlink("lib/link", "a.c").unwrap();
    builder.insert_directory("lib/deep/er").unwrap();
    builder.build(F).unwrap().into_tree().into_input_tree()
}

/// `levels` directories that each hold the next one `width` times.
fn laughs(levels: usize, width: usize, name: &str) -> InputTree {
    let mut directories = HashMap::new();
    let mut digest = Digest::empty(F);
    directories.insert(digest, Arc::default());
    for _ in 0..levels {
        let nodes = (0..width)
            .map(|at| DirectoryNode {
                name: NodeName::new(&format!("{name}{at:02}")).unwrap(),
                digest,
            })
            .collect();
        let directory = Directory::new(vec![], nodes, vec![], None).unwrap();
        digest = directory.digest(F);
        directories.insert(digest, Arc::new(directory));
    }
    InputTree::assemble(digest, directories, DigestSet::default()).unwrap()
}

#[test]
fn entries_come_in_one_order_parents_first() {
    let tree = sample();
    let paths: Vec<String> = tree.entries().unwrap().map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        [
            "z",
            "lib",
            "lib/a.c",
            "lib/b.c",
            "lib/link",
            "lib/deep",
            "lib/deep/er"
        ]
    );
    assert_eq!(tree.path_count(), 7);
}

#[test]
fn paths_lead_to_nodes_without_following_symlinks() {
    let tree = sample();
    let entry = |path: &str| tree.entry(path).unwrap();
    assert!(matches!(entry("lib"), Some(Entry::Directory(_))));
    assert!(matches!(entry("lib/a.c"), Some(Entry::File(file)) if file.is_executable));
    assert!(matches!(entry("lib/link"), Some(Entry::Symlink(link)) if link.target.as_str() == "a.c"));
    for absent in ["", "nothing", "lib/nothing", "z/below", "lib/link/x"] {
        assert_eq!(entry(absent), None, "{absent}");
    }
    assert!(tree.directory_at("").unwrap().is_some());
    assert!(tree.directory_at("lib/deep/er").unwrap().is_some());
    assert!(tree.directory_at("z").unwrap().is_none());
    for bad in ["/lib", "lib/", "lib//deep", "..", "lib/../lib"] {
        assert!(tree.entry(bad).is_err(), "{bad}");
        assert!(tree.directory_at(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_billion_laughs_are_counted_not_expanded() {
    // 10 + 100 + … + 10^9 paths from ten small directories.
    let tree = laughs(9, 10, "d");
    assert_eq!(tree.path_count(), 1_111_111_110);
    assert!(matches!(
        tree.entries().err(),
        Some(TreeBoundError::TooManyPaths {
            paths: 1_111_111_110,
            ..
        })
    ));
    // More than 64 bits can count.
    assert_eq!(laughs(900, 50, "d").path_count(), u64::MAX);
    // What is within the bound is expanded.
    let tree = laughs(4, 10, "d");
    assert_eq!(tree.entries().unwrap().count() as u64, tree.path_count());
}

#[test]
fn paths_longer_than_the_system_takes_are_refused() {
    let name = "n".repeat(253);
    let tree = laughs(16, 1, &name);
    assert_eq!(
        tree.entries().unwrap().map(|(path, _)| path.len()).max(),
        Some(16 * 256 - 1)
    );
    let long = laughs(17, 1, &name);
    assert!(matches!(
        long.entries().err(),
        Some(TreeBoundError::PathTooLong { path_bytes: 4351, .. })
    ));
}
