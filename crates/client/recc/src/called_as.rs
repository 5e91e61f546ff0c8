//! The command, from the name under which recc was called.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

const NAME: &[u8] = b"recc";
/// What stands before a compiler's name in links to recc, as packagers make them: `recc-gcc`.
const PREFIX: &[u8] = b"recc-";

/// Whether a program of this name is recc, or recc before a compiler.
pub fn is_recc_name(name: &OsStr) -> bool {
    name == OsStr::from_bytes(NAME) || tool(name).is_some()
}

fn tool(name: &OsStr) -> Option<OsString> {
    let tool = name.as_bytes().strip_prefix(PREFIX)?;
    (!tool.is_empty()).then(|| OsString::from_vec(tool.to_vec()))
}

/// The words after `recc`: as a link called `recc-gcc` the compiler comes first.
pub fn words(argv: Vec<OsString>) -> Vec<OsString> {
    let mut argv = argv.into_iter();
    let called = argv.next().unwrap_or_default();
    let tool = Path::new(&called).file_name().and_then(tool);
    tool.into_iter().chain(argv).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stand_for_compilers() {
        let check = |argv: &[&str], expected: &[&str]| {
            assert_eq!(words(argv.iter().map(OsString::from).collect()), expected);
        };
        check(&["recc", "/usr/bin/gcc", "-c"], &["/usr/bin/gcc", "-c"]);
        check(&["/x/recc-g++", "-c"], &["g++", "-c"]);
        check(&["recc", "--help"], &["--help"]);
        check(&[], &[]);
        for (name, expected) in [
            ("recc", true),
            ("recc-cc", true),
            ("recc-", false),
            ("reccx", false),
        ] {
            assert_eq!(is_recc_name(OsStr::new(name)), expected, "{name}");
        }
    }
}
