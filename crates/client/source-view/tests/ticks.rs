//! What a tick sees of a disk that changes, and what a store keeps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, FileTimes};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use include_scanner::{Directories, Lookup, SourceView};
use source_view::{Store, StoreCounts};

/// A file that is old enough to be trusted, but for its ctime, which nobody can set.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    age(path);
}

fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(100);
    let file = fs::File::open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(old)).unwrap();
}

fn found(lookup: &Lookup) -> Option<usize> {
    match lookup {
        Lookup::Found { directory, .. } => Some(*directory),
        _ => None,
    }
}

#[test]
fn a_young_file_is_read_again_at_the_next_tick_and_only_then() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h");
    write(&path, "#define A 1\n");
    let store = Arc::new(Store::default());
    let view = store.tick();
    let first = view.file(&path).unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &view.file(&path).unwrap().unwrap()));
    assert_eq!(store.counts().parsed, 1);
    // Same size, same mtime: only reading it tells.
    write(&path, "#define B 1\n");
    assert!(
        Arc::ptr_eq(&first, &view.file(&path).unwrap().unwrap()),
        "the tick sees one state"
    );
    let second = store.tick().file(&path).unwrap().unwrap();
    assert_ne!(first.source.fingerprint(), second.source.fingerprint());
    assert_eq!(store.counts().parsed, 2);
}

#[test]
fn a_file_that_comes_goes_and_becomes_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.h");
    let store = Arc::new(Store::default());
    assert!(store.tick().file(&path).unwrap().is_none());
    write(&path, "");
    assert!(store.tick().file(&path).unwrap().is_some());
    fs::remove_file(&path).unwrap();
    assert!(store.tick().file(&path).unwrap().is_none());
    fs::create_dir(&path).unwrap();
    assert!(store.tick().file(&path).unwrap().is_none());
    assert!(store.tick().exists(&path).unwrap());
    assert_eq!(store.counts().files, 0);
}

#[test]
fn a_new_header_in_an_earlier_directory_is_found_at_the_next_tick() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    write(&folder.path().join("b/x.h"), "");
    let chain = Directories::new(folder.path(), &["a".into(), "b".into(), "gone".into()], true);
    let store = Arc::new(Store::default());
    let view = store.tick();
    assert_eq!(found(&view.find(&chain, 0, b"x.h").unwrap()), Some(1));
    assert_eq!(found(&view.find(&chain, 2, b"x.h").unwrap()), None);
    assert_eq!(found(&view.find(&chain, 0, b"../b/x.h").unwrap()), Some(0));
    write(&folder.path().join("a/x.h"), "");
    assert_eq!(
        found(&view.find(&chain, 0, b"x.h").unwrap()),
        Some(1),
        "the tick sees one state"
    );
    let view = store.tick();
    assert_eq!(found(&view.find(&chain, 0, b"x.h").unwrap()), Some(0));
    fs::write(folder.path().join("a/y.h.gch"), "").unwrap();
    let view = store.tick();
    let lookup = view.find(&chain, 0, b"y.h").unwrap();
    assert!(matches!(lookup, Lookup::Precompiled(_)), "{lookup:?}");
}

#[test]
fn memory_is_bounded_and_what_is_in_use_stays() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..100)
        .map(|number| format!("#define NAME_{number} {number}\n"))
        .collect();
    for number in 0..50 {
        write(&folder.path().join(format!("{number}.h")), &text);
    }
    let max = 60_000;
    let store = Arc::new(Store::new(max));
    for round in 0..3 {
        let view = store.tick();
        for number in 0..50 {
            let file = view
                .file(&folder.path().join(format!("{number}.h")))
                .unwrap()
                .unwrap();
            assert_eq!(file.source.size_bytes(), text.len() as u64);
            let StoreCounts {
                held_bytes, files, ..
            } = store.counts();
            assert!(held_bytes <= max, "round {round}: {held_bytes}");
            assert!(files > 0 && files < 50);
        }
    }
}

#[test]
fn threads_share_a_tick() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        write(&folder.path().join(format!("{number}.h")), "#pragma once\n");
    }
    let store = Arc::new(Store::default());
    let view = store.tick();
    let chain = Directories::new(folder.path(), &[".".into()], false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..200 {
                    let name = format!("{number}.h");
                    assert_eq!(found(&view.find(&chain, 0, name.as_bytes()).unwrap()), Some(0));
                }
            });
        }
    });
    assert_eq!(store.counts().files, 200);
    // Once for all names; threads that begin at the same moment may each have looked.
    assert!((1..=4).contains(&store.counts().listed), "{:?}", store.counts());
}

#[test]
fn the_null_device_is_an_empty_source() {
    let store = Arc::new(Store::default());
    let file = store.tick().file(Path::new("/dev/null")).unwrap().unwrap();
    assert_eq!(file.source.size_bytes(), 0);
    assert!(store.tick().file(Path::new("/dev/zero")).unwrap().is_none());
}
