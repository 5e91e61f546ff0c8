//! `farrier run` where names, commands and places are odd: as without farrier, or refused in the compiler's own words.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use e2e::build::User;

/// Room on a disk that is full soon.
const DISK_BYTES: usize = 256 << 10;
/// Nearly what the kernel allows, two megabytes with the environment.
const LONG_COMMAND_BYTES: usize = 1_800_000;
/// Less than one word may have.
const LONG_WORD_BYTES: usize = 10_000;

const SOURCE: &str = "#include \"value.h\"\nint value(void) { return VALUE; }\n";

fn project(directory: &Path) -> Result<()> {
    project_of_its_own(directory, 7)
}

/// No other one, in whatever directory, has the same results.
fn project_of_its_own(directory: &Path, value: usize) -> Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("a.c"), SOURCE)?;
    fs::write(directory.join("value.h"), format!("#define VALUE {value}\n"))?;
    Ok(())
}

/// The object that `script` makes in a directory, with and without farrier: twice with, so that it may be known.
fn ensure_same_object(user: &User, directory: &Path, script: &str, hits: u64) -> Result<()> {
    let object = directory.join("a.o");
    let plain = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .output()?;
    ensure!(plain.status.success(), "{plain:?}");
    let expected = fs::read(&object)?;
    for cached in [0, hits] {
        fs::remove_file(&object)?;
        let build = user.build(directory, &[], &["sh", "-c", script])?;
        ensure!(fs::read(&object)? == expected, "another object: {}", build.text);
        ensure!(build.cached == cached, "{cached} expected: {}", build.text);
    }
    Ok(())
}

#[test]
fn names_may_hold_what_file_systems_allow() -> Result<()> {
    let user = User::new()?;
    let base = tempfile::Builder::new().prefix("farrier-odd-").tempdir()?;
    for (number, (name, hits)) in [
        (&b"two words"[..], 1),
        (b"two\nlines", 1),
        (b"quotes ' \" and $HOME \\ #", 1),
        (b"-o", 1),
        // What is no text cannot be named in an action.
        (b"not\xffutf8", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let name = OsStr::from_bytes(name);
        // In the working directory's name, which is not in the object.
        let directory = base.path().join(number.to_string()).join(name);
        project_of_its_own(&directory, 2 * number)?;
        ensure_same_object(&user, &directory, "gcc -O2 -c a.c -o a.o", 1)
            .with_context(|| format!("in {name:?}"))?;
        // And on the command line.
        let directory = base.path().join(format!("{number}-named"));
        project_of_its_own(&directory.join(name), 2 * number + 1)?;
        fs::write(directory.join("name"), name.as_bytes())?;
        let script = "gcc -O2 -I\"./$(cat name)\" -c \"./$(cat name)/a.c\" -o a.o";
        ensure_same_object(&user, &directory, script, hits).with_context(|| format!("{name:?} named"))?;
    }
    Ok(())
}

#[test]
fn commands_may_be_as_long_as_the_kernel_allows() -> Result<()> {
    let user = User::new()?;
    let base = tempfile::Builder::new().prefix("farrier-odd-").tempdir()?;
    let directory = base.path().join("long");
    project(&directory)?;
    let value = "1".repeat(LONG_WORD_BYTES);
    let words: String = (0..LONG_COMMAND_BYTES / LONG_WORD_BYTES)
        .map(|number| format!("-DNAME_{number}={value}\n"))
        .collect();
    fs::write(directory.join("words"), &words)?;
    // gcc itself hands no more than 128 KiB on to its compiler.
    let script = "clang $(cat words) -c a.c -o a.o";
    ensure_same_object(&user, &directory, script, 1).context("on the command line")?;
    fs::write(directory.join("words"), words.repeat(2))?;
    ensure_same_object(&user, &directory, "clang @words -c a.c -o a.o", 1).context("in a response file")
}

#[test]
fn symlinks_may_lead_in_circles() -> Result<()> {
    let user = User::new()?;
    let base = tempfile::Builder::new().prefix("farrier-odd-").tempdir()?;
    let directory = base.path().join("circles");
    project(&directory)?;
    fs::create_dir(directory.join("include"))?;
    symlink("self", directory.join("include/self"))?;
    symlink("value.h", directory.join("include/value.h"))?;
    symlink("..", directory.join("include/up"))?;
    symlink("../include/up/include", directory.join("include/round"))?;
    let found = "gcc -iquote include/up/include/up -Iinclude/round/round -c a.c -o a.o";
    ensure_same_object(&user, &directory, found, 1)?;
    let (with, without) = both(&user, &directory, "gcc -Iinclude/self -c a.c -o a.o")?;
    ensure!(said(&with) == said(&without), "{with:?} {without:?}");
    fs::rename(directory.join("value.h"), directory.join("other.h"))?;
    symlink("value.h", directory.join("value.h"))?;
    let (with, without) = both(&user, &directory, "gcc -Iinclude -c a.c -o a.o")?;
    ensure!(!without.status.success(), "{without:?}");
    ensure!(said(&with) == said(&without), "{with:?} {without:?}");
    Ok(())
}

fn both(user: &User, directory: &Path, script: &str) -> Result<(Output, Output)> {
    let with = user.run(directory, &["--quiet"], &["sh", "-c", script])?;
    let without = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .output()?;
    ensure!(
        with.status.code() == without.status.code(),
        "{with:?} {without:?}"
    );
    Ok((with, without))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// As root, who may mount: a user whose daemon lives where this file system is mounted.
struct Mounted<'a> {
    at: &'a Path,
}

impl<'a> Mounted<'a> {
    fn new(at: &'a Path, options: &str) -> Result<Self> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(at)
            .status()?;
        ensure!(status.success(), "mount: {status}");
        Ok(Mounted { at })
    }

    fn remount(&self, options: &str) -> Result<()> {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.at)
            .status()?;
        ensure!(status.success(), "mount: {status}");
        Ok(())
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // What is left of it goes with the machine.
        let _ = Command::new("umount").arg("--lazy").arg(self.at).status();
    }
}

