//! Where the files of a step are, seen from its action. Pure: paths are compared, never opened.

use std::path::{Component, Path, PathBuf};

/// Directories whose contents come with the tools: the same on every machine with the same packages. What is below
/// `/usr/local` comes from nobody knows where.
const HOST_DIRECTORIES: [&str; 8] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
];
const NOT_HOST_DIRECTORIES: [&str; 1] = ["/usr/local"];

/// The root of a step's input tree and its working directory, both absolute and free of `..`.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    directory: PathBuf,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the input tree, at this path.
    Tree(PathBuf),
    /// On every machine that has the tools.
    Host,
    /// Only here.
    Elsewhere,
}

impl Layout {
    /// The tree begins at `root`, where the working directory is below it, and at the working directory where it is not.
    pub(crate) fn new(root: Option<&Path>, directory: &Path) -> Self {
        let directory = normal(directory);
        let root = root.map(normal).filter(|root| directory.starts_with(root));
        // A tree that holds the host's own directories would hide them.
        let root = root.filter(|root| root != Path::new("/"));
        Layout {
            root: root.unwrap_or_else(|| directory.clone()),
            directory,
        }
    }

    /// Where the tree begins.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The working directory as seen from the root.
    pub(crate) fn working_directory(&self) -> &Path {
        self.directory.strip_prefix(&self.root).unwrap_or(Path::new(""))
    }

    /// A path of the step, made absolute; `..` takes off what is before it.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        normal(&self.directory.join(path))
    }

    /// A path of the step as seen from the working directory, with `..` only at its beginning.
    pub(crate) fn seen_from_working_directory(&self, path: &Path) -> PathBuf {
        let path = self.absolute(path);
        let shared = path
            .components()
            .zip(self.directory.components())
            .take_while(|(a, b)| a == b)
            .count();
        let up = self.directory.components().count() - shared;
        let down = path.components().skip(shared);
        std::iter::repeat_n(Component::ParentDir, up)
            .chain(down)
            .collect()
    }

    /// Where a file of the step is.
    pub(crate) fn place(&self, path: &Path) -> Place {
        let path = self.absolute(path);
        if let Ok(below) = path.strip_prefix(&self.root) {
            return Place::Tree(below.to_owned());
        }
        match is_host(&path) {
            true => Place::Host,
            false => Place::Elsewhere,
        }
    }

    /// The directories in the tree that a path goes through before it turns back by `..`: they must be there for the
    /// path to lead anywhere.
    pub(crate) fn turned_back_from(&self, path: &Path) -> Vec<PathBuf> {
        let mut through = Vec::new();
        let mut at = match path.is_absolute() {
            true => PathBuf::new(),
            false => self.directory.clone(),
        };
        for component in path.components() {
            if component == Component::ParentDir {
                if let Ok(below) = at.strip_prefix(&self.root) {
                    through.push(below.to_owned());
                }
                at.pop();
            } else {
                at.push(component);
            }
        }
        through
    }
}

/// Whether a path without `..` is among what comes with the tools.
pub(crate) fn is_host(path: &Path) -> bool {
    let is_below = |directories: &[&str]| directories.iter().any(|directory| path.starts_with(directory));
    is_below(&HOST_DIRECTORIES) && !is_below(&NOT_HOST_DIRECTORIES)
}

/// Without `.` and `..`, by text alone.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            component => result.push(component),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(root: &str, directory: &str) -> Layout {
        Layout::new(Some(Path::new(root)), Path::new(directory))
    }

    #[test]
    fn the_tree_begins_at_its_root_or_at_the_working_directory() {
        let check = |root, directory, expected: (&str, &str)| {
            let layout = layout(root, directory);
            let found = (layout.root(), layout.working_directory());
            assert_eq!(
                found,
                (Path::new(expected.0), Path::new(expected.1)),
                "{root} {directory}"
            );
        };
        check("/home/u/p", "/home/u/p/src/a", ("/home/u/p", "src/a"));
        check("/home/u/p", "/home/u/p", ("/home/u/p", ""));
        check("/home/u/p/../q", "/home/u/q/./x", ("/home/u/q", "x"));
        check("/home/u/p", "/home/u/other", ("/home/u/other", ""));
        check("/home/u/p", "/home/u/pp", ("/home/u/pp", ""));
        check("/", "/build", ("/build", ""));
    }

    #[test]
    fn every_path_has_a_place() {
        let layout = layout("/home/u/p", "/home/u/p/src");
        let tree = |path: &str| Place::Tree(path.into());
        for (path, expected) in [
            ("a.c", tree("src/a.c")),
            ("../include/a.h", tree("include/a.h")),
            ("./x/../a.c", tree("src/a.c")),
            ("/home/u/p/a.c", tree("a.c")),
            ("../../q/a.h", Place::Elsewhere),
            ("/usr/include/stdio.h", Place::Host),
            ("/usr/lib/../include/stdio.h", Place::Host),
            ("/usr/local/include/x.h", Place::Elsewhere),
            ("/opt/x.h", Place::Elsewhere),
            ("/usrx/y.h", Place::Elsewhere),
            ("../../../../usr/include/stdio.h", Place::Host),
        ] {
            assert_eq!(layout.place(Path::new(path)), expected, "{path}");
        }
        let kernel = super::Layout::new(Some(Path::new("/usr/src/linux")), Path::new("/usr/src/linux"));
        assert_eq!(kernel.place(Path::new("init/main.c")), tree("init/main.c"));
    }

    #[test]
    fn paths_are_told_from_the_working_directory() {
        let layout = layout("/p", "/p/src/a");
        for (path, expected) in [
            ("x.o", "x.o"),
            ("./b/../x.o", "x.o"),
            ("../x.o", "../x.o"),
            ("/p/out/x.o", "../../out/x.o"),
            ("/p/src/a/b/x.o", "b/x.o"),
            ("/tmp/x.o", "../../../tmp/x.o"),
        ] {
            assert_eq!(
                layout.seen_from_working_directory(Path::new(path)),
                Path::new(expected),
                "{path}"
            );
        }
    }

    #[test]
    fn directories_before_dots_are_named() {
        let layout = layout("/p", "/p/src");
        let check = |path: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(layout.turned_back_from(Path::new(path)), expected, "{path}");
        };
        check("a.c", &[]);
        check("../a.c", &["src"]);
        check("x/y/../../a.c", &["src/x/y", "src/x"]);
        check("/p/inc/../a.h", &["inc"]);
        check("/usr/lib/../include/a.h", &[]);
    }
}
