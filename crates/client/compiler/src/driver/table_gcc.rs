//! Options that only gcc knows, or reads in a way of its own.

use super::role::{Role, Role::*, Side};
use crate::Caution;
use crate::option::Takes::{Equals, MaybeEquals, Nothing, Prefix, Separate};
use crate::option::{Row, row};

pub(super) static ROWS: &[Row<Role>] = &[
    row("-traditional", Nothing, Careful(Caution::OtherPreprocessing)),
    row("-dN", Nothing, Ignore),
    row("-dU", Nothing, Ignore),
    row("-dA", Nothing, Ignore),
    row("-dp", Nothing, Ignore),
    row("-dP", Nothing, Ignore),
    row("-aux-info", Separate, Written),
    row("-fcallgraph-info", MaybeEquals, Beside(Side::CallGraph)),
    row("-fopt-info", MaybeEquals, MaybeWritten),
    row("-fopt-info-", Prefix, MaybeWritten),
    row("-fprofile-note", Equals, CoverageNote),
    row("-fprofile-prefix-path", Equals, Facts),
    row("-fprofile-prefix-map", Equals, Facts),
    row("-fprofile-values", Nothing, Coverage { notes: false }),
    row("-fcondition-coverage", Nothing, Coverage { notes: false }),
    row("-fbranch-probabilities", Nothing, Profile),
    row("-fvpt", Nothing, Facts),
    row(
        "-fcompare-debug",
        MaybeEquals,
        Refuse("the compiler runs twice and compares"),
    ),
    row("-fcompare-debug-second", Nothing, Refuse("half of a comparison")),
    row("-fself-test", Equals, Refuse("a test of the compiler")),
    row("-fltrans", Prefix, Refuse("a part of link-time optimisation")),
    row("-fwpa", Prefix, Refuse("a part of link-time optimisation")),
    row("-fresolution", Equals, Refuse("a part of link-time optimisation")),
    row("-foffload", Equals, Refuse("compilers for other targets run")),
    row("-foffload=disable", Nothing, Facts),
    row("-foffload=default", Nothing, Facts),
    row("-fopenacc", Nothing, Facts),
    row("-fdbg-cnt", Equals, Talk),
    row("-fdbg-cnt-list", Nothing, Talk),
    row(
        "-fsearch-include-path",
        MaybeEquals,
        Refuse("sources are searched for"),
    ),
    row("-fdeps-file", Equals, Refuse("modules are scanned for")),
    row("-fdeps-format", Equals, Refuse("modules are scanned for")),
    row("-fdeps-target", Equals, Refuse("modules are scanned for")),
    row("-pass-exit-codes", Nothing, Ignore),
    row("-iplugindir", Equals, Facts),
    row(
        "--output-pch",
        Equals,
        Refuse("a precompiled header is written elsewhere"),
    ),
    row("-no-integrated-cpp", Nothing, Facts),
    row("-mthreads", Nothing, LinkFacts),
    row("-mabi", Equals, Facts),
    row("-mlibscript", Equals, Refuse("a script is read")),
    row("-mdump", Prefix, Talk),
    row("--completion", Equals, Ask),
    row("-fversion", Nothing, Ask),
];
