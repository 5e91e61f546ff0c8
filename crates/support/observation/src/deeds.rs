//! What follows from the events: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use crate::event::{At, Event, name_of};

/// What a command's result rests on, and what it made. Paths are as the command named them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// Files whose contents count, and where every link on the way led.
    pub files: BTreeMap<PathBuf, PathBuf>,
    /// Where nothing was.
    pub absent: BTreeSet<PathBuf>,
    /// Directories that were there.
    pub directories: BTreeSet<PathBuf>,
    /// Directories that were listed, with the names in them that are not the command's own.
    pub listed: BTreeMap<PathBuf, Vec<OsString>>,
    /// Symlinks that were read, and where they led.
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// Files that the command made, and that are there at its end.
    pub products: BTreeSet<PathBuf>,
    /// Products that the command had looked for before it made them, and whether something was there: it may have been done
    /// otherwise the other way round.
    pub before: BTreeMap<PathBuf, bool>,
    /// Directories that it made for them, by their real places.
    pub made_directories: BTreeSet<PathBuf>,
}

/// Why what a command did cannot be kept, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unkept(pub String);

impl fmt::Display for Unkept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the machine says of itself changes all the time, and tools ask for it only to know how to work.
const OF_THE_MACHINE: [&str; 3] = ["/dev", "/proc", "/sys"];
/// There are files as anywhere else.
const OF_THE_USER: [&str; 3] = ["/dev/shm", "/dev/mqueue", "/dev/hugepages"];

impl Deeds {
    /// What the events come to; or why that cannot be kept.
    pub fn of(events: impl IntoIterator<Item = Event>) -> Result<Self, Unkept> {
        let mut story = Story::default();
        for event in events {
            story.tell(event)?;
        }
        story.end()
    }
}

/// The events so far.
#[derive(Default)]
struct Story {
    /// Files whose contents were read before the command made them, if it did; by their real places.
    read: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    /// Files that were only looked at.
    looked: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    absent: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    directories: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
    listed: BTreeMap<PathBuf, (PathBuf, Vec<OsString>)>,
    links: BTreeMap<PathBuf, PathBuf>,
    /// Places that the command has made something at, and the name it is to be found by; `None` where it is gone again.
    own: BTreeMap<PathBuf, Option<PathBuf>>,
    own_directories: BTreeSet<PathBuf>,
    /// Files that were opened for writing with what they held, and have not been emptied yet.
    in_place: BTreeSet<At>,
    /// What was there, and has been removed.
    removed: BTreeSet<PathBuf>,
}

impl Story {
    fn tell(&mut self, event: Event) -> Result<(), Unkept> {
        let is_of_the_machine = |at: &At| {
            let is_below = |top: &&str| at.path.starts_with(top) || at.real.starts_with(top);
            OF_THE_MACHINE.iter().any(is_below) && !OF_THE_USER.iter().any(is_below)
        };
        let note = |places: &mut BTreeMap<PathBuf, BTreeSet<PathBuf>>, at: At| {
            places.entry(at.real).or_default().insert(at.path);
        };
        match event {
            Event::Unknown(what) => return Err(Unkept(what)),
            Event::Read(at)
            | Event::Looked(at)
            | Event::Absent(at)
            | Event::Directory(at)
            | Event::Removed(at)
            | Event::Changed(at)
            | Event::Written { at, .. }
                if is_of_the_machine(&at) => {}
            Event::Listed { at, .. } | Event::Link { at, .. } if is_of_the_machine(&at) => {}
            Event::Read(at) if self.in_place.iter().any(|known| known.real == at.real) => {
                return Err(unkept("reads what it then writes", &at.path));
            }
            Event::Read(at) if !self.is_own(&at) => note(&mut self.read, at),
            Event::Looked(at) if !self.is_own(&at) => note(&mut self.looked, at),
            Event::Absent(at) if !self.is_own(&at) => note(&mut self.absent, at),
            Event::Directory(at) if !self.is_own(&at) => note(&mut self.directories, at),
            Event::Listed { at, names } if !self.is_own(&at) => {
                self.listed.entry(at.real).or_insert((at.path, names));
            }
            Event::Link { at, target } if !self.is_own(&at) => {
                self.links.entry(at.path).or_insert(target);
            }
            Event::Read(_) | Event::Looked(_) | Event::Absent(_) | Event::Directory(_) => {}
            Event::Listed { .. } | Event::Link { .. } => {}
            Event::Written { at, keeps } => {
                match keeps {
                    true if !self.is_own(&at) => _ = self.in_place.insert(at.clone()),
                    true => {}
                    false => self.in_place.retain(|known| known.real != at.real),
                }
                // By the first name that it was called by.
                if !self.is_there(&at) {
                    self.make(at)?;
                }
            }
            Event::Renamed { from, to } => {
                if !self.is_there(&from) {
                    return Err(unkept("moves what it has not made", &from.path));
                }
                self.own.insert(from.real, None);
                self.make(to)?;
            }
            Event::Linked { from, to } => {
                if !self.is_there(&from) {
                    return Err(unkept("links what it has not made", &from.path));
                }
                self.make(to)?;
            }
            Event::Removed(at) => {
                if !self.is_own(&at) {
                    self.removed.insert(at.real.clone());
                }
                self.own.insert(at.real, None);
            }
            Event::MadeDirectory(at) => {
                self.own_directories.insert(at.real);
            }
            Event::RemovedDirectory(at) => {
                if !self.own_directories.remove(&at.real) {
                    return Err(unkept("removes a directory", &at.path));
                }
            }
            Event::Changed(at) => {
                if !self.is_own(&at) {
                    return Err(unkept("changes mode, owner or time of", &at.path));
                }
            }
        }
        Ok(())
    }

