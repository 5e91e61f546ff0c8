//! Paths as text: nothing is looked up.

use std::path::{Component, Path, PathBuf};

/// Without `.`, `..` and doubled or final slashes. What is above the root is the root.
pub(crate) fn normalized(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match normal.components().next_back() {
                Some(Component::Normal(_)) => {
                    normal.pop();
                }
                Some(Component::RootDir) => {}
                _ => normal.push(".."),
            },
            component => normal.push(component),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_plain() {
        let cases = [
            ("/a//b/./c/", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/../a", "/a"),
            ("a/../../b", "../b"),
            ("./a", "a"),
            ("/", "/"),
        ];
        for (path, expected) in cases {
            assert_eq!(normalized(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
