//! The real gcc, clang and binutils against what is declared for them: whatever a command leaves behind must be declared,
//! and what is required must be there.
//!
//! A tool that is not installed is left out; `FARRIER_REAL_TOOLS` lists tools that must not be (`gcc,clang,ld`).

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use compiler::{Invocation, Output, Parsed, Shape, parse};
use support::{Held, rendered, words};

/// For every driver that takes the names of gcc's options. `CC` stands for it.
const BOTH: &str = "
CC -c a.c
CC -c a.c -o d/x.o
CC -c a.c -od/x.o
CC -c a.c -MD
CC -c a.c -MMD -o d/x.o
CC -c a.c -o d/x -MD --coverage
CC -c a.c -o d/x.y.o -MMD
CC -c d/e.c -MD
CC -c d/e.c -g -gsplit-dwarf -fstack-usage --coverage -MD
CC -c a.c -o d/x.o -MD --coverage -gsplit-dwarf -g -fstack-usage
CC -c a.c -MD -MF d/rules.d
CC -c a.c -MD -MFd/rules.d -MT a.o -MP
CC -c a.c -Wp,-MD,d/.x.o.d -o d/x.o
CC -c a.c -Wp,-MMD,d/.x.o.d -MD -o d/x.o
CC -c a.c b.c -MD
CC -c a.c b.c -MD -MF one.d
CC -c a.c b.c p.c -gsplit-dwarf -g --coverage -fstack-usage
CC -E a.c
CC -E a.c -o x.i
CC -E a.c -MD -o x.i
CC -E a.c -MD
CC -E -P -dD a.c -o x.i
CC -M a.c
CC -MM a.c -o x.d
CC -M a.c -MF x.d
CC -M a.c -MF x.d -o y
CC -M a.c b.c
CC -S a.c
CC -S a.c -MD -o d/q.asm
CC -S a.c --coverage -gsplit-dwarf -fstack-usage -g
CC -S -o - a.c
CC -fsyntax-only a.c
CC -fsyntax-only a.c -MD -MF x.d
CC -c -x c - < a.c
CC -c -x c - -o d/in.o -MD < a.c
CC -c -x c - -MD < a.c
CC -c -x c /dev/stdin < p.c
CC -S -x c - -o - < a.c
CC -E - < a.c
CC -c -x assembler - -o s.o < s.s
CC -c -x assembler-with-cpp - -o s.o < s.s
CC -c s.s -MD
CC -c t.S -MD
CC -c t.S -Wp,-MD,d/t.d -o d/t.o
CC -c s.s -g -gsplit-dwarf --coverage
CC -c t.S -MD -o d/t.o -g -gsplit-dwarf
CC -c pre.i -MD -o d/pre.o -MF x.d
CC -c pre.i
CC -c a.c -o x.o -o y.o
CC -c a.c -Wp,-MD,a.d -Wp,-MMD,b.d
CC -c a.c -MD -E -MF z.d -o q
CC -E t.S -o x
CC -M t.S
CC -E h.h -o x
CC -c -MMD 'with space.c' -o 'd/x y.o'
CC -c -o /dev/null p.c
CC -c -x c /dev/null -o d/null.o
CC -E -x c /dev/null -o /dev/null
CC -c a.c -ftest-coverage
CC -c a.c -fprofile-arcs
CC -E a.c -o x.i --coverage -fstack-usage
CC -c a.c -save-temps
CC -c a.c -save-temps -o d/x.o
CC -c a.c -save-temps=obj -o d/x.o
CC -c m.cc -save-temps=obj -o d/x.o
CC -c t.S -save-temps -o d/x.o
CC -S a.c -save-temps
CC h.h
CC h.h -o d/h.gch
CC -x c-header h.h -o pch -MD -MF x.d
CC -c a.c -fsave-optimization-record -O2 -o d/x.o
CC -c empty.c --coverage -gsplit-dwarf -g -fstack-usage -O2
CC -c p.x.c -MD
CC -c a.c -include h.h -Id -Wall -pipe
CC -c @args.rsp
CC p.c
CC p.c -o prog
CC p.c a.c b.c -o d/prog
CC -MD p.c
CC -MD p.c -o d/prog
CC -MD p.c -o d/prog.exe
CC -MD p.c a.c b.c -o d/prog
CC -Wp,-MMD,d/.prog.d -o d/prog p.c
CC p.c a.c b.c -g -gsplit-dwarf -o d/prog
CC p.c -g -gsplit-dwarf
CC p.c -fstack-usage -o d/p
CC p.c -fstack-usage -o prog.x
CC a.c b.c -shared -fPIC -o libx.so.1 -MD -Wl,-soname,libx.so.1
CC -c a.c -MD -o d/libx.so.1.o
CC p.c -o prog -Wl,-Map=d/prog.map
CC p.c -o prog -Wl,-Map,d/prog.map -Wl,--dependency-file=d/prog.dep
CC p.c -o prog -Xlinker -Map -Xlinker d/prog.map
CC -r -nostdlib o.o -o d/r.o
CC o.o p.c -o prog
CC -flto p.c -o prog
CC -flto -c a.c --coverage -fstack-usage -g -gsplit-dwarf -o d/x.o
CC -S a.c -Wa,-a=a.lst
CC -c a.c -Wa,-Id -o d/x.o
CC -c s.s -Id -Wa,-I,d -o d/x.o
CC d/h2.h
CC -g -c a.c -gz -o d/x.o
CC -c a.c -march=native
CC -print-search-dirs
CC --version
CC -dumpmachine
CC -v
CC -### -c a.c
";

