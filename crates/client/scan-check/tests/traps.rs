//! Every trap of scanning, as a small project that the real compiler is asked about: GCC always, Clang where it is
//! installed. What the compiler reads and what the scan names must be the same files.

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

const HAS_INCLUDE: &str =
    "#if __has_include(\"there.h\")\n#include \"yes.h\"\n#else\n#include \"no.h\"\n#endif\n";

#[test]
fn traps() {
    let cases = [
        Case {
            name: "include_next goes on behind the directory of the file",
            drivers: BOTH,
            arguments: "-Ia -Ib -Ic m.c",
            files: &[
                ("m.c", "#include <x.h>\n"),
                ("a/x.h", "#include_next <x.h>\n#include_next \"x.h\"\n"),
                ("b/x.h", "#ifndef B\n#define B\n#include_next <x.h>\n#endif\n"),
                ("c/x.h", "#include \"y.h\"\n"),
                ("c/y.h", ""),
                ("a/y.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "include_next from a file beside the includer",
            drivers: BOTH,
            arguments: "-Ia -Ib d/m.c",
            files: &[
                ("d/m.c", "#include \"x.h\"\n"),
                ("d/x.h", "#pragma once\n#include_next <x.h>\n"),
                ("a/x.h", ""),
                ("b/x.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "include_next in the main file is include",
            drivers: BOTH,
            arguments: "-iquote q -Ia m.c",
            files: &[
                ("m.c", "#include_next \"x.h\"\n#include_next <x.h>\n"),
                ("x.h", ""),
                ("q/x.h", ""),
                ("a/x.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "has_include true",
            drivers: BOTH,
            arguments: "m.c",
            files: &[("m.c", HAS_INCLUDE), ("there.h", ""), ("yes.h", ""), ("no.h", "")],
            expect: Same,
        },
        Case {
            name: "has_include false",
            drivers: BOTH,
            arguments: "m.c",
            files: &[("m.c", HAS_INCLUDE), ("yes.h", ""), ("no.h", "")],
            expect: Same,
        },
        Case {
            name: "has_include in a macro, with angle brackets, and next",
            drivers: BOTH,
            arguments: "-Ia -Ib m.c",
            files: &[
                (
                    "m.c",
                    "#define HAS(x) __has_include(x)\n#define N <x.h>\n#if HAS(<x.h>)\n#include \"1.h\"\n#endif\n#if \
                     __has_include(N) && defined(__has_include)\n#include N\n#endif\n#ifdef __has_include_next\n#include \
                     \"2.h\"\n#endif\n",
                ),
                ("1.h", ""),
                ("2.h", ""),
                (
                    "a/x.h",
                    "#if __has_include_next(<x.h>)\n#include \"y.h\"\n#endif\n",
                ),
                (
                    "b/x.h",
                    "#if __has_include_next(<x.h>)\n#include \"nowhere.h\"\n#endif\n",
                ),
                ("a/y.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "computed includes",
            drivers: BOTH,
            arguments: "-DDIR=sub -DHEADER=\\<sub/z.h\\> -I. m.c",
            files: &[
                (
                    "m.c",
                    "#define STR(x) #x\n#define XSTR(x) STR(x)\n#define FILE(x) XSTR(DIR/x.h)\n#include FILE(a)\n#include \
                     HEADER\n#define NEXT \"c.h\"\n#include NEXT\n#undef NEXT\n#define NEXT \"d.h\"\n#include NEXT\n",
                ),
                ("sub/a.h", "#include __FILE__\n#undef X\n"),
                ("sub/z.h", ""),
                ("c.h", ""),
                ("d.h", ""),
            ],
            expect: Unsure("within"),
        },
        Case {
            name: "a file that includes itself by its name",
            drivers: BOTH,
            arguments: "-I. m.c",
            files: &[
                ("m.c", "#include \"sub/a.h\"\n"),
                (
                    "sub/a.h",
                    "#ifndef ONCE\n#define ONCE\n#include __FILE__\n#else\n#include \"b.h\"\n#endif\n",
                ),
                ("sub/b.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "multi-pass headers, as the kernel's trace headers are",
            drivers: BOTH,
            arguments: "-Iinclude m.c",
            files: &[
                ("m.c", "#define CREATE\n#include <trace/t.h>\n"),
                (
                    "include/trace/t.h",
                    "#undef SYSTEM\n#define SYSTEM t\n#if !defined(T_H) || defined(MULTI)\n#define T_H\n#include \
                     <ev.h>\n#endif\n#include <trace/define.h>\n",
                ),
                ("include/ev.h", "#ifdef MULTI\n#include \"second.h\"\n#endif\n"),
                ("include/second.h", ""),
                (
                    "include/trace/define.h",
                    "#ifdef CREATE\n#undef CREATE\n#define __S(x) #x\n#define _S(x) __S(x)\n#define INC(f) \
                     _S(trace/f.h)\n#define MULTI\n#include INC(SYSTEM)\n#undef MULTI\n#endif\n",
                ),
            ],
            expect: Same,
        },
        Case {
            name: "imacros come first, include in order",
            drivers: BOTH,
            arguments: "-include one.h -imacros macros.h -include two.h m.c",
            files: &[
                ("macros.h", "#define M\n"),
                ("one.h", "#ifdef M\n#define ONE\n#include \"m1.h\"\n#endif\n"),
                ("two.h", "#ifdef ONE\n#include \"m2.h\"\n#endif\n"),
                ("m1.h", ""),
                ("m2.h", ""),
                ("m.c", "#ifdef ONE\n#include \"m3.h\"\n#endif\n"),
                ("m3.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "include of the command line is searched from the working directory, then along -I",
            drivers: BOTH,
            arguments: "-Ia -include x.h -include y.h d/m.c",
            files: &[
                ("d/m.c", ""),
                ("d/x.h", ""),
                ("x.h", ""),
                ("a/y.h", ""),
                ("d/y.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "digraphs, splices, comments and blanks in directives",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "%:include \"a.h\"\n  #  /* x */ include /* y */ \"b.h\" // z\n#inc\\\nlude \\\n \"c.h\"\n/* multi\n line */ \
                     #include \"d.h\"\n#/*\n*/include \"e.h\"\n#define X \\\n 1\n#if X /* \n */ == 1\n#include \
                     \"f.h\"\n#endif\n/\\\n* #include \"no.h\"\n*\\\n/\n// spliced \\\n#include \"no.h\"\n#in\\  \nclude \
                     \"g.h\"\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
                ("c.h", ""),
                ("d.h", ""),
                ("e.h", ""),
                ("f.h", ""),
                ("g.h", ""),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "names with commas, spaces and signs of comments",
            drivers: BOTH,
            arguments: "-Ia m.c",
            files: &[
                (
                    "m.c",
                    "#include \"smart1,2.h\"\n#include <with space.h>\n#include <x//y.h>\n#include \"it's.h\"\n#include \
                     <q'.h>\n",
                ),
                ("smart1,2.h", ""),
                ("a/with space.h", ""),
                ("a/x/y.h", ""),
                ("it's.h", ""),
                ("a/q'.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "strings, characters and raw strings hide directives",
            drivers: BOTH,
            arguments: "m.cc",
            files: &[
                (
                    "m.cc",
                    "const char *a = R\"x(\n#include \"no.h\"\n)\" )x\";\nconst char *b = \"/*\";\n#include \"a.h\"\nint c = \
                     '\"';\n#include \"b.h\"\nint d = 1'000'000; /* '\n*/\n#include \"c.h\"\nconst char *e = \
                     \"\\\\\";\n#include \"d.h\"\nconst char *f = LR\"(\n#include \"no.h\"\n\\)\";\nint g = 0xAB'CD;\n#include \
                     \"e.h\"\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
                ("c.h", ""),
                ("d.h", ""),
                ("e.h", ""),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "apostrophes where no code is",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#if 0\ndon't /* open\n#endif\n#include \"a.h\"\n#if 0\n#error it's\n#else\n#include \"b.h\"\n#endif\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "pragma once, through links, and by the operator",
            drivers: CLANG,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#include \"once.h\"\n#undef SEEN\n#include \"link.h\"\n#include \"op.h\"\n#include \"op.h\"\n#ifdef \
                     TWICE\n#include \"no.h\"\n#endif\n#ifdef SEEN\n#include \"no.h\"\n#endif\n",
                ),
                ("once.h", "#pragma once\n#define SEEN\n"),
                ("link.h", "-> once.h"),
                (
                    "op.h",
                    "_Pragma(\"once\")\n#ifdef OP\n#define TWICE\n#endif\n#define OP\n",
                ),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "pragma once and import, as GCC has them",
            drivers: GCC,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#include \"once.h\"\n#undef SEEN\n#include \"link.h\"\n#ifdef SEEN\n#include \"no.h\"\n#endif\n#import \
                     \"i.h\"\n#import \"i.h\"\n#include \"i.h\"\n",
                ),
                ("once.h", "#pragma once\n#define SEEN\n"),
                ("link.h", "-> once.h"),
                ("i.h", "#ifdef I\n#include \"no.h\"\n#endif\n#define I\n"),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "directories behind links and ..",
            drivers: BOTH,
            arguments: "-Ilink/.. m.c",
            files: &[
                ("m.c", "#include <h.h>\n#include \"link/in.h\"\n"),
                ("real/deep/in.h", "#include \"../up.h\"\n"),
                ("real/up.h", ""),
                ("up.h", ""),
                ("real/h.h", ""),
                ("h.h", ""),
                ("link", "-> real/deep"),
            ],
            expect: Same,
        },
        Case {
            name: "expressions and macros of all kinds",
            drivers: BOTH,
            arguments: "-DV=3 -U__linux__ -D'F(a,b)=a##b' -DEMPTY= m.c",
            files: &[
                (
                    "m.c",
                    "#define CAT(a, b) CAT_(a, b)\n#define CAT_(a, b) a##b\n#define ONE 1\n#define PROBE(...) SECOND(__VA_ARGS__, \
                     0)\n#define SECOND(a, b, ...) b\n#define __ARG_PLACEHOLDER_1 0,\n#define TAKE2(a, b, ...) b\n#define \
                     IS__(x) TAKE2(x 1, 0)\n#define IS_(x) IS__(__ARG_PLACEHOLDER_##x)\n#define IS(x) IS_(x)\n#define \
                     CONFIG_A 1\n#if IS(CONFIG_A) && !IS(CONFIG_B)\n#include \"1.h\"\n#endif\n#if CAT(V, ONE) == 31 && F(1,2) \
                     == 12\n#include \"2.h\"\n#endif\n#if EMPTY - V < 0 && V >= 3u && -1 > 0u\n#include \"3.h\"\n#endif\n#ifdef \
                     __linux__\n#include \"no.h\"\n#elif defined V && !(V > 3 || 0)\n#include \"4.h\"\n#else\n#include \
                     \"no.h\"\n#endif\n#define SELF SELF + 1\n#if SELF\n#include \"5.h\"\n#endif\n#define E(fmt, ...) f(fmt, \
                     ##__VA_ARGS__)\n#define f(...) NARGS(__VA_ARGS__, 3, 2, 1)\n#define NARGS(a, b, c, n, ...) n\n#if E(x) == \
                     1 && E(x, y) == 2\n#include \"6.h\"\n#endif\n#if 'a' == 97 && L'\\0' - 1 < 0 && (2 ? 1 : 1 / \
                     0)\n#include \"7.h\"\n#endif\n#define D defined(V)\n#if D\n#include \"8.h\"\n#endif\n#if __LINE__ == 51 || \
                     __INCLUDE_LEVEL__ == 0\n#include \"9.h\"\n#endif\n",
                ),
                ("1.h", ""),
                ("2.h", ""),
                ("3.h", ""),
                ("4.h", ""),
                ("5.h", ""),
                ("6.h", ""),
                ("7.h", ""),
                ("8.h", ""),
                ("9.h", ""),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "va_opt, and the words of C++",
            drivers: BOTH,
            arguments: "-std=c++20 m.cc",
            files: &[
                (
                    "m.cc",
                    "#define N(x, ...) 1 __VA_OPT__(+ 1)\n#if N(a) == 1 and N(a, b) == 2 and not 0\n#include \
                     \"a.h\"\n#endif\n#if true and __cplusplus >= 202002L\n#include \"b.h\"\n#endif\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "questions about the compiler",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#if defined(__has_attribute) && __has_attribute(noreturn)\n#include \"a.h\"\n#endif\n#if \
                     __has_attribute(no_such_thing)\n#include \"no.h\"\n#endif\n#ifdef __has_builtin\n#if \
                     __has_builtin(__builtin_expect)\n#include \"b.h\"\n#endif\n#endif\n#if defined(__has_feature)\n#if \
                     __has_feature(c_atomic)\n#include \"c.h\"\n#endif\n#endif\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
                ("c.h", ""),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            // `gcc -M` does not do what `_Pragma` says; when it compiles, GCC does.
            name: "push_macro and pop_macro, as pragma and as operator",
            drivers: CLANG,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#define X 1\n#pragma push_macro(\"X\")\n#undef X\n#define X 2\n#if X == 2\n#include \"a.h\"\n#endif\n#pragma \
                     pop_macro(\"X\")\n#if X == 1\n#include \"b.h\"\n#endif\n_Pragma(\"push_macro(\\\"X\\\")\")\n#undef \
                     X\n_Pragma(\"pop_macro(\\\"X\\\")\")\n#ifdef X\n#include \"c.h\"\n#endif\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
                ("c.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "push_macro and pop_macro",
            drivers: GCC,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#define X 1\n#pragma push_macro(\"X\")\n#undef X\n#define X 2\n#if X == 2\n#include \"a.h\"\n#endif\n#pragma \
                     pop_macro(\"X\")\n#if X == 1\n#include \"b.h\"\n#endif\n#pragma push_macro(\"Y\")\n#define Y\n#pragma \
                     pop_macro(\"Y\")\n#ifdef Y\n#include \"no.h\"\n#endif\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "elifdef of a compiler that has it, else it is no directive",
            drivers: BOTH,
            arguments: "-std=gnu2x m.c",
            files: &[
                (
                    "m.c",
                    "#define B\n#ifdef A\n#include \"no.h\"\n#elifdef B\n#include \"a.h\"\n#endif\n",
                ),
                ("a.h", ""),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "line ends of DOS and a byte order mark",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "\u{feff}#include \"a.h\"\r\n#define X \\\r\n 1\r\n#if X == 1\r\n#include \"b.h\"\r\n#endif\r\n#ifdef \
                     X\r\n#include <c.h>\r\n#endif",
                ),
                ("a.h", ""),
                ("b.h", ""),
                ("c.h", ""),
            ],
            expect: Unsure("NotFound"),
        },
        Case {
            name: "assembly that goes through the preprocessor",
            drivers: BOTH,
            arguments: "-Iinc m.S",
            files: &[
                (
                    "m.S",
                    "#include <a.h>\n# a comment, it's one\n.ascii \"#include\"\n#define BIN \"data.bin\"\n.incbin \
                     BIN\n#ifdef __ASSEMBLER__\n#include \"b.h\"\n#endif\n",
                ),
                ("inc/a.h", ""),
                ("b.h", ""),
                ("data.bin", "data"),
            ],
            expect: Same,
        },
        Case {
            name: "incbin in strings of inline assembly",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                ("m.c", "asm(\".incbin \\\"data.bin\\\"\\n\");\n"),
                ("data.bin", "data"),
            ],
            expect: Same,
        },
        Case {
            name: "incbin that is split over strings",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                ("m.c", "asm(\".inc\" \"bin \\\"data.bin\\\"\\n\");\n"),
                ("data.bin", "data"),
            ],
            expect: Unsure("Incbin"),
        },
        Case {
            name: "incbin in a macro",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#define INCBIN(f) asm(\".incbin \\\"\" f \"\\\"\")\nINCBIN(\"data.bin\");\n",
                ),
                ("data.bin", ""),
            ],
            expect: Unsure("Incbin"),
        },
        Case {
            name: "a header with a precompiled form",
            drivers: GCC,
            arguments: "-Ia m.c",
            files: &[
                ("m.c", "#include <x.h>\n"),
                ("a/x.h", ""),
                ("a/x.h.gch", "not really"),
            ],
            expect: Unsure("Precompiled"),
        },
        Case {
            name: "a macro that counts",
            drivers: BOTH,
            arguments: "m.c",
            files: &[
                ("m.c", "#if __COUNTER__ == 0\n#include \"a.h\"\n#endif\n"),
                ("a.h", ""),
            ],
            expect: Unsure("__COUNTER__"),
        },
        Case {
            name: "macros that a target pragma changes",
            drivers: GCC,
            arguments: "m.c",
            files: &[
                (
                    "m.c",
                    "#pragma GCC target(\"avx2\")\n#ifdef __AVX2__\n#include \"a.h\"\n#endif\n",
                ),
                ("a.h", ""),
            ],
            expect: Unsure("__AVX2__"),
        },
        Case {
            name: "the headers of the vector units",
            drivers: BOTH,
            arguments: "m.c",
            files: &[("m.c", "#include <immintrin.h>\n#include \"a.h\"\n"), ("a.h", "")],
            expect: Same,
        },
        Case {
            name: "raw strings where there are none",
            drivers: BOTH,
            arguments: "-std=c99 m.c",
            files: &[
                (
                    "m.c",
                    "#define LR\n#define R\nconst char *a = R\"x(\";\n#include \"a.h\"\n",
                ),
                ("a.h", ""),
            ],
            expect: Unsure("raw strings"),
        },
        Case {
            name: "trigraphs where they count",
            drivers: BOTH,
            arguments: "-std=c99 m.c",
            files: &[
                (
                    "m.c",
                    "??=include \"a.h\"\n#define X 1 ??/\n + 1\n#if X == 2 ??!??! 0\n#include \"b.h\"\n#endif\n// x ??/\n#include \
                     \"no.h\"\n",
                ),
                ("a.h", ""),
                ("b.h", ""),
                ("no.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "trigraphs where they do not",
            drivers: BOTH,
            arguments: "-std=gnu99 m.c",
            files: &[
                ("m.c", "const char *a = \"??/\";\n// x ??/\n#include \"a.h\"\n"),
                ("a.h", ""),
            ],
            expect: Same,
        },
        Case {
            name: "a header that is nowhere",
            drivers: BOTH,
            arguments: "m.c",
            files: &[("m.c", "#include <no/such.h>\n")],
            expect: Unsure("NotFound"),
        },
        Case {
            name: "conditionals that do not match",
            drivers: BOTH,
            arguments: "m.c",
            files: &[("m.c", "#ifdef X\n")],
            expect: Unsure("Unbalanced"),
        },
        Case {
            name: "a directory of the system named again is searched where it was",
            drivers: BOTH,
            arguments: "-Ia -I/usr/include -isystem b -I./a -idirafter c -I/no/such -iquote q -iquote a m.c",
            files: &[
                (
                    "m.c",
                    "#include <x.h>\n#include \"y.h\"\n#include <z.h>\n#include <stdio.h>\n",
                ),
                ("a/x.h", "#include_next <x.h>\n"),
                ("b/x.h", "#include_next <x.h>\n"),
                ("c/x.h", ""),
                ("q/y.h", ""),
                ("a/y.h", ""),
                ("c/z.h", ""),
                ("c/stdio.h", ""),
            ],
            expect: Same,
        },
    ];
    for case in &cases {
        check(case);
    }
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
