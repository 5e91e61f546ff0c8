//! `farrier run --path-independent`: what was built in one directory is found in another one, and is what would have been
//! made there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use e2e::build::{Summary, User, hashes};
use e2e::farrier::Farrier;
use tempfile::TempDir;

/// Sources with a header that is found by an absolute path; both have something that compilers warn of.
const FILES: [(&str, &str); 6] = [
    (
        "src/a.c",
        "#include <assert.h>\n#include <stdio.h>\n#include \"h.h\"\nint value(int);\n\
         int main(void) { int unused; assert(h(2)); puts(__FILE__); puts(header()); return value(1) - 1; }\n",
    ),
    (
        "src/b.c",
        "#include \"h.h\"\nint value(int x) { assert(x); return h(x); }\n",
    ),
    (
        "src/c.cc",
        "#include <cassert>\n#include <string>\nnamespace { struct S { std::string s = __FILE__; } s; }\n\
         extern \"C\" int length() { assert(!s.s.empty()); return s.s.size(); }\n",
    ),
    (
        "inc/h.h",
        "#include <assert.h>\nstatic inline int h(int x) { int also_unused; assert(x); return x; }\n\
         static inline const char *header(void) { return __FILE__; }\n",
    ),
    (
        "src/d.S",
        "#include \"d.h\"\n.text\n.globl nothing\nnothing: NOP\n",
    ),
    (
        "inc/d.h",
        "#define NOP nop\n.section .note.GNU-stack,\"\",%progbits\n",
    ),
];

/// Compilations and a link as CMake writes them, by absolute paths, and some by relative ones; `R` is the root.
const BUILD: &str = "set -e; R=$PWD; mkdir -p build/lib; cd build
$CC -g -Wall -I$R/inc -MD -MT a.o -MF a.o.d -o a.o -c $R/src/a.c
$CC -g -O2 -Wall -isystem $R/sys -I $R/inc -MD -MF $R/build/b.d -o $R/build/b.o -c $R/src/b.c
$CC -g -Wall -I../inc -MMD -o relative.o -c ../src/b.c
$CXX -g -std=c++17 -fdiagnostics-color=always -MD -MF c.d -o c.o -c $R/src/c.cc
$CC -g -S -I$R/inc $R/src/b.c -o b.s
ASSEMBLE
$CC -g -o prog $R/build/a.o b.o $R/build/d.o
";

/// What the build leaves that is to be the same to the byte.
const MADE: [&str; 3] = [".o", ".s", "prog"];

const MODE: [&str; 1] = ["--path-independent"];

/// Two checkouts of the same sources, by names of different lengths.
struct Checkouts {
    _directory: TempDir,
    first: PathBuf,
    second: PathBuf,
}

impl Checkouts {
    fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("farrier-project-").tempdir()?;
        let real = directory.path().canonicalize()?;
        let checkouts = Checkouts {
            _directory: directory,
            first: real.join("one"),
            second: real.join("another-checkout"),
        };
        for root in [&checkouts.first, &checkouts.second] {
            for (name, text) in FILES {
                let path = root.join(name);
                fs::create_dir_all(path.parent().context("a parent")?)?;
                fs::write(path, text)?;
            }
        }
        Ok(checkouts)
    }
}

fn script(cc: &str) -> String {
    // clang's assembler names sources as they are given, so such a step stays where it is.
    let assemble = match cc {
        "gcc" => "$CC -g -I$R/inc -c $R/src/d.S -o d.o",
        _ => "$CC -I$R/inc -c $R/src/d.S -o d.o",
    };
    let cxx = if cc == "gcc" { "g++" } else { "clang++" };
    format!("CC={cc} CXX={cxx}; {}", BUILD.replace("ASSEMBLE", assemble))
}

fn build(user: &User, root: &Path, options: &[&str], script: &str) -> Result<Summary> {
    user.build(root, &[&MODE, options].concat(), &["sh", "-c", script])
}