    /// Whether what is, or was, there is the command's own.
    fn is_own(&self, at: &At) -> bool {
        self.own.contains_key(&at.real)
            || at
                .real
                .ancestors()
                .any(|above| self.own_directories.contains(above))
    }

    fn is_there(&self, at: &At) -> bool {
        self.own.get(&at.real).is_some_and(Option::is_some)
    }

    fn make(&mut self, at: At) -> Result<(), Unkept> {
        if self.read.contains_key(&at.real) {
            return Err(unkept("reads what it then writes", &at.path));
        }
        // By a name that leads there whatever becomes of the links on the way.
        let turns = at.path.components().any(|part| part == Component::ParentDir);
        let name = if turns { at.real.clone() } else { at.path };
        self.own.insert(at.real, Some(name));
        Ok(())
    }

    fn end(self) -> Result<Deeds, Unkept> {
        let own = &self.own;
        if let Some(at) = self.in_place.first() {
            return Err(unkept("changes a file in place", &at.path));
        }
        if let Some(gone) = self
            .removed
            .iter()
            .find(|real| own.get(*real).is_some_and(Option::is_none))
        {
            return Err(unkept("removes", gone));
        }
        let products: BTreeSet<_> = own.values().flatten().cloned().collect();
        let has_product = |directory: &Path| {
            own.iter()
                .any(|(real, product)| product.is_some() && real.starts_with(directory))
        };
        if let Some(empty) = self.own_directories.iter().find(|made| !has_product(made)) {
            return Err(unkept("makes a directory with nothing in it", empty));
        }
        let product = |real: &PathBuf| own.get(real)?.clone();
        let was = |places: &BTreeMap<PathBuf, BTreeSet<PathBuf>>, was_there: bool| {
            let products = places.keys().filter_map(product);
            products.map(|product| (product, was_there)).collect::<Vec<_>>()
        };
        // What is there may have been found before what is not there: it was removed then.
        let before = was(&self.absent, false)
            .into_iter()
            .chain(was(&self.looked, true))
            .collect();
        let others = |places: BTreeMap<PathBuf, BTreeSet<PathBuf>>| {
            let others = places.into_iter().filter(|(real, _)| !own.contains_key(real));
            others.flat_map(|(real, names)| names.into_iter().map(move |name| (name, real.clone())))
        };
        let names = |places| others(places).map(|(name, _)| name);
        let own_directories = &self.own_directories;
        let listed = self.listed.into_iter().map(|(real, (path, names))| {
            let is_own = |name: &OsString| {
                let at = real.join(name_of(name));
                own.contains_key(&at) || own_directories.contains(&at)
            };
            (path, names.into_iter().filter(|name| !is_own(name)).collect())
        });
        Ok(Deeds {
            files: others(self.read).chain(others(self.looked)).collect(),
            absent: names(self.absent)
                // A directory that the command made is one of its outputs' now.
                .filter(|path| !own_directories.contains(path))
                .collect(),
            directories: names(self.directories).collect(),
            listed: listed.collect(),
            links: self.links,
            products,
            before,
            made_directories: self.own_directories,
        })
    }
}

