use std::ffi::OsString;

use compiler::{Invocation, Parsed, ResponseFiles};

use super::*;

struct NoResponseFiles;

impl ResponseFiles for NoResponseFiles {
    fn read(&self, _path: &Path) -> Option<Vec<u8>> {
        None
    }
}

const ROOT: &str = "/home/u/p";

fn step(line: &str) -> Step {
    let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let invocation = Invocation {
        argv: &argv,
        cwd: Path::new("/home/u/p/build"),
        env: &|_| None,
    };
    match compiler::parse(&invocation, &NoResponseFiles) {
        Parsed::Step(step) => *step,
        Parsed::NotOurs(not_ours) => panic!("{line}: {not_ours}"),
    }
}

fn moved_with(
    line: &str,
    root: &str,
    environment: &[(&str, &str)],
    files: &[&str],
) -> Result<Moved, &'static str> {
    let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
    Moved::of(&Candidate {
        root,
        step: &step(line),
        arguments: &arguments,
        environment: &environment,
        files: &files,
    })
}

fn moved() -> Moved {
    Moved::at(ROOT.to_owned())
}

#[test]
fn which_steps_are_the_same_in_every_directory() {
    for (line, is_moved) in [
        ("gcc -g -c a.c", true),
        ("gcc -g -O2 -Wall -c ../src/a.c -o a.o", true),
        (
            "clang -g -c /home/u/p/src/a.c -I/home/u/p/inc -I /home/u/p -o a.o",
            true,
        ),
        (
            "g++ -isystem /home/u/p/inc -include /home/u/p/c.h -c /home/u/p/a.cc -o /home/u/p/build/a.o",
            true,
        ),
        ("gcc -MD -MT a.o -MF a.o.d -c /home/u/p/a.c -o a.o", true),
        (
            "gcc -MD -MT /home/u/p/a.o -MF/home/u/p/a.d -c /home/u/p/a.c -o a.o",
            true,
        ),
        ("gcc -g -S /home/u/p/a.c", true),
        ("gcc -g -c a.S", true),
        ("gcc -g -c -DDIR=/home/u/pp a.c", true),
        ("gcc -g -c -DDIR=../home/u/p a.c", true),
        // The product has the root in it.
        ("gcc -c -DDIR=/home/u/p /home/u/p/a.c", false),
        ("gcc -g -c -D DIR=\"/home/u/p/x\" a.c", false),
        ("gcc -g -c -DF(/home/u/p) a.c", false),
        ("gcc -g -c --coverage a.c", false),
        ("gcc -g -c -fprofile-generate a.c", false),
        ("clang -g -c -fcoverage-mapping a.c", false),
        ("clang -g -c a.S", false),
        ("clang -c /home/u/p/a.S", true),
        ("gcc -E -g a.c -o a.i", false),
        ("gcc -M /home/u/p/a.c -o a.d", false),
        ("gcc -g -c -fsanitize=address a.c", false),
        ("gcc -g -c -frecord-gcc-switches a.c", false),
        ("clang -g -c -frecord-command-line a.c", false),
        ("gcc -g -c -gz a.c", false),
        ("gcc -g -c -Wa,--compress-debug-sections a.c", false),
        ("gcc -g -c -flto a.c", false),
        ("clang -g -c -emit-llvm a.c", false),
        // More files than a product and a rule.
        ("gcc -gsplit-dwarf -c a.c", false),
        ("gcc -g -fstack-usage -c a.c", false),
        ("gcc -g -c a.c b.c", false),
        ("gcc -g -save-temps -c a.c", false),
        ("clang -g -MJ a.json -c a.c", false),
        // Maps of its own, and words that nothing can be said after.
        ("gcc -g -ffile-prefix-map=/home/u/p=. -c a.c", false),
        ("gcc -g -fmacro-prefix-map=/x=y -c a.c", false),
        ("clang -g -c -- a.c", false),
        // Paths in a form that is not understood.
        ("gcc -g -c -I//home/u/p/inc a.c", false),
        ("gcc -g -c -Wp,-MD,/home/u/p/a.d a.c", false),
        ("gcc -g -c /home/u/p/home/u/p/a.c", false),
        ("gcc -g -c /home/u/p//home/u/p/a.c", false),
        ("gcc -c -I/.farrier-root/inc /home/u/p/a.c", false),
        // Links.
        ("gcc -o a /home/u/p/a.o /home/u/p/lib/liba.a", true),
        ("gcc -o a a.o -L/home/u/p/lib -lx", true),
        ("gcc -g -o a /home/u/p/a.c", true),
        ("clang -g -o a /home/u/p/a.S", false),
        ("gcc -o a a.o /home/u/p/lib/liba.so", false),
        ("gcc -o a /home/u/p/a.o -Wl,-rpath,/home/u/p/lib", false),
        ("gcc -o a /home/u/p/a.o -Wl,-Map,a.map", false),
        ("gcc -o a /home/u/p/a.o -T /home/u/p/x.ld", false),
        ("ld -o a /home/u/p/a.o", false),
    ] {
        let found = moved_with(line, ROOT, &[], &[]);
        assert_eq!(found.is_ok(), is_moved, "{line}: {found:?}");
    }
}

