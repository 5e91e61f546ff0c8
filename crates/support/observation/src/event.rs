//! One thing that a command did, and how it is written down.

use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Most bytes of events that one command may cause. One that does more is not understood.
pub const EVENTS_BYTES_MAX: usize = 64 << 20;

/// A place in the file system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct At {
    /// Absolute, and otherwise as the command named it: links and `..` are followed anew by whoever looks again.
    pub path: PathBuf,
    /// The same place with every link on the way followed, so that two names of it are one.
    pub real: PathBuf,
}

impl At {
    /// A place that has no other name.
    pub fn plain(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        At {
            real: path.clone(),
            path,
        }
    }
}

/// One thing that a command, or a process that it started, was about to do. In the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Read this file: it was opened for reading, or executed.
    Read(At),
    /// Looked whether this file is there, or what it is, and found it.
    Looked(At),
    /// Looked for something where nothing is.
    Absent(At),
    /// Found a directory.
    Directory(At),
    /// Listed a directory, in which these names were.
    Listed {
        /// The directory.
        at: At,
        /// With what each is before it ([`kind_and_name`]), sorted.
        names: Vec<OsString>,
    },
    /// Read where a symlink leads.
    Link {
        /// The link.
        at: At,
        /// What it says.
        target: PathBuf,
    },
    /// Opened for writing, or emptied.
    Written {
        /// The file.
        at: At,
        /// A file was there, and what it held is still there.
        keeps: bool,
    },
    /// Moved.
    Renamed {
        /// From here.
        from: At,
        /// To there.
        to: At,
    },
    /// Gave a file a second name.
    Linked {
        /// The file.
        from: At,
        /// Its new name.
        to: At,
    },
    /// Removed a file that was there.
    Removed(At),
    /// Made a directory where there was none.
    MadeDirectory(At),
    /// Removed a directory that was there.
    RemovedDirectory(At),
    /// Gave a file another mode, owner or time.
    Changed(At),
    /// Something whose outcome nobody can look at again.
    Unknown(String),
}

/// An entry of a directory as listings have it: `d`, `f`, `l` or `o` (directory, file, link, other), then the name.
pub fn kind_and_name(kind: FileType, name: &OsStr) -> OsString {
    let letter = match (kind.is_dir(), kind.is_file(), kind.is_symlink()) {
        (true, _, _) => "d",
        (_, true, _) => "f",
        (_, _, true) => "l",
        _ => "o",
    };
    let mut both = OsString::from(letter);
    both.push(name);
    both
}

/// The name of an entry that [`kind_and_name`] has made.
pub fn name_of(entry: &OsStr) -> &OsStr {
    OsStr::from_bytes(entry.as_bytes().get(1..).unwrap_or_default())
}

/// The events as bytes: for each a letter, its parts, and a zero after every part.
pub fn encode(event: &Event, to: &mut Vec<u8>) {
    let mut record = |letter: u8, parts: &[&OsStr]| {
        to.push(letter);
        for part in parts {
            to.extend_from_slice(part.as_bytes());
            to.push(0);
        }
    };
    let at = |at: &At| {
        // Most places have one name.
        let real = if at.real == at.path {
            PathBuf::new()
        } else {
            at.real.clone()
        };
        [at.path.clone(), real].map(PathBuf::into_os_string)
    };
    let mut one = |letter, place: &At, more: &[&OsStr]| {
        let [path, real] = at(place);
        record(letter, &[&[path.as_os_str(), real.as_os_str()], more].concat());
    };
    match event {
        Event::Read(at) => one(b'r', at, &[]),
        Event::Looked(at) => one(b's', at, &[]),
        Event::Absent(at) => one(b'a', at, &[]),
        Event::Directory(at) => one(b'd', at, &[]),
        // No name holds a slash.
        Event::Listed { at, names } => one(b'l', at, &[&names.join(OsStr::new("/"))]),
        Event::Link { at, target } => one(b'k', at, &[target.as_os_str()]),
        Event::Written { at, keeps } => one(if *keeps { b'W' } else { b'w' }, at, &[]),
        Event::Removed(at) => one(b'u', at, &[]),
        Event::MadeDirectory(at) => one(b'm', at, &[]),
        Event::RemovedDirectory(at) => one(b'M', at, &[]),
        Event::Changed(at) => one(b'c', at, &[]),
        Event::Renamed { from, to } => {
            let [path, real] = at(to);
            one(b'n', from, &[&path, &real]);
        }
        Event::Linked { from, to } => {
            let [path, real] = at(to);
            one(b'h', from, &[&path, &real]);
        }
        Event::Unknown(what) => record(b'?', &[OsStr::new(what)]),
    }
}

