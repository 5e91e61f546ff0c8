//! Parts of the tree that the action has somewhere else, because a front end wants that: the working directory under a name
//! that is the same for all, so that `out/Debug` and `out/Release` share results; or everything some directories deeper.
//!
//! Pure. Where a word goes up from the working directory and then into something in a directory above it, but for the root of the
//! tree, the working directory keeps its name: the command would find nothing there, or something else. That nothing moves where
//! a result may hold the name of its directory is `inputs.rs`'s business.

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
            // What is above it is above it there, so that no name is left.
            Err(_) if below != Path::new("") && self.from.starts_with(below) => {
                Cow::Owned(self.to.components().take(below.components().count()).collect())
            }
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
        let leads_there = words.any(|word| leads_there(word.as_bytes(), directory));
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

/// Whether a word has a path in it that comes to this directory from above it, or to something beside it: below a directory in
/// which it lies itself. A worker would go another way, or find nothing.
fn leads_there(word: &[u8], directory: &Path) -> bool {
    // Words of files named elsewhere are not looked at; a linker's come behind commas.
    let names_words = word
        .split(|byte| *byte == b',')
        .any(|part| part.starts_with(b"@"));
    let whole = [b"/", directory.as_os_str().as_bytes()].concat();
    let has_whole = word.windows(whole.len()).any(|window| window == whole);
    let mut paths = word.split(|byte| is_between_paths(*byte));
    names_words || has_whole || paths.any(|path| turns_back(path, directory))
}

/// What stands between paths, and before them in options.
fn is_between_paths(byte: u8) -> bool {
    matches!(
        byte,
        b'=' | b',' | b':' | b';' | b'@' | b'"' | b'\'' | b'(' | b')'
    ) || byte.is_ascii_whitespace()
}

/// Whether a path from the working directory goes up and then into something that lies in a directory above it, but for the root of
/// the tree. There it may go anywhere but back.
fn turns_back(path: &[u8], directory: &Path) -> bool {
    let names: Vec<_> = directory
        .components()
        .map(|name| name.as_os_str().as_bytes())
        .collect();
    // How far it is up; and how far down from there.
    let (mut up, mut down) = (0, 0);
    for (number, part) in path.split(|byte| *byte == b'/').enumerate() {
        // The first one may have an option before it: `-I..`.
        let is = |what: &[u8]| part == what || number == 0 && part.ends_with(what);
        if is(b"..") {
            match down {
                0 => up += 1,
                _ => down -= 1,
            }
            continue;
        }
        if part.is_empty() || is(b".") {
            continue;
        }
        let is_at_root = up == names.len();
        if down == 0 && up > 0 && (!is_at_root || part == names[0]) {
            return true;
        }
        down += 1;
    }
    false
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
            &["-Ix/a/b/dd"],
            &[
                "set_by_reclient/a/a",
                "set_by_reclient/a/a/gen/a.h",
                "base/b.h",
                "out/x",
            ],
        );
        // It would not be found there.
        let stays = ["out/Debug", "out/Debug/gen/a.h", "base/b.h", "out/x"];
        for word in [
            "-I../../out/Debug/gen",
            "--into=../../out/Debug",
            "-I../gen",
            "-Wl,-rpath,../lib",
            "../Debug/gen",
            "../../out/./Debug",
            "../../out//Debug",
            "../../out/x/../Debug",
            "gen/../../x",
            "@args",
            "-Wl,@args",
            "-DX=/p/out/Debug",
            "../../../p/out/Debug",
        ] {
            check("out/Debug", &[word], &stays);
        }
        for word in [
            "..",
            "../..",
            "-I../..",
            "-I../../gen/../base",
            "gen/../x",
            "a..b/c",
            "-O2",
            "-I.",
            "./x",
        ] {
            check("out/Debug", &[word], &deep);
        }
    }

    #[test]
    fn directories_above_have_no_names_either() {
        let asked = |asked: &mut Settings| asked.canonicalize_working_dir = true;
        let found = seated("a/b/c", &[], asked, &["a", "a/b", "a/b/c", "", "a/x"]);
        let expected = [
            "set_by_reclient",
            "set_by_reclient/a",
            "set_by_reclient/a/a",
            "",
            "a/x",
        ];
        assert_eq!(found, expected);
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
