use blob::DigestFunction;
use proptest::prelude::*;

use super::*;
use crate::tar::writer::{directory, end, entry, file, hard_link, pax, symlink};

/// Only names content.
struct Hashed;

impl Contents for Hashed {
    fn store(&mut self, size_bytes: u64, content: &mut dyn Read) -> io::Result<Digest> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, size_bytes);
        Ok(Digest::of(DigestFunction::Sha256, &bytes))
    }
}

fn flattened(layers: &[Vec<Vec<u8>>]) -> Result<Vec<String>, ImageError> {
    let mut tree = FileTree::new();
    for (number, layer) in layers.iter().enumerate() {
        let bytes = [layer.concat(), end()].concat();
        apply(&mut tree, number, &mut Tar::new(&bytes[..]), &mut Hashed)?;
    }
    let listing = tree.listing();
    tree.into_builder()
        .expect("it is a tree of REAPI")
        .build(DigestFunction::Sha256)
        .expect("it can be built");
    Ok(listing)
}

#[track_caller]
fn check(layers: &[Vec<Vec<u8>>], expected: &[&str]) {
    assert_eq!(flattened(layers).unwrap(), expected);
}

#[test]
fn files_directories_links_and_modes() {
    check(
        &[vec![
            directory("./"),
            directory("./bin/"),
            entry("./bin/sh", b'0', "", 0o4755, b"sh"),
            hard_link("bin/ash", "./bin/sh"),
            hard_link("bin/dash", "/bin/ash"),
            symlink("lib", "usr/lib"),
            file("deep/er/file", "12345"),
            entry("dev/null", b'3', "", 0o666, b""),
            entry("pipe", b'6', "", 0o666, b""),
        ]],
        &[
            "bin/",
            "bin/ash* 2",
            "bin/dash* 2",
            "bin/sh* 2",
            "deep/",
            "deep/er/",
            "deep/er/file 5",
            "lib -> usr/lib",
        ],
    );
}

#[test]
fn later_entries_stand_over_earlier_ones() {
    let base = || {
        vec![
            directory("a"),
            file("a/f", "1"),
            file("b", "1"),
            symlink("s", "a"),
        ]
    };
    let table: &[(Vec<Vec<u8>>, &[&str])] = &[
        (vec![file("a/f", "22")], &["a/", "a/f 2", "b 1", "s -> a"]),
        // A directory over a directory keeps what is in it, anything else does not.
        (
            vec![directory("a"), file("a/g", "1")],
            &["a/", "a/f 1", "a/g 1", "b 1", "s -> a"],
        ),
        (vec![file("a", "x")], &["a 1", "b 1", "s -> a"]),
        (vec![symlink("a", "b")], &["a -> b", "b 1", "s -> a"]),
        (
            vec![directory("b"), file("b/f", "1")],
            &["a/", "a/f 1", "b/", "b/f 1", "s -> a"],
        ),
        // The last component is not followed.
        (vec![file("s", "x")], &["a/", "a/f 1", "b 1", "s 1"]),
        (vec![directory("s")], &["a/", "a/f 1", "b 1", "s/"]),
        // The others are.
        (
            vec![file("s/new", "x")],
            &["a/", "a/f 1", "a/new 1", "b 1", "s -> a"],
        ),
    ];
    for (layer, expected) in table {
        check(&[base(), layer.clone()], expected);
    }
}