/// The events that somebody has written down; `None` if these bytes are not all that was written, or something else.
pub fn decode(bytes: &[u8]) -> Option<Vec<Event>> {
    let mut rest = bytes;
    let mut events = Vec::new();
    while let Some((letter, behind)) = rest.split_first() {
        rest = behind;
        let event = read(*letter, &mut || {
            let end = rest.iter().position(|byte| *byte == 0)?;
            let (part, behind) = (&rest[..end], &rest[end + 1..]);
            rest = behind;
            Some(OsString::from_vec(part.to_vec()))
        })?;
        events.push(event);
    }
    Some(events)
}

fn read(letter: u8, part: &mut dyn FnMut() -> Option<OsString>) -> Option<Event> {
    if letter == b'?' {
        return Some(Event::Unknown(part()?.to_string_lossy().into_owned()));
    }
    let at = place(part)?;
    Some(match letter {
        b'r' => Event::Read(at),
        b's' => Event::Looked(at),
        b'a' => Event::Absent(at),
        b'd' => Event::Directory(at),
        b'l' => {
            let names = part()?;
            let names = names.as_bytes().split(|byte| *byte == b'/');
            let names = names.filter(|name| !name.is_empty());
            Event::Listed {
                at,
                names: names.map(|name| OsStr::from_bytes(name).to_owned()).collect(),
            }
        }
        b'k' => Event::Link {
            at,
            target: part()?.into(),
        },
        b'w' | b'W' => Event::Written {
            at,
            keeps: letter == b'W',
        },
        b'n' => Event::Renamed {
            from: at,
            to: place(part)?,
        },
        b'h' => Event::Linked {
            from: at,
            to: place(part)?,
        },
        b'u' => Event::Removed(at),
        b'm' => Event::MadeDirectory(at),
        b'M' => Event::RemovedDirectory(at),
        b'c' => Event::Changed(at),
        _ => return None,
    })
}

fn place(part: &mut dyn FnMut() -> Option<OsString>) -> Option<At> {
    let (path, real) = (PathBuf::from(part()?), PathBuf::from(part()?));
    let is_absolute = |path: &Path| path.is_absolute();
    is_absolute(&path).then(|| At {
        real: if real.as_os_str().is_empty() {
            path.clone()
        } else {
            real
        },
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_outlive_their_encoding() {
        let at = At::plain;
        let other = At {
            path: "/a/../b \n".into(),
            real: "/c".into(),
        };
        let events = [
            Event::Read(at("/a")),
            Event::Looked(other.clone()),
            Event::Absent(at("/a")),
            Event::Directory(at("/")),
            Event::Listed {
                at: at("/d"),
                names: ["x", "y z"].map(OsString::from).to_vec(),
            },
            Event::Listed {
                at: at("/empty"),
                names: Vec::new(),
            },
            Event::Link {
                at: at("/l"),
                target: "../x".into(),
            },
            Event::Written {
                at: at("/w"),
                keeps: false,
            },
            Event::Written {
                at: at("/w"),
                keeps: true,
            },
            Event::Renamed {
                from: other.clone(),
                to: at("/n"),
            },
            Event::Linked {
                from: at("/n"),
                to: other,
            },
            Event::Removed(at("/u")),
            Event::MadeDirectory(at("/m")),
            Event::RemovedDirectory(at("/m")),
            Event::Changed(at("/c")),
            Event::Unknown("something".to_owned()),
        ];
        let mut bytes = Vec::new();
        events.iter().for_each(|event| encode(event, &mut bytes));
        assert_eq!(decode(&bytes).unwrap(), events);
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None, "the end is missing");
        assert_eq!(decode(b"zx\0\0"), None, "no such letter");
        assert_eq!(decode(b"rx\0\0"), None, "not absolute");
    }
}
