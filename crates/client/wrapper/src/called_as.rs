//! Which command was meant, from the name under which the wrapper was called.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The name of the program itself; before another word it is a launcher.
pub const WRAPPER_NAME: &str = "farrier-cc";
/// What stands before a tool's name where a name of its own is wanted: `farrier-gcc`.
const PREFIX: &[u8] = b"farrier-";

/// The command, its tool first: as a link called `gcc` or `farrier-gcc` the wrapper stands for `gcc`; as `farrier-cc` it
/// launches the program that its first argument names (`exists` says whether it names one), otherwise it stands for `cc`.
pub(crate) fn command(argv: Vec<OsString>, exists: &dyn Fn(&OsStr) -> bool) -> Option<Vec<OsString>> {
    let mut arguments = argv.into_iter();
    let called = arguments.next()?;
    let name = Path::new(&called).file_name()?.to_owned();
    let rest: Vec<OsString> = arguments.collect();
    if name == WRAPPER_NAME {
        return match rest.first() {
            None => None,
            Some(first) if !first.as_bytes().starts_with(b"-") && exists(first) => Some(rest),
            Some(_) => Some(with_tool("cc".into(), rest)),
        };
    }
    let tool = match name.as_bytes().strip_prefix(PREFIX) {
        Some(tool) => OsString::from_vec(tool.to_vec()),
        None => name,
    };
    Some(with_tool(tool, rest))
}

fn with_tool(tool: OsString, rest: Vec<OsString>) -> Vec<OsString> {
    std::iter::once(tool).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argv: &[&str], expected: Option<&[&str]>) {
        let argv = argv.iter().map(OsString::from).collect();
        let exists = |name: &OsStr| name == "gcc" || name == "/opt/bin/clang";
        let expected = expected.map(|words| words.iter().map(OsString::from).collect());
        assert_eq!(command(argv, &exists), expected);
    }

    #[test]
    fn a_link_stands_for_its_name() {
        check(&["gcc", "-c", "a.c"], Some(&["gcc", "-c", "a.c"]));
        check(
            &["/x/y/aarch64-linux-gnu-gcc-12"],
            Some(&["aarch64-linux-gnu-gcc-12"]),
        );
        check(&["farrier-gcc", "-c"], Some(&["gcc", "-c"]));
        check(&["/x/farrier-clang++"], Some(&["clang++"]));
    }

    #[test]
    fn the_program_launches_or_stands_for_cc() {
        check(&["farrier-cc", "gcc", "-c"], Some(&["gcc", "-c"]));
        check(
            &["farrier-cc", "/opt/bin/clang", "-c"],
            Some(&["/opt/bin/clang", "-c"]),
        );
        check(&["farrier-cc", "-c", "a.c"], Some(&["cc", "-c", "a.c"]));
        check(&["farrier-cc", "a.c"], Some(&["cc", "a.c"]));
        check(&["farrier-cc"], None);
        check(&[], None);
    }
}