/// With gcc's own options.
const GCC: &str = "
gcc -c a.c -fcallgraph-info -o d/x.o
gcc -c a.c -aux-info x.aux
gcc -c a.c -fopt-info-vec=x.opt -O2
gcc -c a.c -fopt-info -O2
gcc -c a.c --coverage -fprofile-note=d/n.gcno
gcc -c a.c -Xpreprocessor -MD -Xpreprocessor x.d
gcc -c a.c -Wa,-a=a.lst
gcc -c a.c -Wa,-adhln=d/a.lst -g
gcc -c a.c -Wa,--MD,d/as.d
gcc -c -g0 -gsplit-dwarf a.c
gcc --coverage p.c a.c b.c -o d/prog
gcc --coverage p.c
gcc --coverage p.c -o d/p
gcc --coverage p.c -o d/prog.exe
gcc -flto=2 p.c a.c b.c -o prog
gcc -MM a.c b.c -o x
gcc p.c -fcallgraph-info -o prog
g++ -c m.cc -MD -o d/m.o
g++ m.cc -o d/prog
g++ -c a.c -MD
";

/// With clang's own options.
const CLANG: &str = "
clang -c a.c -ftime-trace -o d/x.o
clang -c a.c -ftime-trace
clang -c -o - p.c
clang -c -g -gsplit-dwarf=single a.c
clang -c -gsplit-dwarf -g0 a.c
clang -c a.c -emit-llvm
clang -S a.c -emit-llvm -o d/x.ll
clang -c a.c -flto -o d/x.o
clang -c a.c -MJ x.json
clang -c a.c --serialize-diagnostics x.dia
clang -c a.c -fsave-optimization-record -foptimization-record-file=x.yaml -O2
clang -c m.cc -Xclang -emit-pch -o d/m.pch -x c++-header
clang -c a.c -mllvm -inline-threshold=100
clang -c a.c -no-integrated-as
";

/// Binutils.
const BINUTILS: &str = "
as s.s
as s.s -o d/s.o --MD d/s.d
as -a=d/s.lst s.s -o s.o
as -al s.s
as -o s.o < s.s
as -o s.o -- < s.s
as --version
ld -r o.o -o d/r.o
ld -r o.o
ld -e f -o prog o.o -Map=x.map
ld -e f -oprog o.o -Map x.map --dependency-file x.dep
ld -e f -o prog @ld.rsp
ld -v
ld --version
ld --verbose
ar rcsD new.a o.o
ar rcs lib.a o.o
ar cDPrST thin.a lib.a o.o
ar dD lib.a o.o
ar sD lib.a
ar x lib.a o.o
ar t lib.a
ar p lib.a o.o
ar rvD lib.a o.o
ar mPiD o.o lib.a o.o
ranlib -D lib.a
ranlib lib.a
objcopy o.o d/c.o
objcopy -S o.o
objcopy --only-keep-debug o.o d/o.debug
objcopy --dump-section .text=d/text o.o /dev/null
objcopy --add-section .x=h.h o.o d/c.o
objcopy -I binary -O elf64-x86-64 h.h d/h.o
objcopy -v o.o d/c.o
strip o.o
strip -g -o d/s.o o.o
strip -g lib.a
";

