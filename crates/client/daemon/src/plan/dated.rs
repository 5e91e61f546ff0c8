//! Steps whose product is never the same twice, because the build itself writes the time into what they read.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A generated header with the time of the build, and the variable that says which time to write.
const DATED: [(&str, &str); 1] = [("include/generated/utsversion.h", "KBUILD_BUILD_TIMESTAMP")];

/// The variable that would make the step the same each time, if it is not set.
pub(crate) fn dated<'a>(
    inputs: &[PathBuf],
    variable: impl Fn(&str) -> Option<&'a OsStr>,
) -> Option<&'static str> {
    let is_read = |header: &str| inputs.iter().any(|input| input.ends_with(Path::new(header)));
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    DATED
        .iter()
        .find(|(header, name)| is_read(header) && !is_set(name))
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_counts_unless_the_time_is_given() {
        let set = |name: &str| (name == "KBUILD_BUILD_TIMESTAMP").then_some(OsStr::new("1"));
        let unset = |_: &str| None;
        let header = ["init/a.c".into(), "../out/include/generated/utsversion.h".into()];
        let other = ["init/a.c".into(), "include/generated/utsrelease.h".into()];
        assert_eq!(dated(&header, unset), Some("KBUILD_BUILD_TIMESTAMP"));
        assert_eq!(dated(&header, set), None);
        assert_eq!(dated(&other, unset), None);
    }
}
