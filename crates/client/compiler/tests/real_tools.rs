//! The real gcc, clang and binutils against what is declared for them: whatever a command leaves behind must be declared,
//! and what is required must be there.
//!
//! A tool that is not installed is left out; `FARRIER_REAL_TOOLS` lists tools that must not be (`gcc,clang,ld`).

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
";

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
        ("empty.c", "typedef int t;\n"),
        ("pre.i", "# 1 \"x.c\"\nint i;\n"),
        ("m.cc", "struct S { int x; };\nint main() { return S{0}.x; }\n"),
        ("s.s", ".globl s\ns: nop\n"),
        ("t.S", "#define X nop\n.globl s\ns: X\n"),
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
