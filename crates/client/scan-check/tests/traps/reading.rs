//! What is a directive, a string or a comment; and text that is none of these and yet matters.

use super::Expect::{Same, Unsure};
use super::{BOTH, Case};

pub(super) fn cases() -> Vec<Case> {
    vec![
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
            name: "conditionals that do not match",
            drivers: BOTH,
            arguments: "m.c",
            files: &[("m.c", "#ifdef X\n")],
            expect: Unsure("Unbalanced"),
        },
    ]
}
