//! Where paths lead, and the links on the way: for front ends that want links to be links in the tree of an action.
//!
//! A link that leads out of the tree is what it leads to, as in reclient: nobody else has what is there.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::build::{ActionBuilder, text};
use super::layout::{Layout, normal};
use super::why::Why;

/// The system's own bound.
const LINKS_ON_THE_WAY_MAX: usize = 40;

/// Where a path of the tree leads, as the system goes: link by link. Links and what `..` is said of are added to the action.
pub(super) fn way(builder: &mut ActionBuilder<'_>, layout: &Layout, path: &Path) -> Result<PathBuf, Why> {
    let root = layout.root();
    let (mut at, rest) = match path.is_absolute() {
        true => (PathBuf::new(), below(layout, path)?.to_owned()),
        false => (layout.working_directory().to_owned(), path.to_owned()),
    };
    let mut left = reversed(&rest);
    let mut links = 0;
    while let Some(name) = left.pop() {
        if name == ".." {
            builder.insert_directory(&at)?;
            if !at.pop() {
                return Err(odd(path, "leads out of the tree and back"));
            }
            continue;
        }
        let parent = at.clone();
        at.push(name);
        let Ok(target) = fs::read_link(root.join(&at)) else {
            continue;
        };
        let Some(relative) = within(root, &parent, &target) else {
            // What is behind it is as if it were here.
            at.extend(left.iter().rev());
            return Ok(at);
        };
        links += 1;
        if links > LINKS_ON_THE_WAY_MAX {
            return Err(odd(path, "goes through too many links"));
        }
        builder.link(&at, text(&relative)?)?;
        left.extend(reversed(&relative));
        at = parent;
    }
    Ok(at)
}

/// What a link says, seen from where it is; `None` if that leads out of the tree.
fn within(root: &Path, parent: &Path, target: &Path) -> Option<PathBuf> {
    if target.is_absolute() {
        let target = normal(target);
        let below = target.strip_prefix(root).ok()?;
        let up = parent.components().map(|_| Component::ParentDir);
        let relative: PathBuf = up.chain(below.components()).collect();
        // A link has to say something.
        let is_here = relative == Path::new("");
        return Some(if is_here { PathBuf::from(".") } else { relative });
    }
    let mut depth = parent.components().count();
    for part in target.components() {
        match part {
            Component::ParentDir => depth = depth.checked_sub(1)?,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
    }
    Some(target.to_owned())
}

/// With its `..`, which say something else after a link than they seem to.
fn below<'a>(layout: &Layout, path: &'a Path) -> Result<&'a Path, Why> {
    path.strip_prefix(layout.root())
        .map_err(|_| odd(path, "comes to the tree in a roundabout way"))
}

/// The parts of a path, the last first.
fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    parts.rev().map(|part| part.as_os_str().to_owned()).collect()
}

fn odd(path: &Path, why: &str) -> Why {
    Why::Inputs(format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_says_is_seen_from_where_it_is() {
        let check = |parent: &str, target: &str, expected: Option<&str>| {
            let found = within(Path::new("/p"), Path::new(parent), Path::new(target));
            assert_eq!(found, expected.map(PathBuf::from), "{parent} {target}");
        };
        check("", "data", Some("data"));
        check("a/b", "../c", Some("../c"));
        check("a/b", "../../c", Some("../../c"));
        check("a/b", "../../../c", None);
        check("a", "../../p/c", None);
        check("a/b", "/p/c/d", Some("../../c/d"));
        check("", "/p/c", Some("c"));
        check("", "/p", Some("."));
        check("", "/q/c", None);
        check("", "/p/../q", None);
    }
}
