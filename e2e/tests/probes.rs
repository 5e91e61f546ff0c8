//! What kernels and configure scripts do beside compiling: questions to compilers, linkers called by themselves, symbols
//! listed, files that assembly takes in. Each as without farrier, answered the second time, and never stale.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::build::User;
use tempfile::TempDir;

fn directory() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("farrier-project-").tempdir()?)
}

fn plain(directory: &Path, script: &str) -> Result<Output> {
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(directory)
        .stdin(Stdio::null())
        .output();
    output.context("sh does not start")
}

/// Questions as Kconfig and makefiles ask them: good ones and bad ones, with and without a name for what is made.
const QUESTIONS: &str = r#"
try() { "$@" 2>>errors; echo "$? $*"; }
out() { echo ".tmp_$$/tmp.o"; }
mkdir .tmp_$$
try gcc -Werror -fno-common -c -x c /dev/null -o $(out) | sed 's/tmp_[0-9]*//'
try gcc -Werror -fno-such-option -c -x c /dev/null -o $(out).o | sed 's/tmp_[0-9]*//'
try gcc -E -x c /dev/null -o /dev/null
echo 'int main(void) { return 0; }' | try gcc -x c - -o /dev/null
echo 'no C at all' | try gcc -x c - -c -o /dev/null
echo '#include <stddef.h>
__SIZEOF_POINTER__ NULL' | try gcc -E -P -x c -
echo 'int f(void) { char x[200]; return g(x); }' | try gcc -S -x c -O2 -fstack-protector - -o -
echo '.byte 1' | try gcc -c -x assembler-with-cpp -o /dev/null -
cat errors
rm -r .tmp_$$ errors
"#;

#[test]
fn questions_are_answered_as_the_compiler_answers_them() -> Result<()> {
    let user = User::new()?;
    let project = directory()?;
    let expected = plain(project.path(), QUESTIONS)?;
    let expected = String::from_utf8_lossy(&expected.stdout).into_owned();
    ensure!(
        expected.contains("0 gcc -Werror -fno-common") && expected.contains("1 gcc -Werror -fno-such"),
        "{expected}"
    );
    for (round, hits) in [(1, 0), (2, 8), (3, 8)] {
        let output = user.run(project.path(), &[], &["sh", "-c", QUESTIONS])?;
        let (said, summary) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(said == expected, "round {round}: {said}\ninstead of {expected}");
        ensure!(
            summary.contains("farrier: 8 steps in ") && summary.contains(&format!(": {hits} from the cache")),
            "round {round}: {summary}"
        );
    }
    // Another answer to the same words.
    let other = QUESTIONS
        .replace("return 0;", "return 0")
        .replace("char x[200]", "char x[300]");
    let output = user.run(project.path(), &[], &["sh", "-c", &other])?;
    let expected = plain(project.path(), &other)?;
    ensure!(
        output.stdout == expected.stdout,
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let summary = String::from_utf8_lossy(&output.stderr);
    ensure!(summary.contains(": 6 from the cache"), "{summary}");
    Ok(())
}

#[test]
fn what_does_not_end_or_is_long_is_read_by_the_compiler_itself() -> Result<()> {
    let user = User::new()?;
    let project = directory()?;
    // Refused before anything is read, by a pipe that stays open.
    let begun = Instant::now();
    let script = "mkfifo pipe && exec 3<>pipe && gcc -x c -c - -o a.o -fno-such-option <pipe; exit 3";
    let output = user.run(project.path(), &[], &["sh", "-c", script])?;
    ensure!(output.status.code() == Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        said.contains("-fno-such-option") && said.contains("1 (standard input)"),
        "{said}"
    );
    ensure!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());

    let script = "yes 'int x;' | head -n 400000 | gcc -x c -c - -o a.o && sha256sum a.o";
    let output = user.run(project.path(), &[], &["sh", "-c", script])?;
    let expected = plain(project.path(), script)?;
    ensure!(
        expected.status.success() && output.stdout == expected.stdout,
        "{output:?}"
    );
    let summary = String::from_utf8_lossy(&output.stderr);
    ensure!(summary.contains("1 (standard input)"), "{summary}");
    Ok(())
}

/// Assembly with a file in it, a thin archive, a linker's script.
const KERNEL: &str = "rm -f *.o *.a image && gcc -c data.S -o data.o && gcc -c code.c -o code.o && \
     gcc -E -P -x c image.lds.S -o image.lds && ar cDPrST all.a data.o code.o && \
     ar mPiT data.o all.a code.o && \
     ld -r -o all.o --whole-archive all.a --no-whole-archive && ld -T image.lds -o image all.o";

#[test]
fn a_linker_of_its_own_is_known_and_what_it_reads_counts() -> Result<()> {
    let user = User::new()?;
    let project = directory()?;
    let write = |name: &str, text: &str| fs::write(project.path().join(name), text);
    let image = |how: &str| -> Result<(Vec<u8>, String)> {
        let output = match how {
            "plain" => plain(project.path(), KERNEL)?,
            _ => user.run(project.path(), &[], &["sh", "-c", KERNEL])?,
        };
        ensure!(output.status.success(), "{output:?}");
        let summary = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((fs::read(project.path().join("image"))?, summary))
    };
    write("blob", "one")?;
    write("config.h", "#define BASE 0x400000\n")?;
    write("data.S", ".data\n.globl blob\nblob: .incbin \"blob\"\n")?;
    write(
        "code.c",
        "#include \"config.h\"\nlong base = BASE;\nvoid _start(void) {}\n",
    )?;
    write(
        "image.lds.S",
        "#include \"config.h\"\nSECTIONS { . = BASE; .text : { *(.text) } .data : { *(.data) } }\n",
    )?;
    let (first, _) = image("plain")?;
    ensure!(image("farrier")?.0 == first);
    let (again, summary) = image("farrier")?;
    ensure!(
        again == first && summary.contains("5 steps") && summary.contains(": 5 from the cache"),
        "{summary}"
    );

    for (name, text, hits) in [
        // The file that is taken in: its object and both links.
        ("blob", "two", 2),
        // An option of the configuration: everything that has it, and both links.
        ("config.h", "#define BASE 0x500000\n", 1),
        // The script alone.
        (
            "image.lds.S",
            "#include \"config.h\"\nSECTIONS { . = BASE; .data : { *(.data) } .text : { *(.text) } }\n",
            3,
        ),
    ] {
        write(name, text)?;
        let (made, summary) = image("farrier")?;
        ensure!(
            summary.contains(&format!(": {hits} from the cache")),
            "{name}: {summary}"
        );
        ensure!(made == image("plain")?.0, "after a change of {name}");
    }
    Ok(())
}

