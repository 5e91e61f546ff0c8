use proptest::prelude::*;
use prost_types::Timestamp;

use super::*;
use crate::node::SymlinkTarget;

const F: DigestFunction = DigestFunction::Sha256;

fn digest(content: &str) -> Digest {
    Digest::of(F, content.as_bytes())
}

fn file(name: &str) -> proto::FileNode {
    proto::FileNode {
        name: name.to_owned(),
        digest: Some(digest(name).to_proto()),
        ..Default::default()
    }
}

fn subdirectory(name: &str) -> proto::DirectoryNode {
    proto::DirectoryNode {
        name: name.to_owned(),
        digest: Some(digest(name).to_proto()),
    }
}

fn symlink(name: &str, target: &str) -> proto::SymlinkNode {
    proto::SymlinkNode {
        name: name.to_owned(),
        target: target.to_owned(),
        node_properties: None,
    }
}

/// Both ways in must agree.
fn read(proto: &proto::Directory) -> Result<Directory, DirectoryError> {
    let checked = Directory::from_proto(F, proto);
    assert_eq!(Directory::decode(F, &proto.encode_to_vec()), checked);
    checked
}

fn files(names: &[&str]) -> proto::Directory {
    proto::Directory {
        files: names.iter().map(|name| file(name)).collect(),
        ..Default::default()
    }
}

#[test]
fn golden_vector_hello_cpp() {
    let content = Digest::from_hex(
        F,
        "d4fb49aea82924340a1e5875214f072f2b8f6a0a511d17853b5ad2ed14667178",
        98,
    )
    .unwrap();
    let file = FileNode {
        name: NodeName::new("hello.cpp").unwrap(),
        digest: content,
        is_executable: false,
        node_properties: None,
    };
    let directory = Directory::new(vec![file], vec![], vec![], None).unwrap();
    let expected = "a305bea9aacce4b741b6a783ea24e6b49163d9de4db3a86c5f2888445aa1734d/83";
    assert_eq!(directory.digest(F).to_string(), expected);
    assert_eq!(directory.blob(F).digest().to_string(), expected);
}

#[test]
fn the_empty_directory_is_the_empty_blob() {
    assert_eq!(Directory::default().digest(F), Digest::empty(F));
    assert_eq!(Directory::decode(F, b""), Ok(Directory::default()));
}

#[test]
fn a_directory_with_everything_round_trips() {
    let properties = proto::NodeProperties {
        properties: vec![
            proto::NodeProperty {
                name: "a".to_owned(),
                value: "1".to_owned(),
            },
            proto::NodeProperty {
                name: "b".to_owned(),
                value: String::new(),
            },
        ],
        mtime: Some(Timestamp { seconds: 1, nanos: 2 }),
        unix_mode: Some(0o755),
    };
    let proto = proto::Directory {
        files: vec![
            proto::FileNode {
                is_executable: true,
                node_properties: Some(properties.clone()),
                ..file("run")
            },
            file("z"),
        ],
        directories: vec![subdirectory("sub")],
        symlinks: vec![
            symlink("absolute", "/usr/bin/env"),
            proto::SymlinkNode {
                node_properties: Some(properties.clone()),
                ..symlink("up", "../../x")
            },
        ],
        node_properties: Some(properties),
    };
    let directory = read(&proto).unwrap();
    assert_eq!(directory.to_proto(), proto);
    assert_eq!(directory.encode(), proto.encode_to_vec());
    assert_eq!(directory.node_count(), 5);
    assert!(directory.file("run").is_some_and(|file| file.is_executable));
    assert!(directory.file("sub").is_none() && directory.directory("sub").is_some());
    assert_eq!(
        directory.symlink("absolute").map(|link| link.target.as_str()),
        Some("/usr/bin/env")
    );
    assert_eq!(
        directory.node_properties().and_then(NodeProperties::unix_mode),
        Some(0o755)
    );
}

#[test]
fn e26_unsorted_lists_are_refused_with_both_names() {
    let unsorted = |kind| DirectoryError::Unsorted {
        kind,
        before: "b".to_owned(),
        after: "a".to_owned(),
    };
    assert_eq!(read(&files(&["b", "a"])), Err(unsorted(NodeKind::File)));
    let directories = vec![subdirectory("b"), subdirectory("a")];
    assert_eq!(
        read(&proto::Directory {
            directories,
            ..Default::default()
        }),
        Err(unsorted(NodeKind::Directory))
    );
    let symlinks = vec![symlink("b", "x"), symlink("a", "x")];
    assert_eq!(
        read(&proto::Directory {
            symlinks,
            ..Default::default()
        }),
        Err(unsorted(NodeKind::Symlink))
    );
    // By bytes, not by locale or case.
    assert!(read(&files(&["B", "a", "z", "é"])).is_ok());
    assert!(read(&files(&["a", "B"])).is_err());
}

