use proptest::prelude::*;

use super::*;
use crate::builder::{BuiltTree, TreeBuilder};

const F: DigestFunction = DigestFunction::Sha256;

fn digest(content: &str) -> Digest {
    Digest::of(F, content.as_bytes())
}

fn built(paths: &[&str]) -> BuiltTree {
    let mut builder = TreeBuilder::new();
    for path in paths {
        builder.insert_file(path, digest("content"), false).unwrap();
    }
    builder.build(F).unwrap()
}

#[test]
fn e24_the_encoding_is_sorted_complete_and_the_same_for_any_order() {
    let built = built(&["a/x/1", "b/x/1", "b/y", "c/x/1"]);
    let expected = built.directories.clone();
    let encoded = built.into_tree().encode();

    let root = expected[0].1.clone();
    let mut children: Vec<Directory> = expected[1..]
        .iter()
        .map(|(_, directory)| directory.clone())
        .collect();
    children.reverse();
    let repeated = children.clone();
    let unreferenced = super::tests::built(&["nobody"]).directories[0].1.clone();
    let children = children.into_iter().chain(repeated).chain([unreferenced]);
    let tree = Tree::from_directories(F, root, children).unwrap();
    assert_eq!(tree.encode(), encoded);
    assert_eq!(tree.blob().digest(), Digest::of(F, &encoded));

    // Records: 0x0a for the root, 0x12 for each child, and nothing else.
    let mut tags = Vec::new();
    let mut rest = &encoded[..];
    let mut found = Vec::new();
    while let Some((tag, after)) = rest.split_first() {
        tags.push(*tag);
        rest = after;
        let length = prost::decode_length_delimiter(&mut rest).unwrap();
        found.push(Directory::decode(F, &rest[..length]).unwrap());
        rest = &rest[length..];
    }
    assert_eq!(tags, [0x0a, 0x12, 0x12, 0x12]);
    assert_eq!(
        found,
        expected
            .iter()
            .map(|(_, directory)| directory.clone())
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_tree_reads_its_own_encoding_and_that_of_a_protobuf_library() {
    let tree = built(&["a/x/1", "b/x/1", "b/y"]).into_tree();
    let same = |other: Tree| {
        assert_eq!(other.encode(), tree.encode());
        assert_eq!(other.root_digest(), tree.root_digest());
        assert_eq!(other.root(), tree.root());
        assert!(other.directory_digests().eq(tree.directory_digests()));
        assert!(other.file_digests().eq([digest("content")]));
    };
    same(Tree::decode(F, tree.encode()).unwrap());
    same(Tree::decode(F, tree.to_proto().encode_to_vec()).unwrap());
    same(Tree::from_proto(F, &tree.to_proto()).unwrap());
    let digests: Vec<Digest> = tree.directory_blobs().map(|blob| blob.digest()).collect();
    assert_eq!(digests, tree.directory_digests().collect::<Vec<_>>());
}

#[test]
fn an_empty_tree_still_has_its_root_record() {
    let tree = TreeBuilder::new().build(F).unwrap().into_tree();
    assert_eq!(tree.encode(), &b"\x0a\x00"[..]);
    assert_eq!(
        Tree::decode(F, &b"\x0a\x00"[..]).unwrap().root_digest(),
        Digest::empty(F)
    );
    assert_eq!(Tree::decode(F, Bytes::new()).unwrap_err(), TreeError::MissingRoot);
    assert_eq!(
        Tree::from_proto(F, &proto::Tree::default()).unwrap_err(),
        TreeError::MissingRoot
    );
}

#[test]
fn digests_are_those_of_the_bytes_that_came() {
    // A child with a field of a later version of the protocol, referred to by the digest of those bytes.
    let mut child = built(&["f"]).directories[0].1.encode().to_vec();
    child.extend([0x7a, 1, b'?']);
    let reference = proto::DirectoryNode {
        name: "d".to_owned(),
        digest: Some(Digest::of(F, &child).to_proto()),
    };
    let root = proto::Directory {
        directories: vec![reference],
        ..Default::default()
    }
    .encode_to_vec();
    let message = EncodedTree {
        root: vec![root.into()],
        children: vec![child.clone().into()],
    }
    .encode_to_vec();
    let tree = Tree::decode(F, message.clone()).unwrap();
    assert_eq!(tree.directory_digests().nth(1), Some(Digest::of(F, &child)));
    assert_eq!(tree.encode(), message);
    assert_eq!(
        tree.directory_blobs().nth(1).map(|blob| blob.digest()),
        Some(Digest::of(F, &child))
    );
}

#[test]
fn missing_children_are_all_named() {
    let built = built(&["a/1", "b/x/2"]);
    let [(root, directory), ..] = &built.directories[..] else {
        panic!("no root")
    };
    let error = Tree::from_directories(F, directory.clone(), []).unwrap_err();
    let missing = directory.directories().iter().map(|node| node.digest).collect();
    assert_eq!(error, TreeError::MissingDirectories { missing });
    assert_eq!(*root, directory.digest(F));
}

#[test]
fn g6_an_empty_child_may_be_left_out() {
    let mut builder = TreeBuilder::new();
    builder.insert_directory("empty").unwrap();
    let built = builder.build(F).unwrap();
    let tree = Tree::from_directories(F, built.root_directory().clone(), []).unwrap();
    assert_eq!(
        tree.directory_digests().collect::<Vec<_>>(),
        [built.root, Digest::empty(F)]
    );
    assert_eq!(tree.encode(), built.into_tree().encode());
}

#[test]
fn a_bad_directory_is_named_by_its_position() {
    let bad = proto::Directory {
        files: vec![proto::FileNode {
            name: "..".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let good = proto::Directory::default();
    for (root, children, expected) in [
        (bad.clone(), vec![], None),
        (good.clone(), vec![good.clone(), bad], Some(1)),
    ] {
        let tree = proto::Tree {
            root: Some(root),
            children,
        };
        for error in [
            Tree::from_proto(F, &tree).unwrap_err(),
            Tree::decode(F, tree.encode_to_vec()).unwrap_err(),
        ] {
            assert!(
                matches!(&error, TreeError::Directory { position, .. } if *position == expected),
                "{error}"
            );
        }
    }
}

#[test]
fn two_roots_are_refused_and_garbage_too() {
    assert_eq!(
        Tree::decode(F, &b"\x0a\x00\x0a\x00"[..]).unwrap_err(),
        TreeError::SeveralRoots
    );
    for garbage in [&b"\x0a\x05"[..], b"\x08\x00", b"garbage", b"\xff"] {
        assert!(
            matches!(Tree::decode(F, garbage), Err(TreeError::Encoding { .. })),
            "{garbage:?}"
        );
    }
}

#[test]
fn a_flood_of_children_is_refused() {
    let mut message = vec![0x0a, 0];
    message.extend([0x12, 0].repeat(TREE_DIRECTORIES_MAX + 1));
    let error = Tree::decode(F, message).unwrap_err();
    assert!(matches!(
        error,
        TreeError::Bound(TreeBoundError::TooManyDirectories { .. })
    ));
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Tree::decode(F, bytes);
    }

    #[test]
    fn any_damage_is_answered(at in 0usize..1000, byte in any::<u8>(), length in 0usize..1000) {
        let mut bytes = built(&["a/x/1", "b/x/1", "b/y"]).into_tree().encode().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(length);
        if let Ok(tree) = Tree::decode(F, bytes) {
            prop_assert!(Tree::decode(F, tree.encode()).is_ok());
        }
    }

    #[test]
    fn a_tree_round_trips(paths in prop::collection::vec("[ab]{1,2}(/[ab]{1,2}){0,4}", 0..12)) {
        let mut builder = TreeBuilder::new();
        for path in &paths {
            // Some conflict; what does not is enough.
            let _ = builder.insert_file(path, digest(path), false);
        }
        let built = builder.build(F).unwrap();
        let order: Vec<Digest> = built.directories.iter().map(|(digest, _)| *digest).collect();
        let tree = Tree::decode(F, built.into_tree().encode()).unwrap();
        prop_assert_eq!(tree.directory_digests().collect::<Vec<_>>(), order);
    }
}
