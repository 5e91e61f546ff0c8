//! Parts of the tree that the action has somewhere else, because a front end wants that: the working directory under a name
//! that is the same for all, so that `out/Debug` and `out/Release` share results; or everything some directories deeper.
//!
//! Pure. Where a result may hold the name of its directory, or a word leads into the working directory from above, everything
//! stays where it is: the command would find nothing, or make something else than here.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use settings::Settings;

use super::layout::Layout;

/// What reclient calls a working directory whose name is not to matter; each directory deeper is called `a`.
const ANY_DIRECTORY: &str = "set_by_reclient";
const ANY_DIRECTORY_BELOW: &str = "a";

/// What is below `from` in the tree is below `to` in the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    from: PathBuf,
    to: PathBuf,
}

impl Seat {
    /// Where the action has what is at `below` in the tree.
    pub(super) fn of<'a>(&'a self, below: &'a Path) -> Cow<'a, Path> {
        match below.strip_prefix(&self.from) {
            Ok(rest) if rest == Path::new("") => Cow::Borrowed(&self.to),
            Ok(rest) => Cow::Owned(self.to.join(rest)),
            Err(_) => Cow::Borrowed(below),
        }
    }
}

/// Where the action is to have something, if that is not where it is here. `words`: everything that may name a file.
pub(super) fn wanted<'a>(
    asked: &Settings,
    layout: &Layout,
    mut words: impl Iterator<Item = &'a OsStr>,
) -> Option<Seat> {
    let directory = layout.working_directory();
    let has_name = directory != Path::new("");
    // A link may lead there from anywhere.
    if asked.canonicalize_working_dir && has_name && !asked.preserve_symlink {
        let leads_there = words.any(|word| leads_to(word.as_bytes(), directory.as_os_str().as_bytes()));
        return (!leads_there).then(|| Seat {
            from: directory.to_owned(),
            to: any_directory(directory.components().count()),
        });
    }
    let deeper = asked.working_dir_prefix.as_deref()?;
    let names = deeper
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    let to: PathBuf = names.collect();
    let is_deeper = to != Path::new("") && deeper.components().all(|part| part != Component::ParentDir);
    is_deeper.then(|| Seat {
        from: PathBuf::new(),
        to,
    })
}

fn any_directory(depth: usize) -> PathBuf {
    let below = std::iter::repeat_n(ANY_DIRECTORY_BELOW, depth.saturating_sub(1));
    std::iter::once(ANY_DIRECTORY).chain(below).collect()
}

/// Whether a word has a path in it that comes to this directory from one above it.
fn leads_to(word: &[u8], directory: &[u8]) -> bool {
    let way = [b"/", directory].concat();
    let ends = |next: Option<&u8>| next.is_none_or(|byte| !is_of_name(*byte));
    let mut windows = word.windows(way.len()).enumerate();
    windows.any(|(at, window)| window == way && ends(word.get(at + way.len())))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'_' | b'-' | b'.' | b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seated(
        directory: &str,
        words: &[&str],
        change: impl FnOnce(&mut Settings),
        below: &[&str],
    ) -> Vec<String> {
        let mut asked = Settings::default();
        change(&mut asked);
        let layout = Layout::new(Some(Path::new("/p")), &Path::new("/p").join(directory));
        let words = words.iter().map(OsStr::new);
        let seat = wanted(&asked, &layout, words);
        let of = |path: &&str| match &seat {
            Some(seat) => seat.of(Path::new(path)).display().to_string(),
            None => (*path).to_owned(),
        };
        below.iter().map(of).collect()
    }

    #[test]
    fn a_working_directory_has_a_name_that_is_the_same_for_all() {
        let check = |directory: &str, words: &[&str], expected: &[&str]| {
            let below = [directory, &format!("{directory}/gen/a.h"), "base/b.h", "out/x"];
            let found = seated(
                directory,
                words,
                |asked| asked.canonicalize_working_dir = true,
                &below,
            );
            assert_eq!(found, expected, "{directory} {words:?}");
        };
        let plain = ["-I../..", "-Igen", "../../base/a.cc"];
        let deep = [
            "set_by_reclient/a",
            "set_by_reclient/a/gen/a.h",
            "base/b.h",
            "out/x",
        ];
        check("out/Debug", &plain, &deep);
        check("out/Release", &plain, &deep);
        check(
            "o",
            &[],
            &["set_by_reclient", "set_by_reclient/gen/a.h", "base/b.h", "out/x"],
        );
        check(
            "a/b/c",
            &["-Ix/a/b/cc"],
            &[
                "set_by_reclient/a/a",
                "set_by_reclient/a/a/gen/a.h",
                "base/b.h",
                "out/x",
            ],
        );
        // It would not be found there.
        let stays = ["out/Debug", "out/Debug/gen/a.h", "base/b.h", "out/x"];
        check("out/Debug", &["-I../../out/Debug/gen"], &stays);
        check("out/Debug", &["--into=../../out/Debug"], &stays);
    }

    #[test]
    fn everything_may_be_deeper() {
        let deeper = |prefix: &str| {
            let change = |asked: &mut Settings| asked.working_dir_prefix = Some(prefix.into());
            seated("src", &["../src/a.c"], change, &["src/a.c", ""])
        };
        assert_eq!(deeper("x/y"), ["x/y/src/a.c", "x/y"]);
        assert_eq!(deeper("/x/./y/"), ["x/y/src/a.c", "x/y"]);
        for nothing in ["", ".", "/", "x/../.."] {
            assert_eq!(deeper(nothing), ["src/a.c", ""], "{nothing}");
        }
    }

    #[test]
    fn nothing_moves_that_nobody_moves() {
        assert_eq!(seated("out", &[], |_| {}, &["out/a"]), ["out/a"]);
        let at_root = |asked: &mut Settings| asked.canonicalize_working_dir = true;
        assert_eq!(seated("", &[], at_root, &["a"]), ["a"]);
        let links = |asked: &mut Settings| {
            asked.canonicalize_working_dir = true;
            asked.preserve_symlink = true;
        };
        assert_eq!(seated("out", &[], links, &["out/a"]), ["out/a"]);
    }
}