/// rustc, with every kind of product.
const RUSTC: &str = "
rustc --crate-name l --crate-type lib l.rs
rustc --crate-name l --crate-type lib --emit=link,metadata,dep-info,obj,asm,llvm-ir,llvm-bc,mir -C extra-filename=-x --out-dir d l.rs
rustc --crate-name l --crate-type lib --emit=dep-info=d/x.d,obj=d/y.o l.rs
rustc --crate-name l --crate-type lib --emit=dep-info=- l.rs
rustc --crate-name l --crate-type lib --emit=obj -o d/x.o l.rs
rustc --crate-name l --crate-type cdylib,staticlib,rlib l.rs
rustc --crate-name l --crate-type dylib -g l.rs
rustc --crate-name l --crate-type lib --emit=link,obj -C codegen-units=4 l.rs
rustc --crate-name l --crate-type lib - < l.rs
rustc m.rs
rustc m.rs -o d/prog
rustc --crate-name m --crate-type bin --emit=metadata,dep-info m.rs
rustc --crate-name m --test m.rs
rustc --crate-type lib a-b.rs
rustc --print cfg
rustc -vV
";

/// javac, with directories for everything.
const JAVAC: &str = "
javac -d out A.java
javac -d out -cp d -proc:none -h headers A.java
javac -version
";

#[test]
fn rustc_leaves_what_is_declared() {
    check_table("rustc", RUSTC);
}

#[test]
fn javac_leaves_what_is_declared() {
    check_table("javac", JAVAC);
}

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
        let found = compiler::library_search::resolve(&link, &[], &Disk).found;
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        let name = found[0].file_name().unwrap().to_str().unwrap();
        let directory = found[0].parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert!(
            opened.contains(&format!("{directory}/{name}")),
            "{line}: {found:?}, but {opened}"
        );
    }
}

