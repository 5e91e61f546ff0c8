//! A directory for one command: what is in it before, what is in it after.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

pub(crate) const ARGS: &str = "a.c -o 'd/with space.o'\n-MD";

pub(crate) const LD_ARGS: &str = "o.o -Map d/ld.map";

/// In which commands sort and speak.
pub(crate) const LOCALE: (&str, &str) = ("LC_ALL", "C");

/// A variable of a command's environment.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    match name == LOCALE.0 {
        true => Some(LOCALE.1.into()),
        false => std::env::var_os(name),
    }
}

pub(crate) fn prepare(cwd: &Path) {
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
        ("h2.h", "x\n"),
        ("v.map", "V { global: *; };\n"),
        ("l.map", "{ main; };\n"),
        ("syms", "f g\n"),
        ("x.lds", "SECTIONS { .text : { *(.text) } }\n"),
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

pub(crate) fn files(cwd: &Path) -> BTreeMap<PathBuf, SystemTime> {
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

pub(crate) fn is_installed(tool: &str) -> bool {
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
