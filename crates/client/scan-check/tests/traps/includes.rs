//! Where headers are searched, and which are read again.

use super::Expect::{Same, Unsure};
use super::{BOTH, CLANG, Case, GCC};

const HAS_INCLUDE: &str =
    "#if __has_include(\"there.h\")\n#include \"yes.h\"\n#else\n#include \"no.h\"\n#endif\n";

pub(super) fn cases() -> Vec<Case> {
    vec![
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
            name: "a header that is nowhere",
            drivers: BOTH,
            arguments: "m.c",
            files: &[("m.c", "#include <no/such.h>\n")],
            expect: Unsure("NotFound"),
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
    ]
}
