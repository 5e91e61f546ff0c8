//! Where in a command's world its input root is, when it asks for a place of its own.

use std::fmt;
use std::path::Path;

/// The longest place, bytes: what the kernel takes, with room for the names below it.
pub const PLACE_BYTES_MAX: usize = 1024;

/// The most directories on the way to a place; each that is not there is made for every command.
pub const PLACE_DEPTH_MAX: usize = 64;

/// Directories of the root that a command's tools and its world lie in. Nothing can be shown at or below them.
const TAKEN: &[&str] = &["usr", "bin", "sbin", "etc", "opt", "nix", "proc", "dev", "sys"];
/// Begins the names of directories that libraries lie in, by the word size and ABI of machines.
const LIBRARIES: &str = "lib";
/// A link to `/tmp`: what is shown below it would be somewhere else.
const LINK: &str = "/var/tmp";
/// Directories of the root that are the command's own, or hold such. They cannot be the place, but it can be below.
const SHARED: &[&str] = &["/tmp", "/var"];

/// An absolute path that a command may see its input root at: it hides nothing of what is shown there otherwise. In its
/// shortest spelling, so that a command's own `pwd` says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputRootPlace(String);

impl InputRootPlace {
    /// Reads one. `//` and a `/` at the end mean nothing and are left out.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let refused = |reason| {
            Err(PlaceError {
                place: text.chars().take(PLACE_BYTES_MAX).collect(),
                reason,
            })
        };
        if text.len() > PLACE_BYTES_MAX {
            return refused("it is too long");
        }
        if !text.starts_with('/') {
            return refused("it is not absolute");
        }
        if text.contains('\0') {
            return refused("it has a NUL byte, which no path has");
        }
        let names: Vec<&str> = text.split('/').filter(|name| !name.is_empty()).collect();
        if names.iter().any(|name| matches!(*name, "." | "..")) {
            return refused("it has a `.` or `..`");
        }
        if names.len() > PLACE_DEPTH_MAX {
            return refused("it is too deep");
        }
        let Some(first) = names.first() else {
            return refused("it is the root; `root` = `inputs` has the input root there");
        };
        if TAKEN.contains(first) || first.starts_with(LIBRARIES) {
            return refused("tools, or what belongs to the sandbox itself, are there");
        }
        let place = format!("/{}", names.join("/"));
        if SHARED.contains(&place.as_str()) {
            return refused("other things have to be there too; take a directory below it");
        }
        if Path::new(&place).starts_with(LINK) {
            return refused("it is a link to /tmp");
        }
        Ok(InputRootPlace(place))
    }

    /// `/` and what follows, without a `/` at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same as a path.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

/// Why an input root cannot be shown somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceError {
    /// Where it was to be.
    pub place: String,
    /// What is wrong with that.
    pub reason: &'static str,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlaceError { place, reason } = self;
        write!(f, "the input root cannot be at {place:?}: {reason}")
    }
}

impl std::error::Error for PlaceError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let found = InputRootPlace::parse(text);
        let found = found.as_ref().map(InputRootPlace::as_str);
        match expected {
            Ok(place) => assert_eq!(found, Ok(place), "{text}"),
            Err(part) => {
                let error = found.unwrap_err().to_string();
                assert!(error.contains(part), "{text}: {error}");
            }
        }
    }

    #[test]
    fn places_of_projects_are_taken() {
        for place in [
            "/build",
            "/build/deep",
            "/home/ann/project",
            "/home",
            "/root/x",
            "/src",
            "/tmp/x",
            "/tmp/x/y z",
            "/var/lib/jobs/1",
            "/work",
            "/usrlocal",
            "/home/usr/bin",
            "/home/..x",
            "/b/ö",
        ] {
            check(place, Ok(place));
        }
        check("//home//ann/", Ok("/home/ann"));
    }

    #[test]
    fn what_a_command_needs_is_not_hidden() {
        for place in [
            "/usr",
            "/usr/",
            "/usr/src/x",
            "/bin",
            "/sbin/x",
            "/lib",
            "/lib64",
            "/libx32/x",
            "/lib/x",
            "/etc",
            "/etc/x",
            "/opt/x",
            "/nix",
            "/proc",
            "/proc/self",
            "/dev",
            "/dev/shm/x",
            "/sys",
            "/sys/x",
            "//usr",
        ] {
            check(place, Err("tools"));
        }
        for place in ["/tmp", "/tmp/", "/var"] {
            check(place, Err("directory below it"));
        }
        for place in ["/var/tmp", "/var/tmp/x"] {
            check(place, Err("link to /tmp"));
        }
        for place in ["/", "//"] {
            check(place, Err("is the root"));
        }
    }

    #[test]
    fn what_is_no_absolute_path_is_refused() {
        for place in ["", "x", "home/ann", "./x", "../x", " /x"] {
            check(place, Err("not absolute"));
        }
        for place in ["/home/../usr", "/..", "/a/.", "/a/./b", "/a/.."] {
            check(place, Err("`..`"));
        }
        check("/a\0b", Err("NUL"));
        check(&format!("/{}", "x".repeat(PLACE_BYTES_MAX)), Err("too long"));
        check(&"/a".repeat(PLACE_DEPTH_MAX), Ok(&"/a".repeat(PLACE_DEPTH_MAX)));
        check(&"/a".repeat(PLACE_DEPTH_MAX + 1), Err("too deep"));
    }
}