/// Runs a command in a fresh directory and says what does not fit.
fn complaint(line: &str) -> Option<String> {
    let root = tempfile::tempdir().unwrap();
    let cwd = root.path().join("w");
    prepare(&cwd);
    let (line, input) = match line.split_once(" < ") {
        Some((line, input)) => (line, Some(input)),
        None => (line, None),
    };
    let before = files(&cwd);
    let argv = words(line);
    let mut command = Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .current_dir(&cwd)
        .stdin(match input {
            Some(input) => Stdio::from(fs::File::open(cwd.join(input)).unwrap()),
            None => Stdio::null(),
        })
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    let output = command.output().unwrap();
    if !output.status.success() {
        return Some(format!("fails: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let appeared: Vec<PathBuf> = files(&cwd)
        .into_iter()
        .filter(|(path, time)| before.get(path) != Some(time))
        .map(|(path, _)| path)
        .collect();
    let held = Held(
        [("args.rsp", ARGS), ("ld.rsp", LD_ARGS)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
    );
    let invocation = Invocation {
        argv: &argv,
        cwd: &cwd,
        env: &|name| std::env::var_os(name),
    };
    let parsed = parse(&invocation, &held);
    let Parsed::Step(step) = &parsed else {
        return Some(rendered(&parsed));
    };
    let missing: Vec<&Output> = step
        .outputs
        .iter()
        .filter(|output| output.required && !cwd.join(&output.path).exists())
        .collect();
    let undeclared: Vec<&PathBuf> = appeared
        .iter()
        .filter(|path| {
            !step.outputs.iter().any(|output| match output.shape {
                Shape::File => output.path == **path,
                Shape::Directory => path.starts_with(&output.path),
            })
        })
        .collect();
    if !missing.is_empty() || !undeclared.is_empty() {
        return Some(format!(
            "missing {missing:?}, undeclared {undeclared:?}\n   {}",
            rendered(&parsed)
        ));
    }
    if step.stdin != input.is_some() {
        return Some("standard input".to_owned());
    }
    if step.stdout == output.stdout.is_empty() && step.kind != compiler::Kind::Probe {
        return Some(format!("standard output has {} bytes", output.stdout.len()));
    }
    None
}

const ARGS: &str = "a.c -o 'd/with space.o'\n-MD";
const LD_ARGS: &str = "o.o -Map d/ld.map";

fn prepare(cwd: &Path) {
    fs::create_dir_all(cwd.join("d")).unwrap();
    for (name, text) in [
        ("h.h", "int g(int);\n"),
        ("d/h2.h", "int g(int);\n"),
        (
            "a.c",
            "#include \"h.h\"\nint f(int x) { char b[100]; return g(x) + (int)(long)b; }\n",
        ),
        ("b.c", "int g(int x) { return x + 1; }\n"),
        ("p.c", "int main(void) { return 0; }\n"),
        ("p.x.c", "int main(void) { return 0; }\n"),
        ("d/e.c", "int e(void) { return 0; }\n"),
        ("with space.c", "int s;\n"),
        ("empty.c", "typedef int t;\n"),
        ("pre.i", "# 1 \"x.c\"\nint i;\n"),
        ("m.cc", "struct S { int x; };\nint main() { return S{0}.x; }\n"),
        ("s.s", ".globl s\ns: nop\n"),
        ("t.S", "#define X nop\n.globl s\ns: X\n"),
        ("l.rs", "pub fn f() {}\n"),
        ("a-b.rs", "pub fn f() {}\n"),
        ("m.rs", "fn main() {}\n"),
        ("A.java", "class A { class B { native int f(); } }\n"),
        ("args.rsp", ARGS),
        ("ld.rsp", LD_ARGS),
    ] {
        let mut file = fs::File::create(cwd.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
    let made = Command::new("as")
        .args(["-o", "o.o"])
        .current_dir(cwd)
        .stdin(Stdio::piped())
        .spawn();
    let mut made = made.unwrap();
    made.stdin
        .take()
        .unwrap()
        .write_all(b".globl f\nf: nop\n")
        .unwrap();
    assert!(made.wait().unwrap().success());
    let archived = Command::new("ar")
        .args(["rcsD", "lib.a", "o.o"])
        .current_dir(cwd)
        .status();
    assert!(archived.unwrap().success());
}

fn files(cwd: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut directories = vec![cwd.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                directories.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(cwd).unwrap().to_owned();
                found.insert(path, metadata.modified().unwrap());
            }
        }
    }
    found
}

fn is_installed(tool: &str) -> bool {
    let installed = Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    let wanted = std::env::var("FARRIER_REAL_TOOLS").unwrap_or_default();
    assert!(
        installed || !wanted.split(',').any(|name| name == tool),
        "{tool} is not installed"
    );
    installed
}

fn check_table(tool: &str, table: &str) {
    if !is_installed(tool) || !is_installed("as") {
        eprintln!("{tool} is not installed: left out");
        return;
    }
    let lines: Vec<String> = table
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.replacen("CC", tool, 1))
        .collect();
    let complaints: Vec<String> = lines
        .iter()
        .filter_map(|line| Some(format!("{line}\n   {}", complaint(line)?)))
        .collect();
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        lines.len(),
        complaints.join("\n")
    );
}

#[test]
fn gcc_leaves_what_is_declared() {
    check_table("gcc", BOTH);
}

#[test]
fn gcc_with_options_of_its_own() {
    check_table("gcc", GCC);
}

#[test]
fn clang_leaves_what_is_declared() {
    check_table("clang", BOTH);
}

#[test]
fn clang_with_options_of_its_own() {
    check_table("clang", CLANG);
}

#[test]
fn binutils_leave_what_is_declared() {
    check_table("ld", BINUTILS);
}