#[test]
fn marks_of_what_is_gone() {
    let base = || {
        vec![
            file("a/b/f", "1"),
            file("a/g", "1"),
            file("a-c", "1"),
            symlink("s", "a"),
        ]
    };
    let table: &[(Vec<Vec<u8>>, &[&str])] = &[
        (
            vec![file("a/.wh.g", "")],
            &["a/", "a/b/", "a/b/f 1", "a-c 1", "s -> a"],
        ),
        (vec![file(".wh.a", "")], &["a-c 1", "s -> a"]),
        (
            vec![file(".wh.s", "")],
            &["a/", "a/b/", "a/b/f 1", "a/g 1", "a-c 1"],
        ),
        (
            vec![file(".wh.nothing", "")],
            &["a/", "a/b/", "a/b/f 1", "a/g 1", "a-c 1", "s -> a"],
        ),
        // Through a symlink.
        (vec![file("s/.wh.b", "")], &["a/", "a/g 1", "a-c 1", "s -> a"]),
        // Whatever this layer puts there stays, before the mark or after it.
        (
            vec![file("a/new", "1"), file("a/.wh..wh..opq", ""), file("a/b/h", "1")],
            &["a/", "a/b/", "a/b/h 1", "a/new 1", "a-c 1", "s -> a"],
        ),
        (
            vec![file("a/b/new", "1"), file(".wh.a", "")],
            &["a/", "a/b/", "a/b/new 1", "a-c 1", "s -> a"],
        ),
        (vec![file(".wh..wh..opq", "")], &[]),
        (
            vec![file(".wh..wh.plnk", ""), file("a/.wh..wh.aufs", "")],
            &["a/", "a/b/", "a/b/f 1", "a/g 1", "a-c 1", "s -> a"],
        ),
        // Back again.
        (
            vec![file(".wh.a", ""), file("a", "x")],
            &["a 1", "a-c 1", "s -> a"],
        ),
    ];
    for (layer, expected) in table {
        // As sorted by the tree: `-` is before `/`.
        let mut expected = expected.to_vec();
        expected.sort_by_key(|line| {
            line.trim_end_matches('/')
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned()
        });
        check(&[base(), layer.clone()], &expected);
    }
}

/// Nothing leads out of the tree, whatever a layer says.
#[test]
fn what_would_escape() {
    for (name, layer) in [
        ("up", vec![file("../up", "x")]),
        ("up from below", vec![file("a/../../up", "x")]),
        ("a directory up", vec![directory("..")]),
        ("a hard link up", vec![hard_link("passwd", "../../etc/passwd")]),
        (
            "a hard link to what is not there",
            vec![hard_link("passwd", "/etc/passwd")],
        ),
        (
            "a hard link to a directory",
            vec![directory("d"), hard_link("h", "d")],
        ),
        ("a mark of what is above", vec![file("a/.wh...", "x")]),
        ("a mark of a directory itself", vec![file("a/.wh..", "x")]),
        ("a mark of nothing", vec![file("a/.wh.", "x")]),
        ("below a file", vec![file("f", "x"), file("f/g", "x")]),
        ("a root that is a file", vec![file("/", "x"), symlink("./", "x")]),
        (
            "symlinks without an end",
            vec![symlink("a", "b"), symlink("b", "a"), file("a/f", "x")],
        ),
        ("a symlink to nowhere", vec![entry("x", b'2', "", 0o777, b"")]),
        (
            "a path without an end",
            vec![pax(&[("path", &"d/".repeat(3_000))]), file("x", "")],
        ),
    ] {
        assert!(flattened(&[layer]).is_err(), "{name}");
    }
    // A symlink that points out of the image points to its root.
    check(
        &[vec![
            symlink("out", "../../../etc"),
            symlink("abs", "/etc"),
            file("out/passwd", "x"),
            file("abs/group", "x"),
        ]],
        &[
            "abs -> /etc",
            "etc/",
            "etc/group 1",
            "etc/passwd 1",
            "out -> ../../../etc",
        ],
    );
    check(
        &[vec![file("/absolute", "x"), file("//a//b", "x")]],
        &["a/", "a/b 1", "absolute 1"],
    );
}

#[test]
fn a_name_that_is_no_text_is_refused() {
    let mut layer = file("x", "");
    layer[0] = 0xff;
    crate::tar::writer::seal((&mut layer[..512]).try_into().unwrap());
    let error = flattened(&[vec![layer]]).unwrap_err().to_string();
    assert!(error.contains("not UTF-8"), "{error}");
}

proptest! {
    /// Whatever stands in layers, there is a tree or an error; and a tree has a directory above each node.
    #[test]
    fn every_tree_can_be_built(layers in proptest::collection::vec(
        proptest::collection::vec(("[ab./]{1,6}|[ab]/\\.wh\\.[ab.]{0,2}", 0usize..4, "[ab./]{1,5}"), 0..8), 1..3)
    ) {
        let layers: Vec<Vec<Vec<u8>>> = layers
            .iter()
            .map(|layer| {
                let entry = |(path, kind, target): &(String, usize, String)| match kind {
                    0 => file(path, "x"),
                    1 => directory(path),
                    2 => symlink(path, target),
                    _ => hard_link(path, target),
                };
                layer.iter().map(entry).collect()
            })
            .collect();
        let _ = flattened(&layers);
    }
}