#[test]
fn what_else_decides() {
    let line = "gcc -g -c a.c";
    let check = |root: &str, environment: &[(&str, &str)], files: &[&str], is_moved| {
        let found = moved_with(line, root, environment, files);
        assert_eq!(
            found.is_ok(),
            is_moved,
            "{root} {environment:?} {files:?}: {found:?}"
        );
    };
    check("/w", &[], &[], true);
    for root in [
        "/",
        "/home/u p",
        "/home/u:p",
        "/home/u/p$",
        "/home/ü",
        "/.farrier-root",
        "/.farrier-root/x",
    ] {
        check(root, &[], &[], false);
    }
    check(ROOT, &[("LANG", "C"), ("CPATH", "/home/u/pp")], &[], true);
    check(ROOT, &[("CPATH", "/x:/home/u/p/inc")], &[], false);
    check(ROOT, &[("CPATH", "/.farrier-root")], &[], false);
    check(
        ROOT,
        &[],
        &["/home/u/p/a.c", "/usr/include/stdio.h", "/home/u/q/x.h"],
        true,
    );
    check(ROOT, &[], &["/home/u/p2/x.h"], false);
}

#[test]
fn commands_are_known_by_the_placeholder() {
    let moved = moved();
    for (word, expected) in [
        ("-c", "-c"),
        ("/home/u/p", "/.farrier-root"),
        ("/home/u/p/a.c", "/.farrier-root/a.c"),
        ("-I/home/u/p/inc", "-I/.farrier-root/inc"),
        ("-isystem/home/u/p/inc", "-isystem/.farrier-root/inc"),
        ("/home/u/p2/a.c", "/home/u/p2/a.c"),
        ("../../home/u/p/a.c", "../../home/u/p/a.c"),
        ("-I../home/u/p/a.c", "-I../home/u/p/a.c"),
    ] {
        assert_eq!(moved.argument(word).as_deref(), Ok(expected), "{word}");
    }
    let map = moved.argument(&moved.map());
    assert_eq!(map.as_deref(), Ok("-ffile-prefix-map=/.farrier-root=."));
    for word in [
        "-X/home/u/p",
        "-I=/home/u/p",
        "@/home/u/p/x",
        "/home/u/p//home/u/p",
    ] {
        assert!(moved.argument(word).is_err(), "{word}");
    }
}

#[test]
fn texts_are_kept_with_the_placeholder_and_shown_with_another_root() {
    let there = Moved::at("/w".to_owned());
    let moved = moved();
    for (text, shown) in [
        ("", ""),
        (
            "a.o: /home/u/p/a.c \\\n /home/u/p/inc/h.h\n",
            "a.o: /w/a.c \\\n /w/inc/h.h\n",
        ),
        ("/home/u/p/a.c:3:5: warning: x\n", "/w/a.c:3:5: warning: x\n"),
        (
            "In file included from ‘/home/u/p/a.c’,",
            "In file included from ‘/w/a.c’,",
        ),
        (
            "\x1b[01m\x1b[K/home/u/p/a.c:\x1b[m",
            "\x1b[01m\x1b[K/w/a.c:\x1b[m",
        ),
        ("\x1b[01;36m/home/u/p:", "\x1b[01;36m/w:"),
        ("it is in /home/u/p.", "it is in /w."),
        ("it is in /home/u/p. And", "it is in /w. And"),
        (
            "/home/u/p2/a.h ../home/u/p/b.h /home/u/p.old/c.h",
            "/home/u/p2/a.h ../home/u/p/b.h /home/u/p.old/c.h",
        ),
    ] {
        let kept = moved.keep(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(there.show(&kept)).unwrap(), shown);
        assert_eq!(String::from_utf8(moved.show(&kept)).unwrap(), text);
        // Wherever it was made, it is kept in the same form.
        assert_eq!(there.keep(shown.as_bytes()).unwrap(), kept, "{text}");
    }
    for text in [
        "-I/home/u/p/inc",
        "file:///home/u/p/a.c",
        "x//home/u/p",
        "/.farrier-root/a.c /home/u/p",
    ] {
        assert!(moved.keep(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_product_that_names_the_root_is_found_out() {
    let moved = moved();
    for (product, is_fine) in [
        (&b"\x7fELF\0./src/a.c\0"[..], true),
        (b"\x7fELF\0/home/u/p/src/a.c\0", false),
        (b"\0/home/u/p\0", false),
        (b"\0/home/u/p", false),
        (b"\0--map=/home/u/p=.\0", false),
        (b"\0-I/home/u/p/inc\0", false),
        (b"\0/home/u/p2/src/a.c\0", true),
        (b"\0lib/home/u/p/a.c\0", true),
        (b"\0_GLOBAL__sub_I__home_u_p_src_a.cc\0", false),
    ] {
        let text = String::from_utf8_lossy(product);
        assert_eq!(moved.check(product).is_ok(), is_fine, "{text}");
    }
    // Short names say little.
    assert_eq!(
        Moved::at("/src".to_owned()).check(b"\0../src/a.c\0my_src\0"),
        Ok(())
    );
}
