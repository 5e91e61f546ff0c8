use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use blob::{Blob, DigestFunction};
use cas::BlobStore;
use merkle::{TreeBuilder, Walk};
use tempfile::TempDir;

use super::*;
use crate::fetch::Fetcher;
use crate::file_cache::INPUT_MTIME_S;

const F: DigestFunction = DigestFunction::Sha256;

struct Fixture {
    scratch: TempDir,
    store: Arc<dyn BlobStore>,
    builds: Arc<BuildDirectories>,
    group: Group,
}

/// With `links_files` the action is somebody else, which only root can arrange.
fn fixture(links_files: bool) -> Fixture {
    let scratch = tempfile::tempdir().unwrap();
    let group = Group::new("test");
    let cache = Arc::new(FileCache::open(&scratch.path().join("cache"), 1 << 20, Fetcher::new()).unwrap());
    let is_root = rustix::process::geteuid().is_root();
    let owner = (links_files && is_root).then(|| (Uid::from_raw(62_000), Gid::from_raw(62_001)));
    let placement = Placement {
        links_files,
        owner,
        cannot_reflink: Default::default(),
    };
    let builds = BuildDirectories::open(&scratch.path().join("builds"), cache, placement, 2, &group).unwrap();
    Fixture {
        scratch,
        store: cas::memory(1 << 24),
        builds: Arc::new(builds),
        group,
    }
}

impl Fixture {
    async fn create(&self, tree: TreeBuilder, places: OutputPlaces) -> Result<BuildDirectory, PrepareError> {
        let built = tree.build(F).unwrap();
        let mut walk = Walk::new(built.root);
        for (digest, directory) in built.directories {
            if !digest.is_empty() {
                walk.supply(digest, directory).unwrap();
            }
        }
        let layout = Layout::new(&walk.finish().unwrap(), places).unwrap();
        self.builds.create("label", &*self.store, Arc::new(layout)).await
    }

    async fn put(&self, bytes: &'static [u8]) -> blob::Digest {
        let blob = Blob::from_bytes(F, bytes);
        let digest = blob.digest();
        self.store.put(blob).await.unwrap();
        digest
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.scratch.path().join("builds"))
            .unwrap()
            .count()
    }
}

fn places(outputs: &[&str], parents: &[&str]) -> OutputPlaces {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    OutputPlaces {
        outputs: owned(outputs),
        parents: owned(parents),
    }
}

