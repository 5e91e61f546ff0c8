//! Where the daemon listens.

use std::ffi::OsString;
use std::path::PathBuf;

/// Names the daemon's socket; without it each user has one place for it.
pub const SOCKET_VARIABLE: &str = "FARRIER_SOCKET";

/// The socket of this user's daemon, from the environment: where [`SOCKET_VARIABLE`] says, in the user's runtime
/// directory, or below the home directory. `None` where the environment says nothing at all.
pub fn socket_path(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let named = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    named(SOCKET_VARIABLE)
        .or_else(|| Some(named("XDG_RUNTIME_DIR")?.join("farrier/daemon.socket")))
        .or_else(|| Some(named("HOME")?.join(".cache/farrier/daemon.socket")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_says_something_counts() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>| {
            let find = |name: &str| {
                variables
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, value)| (*value).into())
            };
            assert_eq!(socket_path(&find), expected.map(PathBuf::from), "{variables:?}");
        };
        check(
            &[
                ("HOME", "/h"),
                ("XDG_RUNTIME_DIR", "/run/user/1"),
                ("FARRIER_SOCKET", "/s"),
            ],
            Some("/s"),
        );
        check(
            &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/1")],
            Some("/run/user/1/farrier/daemon.socket"),
        );
        check(
            &[("HOME", "/h"), ("FARRIER_SOCKET", "")],
            Some("/h/.cache/farrier/daemon.socket"),
        );
        check(&[], None);
    }
}
