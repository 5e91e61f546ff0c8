//! Conditions and macros, and what compilers are asked.

use super::Expect::{Same, Unsure};
use super::{BOTH, CLANG, Case, GCC};

pub(super) fn cases() -> Vec<Case> {
    vec![
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
    ]
}