fn unkept(what: &str, path: &Path) -> Unkept {
    Unkept(format!("it {what} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> At {
        At::plain(path)
    }

    fn written(path: &str) -> Event {
        Event::Written {
            at: at(path),
            keeps: false,
        }
    }

    fn renamed(from: &str, to: &str) -> Event {
        Event::Renamed {
            from: at(from),
            to: at(to),
        }
    }

    fn deeds(files: &[&str], absent: &[&str], products: &[&str]) -> Deeds {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        Deeds {
            files: files.iter().map(|file| (file.into(), file.into())).collect(),
            absent: paths(absent),
            products: paths(products),
            ..Deeds::default()
        }
    }

    #[test]
    fn inputs_are_told_from_what_the_command_makes() {
        use Event::{Absent, Changed, Linked, Looked, MadeDirectory, Read, Removed, RemovedDirectory};
        let check = |events: Vec<Event>, expected: Deeds| assert_eq!(Deeds::of(events), Ok(expected));
        check(
            vec![Read(at("/i")), Looked(at("/s")), Absent(at("/n")), written("/o")],
            deeds(&["/i", "/s"], &["/n"], &["/o"]),
        );
        // Its own file, read again.
        check(vec![written("/o"), Read(at("/o"))], deeds(&[], &[], &["/o"]));
        // Looked for before it is made, or there from before.
        let before = |was_there: bool| Deeds {
            before: BTreeMap::from([("/o".into(), was_there)]),
            ..deeds(&[], &[], &["/o"])
        };
        check(vec![Absent(at("/o")), written("/o")], before(false));
        check(
            vec![
                Looked(at("/o")),
                Removed(at("/o")),
                Absent(at("/o")),
                written("/o"),
            ],
            before(true),
        );
        // A file for a while, and one that gets its name at the end.
        check(
            vec![written("/t"), Read(at("/t")), Removed(at("/t"))],
            deeds(&[], &[], &[]),
        );
        check(
            vec![
                written("/t"),
                Changed(at("/t")),
                renamed("/t", "/o"),
                Absent(at("/t")),
            ],
            deeds(&[], &[], &["/o"]),
        );
        let linked = Linked {
            from: at("/t"),
            to: at("/o"),
        };
        check(
            vec![written("/t"), linked, Removed(at("/t"))],
            deeds(&[], &[], &["/o"]),
        );
        // A directory for a while, and one with something in it.
        check(
            vec![
                Absent(at("/d")),
                MadeDirectory(at("/d")),
                Absent(at("/d/x")),
                written("/d/x"),
                Removed(at("/d/x")),
                RemovedDirectory(at("/d")),
            ],
            deeds(&[], &["/d"], &[]),
        );
        check(
            vec![Absent(at("/d")), MadeDirectory(at("/d")), written("/d/o")],
            Deeds {
                made_directories: BTreeSet::from(["/d".into()]),
                ..deeds(&[], &[], &["/d/o"])
            },
        );
        // Files that are in memory are files.
        check(vec![written("/dev/shm/o")], deeds(&[], &[], &["/dev/shm/o"]));
        // What the machine is, is not looked at.
        check(
            vec![
                Read(at("/proc/meminfo")),
                Absent(at("/sys/x")),
                written("/dev/null"),
            ],
            deeds(&[], &[], &[]),
        );
    }

    #[test]
    fn one_file_by_two_names_is_one() {
        let other = At {
            path: "/a/../b/o".into(),
            real: "/b/o".into(),
        };
        let events = [
            Event::Written {
                at: other.clone(),
                keeps: false,
            },
            Event::Read(at("/b/o")),
        ];
        assert_eq!(Deeds::of(events), Ok(deeds(&[], &[], &["/b/o"])));
        let events = [
            Event::Read(at("/b/o")),
            Event::Written {
                at: other,
                keeps: false,
            },
        ];
        assert_eq!(
            Deeds::of(events).unwrap_err().to_string(),
            "it reads what it then writes /a/../b/o"
        );
    }

    #[test]
    fn a_listing_is_without_what_the_command_makes() {
        let names = ["dd", "fa", "fo", "ft"].map(OsString::from).to_vec();
        let events = [
            written("/p/t"),
            Event::MadeDirectory(at("/p/d")),
            written("/p/d/x"),
            Event::Listed { at: at("/p"), names },
            Event::Removed(at("/p/t")),
            written("/p/o"),
        ];
        let deeds = Deeds::of(events).unwrap();
        assert_eq!(deeds.listed[Path::new("/p")], ["fa"]);
    }

    #[test]
    fn what_cannot_be_done_again_is_not_kept() {
        let check = |events: Vec<Event>, expected: &str| {
            assert_eq!(Deeds::of(events).unwrap_err().to_string(), expected);
        };
        let in_place = Event::Written {
            at: at("/f"),
            keeps: true,
        };
        check(vec![in_place.clone()], "it changes a file in place /f");
        assert!(Deeds::of([written("/f"), in_place.clone()]).is_ok());
        assert!(
            Deeds::of([in_place.clone(), written("/f")]).is_ok(),
            "it was emptied"
        );
        check(
            vec![in_place, Event::Read(at("/f")), written("/f")],
            "it reads what it then writes /f",
        );
        check(
            vec![Event::Read(at("/f")), written("/f")],
            "it reads what it then writes /f",
        );
        check(vec![renamed("/f", "/g")], "it moves what it has not made /f");
        check(
            vec![written("/f"), renamed("/f", "/g"), renamed("/f", "/h")],
            "it moves what it has not made /f",
        );
        check(vec![Event::Removed(at("/f"))], "it removes /f");
        check(
            vec![Event::MadeDirectory(at("/d"))],
            "it makes a directory with nothing in it /d",
        );
        check(
            vec![Event::RemovedDirectory(at("/d"))],
            "it removes a directory /d",
        );
        check(
            vec![Event::Changed(at("/f"))],
            "it changes mode, owner or time of /f",
        );
        let connects = "it connects to somebody".to_owned();
        check(vec![Event::Unknown(connects.clone())], &connects);
    }
}