/// As root.
#[test]
fn a_full_disk_is_reported_by_the_compiler_and_leaves_the_old_object() -> Result<()> {
    let user = User::new()?;
    let base = tempfile::Builder::new().prefix("farrier-odd-").tempdir()?;
    let directory = base.path().join("project");
    project(&directory)?;
    // A large object: it does not fit next to what fills the disk.
    fs::write(
        directory.join("a.c"),
        format!("char large[{DISK_BYTES}] = {{1}};\n"),
    )?;
    let disk = directory.join("disk");
    fs::create_dir(&disk)?;
    let _mounted = Mounted::new(&disk, &format!("size={}", 2 * DISK_BYTES))?;
    let script = "gcc -c a.c -o disk/a.o";
    user.build(&directory, &[], &["sh", "-c", script])?;
    let object = fs::read(disk.join("a.o"))?;
    let mut filler = fs::File::create(disk.join("filler"))?;
    let full = loop {
        if let Err(error) = filler.write_all(&[0; 4096]) {
            break error;
        }
    };
    ensure!(
        full.kind() == std::io::ErrorKind::StorageFull,
        "another obstacle: {full}"
    );
    // Known, but there is no room for it beside the old one; the compiler takes the old one away first, and then has room.
    let build = user.build(&directory, &[], &["sh", "-c", script])?;
    ensure!(fs::read(disk.join("a.o"))? == object, "{}", build.text);
    fs::remove_file(disk.join("a.o"))?;
    while filler.write_all(&[0; 4096]).is_ok() {}
    let (with, without) = both(&user, &directory, script)?;
    ensure!(!without.status.success(), "{without:?}");
    ensure!(said(&with).contains("No space left on device"), "{with:?}");
    let left: Vec<_> = fs::read_dir(&disk)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<_>>()?;
    ensure!(
        left.iter()
            .all(|name| !name.to_string_lossy().starts_with(".farrier")),
        "{left:?}"
    );
    Ok(())
}

/// As root.
#[test]
fn a_directory_that_is_read_only_is_reported_by_the_compiler() -> Result<()> {
    let user = User::new()?;
    let base = tempfile::Builder::new().prefix("farrier-odd-").tempdir()?;
    let directory = base.path().join("project");
    project(&directory)?;
    let disk = directory.join("disk");
    fs::create_dir(&disk)?;
    let mounted = Mounted::new(&disk, "size=1m")?;
    let script = "gcc -c a.c -o disk/a.o";
    user.build(&directory, &[], &["sh", "-c", script])?;
    let object = fs::read(disk.join("a.o"))?;
    mounted.remount("ro")?;
    let (with, without) = both(&user, &directory, script)?;
    ensure!(!without.status.success(), "{without:?}");
    ensure!(said(&with).contains("Read-only file system"), "{with:?}");
    ensure!(fs::read(disk.join("a.o"))? == object);
    Ok(())
}

/// As root: a command in a container, or behind any other mount, may reach the daemon of the machine.
#[test]
fn who_sees_other_files_than_the_daemon_is_left_alone() -> Result<()> {
    let user = User::new()?;
    let base = tempfile::Builder::new().prefix("farrier-odd-").tempdir()?;
    let directory = base.path().join("project");
    project(&directory)?;
    let compile = "gcc -c a.c -o a.o";
    user.build(&directory, &[], &["sh", "-c", compile])?;
    let expected = fs::read(directory.join("a.o"))?;
    // The same paths, other files.
    let script = "
        mount -t tmpfs none . && cd \"$PWD\" || exit
        echo 'int other = 1;' > a.c
        gcc -c a.c -o a.o && nm a.o";
    let words = ["unshare", "--mount", "sh", "-c", script];
    let inside = user.run(&directory, &["--quiet"], &words)?;
    let names = String::from_utf8_lossy(&inside.stdout).into_owned();
    ensure!(
        inside.status.success() && names.contains("other") && !names.contains("value"),
        "{inside:?}"
    );
    ensure!(
        fs::read(directory.join("a.o"))? == expected,
        "the other object got out"
    );
    Ok(())
}