#[test]
fn builds_do_not_depend_on_the_time_where_that_is_asked_for() -> Result<()> {
    let user = User::new()?;
    let project = directory()?;
    let script = "echo $SOURCE_DATE_EPOCH,$KBUILD_BUILD_TIMESTAMP,$KBUILD_BUILD_USER,$KBUILD_BUILD_HOST,$KBUILD_BUILD_VERSION";
    let output = user.run(project.path(), &["--reproducible"], &["sh", "-c", script])?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        said == "315532800,1980-01-01 00:00:00 UTC,farrier,farrier,1\n",
        "{said}"
    );

    let kernel = "mkdir -p include/generated && date +'#define T \"%s%N\"' > include/generated/utsversion.h && \
         echo 'char t[] = T;' > version.c && gcc -include include/generated/utsversion.h -c version.c -o version.o";
    let output = user.run(project.path(), &[], &["sh", "-c", kernel])?;
    let summary = String::from_utf8_lossy(&output.stderr);
    ensure!(summary.contains("never the same twice: version.o"), "{summary}");
    let output = user.run(project.path(), &["--reproducible"], &["sh", "-c", kernel])?;
    let summary = String::from_utf8_lossy(&output.stderr);
    ensure!(!summary.contains("never the same"), "{summary}");
    Ok(())
}

/// An object and a thin archive, what has no symbols, and what is left to the real tool: an object of another kind, and no file
/// at all.
const LISTS: &str = "\
all: ; @$(MAKE) -s first && $(MAKE) -s second
first: a.o b.o e.o l.o all.a
second: ; @$(NM) --quiet a.o; $(NM) -n all.a | cat; $(NM) e.o 2>&1; $(NM) -gf posix l.o >/dev/null; $(NM) no-such.o 2>&1 || echo $$?
%.o: %.c ; @gcc -c $< -o $@
l.o: a.c ; @gcc -flto -c $< -o $@
e.o: ; @echo | gcc -x assembler -c - -o $@
all.a: a.o b.o ; @rm -f $@; ar cDPrST $@ $^
clean: ; @rm -f *.o *.a
";

#[test]
fn symbols_are_those_of_the_files_as_they_are() -> Result<()> {
    let mut user = User::new()?;
    user.environment.push(("LC_ALL".to_owned(), "C".to_owned()));
    let project = directory()?;
    let write = |name: &str, text: &str| fs::write(project.path().join(name), text);
    write("Makefile", LISTS)?;
    write("a.c", "int a(void) { return 1; }\n")?;
    write("b.c", "int a(void);\nint b(void) { return a(); }\n")?;
    let script = "make -s clean all NM=nm";
    let ensure_listed = |what: &str, hits: usize, symbols: &[&str]| -> Result<()> {
        let expected = plain(project.path(), &format!("export LC_ALL=C; {script}"))?;
        // By itself it has a link only where LLVM makes it slow.
        let launched = script.replace("NM=nm", "NM='farrier-cc nm'");
        let output = user.run(project.path(), &[], &["sh", "-c", &launched])?;
        let (said, summary) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        ensure!(
            output.stdout == expected.stdout && output.status.code() == expected.status.code(),
            "{what}: {said}\ninstead of {}",
            String::from_utf8_lossy(&expected.stdout)
        );
        ensure!(
            symbols.iter().all(|symbol| said.contains(symbol)),
            "{what}: {said}"
        );
        // Four objects and three lists.
        ensure!(
            summary.contains("farrier: 7 steps in ") && summary.contains(&format!(": {hits} from the cache")),
            "{what}: {summary}"
        );
        ensure!(
            summary.contains("1 (unknown inputs)") && summary.contains("1 (unreadable input)"),
            "{what}: {summary}"
        );
        Ok(())
    };
    let symbols = [
        " T a\n",
        " T b\n",
        "\nb.o:\n",
        "nm: e.o: no symbols\n",
        "nm: 'no-such.o': No such file\n",
    ];
    ensure_listed("nothing known", 0, &symbols)?;
    ensure_listed("again", 7, &symbols)?;
    // Its object, and both lists that it is in; the object for the optimiser is made of it as well.
    write("a.c", "int a(void) { return 1; }\nint other;\n")?;
    ensure_listed("another symbol", 3, &[" B other\n"])?;
    // A member of the archive, of the same size: the archive stays what it is.
    let archive = fs::read(project.path().join("all.a"))?;
    write("b.c", "int a(void);\nint d(void) { return a(); }\n")?;
    ensure_listed("another member", 5, &[" B other\n", " T d\n"])?;
    ensure!(fs::read(project.path().join("all.a"))? == archive);
    ensure_listed("again", 7, &[" B other\n", " T d\n"])?;
    Ok(())
}