/// The build by hand, in the same directory.
fn plain(root: &Path, script: &str) -> Result<Output> {
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(root)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

fn clean(root: &Path) -> Result<()> {
    fs::remove_dir_all(root.join("build")).context("nothing was built")
}

/// The words of make rules, which lines are broken at other places where names have other lengths.
fn rules(root: &Path) -> Result<Vec<Vec<String>>> {
    let rules = ["a.o.d", "b.d", "relative.d", "c.d"].map(|name| root.join("build").join(name));
    let words = |path: &PathBuf| -> Result<Vec<String>> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let words = text.split_whitespace().filter(|word| *word != "\\");
        Ok(words.map(str::to_owned).collect())
    };
    rules.iter().map(words).collect()
}

fn names(bytes: &[u8], path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    bytes.windows(path.len()).any(|window| window == path)
}

/// Nothing in `root` says where anything was built, for people who debug it neither.
fn check_no_paths(root: &Path, checkouts: &Checkouts) -> Result<()> {
    for (name, _) in hashes(root, &MADE)? {
        let path = root.join(&name);
        let bytes = fs::read(&path)?;
        for checkout in [&checkouts.first, &checkouts.second] {
            ensure!(
                !names(&bytes, checkout),
                "{} names {}",
                name.display(),
                checkout.display()
            );
        }
    }
    let information = Command::new("readelf")
        .args(["--debug-dump=info", "build/a.o", "build/relative.o"])
        .current_dir(root)
        .output()
        .context("readelf does not start")?;
    let information = String::from_utf8_lossy(&information.stdout).into_owned();
    let directories: BTreeSet<_> = information
        .lines()
        .filter(|line| line.contains("DW_AT_comp_dir"))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(directories, BTreeSet::from(["./build"]), "{information}");
    Ok(())
}

#[test]
fn a_second_checkout_finds_what_the_first_one_built_and_it_is_its_own() -> Result<()> {
    for cc in ["gcc", "clang"] {
        let script = script(cc);
        let checkouts = Checkouts::new()?;
        let user = User::new()?;
        let cold = build(&user, &checkouts.first, &[], &script)?;
        let steps = cold.steps;
        assert_eq!(cold.counts(), (7, 0, 0, 7), "{cc}: {}", cold.text);
        check_no_paths(&checkouts.first, &checkouts)?;
        let expected = hashes(&checkouts.first, &MADE)?;

        let second = &checkouts.second;
        let warm = build(&user, second, &[], &script)?;
        assert_eq!(warm.counts(), (steps, steps, 0, 0), "{cc}: {}", warm.text);
        assert_eq!(hashes(second, &MADE)?, expected);
        check_no_paths(second, &checkouts)?;
        let warm_rules = rules(second)?;

        // What compilers say is said of this directory, and make is told of its files.
        clean(second)?;
        let by_hand = plain(second, &script)?;
        assert_eq!(rules(second)?, warm_rules);
        let said = String::from_utf8(by_hand.stderr)?;
        ensure!(said.contains(&format!("{}/inc/h.h", second.display())), "{said}");
        clean(second)?;
        let again = user.run(second, &["--path-independent", "--quiet"], &["sh", "-c", &script])?;
        assert_eq!(String::from_utf8(again.stderr)?, said, "{cc}");

        // Whoever builds there first makes the same.
        clean(second)?;
        let other = User::new()?;
        let cold = build(&other, second, &[], &script)?;
        assert_eq!(cold.counts(), (steps, 0, 0, steps), "{cc}: {}", cold.text);
        assert_eq!(hashes(second, &MADE)?, expected);

        // A new daemon recalls where the tree is.
        user.stop_daemon()?;
        clean(second)?;
        let warm = build(&user, second, &[], &script)?;
        assert_eq!(warm.counts(), (steps, steps, 0, 0), "{cc}: {}", warm.text);
        assert_eq!(rules(second)?, warm_rules);

        let said = Command::new("build/prog").current_dir(second).output()?.stdout;
        assert_eq!(String::from_utf8(said)?, "./src/a.c\n./inc/h.h\n");

        // Four include it, and all of its lines have other numbers; what is linked is another program then.
        let header = second.join("inc/h.h");
        fs::write(&header, format!("\n{}", fs::read_to_string(&header)?))?;
        let build = build(&user, second, &[], &script)?;
        assert_eq!(build.counts(), (steps, 2, 0, 5), "{cc}: {}", build.text);
    }
    Ok(())
}