#[tokio::test]
async fn inputs_stand_in_place_linked_or_copied() {
    for links_files in [true, false] {
        let fixture = fixture(links_files);
        let mut tree = TreeBuilder::new();
        tree.insert_file("plain", fixture.put(b"plain").await, false)
            .unwrap();
        tree.insert_file("a/b/script", fixture.put(b"script").await, true)
            .unwrap();
        tree.insert_file("a/again", fixture.put(b"plain").await, false)
            .unwrap();
        tree.insert_symlink("a/link", "../plain").unwrap();
        tree.insert_symlink("absolute", "/etc/passwd").unwrap();
        tree.insert_directory("a/empty").unwrap();
        let build_directory = fixture
            .create(tree, places(&[], &["out/deep", "a/b"]))
            .await
            .unwrap();
        let root = build_directory.root_path();
        let stat = |path: &str| std::fs::symlink_metadata(root.join(path)).unwrap();
        assert_eq!(std::fs::read(root.join("plain")).unwrap(), b"plain");
        assert_eq!(std::fs::read(root.join("a/link")).unwrap(), b"plain");
        assert_eq!(
            std::fs::read_link(root.join("a/link")).unwrap().to_str(),
            Some("../plain")
        );
        assert_eq!(
            std::fs::read_link(root.join("absolute")).unwrap().to_str(),
            Some("/etc/passwd")
        );
        assert_eq!(
            (stat("plain").mode() & 0o777, stat("a/b/script").mode() & 0o777),
            (0o444, 0o555)
        );
        assert_eq!(stat("plain").mtime(), INPUT_MTIME_S);
        assert_eq!(stat("plain").ino() == stat("a/again").ino(), links_files);
        assert!(stat("a/empty").is_dir() && stat("out/deep").is_dir());
        if links_files && rustix::process::geteuid().is_root() {
            assert_eq!((stat("plain").uid(), stat("plain").gid()), (0, 0));
            for directory in [".", "a", "a/empty", "out", "out/deep"] {
                assert_eq!(
                    (stat(directory).uid(), stat(directory).gid()),
                    (62_000, 62_001),
                    "{directory}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_stands_at_or_below_an_output_is_a_private_writable_copy() {
    let fixture = fixture(true);
    let mut tree = TreeBuilder::new();
    let digest = fixture.put(b"content").await;
    for path in ["out/file", "out/sub/file", "exact", "exact2", "outer/file"] {
        tree.insert_file(path, digest, path == "exact").unwrap();
    }
    let build_directory = fixture
        .create(tree, places(&["out", "exact"], &[]))
        .await
        .unwrap();
    let stat = |path: &str| std::fs::metadata(build_directory.root_path().join(path)).unwrap();
    for (path, mode) in [("out/file", 0o644), ("out/sub/file", 0o644), ("exact", 0o755)] {
        assert_eq!(
            (stat(path).mode() & 0o777, stat(path).nlink()),
            (mode, 1),
            "{path}"
        );
        if rustix::process::geteuid().is_root() {
            assert_eq!(stat(path).uid(), 62_000, "{path}");
        }
    }
    for path in ["exact2", "outer/file"] {
        assert_eq!(
            (stat(path).mode() & 0o777, stat(path).nlink()),
            (0o444, 3),
            "{path}"
        );
    }
    drop(build_directory);
    let mut tree = TreeBuilder::new();
    tree.insert_file("file", digest, false).unwrap();
    let everything = fixture.create(tree, places(&[""], &[])).await.unwrap();
    assert_eq!(
        std::fs::metadata(everything.root_path().join("file"))
            .unwrap()
            .mode()
            & 0o777,
        0o644
    );
}

#[tokio::test]
async fn an_output_parent_is_never_made_through_a_symlink_or_a_file() {
    let fixture = fixture(true);
    let outside = fixture.scratch.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    for (parent, at) in [
        ("link/made", "link"),
        ("a/file/made", "a/file"),
        ("a/inner/x", "a/inner"),
    ] {
        let mut tree = TreeBuilder::new();
        tree.insert_symlink("link", outside.to_str().unwrap()).unwrap();
        tree.insert_symlink("a/inner", "../b").unwrap();
        tree.insert_directory("b").unwrap();
        tree.insert_file("a/file", fixture.put(b"file").await, false)
            .unwrap();
        match fixture.create(tree, places(&[], &[parent])).await {
            Err(PrepareError::OutputParent {
                parent: told,
                at: told_at,
            }) => {
                assert_eq!((told.as_str(), told_at.as_str()), (parent, at));
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("{parent} was made"),
        }
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_damaged_cached_file_is_fetched_again_unseen() {
    let fixture = fixture(true);
    let digest = fixture.put(b"right").await;
    let tree = || {
        let mut tree = TreeBuilder::new();
        tree.insert_file("file", digest, false).unwrap();
        tree
    };
    let first = fixture.create(tree(), places(&[], &[])).await.unwrap();
    // Through a link, as an action could if it had the right to.
    let path = first.root_path().join("file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    std::fs::write(&path, b"wrong").unwrap();
    let second = fixture.create(tree(), places(&[], &[])).await.unwrap();
    assert_eq!(std::fs::read(second.root_path().join("file")).unwrap(), b"right");
}

#[tokio::test]
async fn dropped_directories_vanish_and_a_new_worker_clears_old_ones() {
    let fixture = fixture(false);
    let stays = fixture
        .create(TreeBuilder::new(), places(&[], &["out"]))
        .await
        .unwrap();
    for _ in 0..200 {
        let build_directory = fixture
            .create(TreeBuilder::new(), places(&[], &["a/b/c"]))
            .await
            .unwrap();
        std::fs::write(build_directory.root_path().join("a/b/c/file"), "x").unwrap();
        assert!(
            fixture.left() <= 1 + 2 + crate::limits::REMOVALS_PENDING_MAX,
            "removal falls behind without bound"
        );
    }
    assert!(fixture.group.shut_down(Duration::from_secs(10)).await);
    assert_eq!(fixture.left(), 1);
    drop(stays);
    assert_eq!(fixture.left(), 1, "the sweeper has gone");
    let group = Group::new("second");
    let scratch = fixture.scratch.path();
    let cache = Arc::new(FileCache::open(&scratch.join("cache"), 1, Fetcher::new()).unwrap());
    let placement = Placement {
        links_files: false,
        owner: None,
        cannot_reflink: Default::default(),
    };
    BuildDirectories::open(&scratch.join("builds"), cache, placement, 1, &group).unwrap();
    assert_eq!(fixture.left(), 0);
}

#[tokio::test]
async fn missing_files_leave_nothing_behind() {
    let fixture = fixture(false);
    let mut tree = TreeBuilder::new();
    let absent = blob::Digest::of(F, b"absent");
    tree.insert_file("absent", absent, false).unwrap();
    match fixture.create(tree, places(&[], &[])).await {
        Err(PrepareError::Files(FileCacheError::Missing(missing))) => assert!(missing.contains(&absent)),
        _ => panic!("a file that is missing was laid out"),
    }
    assert_eq!(fixture.left(), 0);
}

#[test]
fn paths_that_no_system_call_takes_are_refused_before_anything_is_made() {
    let mut tree = TreeBuilder::new();
    let long = vec!["x".repeat(200); 19].join("/");
    tree.insert_directory(&long).unwrap();
    let built = tree.build(F).unwrap();
    let mut walk = Walk::new(built.root);
    for (digest, directory) in built.directories {
        if !digest.is_empty() {
            walk.supply(digest, directory).unwrap();
        }
    }
    let layout = Layout::new(&walk.finish().unwrap(), OutputPlaces::default());
    assert!(matches!(
        layout,
        Err(layout::LayoutError::PathTooLong { path_bytes: 3818, .. })
    ));
}

#[tokio::test]
async fn who_waits_for_the_sweeper_finds_everything_removed_that_was_dropped_before() {
    let fixture = fixture(false);
    for _ in 0..20 {
        let directory = fixture
            .create(TreeBuilder::new(), places(&[], &["a/b/c"]))
            .await
            .unwrap();
        drop(directory);
    }
    fixture.builds.sweeper.caught_up().await;
    assert_eq!(fixture.left(), 0);
    let held = fixture
        .create(TreeBuilder::new(), places(&[], &[]))
        .await
        .unwrap();
    fixture.builds.sweeper.caught_up().await;
    assert_eq!(fixture.left(), 1, "one that is in use is not waited for");
    drop(held);
}
