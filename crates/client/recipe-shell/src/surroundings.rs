//! Environments that shells make something else of.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::tokens::NotOurs;

/// Variables that a shell sets anew, or that change what its commands do.
const OF_SHELLS: [&[u8]; 6] = [
    b"IFS",
    b"OPTIND",
    b"PPID",
    b"CDPATH",
    b"LINENO",
    b"POSIXLY_CORRECT",
];

/// Refuses an environment without a `PATH`, and one with variables that commands would not get as they are.
pub(crate) fn check(environment: impl Iterator<Item = (OsString, OsString)>) -> Result<(), NotOurs> {
    let mut has_path = false;
    for (name, value) in environment {
        if OF_SHELLS.contains(&name.as_bytes()) {
            return Err(NotOurs("a variable that shells change"));
        }
        has_path |= name == "PATH" && !value.is_empty();
    }
    match has_path {
        true => Ok(()),
        false => Err(NotOurs("no PATH")),
    }
}

/// Variables whose names no shell knows, such as those of bash's functions: `/bin/sh` does not give them to its commands.
pub(crate) fn nameless(environment: impl Iterator<Item = (OsString, OsString)>) -> Vec<OsString> {
    let is_name = |name: &[u8]| {
        name.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            && name.first().is_some_and(|first| !first.is_ascii_digit())
    };
    environment
        .map(|(name, _)| name)
        .filter(|name| !is_name(name.as_bytes()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<'a>(more: &'a [&'a str]) -> impl Iterator<Item = (OsString, OsString)> + 'a {
        let path = ("PATH".into(), "/bin".into());
        let more = more.iter().map(|name| (name.into(), "x".into()));
        std::iter::once(path).chain(more)
    }

    #[test]
    fn what_shells_change_is_theirs() {
        assert_eq!(check(environment(&["A_1", "_", "A-B"])), Ok(()));
        for name in ["IFS", "CDPATH", "PPID"] {
            assert!(check(environment(&[name])).is_err(), "{name}");
        }
        assert!(check(std::iter::empty()).is_err());
    }

    #[test]
    fn what_has_no_name_for_a_shell_is_not_handed_on() {
        let nameless = nameless(environment(&["A_1", "_", "BASH_FUNC_x%%", "A-B", "1A"]));
        assert_eq!(nameless, ["BASH_FUNC_x%%", "A-B", "1A"]);
    }
}
