use blob::DigestFunction;

use super::*;
use crate::builder::TreeBuilder;
use crate::name::NodeName;
use crate::node::DirectoryNode;

const F: DigestFunction = DigestFunction::Sha256;

fn digest(content: &str) -> Digest {
    Digest::of(F, content.as_bytes())
}

fn directory_of(children: &[(&str, Digest)]) -> Directory {
    let nodes = children
        .iter()
        .map(|(name, digest)| DirectoryNode {
            name: NodeName::new(name).unwrap(),
            digest: *digest,
        })
        .collect();
    Directory::new(vec![], nodes, vec![], None).unwrap()
}

#[test]
fn one_round_a_level_each_distinct_directory_once() {
    let mut builder = TreeBuilder::new();
    for path in ["a/x/1", "b/x/1", "c/y/2"] {
        builder.insert_file(path, digest(&path[2..]), false).unwrap();
    }
    let tree = builder.build(F).unwrap();
    let store: HashMap<_, _> = tree.directories.iter().cloned().collect();
    let mut walk = Walk::new(tree.root);
    let mut rounds = Vec::new();
    while !walk.is_done() {
        let wanted = walk.wanted();
        rounds.push(wanted.len());
        for digest in wanted {
            walk.supply(digest, Arc::new(store[&digest].clone())).unwrap();
        }
    }
    assert_eq!(rounds, [1, 2, 2]);
    let tree = walk.finish().unwrap();
    assert_eq!(
        (tree.depth(), tree.directories().len(), tree.path_count()),
        (3, 5, 9)
    );
    assert!(tree.missing().is_empty());
    assert_eq!(
        *tree.files(),
        [digest("x/1"), digest("y/2")].into_iter().collect()
    );
}

#[test]
fn everything_missing_is_collected() {
    let (gone, lost) = (digest("gone"), digest("lost"));
    let inner = directory_of(&[("lost", lost), ("also", gone)]);
    let inner_digest = inner.digest(F);
    let root = directory_of(&[("a", gone), ("b", inner_digest)]);
    let mut walk = Walk::new(root.digest(F));
    walk.supply(root.digest(F), root).unwrap();
    walk.missing(gone).unwrap();
    walk.supply(inner_digest, inner).unwrap();
    assert_eq!(walk.wanted(), lost.into());
    walk.missing(lost).unwrap();
    let tree = walk.finish().unwrap();
    assert_eq!(*tree.missing(), [gone, lost].into_iter().collect());
    let paths: Vec<String> = tree.entries().unwrap().map(|(path, _)| path).collect();
    assert_eq!(paths, ["a", "b", "b/also", "b/lost"]);
}

#[test]
fn a_missing_root_is_a_tree_of_nothing() {
    let mut walk = Walk::new(digest("root"));
    walk.missing(digest("root")).unwrap();
    let tree = walk.finish().unwrap();
    assert_eq!(*tree.missing(), digest("root").into());
    assert_eq!(tree.entries().unwrap().count(), 0);
    assert_eq!(tree.directory_at("").unwrap(), None);
}

#[test]
fn g6_the_empty_directory_is_never_wanted() {
    let walk = Walk::new(Digest::empty(F));
    assert!(walk.is_done());
    let tree = walk.finish().unwrap();
    assert_eq!(tree.directories().len(), 1);

    let root = directory_of(&[("empty", Digest::empty(F))]);
    let mut walk = Walk::new(root.digest(F));
    walk.supply(root.digest(F), root).unwrap();
    assert!(walk.is_done());
    assert!(
        walk.finish()
            .unwrap()
            .directory_at("empty")
            .unwrap()
            .is_some_and(|directory| directory.is_empty())
    );
}

