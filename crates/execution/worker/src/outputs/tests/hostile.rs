//! Outputs that somebody has made to be trouble.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, RenameFlags};

use super::*;

/// Two places of one name: one of the action, and one that it cannot read but we can.
fn exchanged(root: &OwnedFd, one: &str, other: &str) {
    sys::renameat_with(root, one, root, other, RenameFlags::EXCHANGE).unwrap();
}

/// What is left of an action may exchange things while they are collected, if it is a persistent process. A thousand
/// times something of the worker's stands for a moment where an output was.
#[tokio::test]
async fn a_swap_under_the_hand_never_leads_out() {
    let fixture = fixture(List::Paths, &["out", "out/d/f", "out/f"]);
    // One that is kept while it is hashed, and one that is opened again for its upload.
    let large = |byte: u8| vec![byte; SMALL_BLOB_BYTES_MAX as usize + 1];
    fixture.write("out/f", b"mine");
    fixture.write("out/d/f", &large(b'm'));
    let outside = fixture.scratch.path().join("outside");
    std::fs::create_dir_all(outside.join("d")).unwrap();
    std::fs::write(outside.join("f"), b"secret").unwrap();
    std::fs::write(outside.join("d/f"), large(b's')).unwrap();
    symlink(outside.join("f"), fixture.root.join("trap_f")).unwrap();
    symlink(outside.join("d"), fixture.root.join("trap_d")).unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let (until, root) = (done.clone(), fixture.root.clone());
    let swapper = std::thread::spawn(move || {
        let root = sys::open(&root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
        let mut swaps = 0u64;
        while !until.load(Ordering::Relaxed) {
            exchanged(&root, "out/f", "trap_f");
            exchanged(&root, "out/d", "trap_d");
            swaps += 2;
        }
        swaps
    });
    let store = cas::memory(1 << 30);
    let (mut found, mut refused) = (0, 0);
    for _ in 0..1000 {
        let (outputs, uploads) = fixture.collect();
        match outputs {
            Ok(_) => found += 1,
            Err(OutputError::ThroughSymlink { .. } | OutputError::Disk { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        // A file that is another one by now is refused there too.
        let _changed = upload(&*store, uploads).await;
    }
    done.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert!(
        swaps > 100 && found > 0 && refused > 0,
        "{swaps} swaps, {found} found, {refused} refused"
    );
    let secrets = [Digest::of(F, b"secret"), Digest::of(F, &large(b's'))];
    let missing = store.find_missing(&secrets.into_iter().collect()).await.unwrap();
    assert_eq!(missing.len(), 2, "something of the worker's was uploaded");
}

/// Where links to files of others can be made, an output may be one to a file of the worker's own: it is read, and stays
/// what it was.
#[test]
fn a_hard_link_to_a_file_of_ours_is_only_read() {
    let fixture = fixture(List::Paths, &["out"]);
    std::fs::create_dir(fixture.root.join("out")).unwrap();
    let cached = fixture.scratch.path().join("cached");
    std::fs::write(&cached, "cached").unwrap();
    std::fs::set_permissions(&cached, PermissionsExt::from_mode(0o444)).unwrap();
    std::fs::hard_link(&cached, fixture.root.join("out/x")).unwrap();
    let facts = || {
        let file = std::fs::metadata(&cached).unwrap();
        (
            file.mode(),
            file.uid(),
            file.nlink(),
            file.mtime(),
            file.ctime_nsec(),
        )
    };
    let before = facts();
    assert_eq!(fixture.collected().directories.len(), 1);
    assert_eq!(facts(), before);
    assert_eq!(std::fs::read_to_string(&cached).unwrap(), "cached");
}

#[test]
fn entries_are_bounded() {
    let fixture = fixture(List::Paths, &["out"]);
    for name in ["a", "b", "c"] {
        fixture.write(&format!("out/{name}"), b"");
    }
    let root = sys::open(&fixture.root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    for (entries, fits) in [(OUTPUT_ENTRIES_MAX - 3, true), (OUTPUT_ENTRIES_MAX - 2, false)] {
        let mut uploads = Uploads::default();
        let mut collection = Collection {
            wanted: &fixture.wanted,
            root: &Arc::new(root.try_clone().unwrap()),
            found: Outputs::default(),
            uploads: &mut uploads,
            entries,
            bytes: 0,
        };
        let out = open_beneath(collection.root, "out", OFlags::RDONLY)
            .unwrap()
            .unwrap();
        match collection.tree(out, "out") {
            Ok(_) => assert!(fits),
            Err(OutputError::TooMany) => assert!(!fits),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The longest names there are pass; a path that no system call takes at once does not.
#[test]
fn names_may_be_long_and_paths_only_so_long() {
    let fixture = fixture(List::Paths, &["out"]);
    let name = "n".repeat(255);
    fixture.write(&format!("out/{name}"), b"x");
    assert_eq!(fixture.collected().directories.len(), 1);
    let mut at = sys::open(
        fixture.root.join("out"),
        OFlags::DIRECTORY | OFlags::RDONLY,
        Mode::empty(),
    )
    .unwrap();
    for _ in 0..20 {
        sys::mkdirat(&at, &*name.replace('n', "d"), Mode::RWXU).unwrap();
        at = sys::openat(
            &at,
            &*name.replace('n', "d"),
            OFlags::DIRECTORY | OFlags::RDONLY,
            Mode::empty(),
        )
        .unwrap();
    }
    sys::openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    let refused = fixture.refused();
    assert!(
        matches!(refused, OutputError::PathTooLong { path_bytes } if path_bytes > 5000),
        "{refused}"
    );
    crate::removal::remove_tree(
        sys::open(&fixture.root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty())
            .unwrap()
            .as_fd(),
        &CString::new("out").unwrap(),
    )
    .unwrap();
}

#[test]
fn devices_are_an_error_by_name_and_left_out_of_directories() {
    let fixture = fixture(List::Paths, &["out"]);
    std::fs::create_dir(fixture.root.join("out")).unwrap();
    let root = sys::open(&fixture.root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    let null = sys::makedev(1, 3);
    match sys::mknodat(
        &root,
        "out/device",
        sys::FileType::CharacterDevice,
        Mode::RUSR,
        null,
    ) {
        Ok(()) => {}
        Err(error) => return println!("not tried: devices cannot be made here: {error}"),
    }
    let outputs = fixture.collected();
    assert_eq!(outputs.skipped.0, ["out/device"]);
    let named = super::fixture(List::Paths, &["device"]);
    let root = sys::open(&named.root, OFlags::DIRECTORY | OFlags::RDONLY, Mode::empty()).unwrap();
    sys::mknodat(&root, "device", sys::FileType::CharacterDevice, Mode::RUSR, null).unwrap();
    assert!(matches!(named.refused(), OutputError::Special { .. }));
    assert!(sys::statat(&root, "device", AtFlags::SYMLINK_NOFOLLOW).is_ok());
}
