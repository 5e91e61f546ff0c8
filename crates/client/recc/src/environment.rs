//! Which variables a command has elsewhere.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::said::{PREFIX, Said};

/// The usual ones: what changes where a compiler looks, what it writes and in which language it speaks.
const USUAL: &[&str] = &[
    "PATH",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_*",
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "OBJC_INCLUDE_PATH",
    "OBJCPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "GCC_COMPARE_DEBUG",
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
    "SOURCE_DATE_EPOCH",
    "OMP_*",
];

/// The names, of those that are set: the usual ones, those of `ENV_TO_READ`, and with `PRESERVE_ENV` all but recc's own.
pub(crate) fn allowed(said: &Said, environment: &[(OsString, OsString)]) -> Vec<OsString> {
    let wanted: BTreeSet<&OsString> = said.set("ENV_TO_READ").collect();
    let preserve = said.bool("PRESERVE_ENV");
    let is_ours = |name: &OsStr| name.as_bytes().starts_with(PREFIX.as_bytes());
    let mut names: Vec<OsString> = environment
        .iter()
        .map(|(name, _)| name)
        .filter(|name| wanted.contains(name) || is_usual(name) || (preserve && !is_ours(name)))
        .cloned()
        .collect();
    names.sort();
    names.dedup();
    names
}

fn is_usual(name: &OsStr) -> bool {
    USUAL.iter().any(|usual| match usual.strip_suffix('*') {
        Some(prefix) => name.as_bytes().starts_with(prefix.as_bytes()),
        None => name == *usual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said::read;

    #[test]
    fn usual_named_and_all() {
        let check = |extra: &[(&str, &str)], expected: &[&str]| {
            let usual = [
                ("PATH", "/bin"),
                ("LC_ALL", "C"),
                ("HOME", "/h"),
                ("OMP_X", "1"),
                ("SECRET", "s"),
            ];
            let environment: Vec<_> = usual
                .iter()
                .chain(extra)
                .map(|(name, value)| (name.into(), value.into()))
                .collect();
            assert_eq!(
                allowed(&read(&[], &environment), &environment),
                expected,
                "{extra:?}"
            );
        };
        check(&[], &["LC_ALL", "OMP_X", "PATH"]);
        check(
            &[("RECC_ENV_TO_READ", "HOME,RECC_ENV_TO_READ,UNSET")],
            &["HOME", "LC_ALL", "OMP_X", "PATH", "RECC_ENV_TO_READ"],
        );
        check(
            &[("RECC_PRESERVE_ENV", "1"), ("RECC_LINK", "1")],
            &["HOME", "LC_ALL", "OMP_X", "PATH", "SECRET"],
        );
    }
}
