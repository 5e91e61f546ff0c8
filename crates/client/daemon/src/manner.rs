//! How outputs of a known result, or of a worker's, come into the tree: which of them, and what becomes of files that
//! are there already.
//!
//! An output that is not wanted is not written, and what an earlier run has left in its place is removed: who finds the old
//! file would take it for the new one.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use regex::Regex;
use settings::Settings;

use crate::outputs::directory::ToMake;
use crate::outputs::{self, ToWrite};

/// The manner of one command.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    root: PathBuf,
    which: Which,
    keeps_unchanged: bool,
}

#[derive(Clone, Debug)]
enum Which {
    All,
    None,
    Matching(Regex),
    NotMatching(Regex),
}

impl Manner {
    /// As the settings say. The paths of `download_regex` begin at `root`, the top of the input tree.
    pub(crate) fn of(settings: &Settings, root: Option<&Path>) -> Self {
        let text = settings.download_regex.as_deref().unwrap_or_default();
        let (text, is_inverted) = match text.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let regex = (!text.is_empty()).then(|| Regex::new(text).ok()).flatten();
        Manner {
            root: root.unwrap_or(Path::new("/")).to_owned(),
            which: match (regex, settings.download_outputs) {
                (Some(regex), _) if is_inverted => Which::NotMatching(regex),
                (Some(regex), _) => Which::Matching(regex),
                (None, Some(false)) => Which::None,
                (None, _) => Which::All,
            },
            keeps_unchanged: settings.preserve_unchanged_output_mtime,
        }
    }

    fn wants(&self, path: &Path) -> bool {
        let matches = |regex: &Regex| {
            let below = path.strip_prefix(&self.root).unwrap_or(path);
            regex.is_match(&below.to_string_lossy())
        };
        match &self.which {
            Which::All => true,
            Which::None => false,
            Which::Matching(regex) => matches(regex),
            Which::NotMatching(regex) => !matches(regex),
        }
    }

    /// Writes what is wanted, and removes what would be mistaken for the rest. `directories` have nothing in them afterwards
    /// but that.
    pub(crate) fn write(&self, directories: &[ToMake], files: Vec<ToWrite>, mask: u32) -> io::Result<()> {
        for directory in directories {
            directory.make(|path| self.wants(path), mask)?;
        }
        let (wanted, others): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| self.wants(&file.path));
        let is_new = |file: &ToWrite| !(self.keeps_unchanged && is_there(file));
        outputs::write(wanted.into_iter().filter(is_new).collect(), mask)?;
        for other in others {
            match fs::remove_file(&other.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether the file is there already, with the same contents and as executable. One that could not be written is not: the
/// real tool has words for it.
fn is_there(file: &ToWrite) -> bool {
    let Ok(found) = fs::metadata(&file.path) else {
        return false;
    };
    let permissions = found.permissions();
    found.is_file()
        && !permissions.readonly()
        && (permissions.mode() & 0o100 != 0) == file.is_executable
        && found.len() == file.bytes.len() as u64
        && fs::read(&file.path).is_ok_and(|bytes| bytes == file.bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn manner(change: impl FnOnce(&mut Settings), root: &Path) -> Manner {
        let mut settings = Settings::default();
        change(&mut settings);
        Manner::of(&settings, Some(root))
    }

    #[test]
    fn which_outputs_are_wanted() {
        let check = |outputs: Option<bool>, regex: Option<&str>, expected: [bool; 3]| {
            let manner = manner(
                |settings| {
                    settings.download_outputs = outputs;
                    settings.download_regex = regex.map(str::to_owned);
                },
                Path::new("/src"),
            );
            let paths = ["/src/out/a.o", "/src/out/a.d", "/elsewhere/a.o"];
            assert_eq!(
                paths.map(|path| manner.wants(Path::new(path))),
                expected,
                "{outputs:?} {regex:?}"
            );
        };
        check(None, None, [true; 3]);
        check(Some(true), None, [true; 3]);
        check(Some(false), None, [false; 3]);
        check(Some(false), Some(""), [false; 3]);
        check(Some(false), Some(r".*\.d$"), [false, true, false]);
        check(None, Some(r"-.*\.o$"), [false, true, false]);
        check(None, Some(r"^out/"), [true, true, false]);
        // No regular expression: the other flag counts.
        check(Some(false), Some("("), [false; 3]);
        check(None, Some("-("), [true; 3]);
    }

    #[test]
    fn what_is_not_wanted_is_not_there_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let [object, rule] = ["a.o", "a.d"].map(|name| directory.path().join(name));
        for path in [&object, &rule] {
            fs::write(path, "old").unwrap();
        }
        let file = |path: &Path| ToWrite {
            path: path.to_owned(),
            bytes: "new".into(),
            is_executable: false,
            is_rule: false,
        };
        let manner = manner(
            |settings| settings.download_regex = Some(r"\.d$".to_owned()),
            directory.path(),
        );
        for _ in 0..2 {
            manner
                .write(&[], vec![file(&object), file(&rule)], 0o022)
                .unwrap();
            assert!(!object.exists(), "the old one would be taken for the new one");
            assert_eq!(fs::read(&rule).unwrap(), b"new");
        }
        fs::create_dir(&object).unwrap();
        assert!(
            manner.write(&[], vec![file(&object)], 0o022).is_err(),
            "it stays, and is told"
        );
    }

    #[test]
    fn an_unchanged_output_keeps_its_time_if_that_is_wanted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.o");
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let check = |keeps: bool, bytes: &'static str, is_executable: bool, expected: bool| {
            fs::write(&path, "same").unwrap();
            let opened = fs::File::options().write(true).open(&path).unwrap();
            opened.set_modified(before).unwrap();
            let manner = manner(
                |settings| settings.preserve_unchanged_output_mtime = keeps,
                directory.path(),
            );
            let file = ToWrite {
                path: path.clone(),
                bytes: bytes.into(),
                is_executable,
                is_rule: false,
            };
            manner.write(&[], vec![file], 0o022).unwrap();
            let is_kept = fs::metadata(&path).unwrap().modified().unwrap() == before;
            assert_eq!(is_kept, expected, "{keeps} {bytes} {is_executable}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bytes);
            fs::remove_file(&path).unwrap();
        };
        check(true, "same", false, true);
        check(false, "same", false, false);
        check(true, "some", false, false);
        check(true, "more of it", false, false);
        check(true, "same", true, false);
    }
}