#[test]
fn e26_a_name_twice_is_refused_within_and_across_lists() {
    let duplicate = Err(DirectoryError::Duplicate { name: "m".to_owned() });
    assert_eq!(read(&files(&["m", "m"])), duplicate);
    let (names, directories) = (
        files(&["a", "m", "z"]),
        vec![subdirectory("b"), subdirectory("m")],
    );
    let symlinks = vec![symlink("c", "x"), symlink("m", "x")];
    assert_eq!(
        read(&proto::Directory {
            directories: directories.clone(),
            ..names.clone()
        }),
        duplicate
    );
    assert_eq!(
        read(&proto::Directory {
            symlinks: symlinks.clone(),
            ..names
        }),
        duplicate
    );
    assert_eq!(
        read(&proto::Directory {
            directories,
            symlinks,
            ..Default::default()
        }),
        duplicate
    );
}

#[test]
fn e26_bad_names_are_refused() {
    for name in ["", ".", "..", "a/b", "/", "a\0b", &"x".repeat(256)] {
        assert!(
            matches!(
                read(&files(&[name])),
                Err(DirectoryError::Name {
                    kind: NodeKind::File,
                    ..
                })
            ),
            "{name:?}"
        );
    }
    let directories = vec![subdirectory("..")];
    assert!(
        read(&proto::Directory {
            directories,
            ..Default::default()
        })
        .is_err()
    );
    let symlinks = vec![symlink("a/b", "x")];
    assert!(
        read(&proto::Directory {
            symlinks,
            ..Default::default()
        })
        .is_err()
    );
}

#[test]
fn bad_digests_are_refused() {
    let with = |digest| proto::Directory {
        files: vec![proto::FileNode {
            name: "a".to_owned(),
            digest,
            ..Default::default()
        }],
        ..Default::default()
    };
    let refused = |digest| matches!(read(&with(digest)), Err(DirectoryError::Digest { .. }));
    assert!(refused(None));
    assert!(refused(Some(proto::Digest {
        hash: "ab".to_owned(),
        size_bytes: 1
    })));
    assert!(refused(Some(proto::Digest {
        size_bytes: -1,
        ..digest("a").to_proto()
    })));
    assert!(refused(Some(proto::Digest {
        size_bytes: 0,
        ..digest("a").to_proto()
    })));
    let directories = vec![proto::DirectoryNode {
        name: "d".to_owned(),
        digest: None,
    }];
    assert!(
        read(&proto::Directory {
            directories,
            ..Default::default()
        })
        .is_err()
    );
}

#[test]
fn impossible_symlink_targets_are_refused() {
    let read = |target: &str| {
        read(&proto::Directory {
            symlinks: vec![symlink("l", target)],
            ..Default::default()
        })
        .map(|_| ())
    };
    assert_eq!(
        read(""),
        Err(DirectoryError::EmptySymlinkTarget { name: "l".to_owned() })
    );
    assert_eq!(
        read("a\0"),
        Err(DirectoryError::NulInSymlinkTarget { name: "l".to_owned() })
    );
    assert!(matches!(
        read(&"a".repeat(4096)),
        Err(DirectoryError::LongSymlinkTarget {
            length_bytes: 4096,
            ..
        })
    ));
    assert_eq!(read(&"a".repeat(4095)), Ok(()));
}

#[test]
fn bad_node_properties_are_refused() {
    let read = |properties: proto::NodeProperties| {
        let on_file = proto::FileNode {
            node_properties: Some(properties.clone()),
            ..file("a")
        };
        let in_file = read(&proto::Directory {
            files: vec![on_file],
            ..Default::default()
        });
        let own = read(&proto::Directory {
            node_properties: Some(properties),
            ..Default::default()
        });
        assert_eq!(in_file.is_ok(), own.is_ok());
        own
    };
    let named = |names: &[&str]| proto::NodeProperties {
        properties: names
            .iter()
            .map(|name| proto::NodeProperty {
                name: (*name).to_owned(),
                value: String::new(),
            })
            .collect(),
        ..Default::default()
    };
    assert!(read(named(&["a", "b"])).is_ok());
    assert!(matches!(
        read(named(&["b", "a"])),
        Err(DirectoryError::NodeProperties { .. })
    ));
    assert!(read(named(&["", "a"])).is_err());
    assert!(read(named(&["a"; 101])).is_err());
    let mtime = Some(Timestamp {
        seconds: 0,
        nanos: 1_000_000_000,
    });
    assert!(
        read(proto::NodeProperties {
            mtime,
            ..Default::default()
        })
        .is_err()
    );
}

