//! What a command is expected to look at, and what that looks like now.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use observation::{Deeds, kind_and_name, name_of};
use prost::Message;

use crate::limits::PREDICTIONS_MAX;

/// What a command looked at when it ran, and what it made. Paths are absolute.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Prediction {
    /// Whose contents count.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(super) files: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(super) absent: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(super) directories: Vec<Vec<u8>>,
    /// Directories whose names count.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(super) listed: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub(super) links: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(super) products: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub(super) made_directories: Vec<Vec<u8>>,
    /// Products of which it counts whether something was there.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) before: Vec<Vec<u8>>,
}

/// The latest last.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Predictions {
    #[prost(message, repeated, tag = "1")]
    all: Vec<Prediction>,
}

impl Predictions {
    /// From what [`Predictions::with`] made. What makes no sense predicts nothing.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self::decode(bytes).unwrap_or_default()
    }

    /// The likeliest first.
    pub(crate) fn likely(&self) -> impl Iterator<Item = &Prediction> {
        self.all.iter().rev().take(PREDICTIONS_MAX)
    }

    /// With one more, as bytes to be kept.
    pub(crate) fn with(&self, latest: Prediction) -> Vec<u8> {
        let others = self.likely().filter(|known| **known != latest);
        let mut all: Vec<_> = others.take(PREDICTIONS_MAX - 1).cloned().collect();
        all.reverse();
        all.push(latest);
        Predictions { all }.encode_to_vec()
    }
}

/// One look at something that is no file's contents: the kind, the place, and what was there.
pub(super) type Sight = (&'static str, PathBuf, Vec<u8>);

/// A way to look at a place.
type Look<'a> = &'a dyn Fn(&Path) -> Vec<u8>;

const ABSENT: &str = "absent";
/// At what the command then made: afterwards it looks otherwise.
pub(super) const BEFORE: &str = "before";
const DIRECTORY: &str = "directory";
const LISTED: &str = "listed";
const LINK: &str = "link";

/// What is at a place on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Here {
    Nothing,
    File,
    Directory,
}

impl Here {
    /// As part of an action.
    fn word(self) -> Vec<u8> {
        let word: &[u8] = match self {
            Here::Nothing => b"nothing",
            Here::File => b"a file",
            Here::Directory => b"a directory",
        };
        word.to_vec()
    }
}

/// Looks, links followed.
pub(crate) fn here(path: &Path) -> Here {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Here::Directory,
        Ok(_) => Here::File,
        Err(_) => Here::Nothing,
    }
}

impl Prediction {
    pub(super) fn of(deeds: &Deeds) -> Self {
        let bytes = |paths: &mut dyn Iterator<Item = &PathBuf>| {
            paths.map(|path| path.as_os_str().as_bytes().to_vec()).collect()
        };
        Prediction {
            files: bytes(&mut deeds.files.keys()),
            absent: bytes(&mut deeds.absent.iter()),
            directories: bytes(&mut deeds.directories.iter()),
            listed: bytes(&mut deeds.listed.keys()),
            links: bytes(&mut deeds.links.keys()),
            products: bytes(&mut deeds.products.iter()),
            made_directories: bytes(&mut deeds.made_directories.iter()),
            before: bytes(&mut deeds.before.keys()),
        }
    }

    /// How much it looks at.
    pub(super) fn places(&self) -> usize {
        let all = [
            &self.files,
            &self.absent,
            &self.directories,
            &self.listed,
            &self.links,
            &self.products,
            &self.made_directories,
            &self.before,
        ];
        all.iter().map(|places| places.len()).sum()
    }

    /// Whether it makes what is at this place, or a directory on the way to it.
    pub(super) fn makes(&self, place: &Path) -> bool {
        let mut own = self.products.iter().chain(&self.made_directories);
        own.any(|own| path(own) == place)
    }

    /// The same with every file in the directories that it lists: who lists may look at each, and workers do not tell of looks.
    pub(super) fn with_listed_files(&self, is_ours: &dyn Fn(&Path) -> bool) -> Result<Prediction, String> {
        let mut more = self.clone();
        for listed in self
            .listed
            .iter()
            .map(|listed| path(listed))
            .filter(|listed| is_ours(listed))
        {
            for entry in self.names_in(listed).unwrap_or_default() {
                let place = listed.join(name_of(&entry));
                match entry.as_bytes().first() {
                    Some(b'f') => add(&mut more.files, &place),
                    Some(b'd') => add(&mut more.directories, &place),
                    _ => return Err(format!("it lists {}, which is no file", place.display())),
                }
            }
        }
        Ok(more)
    }

    /// Directories that must be there before the products are.
    pub(crate) fn directories_to_make(&self) -> impl Iterator<Item = &Path> {
        self.made_directories.iter().map(|directory| path(directory))
    }

