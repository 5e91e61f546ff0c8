mod hostile;

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use blob::{Blob, ByteRange, Digest};
use cas::BlobStore;
use futures::StreamExt;
use merkle::{Directory, Tree};
use tempfile::TempDir;

use super::*;
use crate::limits::{OUTPUT_BYTES_IN_MEMORY_MAX, SMALL_BLOB_BYTES_MAX};

const F: DigestFunction = DigestFunction::Sha256;

/// What the Command asks for; changed by each test.
struct Fixture {
    scratch: TempDir,
    root: PathBuf,
    wanted: OutputsWanted,
}

fn fixture(list: List, outputs: &[&str]) -> Fixture {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let outputs = outputs.iter().map(|text| output(list, text)).collect();
    let properties = PropertiesWanted::default();
    Fixture {
        scratch,
        root,
        wanted: OutputsWanted {
            outputs,
            function: F,
            trees: true,
            directories: false,
            properties,
        },
    }
}

fn output(list: List, text: &str) -> OutputWanted {
    OutputWanted {
        text: text.to_owned(),
        path: text.to_owned(),
        list,
    }
}

impl Fixture {
    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn collect(&self) -> (Result<Outputs, OutputError>, Uploads) {
        let root = sys::open(&self.root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        let mut uploads = Uploads::default();
        (collect(&self.wanted, &Arc::new(root), &mut uploads), uploads)
    }

    fn collected(&self) -> Outputs {
        self.collect().0.unwrap()
    }

    fn refused(&self) -> OutputError {
        match self.collect().0 {
            Err(error) => error,
            Ok(_) => panic!("these outputs should have been refused"),
        }
    }

    /// Collects and uploads to a fresh store.
    async fn uploaded(&self) -> (Outputs, Arc<dyn BlobStore>) {
        let (outputs, uploads) = self.collect();
        let store = cas::memory(1 << 30);
        upload(&*store, uploads).await.unwrap();
        (outputs.unwrap(), store)
    }
}

async fn read(store: &dyn BlobStore, digest: &Option<proto::Digest>) -> Vec<u8> {
    let digest = Digest::required(F, digest.as_ref(), "digest").unwrap();
    if digest.is_empty() {
        return Vec::new();
    }
    let stream = store
        .get(&digest, ByteRange::FULL)
        .await
        .unwrap()
        .expect("uploaded");
    Blob::checked(digest, stream)
        .into_bytes(u64::MAX)
        .await
        .unwrap()
        .to_vec()
}

#[tokio::test]
async fn files_come_with_content_and_mode_and_what_is_not_there_is_left_out() {
    let mut fixture = fixture(
        List::Paths,
        &["plain", "a/script", "empty", "absent", "plain/below", "large"],
    );
    fixture.wanted.outputs.push(OutputWanted {
        text: "../up".into(),
        path: "plain".into(),
        list: List::Paths,
    });
    fixture.write("plain", b"plain");
    fixture.write("a/script", b"script");
    fixture.write("empty", b"");
    let large: Vec<u8> = (0..SMALL_BLOB_BYTES_MAX as usize * 20)
        .map(|number| (number / 999) as u8)
        .collect();
    fixture.write("large", &large);
    std::fs::set_permissions(fixture.root.join("a/script"), PermissionsExt::from_mode(0o755)).unwrap();
    let (outputs, store) = fixture.uploaded().await;
    let found: Vec<_> = outputs
        .files
        .iter()
        .map(|file| (&*file.path, file.is_executable))
        .collect();
    let expected = [
        ("plain", false),
        ("a/script", true),
        ("empty", false),
        ("large", false),
        ("../up", false),
    ];
    assert_eq!(found, expected);
    assert_eq!(read(&*store, &outputs.files[0].digest).await, b"plain");
    assert_eq!(read(&*store, &outputs.files[1].digest).await, b"script");
    assert_eq!(read(&*store, &outputs.files[2].digest).await, b"");
    assert_eq!(read(&*store, &outputs.files[3].digest).await, large);
    assert!(outputs.files.iter().all(|file| file.node_properties.is_none()));
}

#[tokio::test]
async fn a_directory_is_a_sorted_tree_and_directories_where_asked() {
    for (trees, directories) in [(true, false), (false, true), (true, true)] {
        let mut fixture = fixture(List::Paths, &["out"]);
        (fixture.wanted.trees, fixture.wanted.directories) = (trees, directories);
        for path in ["out/b/deep/x", "out/a/deep/x", "out/z", "out/a/y"] {
            fixture.write(path, path.as_bytes());
        }
        fixture.write("out/b/deep/x", b"same");
        fixture.write("out/a/deep/x", b"same");
        fixture.link("out/link", "/absolute/dangling");
        std::fs::create_dir(fixture.root.join("out/empty")).unwrap();
        let (outputs, store) = fixture.uploaded().await;
        let [directory] = &outputs.directories[..] else {
            panic!("one directory was asked for")
        };
        assert_eq!(directory.path, "out");
        assert_eq!(directory.tree_digest.is_some(), trees);
        assert_eq!(directory.is_topologically_sorted, trees);
        assert_eq!(directory.root_directory_digest.is_some(), directories);
        if trees {
            let bytes = read(&*store, &directory.tree_digest).await;
            let tree = Tree::decode(F, bytes.clone()).unwrap();
            assert_eq!(tree.encode(), bytes, "canonical order");
            let paths: Vec<String> = tree
                .as_input_tree()
                .entries()
                .unwrap()
                .map(|(path, _)| path)
                .collect();
            assert_eq!(
                paths,
                [
                    "z", "link", "a", "a/y", "a/deep", "a/deep/x", "b", "b/deep", "b/deep/x", "empty"
                ]
            );
            assert_eq!(
                tree.root().symlink("link").unwrap().target.as_str(),
                "/absolute/dangling"
            );
            for digest in tree.file_digests() {
                read(&*store, &Some(digest.to_proto())).await;
            }
            if directories {
                assert_eq!(
                    Some(tree.root_digest().to_proto()),
                    directory.root_directory_digest
                );
            }
        }
        if directories {
            let root = Directory::decode(F, &read(&*store, &directory.root_directory_digest).await).unwrap();
            for node in root.directories() {
                Directory::decode(F, &read(&*store, &Some(node.digest.to_proto())).await).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn the_root_itself_can_be_an_output() {
    let fixture = fixture(List::Paths, &[""]);
    fixture.write("a/b", b"x");
    let (outputs, store) = fixture.uploaded().await;
    assert_eq!(outputs.directories[0].path, "");
    let tree = Tree::decode(F, read(&*store, &outputs.directories[0].tree_digest).await).unwrap();
    assert_eq!(tree.file_digests().count(), 1);
}

#[test]
fn symlinks_stay_symlinks_and_old_clients_find_them_too() {
    let fixture = fixture(
        List::Paths,
        &[
            "to_file",
            "to_directory",
            "dangling",
            "absolute",
            "loop",
            "out_of_root",
        ],
    );
    fixture.write("d/file", b"x");
    fixture.link("to_file", "d/file");
    fixture.link("to_directory", "d");
    fixture.link("dangling", "nowhere");
    fixture.link("absolute", "/etc/passwd");
    fixture.link("loop", "loop");
    fixture.link("out_of_root", "../../../etc");
    let outputs = fixture.collected();
    assert!(outputs.files.is_empty() && outputs.directories.is_empty());
    let texts = |symlinks: &[proto::OutputSymlink]| -> Vec<(String, String)> {
        symlinks
            .iter()
            .map(|symlink| (symlink.path.clone(), symlink.target.clone()))
            .collect()
    };
    assert_eq!(outputs.symlinks.len(), 6);
    assert_eq!(texts(&outputs.symlinks)[0], ("to_file".into(), "d/file".into()));
    assert_eq!(
        texts(&outputs.directory_symlinks),
        [("to_directory".into(), "d".into())]
    );
    assert_eq!(outputs.file_symlinks.len(), 5);
}

#[test]
fn the_old_lists_fix_the_kind() {
    let check = |list, path: &str| {
        let fixture = fixture(list, &[path]);
        fixture.write("directory/file", b"x");
        fixture.link("to_file", "directory/file");
        fixture.link("to_directory", "directory");
        fixture.link("dangling", "nowhere");
        fixture.collect().0
    };
    assert_eq!(check(List::Files, "directory/file").unwrap().files.len(), 1);
    assert_eq!(
        check(List::Directories, "directory").unwrap().directories.len(),
        1
    );
    for (list, path) in [
        (List::Files, "directory"),
        (List::Directories, "directory/file"),
        (List::Files, "to_directory"),
        (List::Directories, "to_file"),
    ] {
        assert!(
            matches!(check(list, path), Err(OutputError::WrongKind { .. })),
            "{list:?} {path}"
        );
    }
    for path in ["to_file", "dangling"] {
        let outputs = check(List::Files, path).unwrap();
        assert_eq!(
            (outputs.file_symlinks.len(), outputs.symlinks.len()),
            (1, 0),
            "{path}"
        );
    }
    for path in ["to_directory", "dangling"] {
        let outputs = check(List::Directories, path).unwrap();
        assert_eq!(
            (outputs.directory_symlinks.len(), outputs.symlinks.len()),
            (1, 0),
            "{path}"
        );
    }
}

#[test]
fn nothing_is_collected_through_a_symlink() {
    let fixture = fixture(List::Paths, &["link/secret"]);
    let outside = fixture.scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    fixture.link("link", outside.to_str().unwrap());
    assert!(matches!(fixture.refused(), OutputError::ThroughSymlink { .. }));
    std::fs::remove_file(fixture.root.join("link")).unwrap();
    fixture.link("link", "real");
    fixture.write("real/secret", b"mine");
    assert!(matches!(fixture.refused(), OutputError::ThroughSymlink { .. }));
}

#[test]
fn pipes_and_sockets_are_an_error_by_name_and_left_out_of_directories() {
    let pipe = |fixture: &Fixture, path: &str| {
        sys::mknodat(sys::CWD, fixture.root.join(path), FileType::Fifo, Mode::RWXU, 0).unwrap();
    };
    let named = fixture(List::Paths, &["pipe"]);
    pipe(&named, "pipe");
    let error = named.refused();
    assert!(
        matches!(
            error,
            OutputError::Special {
                found: "named pipe",
                ..
            }
        ),
        "{error}"
    );

    let inside = fixture(List::Paths, &["out"]);
    inside.write("out/file", b"x");
    for number in 0..SKIPPED_NAMED_MAX + 2 {
        pipe(&inside, &format!("out/pipe{number}"));
    }
    let _socket = std::os::unix::net::UnixListener::bind(inside.root.join("out/socket")).unwrap();
    let outputs = inside.collected();
    assert_eq!(outputs.directories.len(), 1);
    assert_eq!(
        (outputs.skipped.0.len(), outputs.skipped.1),
        (SKIPPED_NAMED_MAX, SKIPPED_NAMED_MAX + 3)
    );
}

#[test]
fn closed_files_and_directories_are_read() {
    let fixture = fixture(List::Paths, &["out", "file"]);
    fixture.write("out/closed/file", b"x");
    fixture.write("out/file", b"y");
    fixture.write("file", b"z");
    for path in ["out/closed/file", "out/file", "file", "out/closed", "out"] {
        std::fs::set_permissions(fixture.root.join(path), PermissionsExt::from_mode(0o000)).unwrap();
    }
    let outputs = fixture.collected();
    assert_eq!((outputs.files.len(), outputs.directories.len()), (1, 1));
}

#[test]
fn what_rest_cannot_be_said_in_the_protocol_is_named() {
    let bad = std::ffi::OsStr::from_bytes(b"bad\xff");
    let named = fixture(List::Paths, &["out"]);
    named.write("out/x", b"x");
    std::fs::write(named.root.join("out").join(bad), "x").unwrap();
    assert!(matches!(
        named.refused(),
        OutputError::Name {
            source: NodeNameError::NotUtf8 { .. },
            ..
        }
    ));
    let target = fixture(List::Paths, &["link"]);
    symlink(bad, target.root.join("link")).unwrap();
    assert!(matches!(target.refused(), OutputError::TargetNotUtf8 { .. }));
}

#[test]
fn depth_and_apparent_size_are_bounded() {
    let deep = fixture(List::Paths, &["out"]);
    std::fs::create_dir_all(deep.root.join("out").join("d/".repeat(OUTPUT_DEPTH_MAX - 1))).unwrap();
    assert_eq!(deep.collected().directories.len(), 1);
    std::fs::create_dir_all(deep.root.join("out").join("d/".repeat(OUTPUT_DEPTH_MAX))).unwrap();
    assert!(matches!(deep.refused(), OutputError::TooDeep { .. }));

    let sparse = fixture(List::Paths, &["huge"]);
    let file = std::fs::File::create(sparse.root.join("huge")).unwrap();
    file.set_len(1 << 40).unwrap();
    assert!(matches!(sparse.refused(), OutputError::TooLarge));
}

#[test]
fn node_properties_are_told_when_asked() {
    let mut fixture = fixture(List::Paths, &["file", "link", "out"]);
    fixture.write("file", b"x");
    fixture.write("out/inner", b"x");
    fixture.link("link", "file");
    std::fs::set_permissions(fixture.root.join("file"), PermissionsExt::from_mode(0o640)).unwrap();
    fixture.wanted.properties = PropertiesWanted {
        mtime: true,
        unix_mode: true,
    };
    let outputs = fixture.collected();
    let properties = outputs.files[0].node_properties.as_ref().unwrap();
    assert_eq!(properties.unix_mode, Some(0o640));
    assert!(properties.mtime.unwrap().seconds > 1_600_000_000);
    assert!(outputs.symlinks[0].node_properties.is_some());
    let root = sys::open(&fixture.root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    let mut uploads = Uploads::default();
    let mut collection = Collection {
        wanted: &fixture.wanted,
        root: &Arc::new(root),
        found: Outputs::default(),
        uploads: &mut uploads,
        entries: 0,
        bytes: 0,
    };
    let out = open_beneath(collection.root, "out", OFlags::RDONLY)
        .unwrap()
        .unwrap();
    let tree = collection.tree(out, "out").unwrap();
    assert!(tree.root().node_properties().unwrap().mtime().is_some());
    assert_eq!(
        tree.root()
            .file("inner")
            .unwrap()
            .node_properties
            .as_ref()
            .unwrap()
            .unix_mode(),
        Some(0o644)
    );
}

#[tokio::test]
async fn many_small_outputs_do_not_pile_up_in_memory() {
    let count = (OUTPUT_BYTES_IN_MEMORY_MAX / SMALL_BLOB_BYTES_MAX) as usize + 5;
    let fixture = fixture(List::Paths, &["out"]);
    for number in 0..count {
        let mut bytes = vec![0; SMALL_BLOB_BYTES_MAX as usize];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        fixture.write(&format!("out/{number}"), &bytes);
    }
    let (outputs, uploads) = fixture.collect();
    assert!(outputs.is_ok());
    assert!(!uploads.has_memory_for(SMALL_BLOB_BYTES_MAX));
    let store = cas::memory(1 << 28);
    let tree = Tree::decode(F, {
        upload(&*store, uploads).await.unwrap();
        read(&*store, &outputs.unwrap().directories[0].tree_digest).await
    });
    for digest in tree.unwrap().file_digests() {
        assert!(
            store
                .get(&digest, ByteRange::FULL)
                .await
                .unwrap()
                .unwrap()
                .next()
                .await
                .unwrap()
                .is_ok()
        );
    }
}

#[tokio::test]
async fn logs_are_inline_when_small_and_uploaded_always() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("log");
    let mut uploads = Uploads::default();
    let absent = read_log(&path, None, F, &mut uploads).unwrap();
    assert!(absent.raw.is_empty() && absent.digest.is_none());
    for (length, is_inline) in [
        (0, true),
        (1, true),
        (16 << 10, true),
        ((16 << 10) + 1, false),
        (1 << 20, false),
    ] {
        let bytes = vec![0xff; length];
        std::fs::write(&path, &bytes).unwrap();
        let log = read_log(&path, None, F, &mut uploads).unwrap();
        assert_eq!(log.raw.len(), if is_inline { length } else { 0 });
        assert_eq!(log.digest.is_some(), length > 0);
        if length > 0 {
            let store = cas::memory(1 << 24);
            upload(&*store, std::mem::take(&mut uploads)).await.unwrap();
            assert_eq!(read(&*store, &log.digest).await, bytes);
        }
    }
    std::fs::remove_file(&path).unwrap();
    let told = read_log(&path, Some("farrier: no\n"), F, &mut uploads).unwrap();
    assert_eq!(told.raw, "farrier: no\n");
}