#[test]
fn what_was_not_asked_for_is_refused() {
    let root = directory_of(&[]);
    let mut walk = Walk::new(digest("root"));
    assert_eq!(
        walk.supply(digest("x"), root.clone()),
        Err(WalkError::NotWanted { digest: digest("x") })
    );
    assert_eq!(
        walk.missing(digest("x")),
        Err(WalkError::NotWanted { digest: digest("x") })
    );
    walk.supply(digest("root"), root.clone()).unwrap();
    assert!(walk.supply(digest("root"), root).is_err());
    let unfinished = Walk::new(digest("root")).finish().unwrap_err();
    assert_eq!(
        unfinished,
        WalkError::Unfinished {
            root: digest("root"),
            wanted: 1
        }
    );
}

/// A chain of directories, the innermost first, that a dishonest store could hand out under any digest.
#[test]
fn an_endless_chain_ends_at_the_bound() {
    let mut walk = Walk::new(digest("0"));
    let mut outcome = Ok(());
    for at in 0..2 * TREE_DEPTH_MAX {
        outcome = walk.supply(
            digest(&at.to_string()),
            directory_of(&[("d", digest(&(at + 1).to_string()))]),
        );
        if outcome.is_err() {
            assert_eq!(at, TREE_DEPTH_MAX - 1);
            break;
        }
    }
    assert_eq!(outcome, Err(TreeBoundError::TooDeep { root: digest("0") }.into()));
}

/// Met first on a short way, the deep part is found only by the longest one.
#[test]
fn the_longest_way_down_counts() {
    // A chain of 600 in which each directory also refers to one 600 further on is 1200 deep though every
    // directory is met within 601 levels.
    let chain = |at: usize| {
        let next = digest(&(at + 1).to_string());
        match at {
            0 => directory_of(&[("far", digest("600")), ("near", next)]),
            1199 => directory_of(&[]),
            _ => directory_of(&[("near", next)]),
        }
    };
    let mut walk = Walk::new(digest("0"));
    let mut numbers: HashMap<Digest, usize> = (0..1200).map(|at| (digest(&at.to_string()), at)).collect();
    while !walk.is_done() {
        for digest in walk.wanted() {
            let at = numbers.remove(&digest).unwrap();
            walk.supply(digest, chain(at)).unwrap();
        }
    }
    let root = digest("0");
    assert_eq!(
        walk.finish().unwrap_err(),
        WalkError::Bound(TreeBoundError::TooDeep { root })
    );
}

#[test]
fn a_directory_that_contains_itself_is_found_out() {
    let (root, inner) = (digest("root"), digest("inner"));
    let mut walk = Walk::new(root);
    walk.supply(root, directory_of(&[("a", inner)])).unwrap();
    walk.supply(inner, directory_of(&[("b", inner)])).unwrap();
    assert_eq!(
        walk.finish().unwrap_err(),
        WalkError::Bound(TreeBoundError::Cyclic { root })
    );
    let mut walk = Walk::new(root);
    walk.supply(root, directory_of(&[("a", root)])).unwrap();
    assert_eq!(
        walk.finish().unwrap_err(),
        WalkError::Bound(TreeBoundError::Cyclic { root })
    );
}

#[test]
fn distinct_directories_are_bounded() {
    let mut walk = Walk::new(digest("root"));
    let children = |from: usize| -> Vec<DirectoryNode> {
        (from..from + 400_000)
            .map(|at| {
                let name = NodeName::new(&at.to_string()).unwrap();
                DirectoryNode {
                    name,
                    digest: Digest::from_hash(F, &hash(at), 9).unwrap(),
                }
            })
            .collect()
    };
    let wide = |from| Directory::new(vec![], children(from), vec![], None).unwrap();
    walk.supply(digest("root"), wide(0)).unwrap();
    walk.supply(Digest::from_hash(F, &hash(0), 9).unwrap(), wide(400_000))
        .unwrap();
    let outcome = walk.supply(Digest::from_hash(F, &hash(1), 9).unwrap(), wide(800_000));
    assert_eq!(
        outcome,
        Err(TreeBoundError::TooManyDirectories { root: digest("root") }.into())
    );
}

fn hash(at: usize) -> [u8; 32] {
    let mut hash = [1; 32];
    hash[..8].copy_from_slice(&at.to_be_bytes());
    hash
}