#[test]
fn unknown_fields_are_stepped_over() {
    let mut bytes = files(&["a"]).encode_to_vec();
    let known = Directory::decode(F, &bytes).unwrap();
    bytes.extend([0x7a, 2, b'h', b'i', 0x20, 7]);
    assert_eq!(Directory::decode(F, &bytes), Ok(known));
}

#[test]
fn bytes_that_are_no_directory_are_refused() {
    for bytes in [&b"\x0a"[..], b"\x0a\x05a", b"\x08\x01", b"\x0b", b"hello world"] {
        assert!(
            matches!(Directory::decode(F, bytes), Err(DirectoryError::Encoding { .. })),
            "{bytes:?}"
        );
    }
    // Not UTF-8.
    assert!(matches!(
        Directory::decode(F, b"\x0a\x03\x0a\x01\xff"),
        Err(DirectoryError::Encoding { .. })
    ));
}

#[test]
fn a_flood_of_empty_nodes_ends_at_the_first() {
    let bytes = [0x0a, 0].repeat(4 << 20);
    assert!(matches!(
        Directory::decode(F, &bytes),
        Err(DirectoryError::Name { .. })
    ));
}

#[test]
fn the_number_of_nodes_is_bounded() {
    let nodes = |count: usize| {
        (0..count)
            .map(|at| SymlinkNode {
                name: NodeName::new(&at.to_string()).unwrap(),
                target: SymlinkTarget::new("", "x").unwrap(),
                node_properties: None,
            })
            .collect()
    };
    assert!(Directory::new(vec![], vec![], nodes(DIRECTORY_NODES_MAX), None).is_ok());
    let over = Directory::new(vec![], vec![], nodes(DIRECTORY_NODES_MAX + 1), None);
    assert_eq!(over, Err(DirectoryError::TooManyNodes));
}

#[test]
fn new_sorts_and_refuses_duplicates() {
    let node = |name: &str| DirectoryNode {
        name: NodeName::new(name).unwrap(),
        digest: digest(name),
    };
    let directory = Directory::new(vec![], vec![node("b"), node("a")], vec![], None).unwrap();
    assert_eq!(
        directory
            .directories()
            .iter()
            .map(|node| node.name.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert!(Directory::new(vec![], vec![node("b"), node("b")], vec![], None).is_err());
}

/// Reading record by record accepts nothing that decoding in one go reads otherwise.
fn agrees_with_the_library(bytes: &[u8]) {
    if let Ok(directory) = Directory::decode(F, bytes) {
        let proto = proto::Directory::decode(bytes).expect("what we accept is a message");
        assert_eq!(Directory::from_proto(F, &proto), Ok(directory));
    }
}

fn any_proto() -> impl Strategy<Value = proto::Directory> {
    let names = || prop::collection::vec("[a-d./\0é]{0,3}", 0..4);
    (names(), names(), names(), any::<bool>()).prop_map(|(mut files, mut directories, mut symlinks, sort)| {
        if sort {
            files.sort();
            directories.sort();
            symlinks.sort();
        }
        proto::Directory {
            files: files.iter().map(|name| file(name)).collect(),
            directories: directories.iter().map(|name| subdirectory(name)).collect(),
            symlinks: symlinks.iter().map(|name| symlink(name, name)).collect(),
            node_properties: None,
        }
    })
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees_with_the_library(&bytes);
    }

    #[test]
    fn any_damage_to_a_directory_is_answered(at in 0usize..300, byte in any::<u8>(), length in 0usize..400) {
        let mut proto = files(&["a", "b"]);
        proto.node_properties = Some(proto::NodeProperties { unix_mode: Some(7), ..Default::default() });
        let mut bytes = proto.encode_to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(length);
        agrees_with_the_library(&bytes);
    }

    #[test]
    fn what_is_accepted_is_canonical_and_round_trips(proto in any_proto()) {
        if let Ok(directory) = read(&proto) {
            prop_assert_eq!(directory.to_proto(), proto.clone());
            let mut names: Vec<&str> = proto.files.iter().map(|node| node.name.as_str())
                .chain(proto.directories.iter().map(|node| node.name.as_str()))
                .chain(proto.symlinks.iter().map(|node| node.name.as_str()))
                .collect();
            let count = names.len();
            names.sort();
            names.dedup();
            prop_assert_eq!(names.len(), count);
            prop_assert!(names.iter().all(|name| NodeName::check(name).is_ok()));
            prop_assert_eq!(Directory::decode(F, &directory.encode()), Ok(directory));
        }
    }
}
