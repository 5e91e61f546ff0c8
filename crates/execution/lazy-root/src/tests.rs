//! Against the kernel: real mounts, where this machine lets us.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use blob::{Digest, DigestFunction};
use futures::FutureExt;
use merkle::{BuiltTree, Directory, TreeBuilder};
use parking_lot::Mutex;
use tasks::Group;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::*;

const F: DigestFunction = DigestFunction::Sha256;

/// Directories and files in memory. What is not there is missing; with a gate, every fetch waits at it.
#[derive(Clone, Default)]
struct Shelf {
    directories: Arc<HashMap<Digest, Arc<Directory>>>,
    files: Arc<HashMap<Digest, Vec<u8>>>,
    fetched: Arc<Mutex<Vec<Digest>>>,
    gate: Option<Arc<Semaphore>>,
}

impl Contents for Shelf {
    type Error = String;

    fn directory(
        &self,
        digest: Digest,
    ) -> impl Future<Output = Result<Arc<Directory>, String>> + Send + 'static {
        let found = self.directories.get(&digest).cloned();
        std::future::ready(found.ok_or_else(|| format!("no directory {digest}")))
    }

    fn file(&self, file: InputFile) -> impl Future<Output = Result<OwnedFd, String>> + Send + 'static {
        let this = self.clone();
        async move {
            if let Some(gate) = &this.gate {
                gate.acquire().await.unwrap().forget();
            }
            this.fetched.lock().push(file.digest);
            let bytes = this.files.get(&file.digest).ok_or("missing")?;
            let mut written = tempfile::tempfile().unwrap();
            written.write_all(bytes).unwrap();
            Ok(written.into())
        }
    }

    fn too_slow(&self, path: &str) -> String {
        format!("{path} is too slow")
    }

    fn broken(&self, path: &str, error: io::Error) -> String {
        format!("{path}: {error}")
    }
}

struct Fixture {
    scratch: TempDir,
    shelf: Shelf,
    root: LazyRoot<Shelf>,
    group: Group,
    // The overlay first: it stands on the other.
    _overlay: Mounted,
    _mounted: Mounted,
}

/// Says why, if this machine mounts nothing for us.
fn cannot_mount() -> bool {
    let scratch = tempfile::tempdir().unwrap();
    match probe(&scratch.path().join("probe"), &Group::new("probe")) {
        Ok(()) => false,
        Err(why) => {
            assert!(!why.is_empty());
            eprintln!("skipped: {why}");
            true
        }
    }
}

fn tree() -> (BuiltTree, Vec<&'static [u8]>) {
    let mut tree = TreeBuilder::new();
    let digest = |bytes: &[u8]| Digest::of(F, bytes);
    tree.insert_file("bin/tool", digest(b"#!/bin/sh\necho ran\n"), true)
        .unwrap();
    tree.insert_file("src/a", digest(b"content of a"), false).unwrap();
    tree.insert_file("src/b", digest(b"content of b"), false).unwrap();
    tree.insert_file("out/old", digest(b"old"), false).unwrap();
    tree.insert_file("lost", digest(b"lost"), false).unwrap();
    tree.insert_symlink("link", "src/a").unwrap();
    tree.insert_directory("src/empty").unwrap();
    let kept: [&[u8]; 4] = [b"#!/bin/sh\necho ran\n", b"content of a", b"content of b", b"old"];
    (tree.build(F).unwrap(), kept.to_vec())
}

fn fixture(gate: Option<Arc<Semaphore>>) -> Fixture {
    let (built, kept) = tree();
    let directories = built.blobs().map(|blob| {
        let digest = blob.digest();
        let bytes = blob.into_bytes(1 << 20).now_or_never().unwrap().unwrap();
        (digest, Arc::new(Directory::decode(F, &bytes).unwrap()))
    });
    let shelf = Shelf {
        directories: Arc::new(directories.collect()),
        files: Arc::new(
            kept.into_iter()
                .map(|bytes| (Digest::of(F, bytes), bytes.to_vec()))
                .collect(),
        ),
        fetched: Arc::default(),
        gate,
    };
    let scratch = tempfile::tempdir().unwrap();
    for name in ["inputs", "upper", "work", "root"] {
        fs::create_dir(scratch.path().join(name)).unwrap();
    }
    let options = RootOptions {
        root: built.root,
        owners: Owners {
            action: Id { uid: 4321, gid: 4321 },
            files: Id { uid: 0, gid: 0 },
            outputs: ["out".to_owned()].into(),
            modified: Duration::from_secs(946_684_800),
        },
    };
    let group = Group::new("test");
    let at = |name: &str| scratch.path().join(name);
    let (root, _mounted) = mount(&at("inputs"), shelf.clone(), options, &group).unwrap();
    let layers = Layers {
        lower: &at("inputs"),
        upper: &at("upper"),
        work: &at("work"),
    };
    let _overlay = overlay(&at("root"), layers).unwrap();
    root.observe(true);
    Fixture {
        scratch,
        shelf,
        root,
        group,
        _overlay,
        _mounted,
    }
}

