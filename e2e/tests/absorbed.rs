//! `farrier run --absorb`: recipes of make by our shell, with make and /bin/sh as they are beside it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::build::{User, hashes};
use e2e::tools;
use tempfile::TempDir;

/// Recipes of all kinds: such as are done by farrier's shell, such as are left to the real one, and a makefile in another one's
/// language.
const FILES: [(&str, &str); 7] = [
    (
        "Makefile",
        "-include user.mk\n\
         all: out/one.o out/two.o lib.a text sub list first shell.txt\n\
         out/%.o: %.c\n\
         \t@set -e; echo '  CC      $@'; trap 'rm -f $@; trap - TERM; kill -s TERM $$$$' TERM; mkdir -p out; gcc -g -MMD -MF out/$*.d -c -o $@ $<; cat out/$*.d > out/.$*.cmd; rm -f out/$*.d\n\
         lib.a: out/one.o out/two.o\n\
         \trm -f $@; printf 'out/%s ' one.o two.o | xargs ar cDPrST $@\n\
         text:\n\
         \tif [ -f one.c ] && ! test -d none; then echo \"it's there\" >$@; else echo not >$@; fi\n\
         \t@printf '%s\\n' 'a \"b\" $$c' \"$$WORDS\" >>$@; (exit 3) || echo \"status $$?\" >>$@\n\
         \tfor i in 1 2 3; do echo $$i; done >>$@\n\
         \tcd sub && pwd >>../$@ && cd .. && echo $$PWD >>$@\n\
         sub:\n\t$(MAKE) -C sub\n\
         list:\n\t@ls *.c | sort -r >$@; cat *.c | wc -l >>$@\n\
         first:\n\t@echo '$(notdir $(firstword $(MAKEFILE_LIST)))' >$@\n\
         shell.txt:\n\t@echo $(shell echo from $$(echo a shell); exit 3) >$@; no-such-command 2>>$@ || true\n\
         .PHONY: sub\n",
    ),
    (
        "sub/Makefile",
        "SHELL := /bin/bash\nall: three.o words\n\
         three.o: three.c\n\tgcc -c -o $@ $<\n\
         words:\n\t@a=(x y z); echo \"$${a[1]} $${BASH_VERSION:+bash}\" >$@; [[ -f words ]] && echo {1..3} >>$@\n",
    ),
    (
        "one.c",
        "#include \"shared.h\"\nint one(void) { return SHARED; }\n",
    ),
    (
        "two.c",
        "#include \"shared.h\"\nint two(void) { return SHARED + 1; }\n",
    ),
    ("shared.h", "#define SHARED 1\n"),
    ("sub/three.c", "int three(void) { return 3; }\n"),
    (
        "user.mk",
        "ifneq ($(MAKELEVEL),0)\n$(error not the first)\nendif\n",
    ),
];

/// A project. Its directory has the same name each time: it is in debug information.
fn project() -> Result<TempDir> {
    let place = tempfile::Builder::new().prefix("farrier-absorbed-").tempdir()?;
    for (name, text) in FILES {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().context("a file at the top")?)?;
        fs::write(path, text)?;
    }
    Ok(place)
}

const ENDINGS: [&str; 9] = [".o", ".a", ".cmd", "text", "list", "first", "words", ".txt", ".d"];

fn plain(directory: &Path, words: &[&str]) -> Result<Output> {
    let output = Command::new("make")
        .args(words)
        .current_dir(directory)
        .stdin(Stdio::null())
        .env("WORDS", "two  words")
        .output();
    output.context("make does not start")
}

fn absorbed(user: &User, directory: &Path, words: &[&str]) -> Result<Output> {
    tools::shell()?;
    let output = user
        .farrier(&[&["run", "--absorb", "--", "make"], words].concat())?
        .current_dir(directory)
        .stdin(Stdio::null())
        .env("WORDS", "two  words")
        .output();
    output.context("farrier does not start")
}

fn clean(directory: &Path) -> Result<()> {
    let script = "rm -rf out lib.a text list first shell.txt sub/*.o sub/words";
    let done = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .status()?;
    ensure!(done.success(), "{done}");
    Ok(())
}

