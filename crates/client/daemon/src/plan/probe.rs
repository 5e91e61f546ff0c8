//! Questions to a compiler: compilations of standard input or of nothing, for the sake of whether they succeed or of what
//! they print.
//!
//! What a probe writes goes to a name that nobody will use again, often with a process number in it. So the action has
//! another name for it, wherever the bytes cannot depend on it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use compiler::{Kind, Step};

/// What compilers read as an empty source, the same on every machine.
pub(crate) const NOTHING: &str = "/dev/null";
/// The product's name in the action.
pub(crate) const PRODUCT: &str = "output-0";

/// Whether a step compiles nothing that is anywhere on disk.
pub(crate) fn is_probe(step: &Step) -> bool {
    let compiles = step.stdin || !step.sources.is_empty();
    compiles && step.sources.iter().all(|source| source == Path::new(NOTHING))
}

/// Beginnings of options that put the product's name into the product, or derive other names from it.
const NAMES_PRODUCT: [&str; 12] = [
    "-frecord",
    "-grecord",
    "-fverbose-asm",
    "-fprofile",
    "-ftest-coverage",
    "-coverage",
    "--coverage",
    "-gsplit-dwarf",
    "-fembed",
    "-flto",
    "-dump",
    "-aux",
];

/// The command of a probe with [`PRODUCT`] in place of the name of its only product. `None` if it is no probe, or the name
/// may matter.
pub(crate) fn renamed(step: &Step, arguments: &[OsString]) -> Option<Vec<OsString>> {
    let [product] = step.outputs.as_slice() else {
        return None;
    };
    if !is_probe(step) || step.depfile.is_some() {
        return None;
    }
    let name = product.path.as_os_str();
    let joined = {
        let mut joined = OsString::from("-o");
        joined.push(name);
        joined
    };
    let mut words = Vec::with_capacity(arguments.len());
    let mut found = 0;
    for (number, word) in arguments.iter().enumerate() {
        let follows = number > 0 && arguments[number - 1] == "-o";
        let bytes = word.as_bytes();
        if *word == joined {
            words.push(OsString::from(format!("-o{PRODUCT}")));
            found += 1;
        } else if follows && word == name {
            words.push(PRODUCT.into());
            found += 1;
        } else if bytes.starts_with(b"@")
            || NAMES_PRODUCT
                .iter()
                .any(|option| bytes.starts_with(option.as_bytes()))
        {
            return None;
        } else {
            words.push(word.clone());
        }
    }
    (found == 1).then_some(words)
}

/// Whether a source is so empty that what comes of it does not depend on any header: not on macros that one would define,
/// as long as nothing lists them.
pub(crate) fn is_empty_of_meaning(step: &Step, text: &[u8], arguments: &[OsString]) -> bool {
    let makes_no_text = match step.kind {
        Kind::Compile | Kind::Assemble | Kind::CompileToAssembly | Kind::SyntaxOnly => true,
        Kind::Preprocess | Kind::Dependencies | Kind::Link | Kind::List => false,
        Kind::PrecompileHeader
        | Kind::Archive
        | Kind::Index
        | Kind::Transform
        | Kind::Generate
        | Kind::Probe => false,
    };
    let forces = step
        .preprocessing
        .as_ref()
        .is_some_and(|preprocessing| !preprocessing.forced.is_empty());
    // `-g3` and its kin have all macros in the debug information.
    let lists_macros = arguments.iter().any(|word| {
        let bytes = word.as_bytes();
        bytes.starts_with(b"-g") && bytes.ends_with(b"3") || bytes.starts_with(b"-fdebug-macro")
    });
    makes_no_text
        && !forces
        && !lists_macros
        && step.depfile.is_none()
        && text.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use compiler::{Invocation, NoResponseFiles, Parsed};

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn step(line: &str) -> Step {
        let argv = words(line);
        let invocation = Invocation {
            argv: &argv,
            cwd: Path::new("/p"),
            env: &|_| None,
        };
        match compiler::parse(&invocation, &NoResponseFiles) {
            Parsed::Step(step) => *step,
            Parsed::NotOurs(not_ours) => panic!("{line}: {not_ours}"),
        }
    }

    #[test]
    fn probes_compile_nothing_that_is_on_disk() {
        for (line, expected) in [
            ("gcc -Werror -mx32 -c -x c /dev/null -o .tmp_1/tmp.o", true),
            ("gcc -x c - -o /dev/null", true),
            ("gcc -E -P -x c -", true),
            ("gcc -c a.c", false),
            ("gcc -c -x c /dev/null a.c", false),
            ("gcc --version", false),
            ("gcc -o a a.o", false),
        ] {
            assert_eq!(is_probe(&step(line)), expected, "{line}");
        }
    }

    #[test]
    fn the_product_gets_another_name_where_that_is_the_same() {
        for (line, expected) in [
            (
                "gcc -c -x c /dev/null -o .tmp_1/tmp.o",
                Some("gcc -c -x c /dev/null -o output-0"),
            ),
            (
                "gcc -c -x c - -o/tmp/x.o -Wall",
                Some("gcc -c -x c - -ooutput-0 -Wall"),
            ),
            ("gcc -c -x c /dev/null -o /dev/null", None),
            ("gcc -c -x c /dev/null", None),
            ("gcc -c a.c -o a.o", None),
            ("gcc -gsplit-dwarf -c -x c /dev/null -o .tmp_1/tmp.o", None),
            ("gcc -frecord-gcc-switches -c -x c - -o a.o", None),
            ("gcc -fprofile-arcs -c -x c - -o a.o", None),
            ("gcc -MMD -c -x c - -o a.o", None),
            ("gcc -c -x c /dev/null -o a.o -o a.o", None),
        ] {
            let found = renamed(&step(line), &words(line));
            assert_eq!(found, expected.map(words), "{line}");
        }
    }

    #[test]
    fn an_empty_source_means_the_same_whatever_headers_say() {
        for (line, text, expected) in [
            ("gcc -c -x c /dev/null -o a.o", "", true),
            ("gcc -c -x c - -o a.o", " \n", true),
            ("gcc -c -x c - -o a.o", "#include <a.h>\n", false),
            ("gcc -c -x c - -o a.o", "X", false),
            ("gcc -E -x c /dev/null", "", false),
            ("gcc -M -x c /dev/null", "", false),
            ("gcc -c -include a.h -x c /dev/null -o a.o", "", false),
            ("gcc -c -g3 -x c /dev/null -o a.o", "", false),
            ("gcc -c -ggdb3 -x c /dev/null -o a.o", "", false),
            ("gcc -MMD -c -x c /dev/null -o a.o", "", false),
            ("gcc -x c /dev/null -o a", "", false),
        ] {
            let found = is_empty_of_meaning(&step(line), text.as_bytes(), &words(line));
            assert_eq!(found, expected, "{line}");
        }
    }
}
