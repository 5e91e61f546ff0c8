//! Where `-lfoo` leads: the linker's search, with the names that it looks for in vain.
//!
//! Those matter as much as what is found: a file that appears at one of them changes the result of the link.

use std::path::{Path, PathBuf};

use crate::{LinkItem, LinkLine};

/// What there is by a name, asked of whoever may look.
pub trait Look {
    /// What there is.
    fn look(&self, path: &Path) -> Seen;
}

/// What is found by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing, or a directory.
    Nothing,
    /// A file that the linker takes: an object or a library for the target, or a text.
    File,
    /// A library for another target: the linker goes on searching, having read it.
    Incompatible,
}

/// The libraries of a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolution {
    /// Files that are read, in the order of the command line, each once; incompatible ones too.
    pub found: Vec<PathBuf>,
    /// What was looked for before, where nothing was.
    pub in_vain: Vec<PathBuf>,
    /// What is nowhere: the linker will say so.
    pub missing: Vec<String>,
}

/// Searches for every library of a command line, and in `standard` after its own directories.
///
/// GNU ld, gold, lld and mold agree: each directory in turn, and there the shared library before the archive; `-L`
/// holds for libraries before it too; `-L=dir` and `-L$SYSROOT/dir` are below the root.
pub fn resolve(line: &LinkLine, standard: &[PathBuf], look: &dyn Look) -> Resolution {
    let own = line
        .directories
        .iter()
        .map(|directory| below_root(directory, line.sysroot.as_deref()));
    let directories: Vec<PathBuf> = if line.no_standard_libraries && standard.is_empty() {
        own.collect()
    } else {
        own.chain(standard.iter().cloned()).collect()
    };
    let mut resolution = Resolution::default();
    for item in &line.items {
        if let LinkItem::Library {
            name,
            exact,
            archive_only,
        } = item
        {
            search(name, *exact, *archive_only, &directories, look, &mut resolution);
        }
    }
    resolution
}

fn search(
    name: &str,
    exact: bool,
    archive_only: bool,
    directories: &[PathBuf],
    look: &dyn Look,
    resolution: &mut Resolution,
) {
    let names: Vec<String> = match (exact, archive_only) {
        (true, _) => vec![name.to_owned()],
        (false, true) => vec![format!("lib{name}.a")],
        (false, false) => vec![format!("lib{name}.so"), format!("lib{name}.a")],
    };
    for directory in directories {
        for name in &names {
            let path = directory.join(name);
            let (list, is_found) = match look.look(&path) {
                Seen::File => (&mut resolution.found, true),
                Seen::Incompatible => (&mut resolution.found, false),
                Seen::Nothing => (&mut resolution.in_vain, false),
            };
            if !list.contains(&path) {
                list.push(path);
            }
            if is_found {
                return;
            }
        }
    }
    resolution.missing.push(name.to_owned());
}

/// A directory or file with the root put before it where `=` or `$SYSROOT` says so.
pub fn below_root(path: &Path, root: Option<&Path>) -> PathBuf {
    let Some(text) = path.to_str() else {
        return path.to_owned();
    };
    let Some(inner) = text.strip_prefix('=').or_else(|| text.strip_prefix("$SYSROOT")) else {
        return path.to_owned();
    };
    match root {
        Some(root) => root.join(inner.trim_start_matches('/')),
        None => PathBuf::from(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files(&'static [&'static str], &'static [&'static str]);

    impl Look for Files {
        fn look(&self, path: &Path) -> Seen {
            let path = path.to_str().unwrap();
            match (self.0.contains(&path), self.1.contains(&path)) {
                (true, _) => Seen::File,
                (_, true) => Seen::Incompatible,
                _ => Seen::Nothing,
            }
        }
    }

    fn library(name: &str, exact: bool, archive_only: bool) -> LinkItem {
        LinkItem::Library {
            name: name.to_owned(),
            exact,
            archive_only,
        }
    }

    fn shown(items: Vec<LinkItem>, files: Files) -> String {
        let line = LinkLine {
            items,
            directories: ["d", "=/e"].map(PathBuf::from).into(),
            sysroot: Some("/s".into()),
            ..LinkLine::default()
        };
        let found = resolve(&line, &["/usr/lib".into()], &files);
        let list = |paths: &[PathBuf]| {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            paths.join(" ")
        };
        format!(
            "{} | {} | {}",
            list(&found.found),
            list(&found.in_vain),
            found.missing.join(" ")
        )
    }

    #[test]
    fn shared_before_archive_in_each_directory() {
        assert_eq!(
            shown(
                vec![library("x", false, false)],
                Files(&["d/libx.a", "/s/e/libx.so"], &[])
            ),
            "d/libx.a | d/libx.so | "
        );
        assert_eq!(
            shown(
                vec![library("x", false, false)],
                Files(&["/s/e/libx.so", "/s/e/libx.a"], &[])
            ),
            "/s/e/libx.so | d/libx.so d/libx.a | "
        );
    }

    #[test]
    fn archives_only() {
        assert_eq!(
            shown(
                vec![library("x", false, true)],
                Files(&["d/libx.so", "/usr/lib/libx.a"], &[])
            ),
            "/usr/lib/libx.a | d/libx.a /s/e/libx.a | "
        );
    }

    #[test]
    fn exact_names() {
        assert_eq!(
            shown(
                vec![library("x.so.1", true, false)],
                Files(&["/usr/lib/x.so.1"], &[])
            ),
            "/usr/lib/x.so.1 | d/x.so.1 /s/e/x.so.1 | "
        );
    }

    #[test]
    fn for_another_target() {
        assert_eq!(
            shown(
                vec![library("x", false, false)],
                Files(&["d/libx.a"], &["d/libx.so"])
            ),
            "d/libx.so d/libx.a |  | "
        );
    }

    #[test]
    fn nowhere_and_twice() {
        assert_eq!(
            shown(
                vec![
                    library("n", true, false),
                    library("x", false, true),
                    library("x", false, true)
                ],
                Files(&["d/libx.a"], &[])
            ),
            "d/libx.a | d/n /s/e/n /usr/lib/n | n"
        );
    }

    #[test]
    fn below_the_root() {
        for (path, root, expected) in [
            ("=/usr/lib", Some("/s"), "/s/usr/lib"),
            ("$SYSROOT/usr/lib", Some("/s"), "/s/usr/lib"),
            ("=lib", None, "lib"),
            ("=/lib", None, "/lib"),
            ("/usr/lib", Some("/s"), "/usr/lib"),
            ("d", Some("/s"), "d"),
        ] {
            assert_eq!(
                below_root(Path::new(path), root.map(Path::new)),
                Path::new(expected),
                "{path}"
            );
        }
    }
}
