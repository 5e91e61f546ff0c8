use std::fs;
use std::time::Duration;

use blob::DigestFunction;

use super::*;

const KEY: Key = [1; 32];

/// A directory, and a clock by which everything in it is old.
struct Scene {
    directory: tempfile::TempDir,
    begun: SystemTime,
}

impl Scene {
    fn new() -> Self {
        Scene {
            directory: tempfile::tempdir().unwrap(),
            begun: SystemTime::now() + Duration::from_secs(1000),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, contents: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), contents).unwrap();
    }

    fn grounds(&self) -> Grounds {
        let mut grounds = Grounds::default();
        grounds.file(self.path("a.c"));
        grounds.file(self.path("include/../include/a.h"));
        grounds.absent(self.path("a.h"));
        grounds.absent(self.path("other/sys/a.h"));
        grounds.directory(self.path("include"));
        grounds.directory(self.path("other"));
        grounds
    }

    fn memory(&self) -> Memory {
        Memory::open(&self.path("log"), digests()).unwrap()
    }
}

fn digests() -> Arc<FileDigests> {
    Arc::new(FileDigests::new(DigestFunction::Sha256))
}

fn remembered() -> (Scene, Memory) {
    let scene = Scene::new();
    scene.write("a.c", "int a;");
    scene.write("include/a.h", "int h;");
    let memory = scene.memory();
    memory
        .remember(KEY, scene.begun, &scene.grounds(), b"first")
        .unwrap();
    assert_eq!(memory.recall(&KEY).as_deref(), Some(&b"first"[..]));
    assert_eq!(memory.recall(&[2; 32]), None);
    // By the scene's clock all of this is old, so what changes next must have another time.
    std::thread::sleep(Duration::from_millis(20));
    (scene, memory)
}

#[test]
fn any_change_of_the_grounds_ends_it_and_undoing_it_brings_it_back() {
    let (scene, memory) = remembered();
    type Change = fn(&Scene);
    let cases: [(&str, Change, Change); 5] = [
        (
            "another content",
            |scene| scene.write("a.c", "int b;"),
            |scene| scene.write("a.c", "int a;"),
        ),
        (
            "a file fewer",
            |scene| fs::remove_file(scene.path("include/a.h")).unwrap(),
            |scene| scene.write("include/a.h", "int h;"),
        ),
        (
            "a header before the other",
            |scene| scene.write("a.h", ""),
            |scene| fs::remove_file(scene.path("a.h")).unwrap(),
        ),
        (
            "a header where not even a directory was",
            |scene| scene.write("other/sys/a.h", ""),
            |scene| fs::remove_dir_all(scene.path("other")).unwrap(),
        ),
        (
            "two names of one directory",
            |scene| std::os::unix::fs::symlink("include", scene.path("other")).unwrap(),
            |scene| fs::remove_file(scene.path("other")).unwrap(),
        ),
    ];
    for (name, change, undo) in cases {
        change(&scene);
        assert_eq!(memory.recall(&KEY), None, "{name}");
        undo(&scene);
        assert_eq!(memory.recall(&KEY).as_deref(), Some(&b"first"[..]), "{name}");
    }
}

#[test]
fn several_states_are_known_and_the_oldest_goes_first() {
    let (scene, memory) = remembered();
    for number in 0..VARIANTS_MAX {
        scene.write("a.c", &format!("int a = {number};"));
        assert_eq!(memory.recall(&KEY), None);
        let value = [number as u8];
        memory
            .remember(KEY, scene.begun, &scene.grounds(), &value)
            .unwrap();
    }
    for number in 0..VARIANTS_MAX {
        scene.write("a.c", &format!("int a = {number};"));
        assert_eq!(memory.recall(&KEY).as_deref(), Some(&[number as u8][..]));
    }
    scene.write("a.c", "int a;");
    assert_eq!(memory.recall(&KEY), None);
}

#[test]
fn it_outlives_the_process() {
    let (scene, memory) = remembered();
    scene.write("a.c", "int a = 2;");
    memory
        .remember(KEY, scene.begun, &scene.grounds(), b"second")
        .unwrap();
    memory.flush();
    drop(memory);
    let memory = scene.memory();
    assert_eq!(memory.recall(&KEY).as_deref(), Some(&b"second"[..]));
    scene.write("a.h", "");
    assert_eq!(memory.recall(&KEY), None);
    fs::remove_file(scene.path("a.h")).unwrap();
    scene.write("a.c", "int a;");
    assert_eq!(memory.recall(&KEY).as_deref(), Some(&b"first"[..]));
}

#[test]
fn a_log_with_more_dead_than_alive_is_written_anew() {
    let (scene, memory) = remembered();
    for number in 0..20 * VARIANTS_MAX {
        scene.write("a.c", &format!("int a = {number};"));
        memory
            .remember(KEY, scene.begun, &scene.grounds(), b"some")
            .unwrap();
    }
    drop(memory);
    let before = fs::metadata(scene.path("log")).unwrap().len();
    let memory = scene.memory();
    let after = fs::metadata(scene.path("log")).unwrap().len();
    assert!(after < before, "{after} {before}");
    assert_eq!(memory.recall(&KEY).as_deref(), Some(&b"some"[..]));
    drop(memory);
    assert_eq!(scene.memory().recall(&KEY).as_deref(), Some(&b"some"[..]));
}

#[test]
fn what_may_have_been_seen_in_two_states_is_not_kept() {
    let (scene, memory) = remembered();
    let check = |grounds: &Grounds, begun, expected| {
        assert_eq!(memory.remember([3; 32], begun, grounds, b""), expected);
    };
    let grounds = scene.grounds();
    let now = SystemTime::now();
    check(&grounds, now, Err(Forgotten::TooNew(scene.path("a.c"))));
    let mut unknown = scene.grounds();
    unknown.unknown("what a compiler said");
    check(
        &unknown,
        scene.begun,
        Err(Forgotten::Unknown("what a compiler said")),
    );
    let mut wrong = scene.grounds();
    wrong.absent(scene.path("a.c"));
    let here = scene.directory.path().to_owned();
    check(&wrong, scene.begun, Err(Forgotten::Changed(here)));
    assert_eq!(memory.recall(&[3; 32]), None);
}
