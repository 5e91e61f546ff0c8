//! `recc.conf`.

use crate::variables::{Kind, VARIABLES, Variable};

/// `key=value` lines: keys without `RECC_`, in any case; `#` and white space at the begin of a line make it a comment. Keys
/// of maps keep their case behind the variable's name. A line without `=` says nothing, as does a key that recc does not know.
pub(crate) fn entries(text: &str) -> impl Iterator<Item = (&'static Variable, Option<&str>, &str)> {
    text.lines().filter_map(|line| {
        if line.starts_with(|c: char| c == '#' || c.is_whitespace()) {
            return None;
        }
        let (name, value) = line.split_once('=')?;
        let (variable, key) = find(name, |name, wanted| name.eq_ignore_ascii_case(wanted))?;
        Some((variable, key, value))
    })
}

/// The variable of this name, and the key if it is a map.
pub(crate) fn find(
    name: &str,
    is_same: impl Fn(&str, &str) -> bool,
) -> Option<(&'static Variable, Option<&str>)> {
    VARIABLES.iter().find_map(|variable| {
        if variable.kind != Kind::Map {
            return is_same(name, variable.name).then_some((variable, None));
        }
        let (head, rest) = name.split_at_checked(variable.name.len())?;
        let key = rest.strip_prefix('_').filter(|key| !key.is_empty())?;
        is_same(head, variable.name).then_some((variable, Some(key)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_line() {
        let text = "\
# comment
 indented=is a comment

server=http://a=b
Instance=main
remote_platform_OSFamily=linux
Compile_Remote_Platform_osFamily=x
DEPS_ENV_a_b=c
cache_only=
unknown=1
remote_platform_=no key
no equals
RECC_LINK=1
";
        let found: Vec<_> = entries(text)
            .map(|(variable, key, value)| (variable.name, key, value))
            .collect();
        assert_eq!(
            found,
            [
                ("SERVER", None, "http://a=b"),
                ("INSTANCE", None, "main"),
                ("REMOTE_PLATFORM", Some("OSFamily"), "linux"),
                ("COMPILE_REMOTE_PLATFORM", Some("osFamily"), "x"),
                ("DEPS_ENV", Some("a_b"), "c"),
                ("CACHE_ONLY", None, ""),
            ]
        );
    }
}