#[test]
fn without_the_mode_everything_is_as_without_farrier() -> Result<()> {
    let script = script("gcc");
    let checkouts = Checkouts::new()?;
    let user = User::new()?;
    build(&user, &checkouts.first, &[], &script)?;
    for root in [&checkouts.first, &checkouts.second] {
        let _ = fs::remove_dir_all(root.join("build"));
        plain(root, &script)?;
        let expected = hashes(root, &MADE)?;
        for _ in 0..2 {
            clean(root)?;
            user.build(root, &[], &["sh", "-c", &script])?;
            assert_eq!(hashes(root, &MADE)?, expected);
        }
    }
    Ok(())
}

#[test]
fn who_says_his_directory_in_a_macro_or_a_source_gets_his_own() -> Result<()> {
    let checkouts = Checkouts::new()?;
    let user = User::new()?;
    let program =
        "#include <stdio.h>\n#include \"where.h\"\nint main(void) { puts(WHERE); puts(DIR); return 0; }\n";
    let script =
        "gcc -g -DDIR=\"\\\"$PWD\\\"\" -I$PWD/inc -c $PWD/src/where.c -o where.o && gcc -o where where.o &&
        gcc -g -DDIR='\"x\"' -I$PWD/inc -c $PWD/src/where.c -o also.o && gcc -o also also.o";
    for (root, hits) in [
        (&checkouts.first, 0),
        (&checkouts.second, 0),
        (&checkouts.first, 4),
    ] {
        fs::write(root.join("src/where.c"), program)?;
        fs::write(
            root.join("inc/where.h"),
            format!("#define WHERE \"{}\"\n", checkouts.first.display()),
        )?;
        let build = build(&user, root, &[], script)?;
        let run = |name: &str| -> Result<String> {
            let output = Command::new(root.join(name)).output()?;
            Ok(String::from_utf8(output.stdout)?)
        };
        let first = checkouts.first.display();
        assert_eq!(
            run("where")?,
            format!("{first}\n{}\n", root.display()),
            "{}",
            build.text
        );
        assert_eq!(run("also")?, format!("{first}\nx\n"), "{}", build.text);
        // The same source means the same path in both, which is a part of the first tree only.
        assert_eq!(build.cached, hits, "{}", build.text);
    }
    Ok(())
}

#[test]
fn what_workers_make_is_found_in_other_directories_too() -> Result<()> {
    let farrier = Farrier::start()?;
    let endpoint = farrier.http_url();
    let options = ["--endpoint", endpoint.as_str(), "--strategy", "remote"];
    let script = script("gcc");
    let checkouts = Checkouts::new()?;
    let first = User::new()?;
    let built = build(&first, &checkouts.first, &options, &script)?;
    assert_eq!(built.counts(), (7, 0, 7, 0), "{}", built.text);
    check_no_paths(&checkouts.first, &checkouts)?;

    let other = User::new()?;
    let second = &checkouts.second;
    let found = build(&other, second, &options, &script)?;
    assert_eq!(found.counts(), (7, 7, 0, 0), "{}", found.text);
    let remote = hashes(second, &MADE)?;
    assert_eq!(remote, hashes(&checkouts.first, &MADE)?);
    let found_rules = rules(second)?;

    clean(second)?;
    let alone = User::new()?;
    build(&alone, second, &[], &script)?;
    assert_eq!(hashes(second, &MADE)?, remote, "as this machine makes it");
    assert_eq!(rules(second)?, found_rules);
    Ok(())
}

#[test]
fn what_the_mode_cannot_be_is_said() -> Result<()> {
    let user = User::new()?;
    let checkouts = Checkouts::new()?;
    let output = user
        .farrier(&["run", "--", "true"])?
        .env("FARRIER_PATH_INDEPENDENT", "perhaps")
        .current_dir(&checkouts.first)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("perhaps"), "{said}");
    Ok(())
}
