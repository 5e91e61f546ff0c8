//! Absolute paths within the words of a command line.

use std::path::PathBuf;

/// Absolute paths that these words name: words of their own, options' values, and parts of lists. What defines a macro
/// is text, not a path.
pub(crate) fn paths(words: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut defines = false;
    for word in words {
        let is_macro = defines || word.starts_with("-D") || word.starts_with("-U");
        defines = word == "-D" || word == "-U";
        if !is_macro {
            in_word(word, &mut found);
        }
    }
    found
}

/// Options that take a path in the same word without a `=`.
const JOINED: [&str; 16] = [
    "-I",
    "-L",
    "-B",
    "-F",
    "-o",
    "-T",
    "-R",
    "-MF",
    "-include",
    "-imacros",
    "-isystem",
    "-iquote",
    "-idirafter",
    "-isysroot",
    "-iprefix",
    "@",
];

fn in_word(word: &str, found: &mut Vec<PathBuf>) {
    // `-I/usr/include`, `-isystem/usr/include`: a name, then the path at once.
    let joined = JOINED
        .iter()
        .filter_map(|name| word.strip_prefix(name))
        .find(|rest| rest.starts_with('/'));
    let parts = word
        .split(['=', ',', ':', ';'])
        .filter(|part| part.starts_with('/'))
        .chain(joined);
    found.extend(parts.filter(|part| part.len() > 1).map(PathBuf::from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_paths_hide() {
        for (word, expected) in [
            ("/usr/lib/a.o", vec!["/usr/lib/a.o"]),
            ("-I/usr/include", vec!["/usr/include"]),
            ("-isystem/x", vec!["/x"]),
            ("--sysroot=/x", vec!["/x"]),
            ("-fdebug-prefix-map=/a=/b", vec!["/a", "/b"]),
            ("-Wl,-rpath,/x:/y", vec!["/x", "/y"]),
            ("a/b.c", vec![]),
            ("-Iinc/a", vec![]),
            ("-DX=/y", vec![]),
            ("/", vec![]),
        ] {
            let found = paths(&[word.to_owned()]);
            assert_eq!(
                found,
                expected.iter().map(PathBuf::from).collect::<Vec<_>>(),
                "{word}"
            );
        }
    }
}
