//! Command lines of gcc and clang: what is read, what is written.

mod support;

use support::check;

#[test]
fn one_source_to_one_object() {
    check("gcc -c a.c", "Compile C | a.c | out a.o");
    check(
        "/usr/bin/x86_64-linux-gnu-gcc-12 -O2 -Wall -c d/a.c -o out/a.o",
        "Compile C | d/a.c | out out/a.o",
    );
}
