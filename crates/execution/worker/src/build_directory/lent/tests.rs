use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A process's directory with tools in it, and one that is to be lent.
struct Fixture {
    scratch: TempDir,
    kept: Kept,
}

fn open(path: &Path) -> OwnedFd {
    sys::open(path, DIRECTORY, Mode::empty()).unwrap()
}

fn fixture() -> Fixture {
    let scratch = tempfile::tempdir().unwrap();
    for directory in [
        "process/tools/lib",
        "process/work",
        "lent/tools/data",
        "lent/src/deep",
    ] {
        fs::create_dir_all(scratch.path().join(directory)).unwrap();
    }
    for (path, text) in [
        ("process/tools/cc", "tool"),
        ("process/tools/lib/rt", "runtime"),
        ("lent/tools/data/table", "input"),
        ("lent/src/deep/a.c", "source"),
        ("lent/b.c", "source"),
    ] {
        fs::write(scratch.path().join(path), text).unwrap();
    }
    symlink("lib", scratch.path().join("process/tools/link")).unwrap();
    let kept = Kept::of(&open(&scratch.path().join("process"))).unwrap();
    wait_for_the_clock_of_files(scratch.path());
    Fixture { scratch, kept }
}

/// File systems tell times apart only every few milliseconds.
fn wait_for_the_clock_of_files(at: &Path) {
    let time = |name: &str| {
        let path = at.join(name);
        fs::write(&path, "").unwrap();
        let stat = sys::stat(&path).unwrap();
        fs::remove_file(path).unwrap();
        (stat.st_ctime, stat.st_ctime_nsec)
    };
    let start = time("start");
    while time("probe") == start {}
}

impl Fixture {
    fn process(&self) -> std::path::PathBuf {
        self.scratch.path().join("process")
    }

    fn lent(&self) -> std::path::PathBuf {
        self.scratch.path().join("lent")
    }

    fn lend(&self) -> io::Result<()> {
        self.kept.lend(&open(&self.lent()), &open(&self.process()))
    }

    fn take_back(&self) -> io::Result<()> {
        self.kept.take_back(&open(&self.process()), &open(&self.lent()))
    }

    fn paths(&self, of: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut open = vec![of.to_path_buf()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                match path.symlink_metadata().unwrap().is_dir() {
                    true => open.push(path),
                    false => found.push(path.strip_prefix(of).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }
}

const TOOLS: [&str; 3] = ["tools/cc", "tools/lib/rt", "tools/link"];

#[test]
fn inputs_come_and_go_and_outputs_come_along() {
    let fixture = fixture();
    for round in 0..2 {
        fixture.lend().unwrap();
        let all = [
            "b.c",
            "src/deep/a.c",
            "tools/cc",
            "tools/data/table",
            "tools/lib/rt",
            "tools/link",
        ];
        if round == 0 {
            assert_eq!(fixture.paths(&fixture.process()), all);
        }
        fs::write(fixture.process().join("src/deep/a.o"), "object").unwrap();
        fs::write(fixture.process().join("tools/lib/left"), "temporary").unwrap();
        fs::create_dir_all(fixture.process().join("work/out/dir")).unwrap();
        fs::write(fixture.process().join("work/out/dir/file"), "output").unwrap();
        if round == 1 {
            fs::remove_file(fixture.process().join("work/out/dir/file")).unwrap();
        }
        fixture.take_back().unwrap();
        assert_eq!(fixture.paths(&fixture.process()), TOOLS);
        if round == 0 {
            assert_eq!(
                fixture.paths(&fixture.lent()),
                [
                    "b.c",
                    "src/deep/a.c",
                    "src/deep/a.o",
                    "tools/data/table",
                    "tools/lib/left",
                    "work/out/dir/file"
                ]
            );
        }
        fs::remove_dir_all(fixture.lent().join("work/out")).unwrap();
    }
}

/// Does something to the directory as a process would, and expects to be found out.
fn check(tamper: impl FnOnce(&Path)) {
    let fixture = fixture();
    fixture.lend().unwrap();
    tamper(&fixture.process());
    assert!(fixture.take_back().is_err());
}

#[test]
fn a_process_that_touches_its_tools_is_found_out() {
    check(|process| fs::write(process.join("tools/cc"), "evil").unwrap());
    check(|process| {
        let (tool, new) = (process.join("tools/cc"), process.join("new"));
        fs::write(&new, "tool").unwrap();
        fs::rename(new, tool).unwrap();
    });
    check(|process| fs::remove_file(process.join("tools/lib/rt")).unwrap());
    check(|process| fs::rename(process.join("tools"), process.join("moved")).unwrap());
    check(|process| {
        fs::rename(process.join("tools/lib"), process.join("tools/moved")).unwrap();
        symlink("/etc", process.join("tools/lib")).unwrap();
    });
    check(|process| {
        fs::remove_file(process.join("tools/link")).unwrap();
        symlink("lib", process.join("tools/link")).unwrap();
    });
    check(|process| fs::set_permissions(process.join("work"), PermissionsExt::from_mode(0o777)).unwrap());
}

#[test]
fn nothing_is_moved_through_a_symlink_that_a_process_has_put_there() {
    let fixture = fixture();
    let outside = fixture.scratch.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::rename(fixture.process().join("tools"), fixture.process().join("moved")).unwrap();
    symlink(&outside, fixture.process().join("tools")).unwrap();
    assert!(fixture.lend().is_err());
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn more_entries_than_one_round_moves() {
    let fixture = fixture();
    for number in 0..MOVES_PER_ROUND_MAX * 2 + 3 {
        fs::write(fixture.process().join(format!("tools/{number}")), "").unwrap();
    }
    fixture.take_back().unwrap();
    assert_eq!(fixture.paths(&fixture.process()), TOOLS);
}

#[test]
fn a_directory_that_is_closed_to_its_owner_comes_back_too() {
    let fixture = fixture();
    let closed = fixture.process().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("file"), "x").unwrap();
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
    fixture.take_back().unwrap();
    assert!(fixture.lent().join("closed/file").exists());
    assert_eq!(fixture.paths(&fixture.process()), TOOLS);
}