#[test]
fn recipes_do_what_they_do_without() -> Result<()> {
    let user = User::new()?;
    let project = project()?;
    let directory = project.path();
    let expected = plain(directory, &[])?;
    ensure!(expected.status.success(), "{expected:?}");
    let files = hashes(directory, &ENDINGS)?;
    ensure!(files.len() >= 10, "{files:?}");
    let words = fs::read_to_string(directory.join("sub/words"))?;
    ensure!(words == "y bash\n1 2 3\n", "{words}");
    for (round, hits) in [(1, 0), (2, 3), (3, 3)] {
        clean(directory)?;
        let built = absorbed(&user, directory, &[])?;
        let errors = String::from_utf8_lossy(&built.stderr);
        ensure!(
            built.stdout == expected.stdout,
            "round {round}: {}\ninstead of\n{}",
            String::from_utf8_lossy(&built.stdout),
            String::from_utf8_lossy(&expected.stdout)
        );
        let made = hashes(directory, &ENDINGS)?;
        let other: Vec<_> = made.iter().filter(|file| !files.contains(file)).collect();
        ensure!(made == files, "round {round}: {other:?}\n{errors}");
        ensure!(
            errors.contains("farrier: 3 steps in ") && errors.contains(&format!(": {hits} from the cache")),
            "round {round}: {errors}"
        );
    }
    fs::write(directory.join("shared.h"), "#define SHARED 2\n")?;
    clean(directory)?;
    let built = absorbed(&user, directory, &[])?;
    let errors = String::from_utf8_lossy(&built.stderr);
    ensure!(errors.contains(": 1 from the cache"), "{errors}");
    Ok(())
}

#[test]
fn a_recipe_that_fails_fails_as_it_does_without() -> Result<()> {
    let user = User::new()?;
    let project = project()?;
    let directory = project.path();
    let makefile = "all: a b c d e f\n.RECIPEPREFIX := >\n\
        a:\n>@echo a; false; echo b\n\
        b:\n>@set -e; echo b; (exit 4); echo not\n\
        c:\n>gcc -c none.c -o none.o\n\
        d:\n>echo 'int x' > d.c; gcc -c d.c 2>/dev/null\n\
        e:\n>sh -c 'kill -9 $$$$'\n\
        f:\n>no-such-command x && true\n";
    fs::write(directory.join("Makefile"), makefile)?;
    let expected = plain(directory, &["-k"])?;
    let built = absorbed(&user, directory, &["-k"])?;
    ensure!(built.status.code() == expected.status.code(), "{built:?}");
    ensure!(built.stdout == expected.stdout, "{built:?}\n{expected:?}");
    let text = |output: &Output| -> Vec<String> {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        // Ours at the end.
        errors
            .lines()
            .filter(|line| !line.starts_with("farrier: "))
            .map(str::to_owned)
            .collect()
    };
    let (ours, theirs) = (text(&built), text(&expected));
    // make says `/bin/sh: 1: x: not found` itself where it needs no shell; nothing here is of that kind.
    ensure!(ours == theirs, "{ours:#?}\ninstead of\n{theirs:#?}");
    Ok(())
}

/// What a trap is to remove is removed when the recipe is ended in the middle of a command.
#[test]
fn an_interrupted_recipe_cleans_up() -> Result<()> {
    let user = User::new()?;
    let project = project()?;
    let directory = project.path();
    let makefile = "all:\n\t@trap 'rm -f half; trap - TERM; kill -s TERM $$$$' TERM; echo x >half; \
        sh -c 'test -f half && kill -TERM $$PPID'; echo not >whole\n";
    fs::write(directory.join("Makefile"), makefile)?;
    let built = absorbed(&user, directory, &[])?;
    let errors = String::from_utf8_lossy(&built.stderr);
    ensure!(
        built.status.code() == Some(2) && errors.contains("Terminated"),
        "{built:?}"
    );
    ensure!(!directory.join("half").exists(), "it is still there");
    ensure!(!directory.join("whole").exists(), "it went on");
    Ok(())
}
