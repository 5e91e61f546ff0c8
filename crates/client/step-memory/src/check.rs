//! When grounds hold: the looks at the disk.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use file_digests::Stamp;

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum There {
    /// Nothing, or nothing that a path leads to.
    Nothing,
    /// A regular file, symlinks followed.
    File,
    /// Something else.
    Other,
    /// Nobody can say.
    Unknown,
}

pub(crate) fn there(path: &Path) -> There {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => There::File,
        Ok(_) => There::Other,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            There::Nothing
        }
        Err(_) => There::Unknown,
    }
}

/// The state of the directory at `path`, symlinks followed.
pub(crate) fn directory(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    metadata.is_dir().then(|| Stamp::of(&metadata))
}

/// Whether a directory still has none of `names`. `seen` is a state of the directory in which that held: as long as it is
/// in this state, nothing more is looked at.
pub(crate) fn has_none<'a>(
    path: &Path,
    names: impl Iterator<Item = &'a OsStr>,
    seen: &mut Option<Stamp>,
    now: SystemTime,
) -> bool {
    match there(path) {
        There::Nothing | There::File => return true,
        There::Unknown => return false,
        There::Other => {}
    }
    let state = directory(path);
    if state.is_some() && state == *seen {
        return true;
    }
    let mut within = PathBuf::with_capacity(path.as_os_str().len() + 64);
    within.push(path);
    let mut is_plain = true;
    for name in names {
        within.push(name);
        match fs::symlink_metadata(&within) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // What a symlink leads to may come without a change of this directory.
            _ => {
                is_plain = false;
                if matches!(there(&within), There::File | There::Unknown) {
                    return false;
                }
            }
        }
        within.pop();
    }
    // A name that came meanwhile came after this state, or shows as another one if the state is old enough.
    *seen = state.filter(|state| is_plain && state.is_settled(now));
    true
}

/// For each path the first one of them that leads to the same directory, by its number; none if there is no directory.
pub(crate) fn groups<'a>(paths: impl Iterator<Item = &'a Path>) -> Vec<Option<u32>> {
    let identity = |path: &Path| {
        let metadata = fs::metadata(path).ok()?;
        metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
    };
    let identities: Vec<_> = paths.map(identity).collect();
    let first = |identity: &(u64, u64)| {
        let found = identities
            .iter()
            .position(|other| other.as_ref() == Some(identity));
        found.map(|number| number as u32)
    };
    identities
        .iter()
        .map(|identity| identity.as_ref().and_then(first))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_that_comes_is_noticed_in_any_state_of_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let names = [OsString::from("a.h"), OsString::from("b.h")];
        let later = SystemTime::now() + Duration::from_secs(100);
        let mut seen = None;
        let check = |seen: &mut Option<Stamp>| {
            has_none(
                directory.path(),
                names.iter().map(OsString::as_os_str),
                seen,
                later,
            )
        };
        assert!(check(&mut seen));
        assert!(seen.is_some(), "it is old enough by this clock");
        fs::create_dir(directory.path().join("a.h")).unwrap();
        assert!(check(&mut seen), "a directory is no header");
        std::thread::sleep(Duration::from_millis(20));
        fs::write(directory.path().join("b.h"), "").unwrap();
        assert!(!check(&mut seen));
        assert!(!check(&mut None));
    }

    #[test]
    fn what_a_symlink_leads_to_is_looked_at_each_time() {
        let scratch = tempfile::tempdir().unwrap();
        let (directory, target) = (scratch.path().join("a"), scratch.path().join("target"));
        fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(&target, directory.join("a.h")).unwrap();
        let later = SystemTime::now() + Duration::from_secs(100);
        let mut seen = None;
        let check =
            |seen: &mut Option<Stamp>| has_none(&directory, [OsStr::new("a.h")].into_iter(), seen, later);
        assert!(check(&mut seen));
        fs::write(&target, "").unwrap();
        assert!(!check(&mut seen));
    }

    #[test]
    fn a_state_of_just_now_is_not_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let mut seen = None;
        assert!(has_none(
            directory.path(),
            std::iter::empty(),
            &mut seen,
            SystemTime::now()
        ));
        assert_eq!(seen, None);
        let nowhere = directory.path().join("no/where");
        let name = OsStr::new("x");
        assert!(has_none(
            &nowhere,
            [name].into_iter(),
            &mut seen,
            SystemTime::now()
        ));
    }

    #[test]
    fn directories_are_told_apart() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        fs::create_dir(path("a")).unwrap();
        fs::create_dir(path("b")).unwrap();
        fs::write(path("file"), "").unwrap();
        std::os::unix::fs::symlink("a", path("c")).unwrap();
        let paths = ["a", "none", "c", "b", "file", "a/../b"].map(path);
        let groups = groups(paths.iter().map(PathBuf::as_path));
        assert_eq!(groups, [Some(0), None, Some(0), Some(3), None, Some(3)]);
    }
}