impl Fixture {
    fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join("root").join(path)
    }

    fn fetched(&self) -> usize {
        self.shelf.fetched.lock().len()
    }
}

/// Whatever touches the mount is blocking.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn set(paths: &[&str]) -> std::collections::BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_looks_as_if_it_were_laid_out_and_only_what_is_read_is_fetched() {
    if cannot_mount() {
        return;
    }
    let fixture = fixture(None);
    let (root, at) = (fixture.root.clone(), fixture.scratch.path().join("root"));
    blocking(move || {
        assert_eq!(names(&at), ["bin", "link", "lost", "out", "src"]);
        assert_eq!(names(&at.join("src")), ["a", "b", "empty"]);
        let looks = |path: &str| {
            let metadata = fs::symlink_metadata(at.join(path)).unwrap();
            (
                metadata.permissions().mode() & 0o7777,
                metadata.uid(),
                metadata.len(),
            )
        };
        assert_eq!(looks("bin/tool"), (0o555, 0, 19));
        assert_eq!(looks("src/b"), (0o444, 0, 12));
        assert_eq!(looks("out/old"), (0o644, 4321, 3));
        assert_eq!((looks("src").0, looks("src").1), (0o755, 4321));
        assert_eq!(fs::metadata(at.join("src/b")).unwrap().mtime(), 946_684_800);
        assert_eq!(fs::read_link(at.join("link")).unwrap(), Path::new("src/a"));
        assert_eq!(fs::read(at.join("link")).unwrap(), b"content of a");
        assert_eq!(fs::read(at.join("src/a")).unwrap(), b"content of a");
        let run = std::process::Command::new(at.join("bin/tool")).output().unwrap();
        assert_eq!(run.stdout, b"ran\n");
        for absent in ["src/c", "absent/deeper"] {
            let error = fs::read(at.join(absent)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    })
    .await;
    let observed = root.observed();
    let expected = Observed {
        files_read: set(&["bin/tool", "src/a"]),
        symlinks_read: set(&["link"]),
        directories_listed: set(&["", "src"]),
        lookups_failed: set(&["absent", "src/c"]),
        truncated: false,
    };
    assert_eq!(observed, expected);
    assert!(
        fixture
            .shelf
            .fetched
            .lock()
            .iter()
            .all(|digest| *digest != Digest::of(F, b"content of b"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_changes_no_input_and_is_known_afterwards() {
    if cannot_mount() {
        return;
    }
    let fixture = fixture(None);
    let at = fixture.scratch.path().join("root");
    blocking(move || {
        fs::write(at.join("out/new"), "new").unwrap();
        fs::write(at.join("src/beside"), "beside").unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(at.join("src/a"))
            .unwrap()
            .write_all(b"!")
            .unwrap();
        fs::remove_file(at.join("src/b")).unwrap();
        fs::rename(at.join("bin"), at.join("tools")).unwrap();
        assert_eq!(fs::read(at.join("src/a")).unwrap(), b"content of a!");
        assert!(!at.join("src/b").exists());
        let run = std::process::Command::new(at.join("tools/tool"))
            .output()
            .unwrap();
        assert_eq!(run.stdout, b"ran\n");
    })
    .await;
    let lower = fixture.scratch.path().join("inputs");
    blocking(move || {
        assert_eq!(fs::read(lower.join("src/a")).unwrap(), b"content of a");
        assert_eq!(fs::read(lower.join("src/b")).unwrap(), b"content of b");
        let error = fs::write(lower.join("src/a"), "x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    })
    .await;
    let upper: OwnedFd = fs::File::open(fixture.scratch.path().join("upper"))
        .unwrap()
        .into();
    let written = written(&upper, |path| path != "out").unwrap();
    assert_eq!(written.made, set(&["src/a", "src/beside"]));
    assert_eq!(written.removed, set(&["bin", "src/b"]));
    assert!(!written.truncated);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_is_known_to_whoever_runs_the_command() {
    if cannot_mount() {
        return;
    }
    let fixture = fixture(None);
    let lost = fixture.at("lost");
    let error = blocking(move || fs::read(lost).unwrap_err()).await;
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(fixture.root.failed().is_cancelled());
    assert_eq!(fixture.root.failure().as_deref(), Some("missing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_waits_while_a_fetch_is_under_way_and_the_rest_goes_on() {
    if cannot_mount() {
        return;
    }
    let gate = Arc::new(Semaphore::new(0));
    let fixture = fixture(Some(gate.clone()));
    let mut waiting = fixture.root.waiting();
    assert!(!*waiting.borrow());
    let (a, b) = (fixture.at("src/a"), fixture.at("src/b"));
    let reading = tokio::task::spawn_blocking(move || fs::read(a).unwrap());
    waiting.wait_for(|waits| *waits).await.unwrap();
    // A lookup needs no fetch.
    assert_eq!(blocking(move || fs::metadata(b).unwrap().len()).await, 12);
    assert_eq!(fixture.fetched(), 0);
    gate.add_permits(1);
    assert_eq!(reading.await.unwrap(), b"content of a");
    waiting.wait_for(|waits| !*waits).await.unwrap();
    assert!(!fixture.root.failed().is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_what_never_comes_is_answered_when_it_is_given_up() {
    if cannot_mount() {
        return;
    }
    let fixture = fixture(Some(Arc::new(Semaphore::new(0))));
    let a = fixture.at("src/a");
    let mut waiting = fixture.root.waiting();
    let reading = tokio::task::spawn_blocking(move || fs::read(a).unwrap_err());
    waiting.wait_for(|waits| *waits).await.unwrap();
    fixture.root.give_up();
    let error = reading.await.unwrap();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(fixture.root.failure().is_none(), "nothing failed but patience");
    assert!(fixture.group.shut_down(Duration::from_secs(10)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_in_use_goes_all_the_same_and_what_is_left_over_is_taken_away() {
    if cannot_mount() {
        return;
    }
    let mut fixture = fixture(None);
    let scratch = fs::canonicalize(fixture.scratch.path()).unwrap();
    let a = fixture.at("src/a");
    let open = blocking(move || fs::File::open(a).unwrap()).await;
    let nothing = Mounted::at(Path::new("/nonexistent/mount"));
    drop(std::mem::replace(&mut fixture._overlay, nothing));
    assert_eq!(names(&scratch.join("root")), Vec::<String>::new());
    drop(open);

    // As after a worker that was killed: nobody takes this away but the next one.
    let nothing = Mounted::at(Path::new("/nonexistent/mount"));
    std::mem::forget(std::mem::replace(&mut fixture._mounted, nothing));
    let at = scratch.clone();
    assert_eq!(blocking(move || detach_below(&at).unwrap()).await, 1);
    assert_eq!(names(&scratch.join("inputs")), Vec::<String>::new());
    assert_eq!(detach_below(&scratch).unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_read_whole_and_in_pieces() {
    if cannot_mount() {
        return;
    }
    let bytes: Vec<u8> = (0..5_000_003u32).map(|number| (number % 251) as u8).collect();
    let digest = Digest::of(F, &bytes);
    let mut tree = TreeBuilder::new();
    tree.insert_file("large", digest, false).unwrap();
    let built = tree.build(F).unwrap();
    let root = (built.root, Arc::new(built.root_directory().clone()));
    let shelf = Shelf {
        directories: Arc::new([root].into()),
        files: Arc::new([(digest, bytes.clone())].into()),
        ..Shelf::default()
    };
    let scratch = tempfile::tempdir().unwrap();
    let options = RootOptions {
        root: built.root,
        owners: Owners {
            action: Id { uid: 0, gid: 0 },
            files: Id { uid: 0, gid: 0 },
            outputs: Default::default(),
            modified: Duration::ZERO,
        },
    };
    let group = Group::new("test");
    let (_root, _mounted) = mount(scratch.path(), shelf, options, &group).unwrap();
    let at = scratch.path().join("large");
    let (whole, piece) = blocking(move || {
        use std::os::unix::fs::FileExt;
        let whole = fs::read(&at).unwrap();
        let mut piece = [0; 100];
        fs::File::open(&at)
            .unwrap()
            .read_exact_at(&mut piece, 4_999_000)
            .unwrap();
        (whole, piece)
    })
    .await;
    assert!(whole == bytes);
    assert_eq!(piece[..], bytes[4_999_000..4_999_100]);
}