    /// What all these places look like now.
    pub(super) fn sights_now(&self) -> BTreeSet<Sight> {
        let what_is_there = |place: &Path| here(place).word();
        let what_is_listed = |place: &Path| match self.names_in(place) {
            Some(names) => joined(&names),
            None => Here::Nothing.word(),
        };
        let where_it_leads = |place: &Path| match fs::read_link(place) {
            Ok(target) => target.into_os_string().into_vec(),
            Err(_) => Here::Nothing.word(),
        };
        let all: [(_, _, Look<'_>); 5] = [
            (ABSENT, &self.absent, &what_is_there),
            (BEFORE, &self.before, &what_is_there),
            (DIRECTORY, &self.directories, &what_is_there),
            (LISTED, &self.listed, &what_is_listed),
            (LINK, &self.links, &where_it_leads),
        ];
        let sights = all.into_iter().flat_map(|(kind, places, look)| {
            let places = places.iter().map(|place| path(place));
            places.map(move |place| (kind, place.to_owned(), look(place)))
        });
        sights.collect()
    }

    /// What is in a directory ([`kind_and_name`]) without those that the command makes there; `None` if it cannot be listed.
    pub(super) fn names_in(&self, directory: &Path) -> Option<Vec<OsString>> {
        let real = directory.canonicalize().ok()?;
        let own = self.products.iter().filter_map(|product| {
            let product = path(product);
            let is_here = product
                .parent()?
                .canonicalize()
                .is_ok_and(|parent| parent == real);
            is_here.then(|| product.file_name()).flatten()
        });
        let made = self.made_directories.iter().filter_map(|made| {
            let made = path(made);
            (made.parent() == Some(real.as_path()))
                .then(|| made.file_name())
                .flatten()
        });
        let own: BTreeSet<&OsStr> = own.chain(made).collect();
        let entries = fs::read_dir(&real).ok()?;
        let names = entries.map(|entry| {
            let entry = entry?;
            Ok(kind_and_name(entry.file_type()?, &entry.file_name()))
        });
        let mut names: Vec<OsString> = names.collect::<std::io::Result<_>>().ok()?;
        names.retain(|name| !own.contains(name_of(name)));
        names.sort_unstable();
        Some(names)
    }
}

/// What a run that did this saw.
pub(super) fn sights_of(deeds: &Deeds) -> BTreeSet<Sight> {
    let was = |was_there: bool| if was_there { Here::File } else { Here::Nothing };
    let absent = deeds
        .absent
        .iter()
        .map(|path| (ABSENT, path, Here::Nothing.word()));
    let before = deeds
        .before
        .iter()
        .map(|(path, was_there)| (BEFORE, path, was(*was_there).word()));
    let directories = deeds.directories.iter();
    let directories = directories.map(|path| (DIRECTORY, path, Here::Directory.word()));
    let listed = deeds
        .listed
        .iter()
        .map(|(path, names)| (LISTED, path, joined(names)));
    let links = deeds.links.iter();
    let links = links.map(|(path, target)| (LINK, path, target.as_os_str().as_bytes().to_vec()));
    let all = absent.chain(before).chain(directories).chain(listed).chain(links);
    all.map(|(kind, path, seen)| (kind, path.clone(), seen)).collect()
}

/// No name holds a slash.
fn joined(names: &[OsString]) -> Vec<u8> {
    names.join(OsStr::new("/")).into_vec()
}

/// In order, each once: so does whoever watches here.
pub(super) fn add(places: &mut Vec<Vec<u8>>, place: &Path) {
    if let Err(at) = places.binary_search_by(|known| path(known).cmp(place)) {
        places.insert(at, place.as_os_str().as_bytes().to_vec());
    }
}

/// A path as a prediction holds it.
pub(super) fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[PathBuf]) -> Vec<Vec<u8>> {
        paths
            .iter()
            .map(|path| path.as_os_str().as_bytes().to_vec())
            .collect()
    }

    #[test]
    fn the_latest_is_the_likeliest_and_none_is_there_twice() {
        let prediction = |name: &str| Prediction {
            files: paths(&[name.into()]),
            ..Prediction::default()
        };
        let mut known = Predictions::read(b"\xffnot ours");
        let names = ["/a", "/b", "/c", "/d", "/e", "/c"];
        for name in names {
            known = Predictions::read(&known.with(prediction(name)));
        }
        let likely: Vec<_> = known.likely().map(|likely| likely.files[0].clone()).collect();
        assert_eq!(likely, [b"/c", b"/e", b"/d", b"/b"]);
    }

    #[test]
    fn what_was_seen_is_told_from_what_is_there_now() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir(at("listed")).unwrap();
        fs::write(at("listed/one"), "").unwrap();
        std::os::unix::fs::symlink("one", at("link")).unwrap();
        let deeds = Deeds {
            absent: [at("absent")].into(),
            directories: [at("listed")].into(),
            listed: [(at("listed"), vec!["fone".into()])].into(),
            links: [(at("link"), "one".into())].into(),
            products: [at("listed/made")].into(),
            made_directories: [at("listed/deep")].into(),
            ..Deeds::default()
        };
        let prediction = Prediction::of(&deeds);
        let is_as_seen = || prediction.sights_now() == sights_of(&deeds);
        assert!(is_as_seen());
        // What it makes itself is not counted.
        fs::write(at("listed/made"), "").unwrap();
        fs::create_dir(at("listed/deep")).unwrap();
        assert!(is_as_seen());
        let check = |change: &dyn Fn(), undo: &dyn Fn()| {
            change();
            assert!(!is_as_seen());
            undo();
            assert!(is_as_seen());
        };
        let remove = |name: &str| fs::remove_file(at(name)).unwrap();
        check(&|| fs::write(at("absent"), "").unwrap(), &|| remove("absent"));
        check(&|| fs::write(at("listed/two"), "").unwrap(), &|| {
            remove("listed/two")
        });
        let other_kind = || {
            remove("listed/one");
            fs::create_dir(at("listed/one")).unwrap();
        };
        check(&other_kind, &|| {
            fs::remove_dir(at("listed/one")).unwrap();
            fs::write(at("listed/one"), "").unwrap();
        });
        let link = |target: &str| {
            remove("link");
            std::os::unix::fs::symlink(target, at("link")).unwrap();
        };
        check(&|| link("two"), &|| link("one"));
        check(&|| fs::rename(at("listed"), at("gone")).unwrap(), &|| {
            fs::rename(at("gone"), at("listed")).unwrap();
        });
    }
}
