//! Archives and libraries as the real ar and ld see them.

use std::fs;
use std::path::Path;
use std::process::Command;

use compiler::linker_script::{Reference, references};
use compiler::{Invocation, Parsed, parse};

use crate::directory::{is_installed, prepare};
use crate::support::words;

/// Members of thin archives as the real `ar` makes them, nested ones too.
#[test]
fn thin_archives_of_the_real_ar() {
    if !is_installed("ar") || !is_installed("as") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let cwd = root.path().join("w");
    prepare(&cwd);
    let ar = |line: &str| {
        let status = Command::new("ar")
            .args(line.split(' '))
            .current_dir(&cwd)
            .status();
        assert!(status.unwrap().success(), "{line}");
    };
    for name in ["a name that is longer than sixteen.o", "d/x.o", "x.o"] {
        fs::copy(cwd.join("o.o"), cwd.join(name)).unwrap();
    }
    let status = Command::new("ar")
        .args([
            "cDPrST",
            "d/inner.a",
            "d/x.o",
            "a name that is longer than sixteen.o",
        ])
        .current_dir(&cwd)
        .status();
    assert!(status.unwrap().success());
    ar("cDPrST outer.a d/inner.a x.o lib.a");
    ar("rcsTD indexed.a x.o o.o");
    let members = |name: &str| match compiler::thin_archive::members(&fs::read(cwd.join(name)).unwrap()) {
        Ok(compiler::thin_archive::Archive::Thin(members)) => members
            .into_iter()
            .map(|member| (member.path, member.nested_at.is_some()))
            .collect::<Vec<_>>(),
        other => panic!("{name}: {other:?}"),
    };
    let plain = |name: &str| (name.to_owned(), false);
    assert_eq!(
        members("d/inner.a"),
        [plain("x.o"), plain("../a name that is longer than sixteen.o")]
    );
    assert_eq!(
        members("outer.a"),
        [
            plain("d/x.o"),
            plain("a name that is longer than sixteen.o"),
            plain("x.o"),
            // Of an archive with bodies, members are named by their place in it.
            ("lib.a".to_owned(), true)
        ]
    );
    assert_eq!(members("indexed.a"), [plain("x.o"), plain("o.o")]);
    let whole = fs::read(cwd.join("lib.a")).unwrap();
    assert_eq!(
        compiler::thin_archive::members(&whole),
        Ok(compiler::thin_archive::Archive::Whole)
    );
}

/// Files on the real disk, every one of them for the right target.
struct Disk;

impl compiler::library_search::Look for Disk {
    fn look(&self, path: &Path) -> compiler::library_search::Seen {
        if path.is_file() {
            compiler::library_search::Seen::File
        } else {
            compiler::library_search::Seen::Nothing
        }
    }
}

/// The libraries that the real linker opens (`--trace`) are those that the search finds.
#[test]
fn libraries_of_the_real_ld() {
    if !is_installed("ld") || !is_installed("as") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let cwd = root.path().join("w");
    prepare(&cwd);
    fs::create_dir(cwd.join("e")).unwrap();
    for name in ["d/libx.a", "e/libx.a", "e/liby.a", "e/libz.so.1"] {
        fs::copy(cwd.join("lib.a"), cwd.join(name)).unwrap();
    }
    let shared = Command::new("ld")
        .args(["-shared", "o.o", "-o", "e/libx.so"])
        .current_dir(&cwd)
        .status();
    assert!(shared.unwrap().success());
    fs::copy(cwd.join("e/libx.so"), cwd.join("e/liby.so")).unwrap();
    for line in [
        "ld -e f o.o -Ld -Le --whole-archive -lx",
        "ld -e f o.o -Le -Ld -lx",
        "ld -e f o.o --whole-archive -Bstatic -ly -Le",
        "ld -e f o.o -Bstatic -Bdynamic -ly -L e",
        "ld -e f o.o -l:libz.so.1 -Ld --whole-archive --library-path=e",
        "ld -e f o.o -L=/e -lx --sysroot=.",
    ] {
        let argv = words(&format!("{line} --trace --allow-multiple-definition"));
        let output = Command::new(&argv[0])
            .args(&argv[1..])
            .current_dir(&cwd)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let opened = String::from_utf8(output.stdout).unwrap();
        let invocation = Invocation {
            argv: &argv,
            cwd: &cwd,
            env: &|_| None,
        };
        let Parsed::Step(step) = parse(&invocation, &compiler::NoResponseFiles) else {
            panic!("{line}");
        };
        let mut link = step.libraries.unwrap();
        link.directories = link
            .directories
            .iter()
            .map(|directory| match directory.to_str().unwrap().strip_prefix('=') {
                Some(_) => directory.clone(),
                None => cwd.join(directory),
            })
            .collect();
        link.sysroot = link.sysroot.map(|root| cwd.join(root));
        let found = compiler::library_search::resolve(&link, &[], &Disk)
            .unwrap()
            .found;
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        let name = found[0].file_name().unwrap().to_str().unwrap();
        let directory = found[0].parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert!(
            opened.contains(&format!("{directory}/{name}")),
            "{line}: {found:?}, but {opened}"
        );
    }
}

/// What stands in place of `libc.so`, and what the linker says about itself, are scripts that name files.
#[test]
fn scripts_of_the_real_ld() {
    if !is_installed("gcc") || !is_installed("ld") {
        return;
    }
    let says = |tool: &str, argument: &str| Command::new(tool).arg(argument).output().unwrap().stdout;
    let libc = String::from_utf8(says("gcc", "-print-file-name=libc.so")).unwrap();
    let script = fs::read(libc.trim()).unwrap();
    // musl's is the library itself.
    if !script.starts_with(b"\x7fELF") {
        let found = references(&script).unwrap();
        assert!(
            found
                .iter()
                .any(|one| matches!(one, Reference::File { name, .. } if name.contains("libc.so"))),
            "{found:?}"
        );
    }
    let found = references(&says("ld", "--verbose")).unwrap();
    let directories = found
        .iter()
        .filter(|one| matches!(one, Reference::SearchDirectory(name) if name.starts_with('=')))
        .count();
    assert!(directories >= 2, "{found:?}");
}
