//! Every trap of scanning, as a small project that the real compiler is asked about: GCC always, Clang where it is
//! installed. What the compiler reads and what the scan names must be the same files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod includes;
mod macros;
mod reading;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use include_scanner::Closure;
use scan_check::asked::asked;
use scan_check::command::Command;
use scan_check::records::shell_words;
use scan_check::scanning::Compilers;
use source_view::Store;

/// What a scan is expected to say.
enum Expect {
    /// What the compiler says.
    Same,
    /// This reason, whatever the compiler says.
    Unsure(&'static str),
}
use Expect::{Same, Unsure};

struct Case {
    name: &'static str,
    /// `gcc`, `clang`, or both.
    drivers: &'static [&'static str],
    arguments: &'static str,
    files: &'static [(&'static str, &'static str)],
    expect: Expect,
}

const BOTH: &[&str] = &["gcc", "clang"];
const GCC: &[&str] = &["gcc"];
const CLANG: &[&str] = &["clang"];

fn is_installed(driver: &str) -> bool {
    Path::new("/usr/bin").join(driver).exists()
}

fn driver_for(name: &str, main: &Path) -> PathBuf {
    let is_cxx = main.extension().is_some_and(|extension| extension == "cc");
    PathBuf::from(match (name, is_cxx) {
        ("gcc", true) => "/usr/bin/g++",
        ("gcc", false) => "/usr/bin/gcc",
        (_, true) => "/usr/bin/clang++",
        (_, false) => "/usr/bin/clang",
    })
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match text.strip_prefix("-> ") {
            Some(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            None => fs::write(path, text).unwrap(),
        }
    }
}

fn command(folder: &Path, case: &Case, driver: &str) -> Command {
    let mut words: Vec<OsString> = vec!["cc".into(), "-c".into()];
    words.extend(shell_words(case.arguments));
    let main = words.last().map(PathBuf::from).unwrap();
    words[0] = driver_for(driver, &main).into();
    Command::read(folder.to_owned(), &words).unwrap_or_else(|| panic!("{}: no command", case.name))
}

/// Below the folder of the case, so that the machine's own headers are left out.
fn below(folder: &Path, paths: impl Iterator<Item = PathBuf>) -> BTreeSet<PathBuf> {
    paths
        .map(|path| fs::canonicalize(folder.join(&path)).unwrap_or(path))
        .filter_map(|path| path.strip_prefix(folder).ok().map(Path::to_owned))
        .collect()
}

fn check(case: &Case) -> Option<Closure> {
    let mut last = None;
    for driver in case.drivers.iter().filter(|driver| is_installed(driver)) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = fs::canonicalize(temporary.path()).unwrap();
        write(&folder, case.files);
        let command = command(&folder, case, driver);
        let store = Arc::new(Store::default());
        let compilers = Compilers::default();
        let prepared = compilers.prepare(&command, &command.driver).unwrap();
        let scanned = prepared.scan(&store.tick()).unwrap();
        let name = format!("{} with {driver}", case.name);
        match (&case.expect, scanned) {
            (Unsure(reason), Err(unsure)) => {
                let text = format!("{unsure:?}");
                assert!(text.contains(reason), "{name}: {text}");
            }
            (Unsure(_), Ok(closure)) => panic!("{name}: sure of {:?}", closure.files),
            (Same, Err(unsure)) => panic!("{name}: {unsure:?}"),
            (Same, Ok(closure)) => {
                let real = asked(&command, &command.driver).unwrap_or_else(|why| panic!("{name}: {why}"));
                let mut real = below(&folder, real.into_iter());
                let files = below(&folder, closure.files.iter().map(|file| file.path.clone()));
                let asked = below(&folder, closure.asked.iter().map(|file| file.path.clone()));
                // Clang lists what `__has_include` found, GCC does not.
                real.retain(|path| files.contains(path) || !asked.contains(path));
                assert_eq!(files, real, "{name}");
                last = Some(closure);
            }
        }
    }
    last
}

#[test]
fn headers_are_found_where_the_compiler_finds_them() {
    includes::cases().iter().for_each(|case| drop(check(case)));
}

#[test]
fn text_is_read_as_the_compiler_reads_it() {
    reading::cases().iter().for_each(|case| drop(check(case)));
}

#[test]
fn conditions_and_macros_have_the_compilers_values() {
    macros::cases().iter().for_each(|case| drop(check(case)));
}

#[test]
fn what_was_absent_is_named() {
    let case = Case {
        name: "absent",
        drivers: GCC,
        arguments: "-Ia -Ib m.c",
        files: &[
            (
                "m.c",
                "#include <x.h>\n#if __has_include(\"gone.h\")\n#endif\n#if __has_include(\"y.h\")\n#endif\n",
            ),
            ("a/z.h", ""),
            ("b/x.h", ""),
            ("y.h", ""),
        ],
        expect: Same,
    };
    let closure = check(&case).unwrap();
    let missed: Vec<String> = closure
        .missed
        .iter()
        .map(|missed| {
            let name = String::from_utf8_lossy(&missed.name).into_owned();
            format!(
                "{name} beside {} from {} to {}",
                missed.beside.is_some(),
                missed.from,
                missed.to
            )
        })
        .collect();
    assert!(
        missed.contains(&"x.h beside false from 0 to 1".to_owned()),
        "{missed:?}"
    );
    assert!(
        missed.contains(&"gone.h beside true from 0 to 0".to_owned()),
        "{missed:?}"
    );
    assert!(
        missed
            .iter()
            .any(|line| line.starts_with("gone.h beside false from 0 to")),
        "{missed:?}"
    );
    assert!(!missed.iter().any(|line| line.starts_with("y.h")), "{missed:?}");
    let names: Vec<_> = closure
        .asked
        .iter()
        .filter_map(|file| file.path.file_name())
        .collect();
    assert_eq!(names, ["y.h"]);
}

#[test]
fn what_is_embedded_is_named() {
    for (main, text) in [
        ("m.c", "asm(\".incbin \\\"data.bin\\\"\\n\");\n"),
        ("m.S", ".incbin \"data.bin\", 0, 4\n"),
    ] {
        let files: &'static [(&str, &str)] = Box::leak(vec![(main, text), ("inc/data.bin", "data")].into());
        let arguments: &'static str = Box::leak(format!("-Iinc {main}").into());
        let closure = check(&Case {
            name: "embedded",
            drivers: GCC,
            arguments,
            files,
            expect: Same,
        })
        .unwrap();
        assert!(closure.embedded.iter().all(|path| path.ends_with("inc/data.bin")));
        assert_eq!(closure.embedded.len(), 1);
        assert_eq!(closure.embedded_missed.len(), 1);
    }
}
