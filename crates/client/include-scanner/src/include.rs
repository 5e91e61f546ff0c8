//! How a header's name becomes a file: beside the including file, along the chain, or from where `#include_next` goes on.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::closure::{Missed, Unsure};
use crate::directive::{Directive, Kind};
use crate::hash::hash_bytes;
use crate::scan::{Frame, Scan};
use crate::source::Source;
use crate::unit::{Family, join, join_bytes};
use crate::view::{File, Lookup, precompiled};

/// Where a file was found, which is where `#include_next` goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Main,
    /// In the directory of the file that includes it, or in the working directory for `-include`.
    Beside,
    /// In this directory of the chain.
    Chain(u32),
    Absolute,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolved {
    pub(crate) entry: u32,
    pub(crate) origin: Origin,
}

/// A file that the scan knows.
pub(crate) struct Entry {
    pub(crate) file: Arc<File>,
    pub(crate) text: u32,
    /// Its directory, by number.
    directory: u32,
    /// It is in the list of files that are read.
    is_read: bool,
    is_asked: bool,
    /// `#pragma once`, or `#import`.
    pub(crate) once: bool,
    /// How often it was walked.
    pub(crate) stacked: usize,
}

/// What a search led to, so that the next one for the same name in the same place is free.
pub(crate) struct Memo {
    hash: u64,
    /// A chain's index, or a directory's number with [`BESIDE`].
    place: u32,
    name: Box<[u8]>,
    found: Option<Resolved>,
}

const BESIDE: u32 = 1 << 31;

impl Scan<'_> {
    /// The entry of a file, made if it is new.
    pub(crate) fn entry(&mut self, file: Arc<File>) -> u32 {
        let address = Arc::as_ptr(&file) as usize;
        if let Some(entry) = self.by_address.get(&address) {
            return *entry;
        }
        let parent = match file
            .path
            .as_os_str()
            .as_bytes()
            .iter()
            .rposition(|byte| *byte == b'/')
        {
            Some(slash) => &file.path.as_os_str().as_bytes()[..slash.max(1)],
            None => b"/",
        };
        let parent = Path::new(std::ffi::OsStr::from_bytes(parent));
        let directory = match self.by_directory.get(parent) {
            Some(directory) => *directory,
            None => {
                let directory = self.directories.len() as u32;
                let parent: Arc<Path> = parent.into();
                self.directories.push(parent.clone());
                self.by_directory.insert(parent, directory);
                directory
            }
        };
        let text = self.pp.texts.sources.len() as u32;
        self.pp.texts.sources.push(file.source.clone());
        let entry = self.entries.len() as u32;
        self.entries.push(Entry {
            file,
            text,
            directory,
            is_read: false,
            is_asked: false,
            once: false,
            stacked: 0,
        });
        self.by_address.insert(address, entry);
        entry
    }

    /// Notes that the compiler reads a file.
    pub(crate) fn read(&mut self, entry: u32) {
        let entry = &mut self.entries[entry as usize];
        if !entry.is_read {
            entry.is_read = true;
            self.closure.time_macros |= entry.file.source.traits().time_macros;
            self.closure.files.push(entry.file.clone());
        }
    }

    /// Notes that a file only has to be there.
    pub(crate) fn asked(&mut self, entry: u32) {
        let entry = &mut self.entries[entry as usize];
        if !entry.is_asked {
            entry.is_asked = true;
            self.closure.asked.push(entry.file.clone());
        }
    }

    /// How the compiler spells a file's path.
    pub(crate) fn spelled(&self, entry: u32) -> Vec<u8> {
        let path = self.entries[entry as usize].file.path.as_os_str().as_bytes();
        let main = self.unit.main.as_os_str().as_bytes();
        if join(self.unit.cwd, self.unit.main.as_os_str())
            .as_os_str()
            .as_bytes()
            == path
        {
            return main.to_vec();
        }
        let cwd = self.unit.cwd.as_os_str().as_bytes();
        match path.strip_prefix(cwd).and_then(|rest| rest.strip_prefix(b"/")) {
            Some(relative) => relative.to_vec(),
            None => path.to_vec(),
        }
    }

    /// The file that an `#include`, `#include_next` or `#import` names.
    pub(crate) fn include(
        &mut self,
        source: &Source,
        frame: &Frame,
        directive: &Directive,
    ) -> Result<Resolved, Unsure> {
        let next = directive.kind == Kind::IncludeNext;
        let rest = &source.text[directive.rest()];
        let resolved = match plain_header(rest) {
            Some((name, angle)) => self.resolve(name, angle, next)?,
            None => {
                let (name, angle) = self.computed_header(frame, directive)?;
                self.resolve(&name, angle, next)?
            }
        };
        match resolved {
            Some(resolved) => {
                self.read(resolved.entry);
                Ok(resolved)
            }
            None => Err(Unsure::NotFound {
                at: self.position(frame, directive),
                name: String::from_utf8_lossy(rest).into_owned(),
            }),
        }
    }

    /// Searches a header as the file that is being walked would.
    pub(crate) fn resolve(
        &mut self,
        name: &[u8],
        angle: bool,
        next: bool,
    ) -> Result<Option<Resolved>, Unsure> {
        if name.first() == Some(&b'/') {
            return self.absolute(name);
        }
        let frame = self.frames.last();
        let origin = frame.map_or(Origin::Main, |frame| frame.origin);
        let is_primary = self.in_main && self.frames.len() == 1;
        if next && !is_primary {
            match (origin, self.unit.dialect.family) {
                (Origin::Chain(directory), _) => return self.along(name, directory + 1),
                // GCC takes the directory of a file as one more that comes first in the chain.
                (Origin::Beside, Family::Gcc) => return self.along(name, 0),
                _ => {}
            }
        }
        if angle {
            return self.along(name, self.unit.search.quote_only as u32);
        }
        if let Some(frame) = frame
            && !self.unit.search.skip_beside
        {
            let directory = self.entries[frame.entry as usize].directory;
            if let Some(found) = self.beside(name, directory)? {
                return Ok(Some(found));
            }
        }
        self.along(name, 0)
    }

    /// Searches what `-include` and `-imacros` name: from the working directory, then along the chain.
    pub(crate) fn resolve_command_line(&mut self, name: &[u8]) -> Result<Option<Resolved>, Unsure> {
        let path = join(self.unit.cwd, std::ffi::OsStr::from_bytes(name));
        for suffix in [".gch", ".pch"] {
            let mut compiled = path.as_os_str().to_owned();
            compiled.push(suffix);
            if self
                .view
                .exists(Path::new(&compiled))
                .map_err(Unsure::Unreadable)?
            {
                return Err(Unsure::Precompiled(compiled.into()));
            }
        }
        if name.first() == Some(&b'/') {
            return self.absolute(name);
        }
        if let Some(file) = self.view.file(&path).map_err(Unsure::Unreadable)? {
            let entry = self.entry(file);
            return Ok(Some(Resolved {
                entry,
                origin: Origin::Beside,
            }));
        }
        self.closure.missed.push(Missed {
            name: name.into(),
            beside: Some(self.unit.cwd.into()),
            from: 0,
            to: 0,
        });
        self.along(name, 0)
    }

    fn absolute(&mut self, name: &[u8]) -> Result<Option<Resolved>, Unsure> {
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        self.refuse_precompiled(path)?;
        let file = self.view.file(path).map_err(Unsure::Unreadable)?;
        let Some(file) = file else {
            self.closure.missed.push(Missed {
                name: name[1..].into(),
                beside: Some(Path::new("/").into()),
                from: 0,
                to: 0,
            });
            return Ok(None);
        };
        let entry = self.entry(file);
        Ok(Some(Resolved {
            entry,
            origin: Origin::Absolute,
        }))
    }

    fn refuse_precompiled(&self, path: &Path) -> Result<(), Unsure> {
        if self.unit.dialect.family != Family::Gcc {
            return Ok(());
        }
        let compiled = precompiled(path);
        if self.view.exists(&compiled).map_err(Unsure::Unreadable)? {
            return Err(Unsure::Precompiled(compiled));
        }
        Ok(())
    }

    fn beside(&mut self, name: &[u8], directory: u32) -> Result<Option<Resolved>, Unsure> {
        let hash = hash_bytes(name);
        let place = BESIDE | directory;
        if let Some(found) = self.remembered(hash, place, name) {
            return Ok(found);
        }
        let parent = self.directories[directory as usize].clone();
        let path = join_bytes(parent.as_os_str().as_bytes(), name);
        self.refuse_precompiled(&path)?;
        let file = self.view.file(&path).map_err(Unsure::Unreadable)?;
        let found = file.map(|file| Resolved {
            entry: self.entry(file),
            origin: Origin::Beside,
        });
        if found.is_none() {
            self.closure.missed.push(Missed {
                name: name.into(),
                beside: Some(parent),
                from: 0,
                to: 0,
            });
        }
        self.remember(hash, place, name, found);
        Ok(found)
    }

    fn along(&mut self, name: &[u8], from: u32) -> Result<Option<Resolved>, Unsure> {
        let hash = hash_bytes(name);
        if let Some(found) = self.remembered(hash, from, name) {
            return Ok(found);
        }
        let chain = &self.unit.search.chain;
        let lookup = self
            .view
            .find(chain, from as usize, name)
            .map_err(Unsure::Unreadable)?;
        let (found, to) = match lookup {
            Lookup::Precompiled(path) => return Err(Unsure::Precompiled(path)),
            Lookup::Absent => (None, chain.paths().len() as u32),
            Lookup::Found { directory, file } => {
                let resolved = Resolved {
                    entry: self.entry(file),
                    origin: Origin::Chain(directory as u32),
                };
                (Some(resolved), directory as u32)
            }
        };
        if to > from {
            self.closure.missed.push(Missed {
                name: name.into(),
                beside: None,
                from,
                to,
            });
        }
        self.remember(hash, from, name, found);
        Ok(found)
    }

    fn remembered(&self, hash: u64, place: u32, name: &[u8]) -> Option<Option<Resolved>> {
        let key = hash ^ u64::from(place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.memo
            .find(key, |memo| {
                memo.hash == key && memo.place == place && *memo.name == *name
            })
            .map(|memo| memo.found)
    }

    fn remember(&mut self, hash: u64, place: u32, name: &[u8], found: Option<Resolved>) {
        let key = hash ^ u64::from(place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let memo = Memo {
            hash: key,
            place,
            name: name.into(),
            found,
        };
        self.memo.insert_unique(key, memo, |memo| memo.hash);
    }

    pub(crate) fn mark_once(&mut self, entry: u32) {
        self.entries[entry as usize].once = true;
        self.seen_once = true;
    }

    /// Whether an included file is read (again).
    pub(crate) fn should_stack(&mut self, entry: u32, import: bool) -> bool {
        match self.unit.dialect.family {
            Family::Gcc => self.should_stack_gcc(entry as usize, import),
            Family::Clang => self.should_stack_clang(entry as usize, import),
        }
    }

    /// GCC takes two files for one if size, time in seconds and contents are the same.
    fn should_stack_gcc(&mut self, entry: usize, import: bool) -> bool {
        if self.entries[entry].once {
            return false;
        }
        if import {
            self.mark_once(entry as u32);
            if self.entries[entry].stacked > 0 {
                return false;
            }
        }
        if !self.seen_once {
            return true;
        }
        let file = &self.entries[entry].file;
        !self.entries.iter().enumerate().any(|(index, other)| {
            index != entry
                && (import || other.once)
                && other.is_read
                && other.file.identity.modified_s == file.identity.modified_s
                && other.file.source.size_bytes() == file.source.size_bytes()
                && other.file.source.fingerprint() == file.source.fingerprint()
        })
    }

    /// Clang goes by device and inode.
    fn should_stack_clang(&mut self, entry: usize, import: bool) -> bool {
        let identity = self.entries[entry].file.identity;
        let is_same = |other: &Entry| {
            other.file.identity.device == identity.device && other.file.identity.inode == identity.inode
        };
        if !import && !self.seen_once {
            return true;
        }
        let mut once = false;
        let mut stacked = false;
        for other in self.entries.iter().filter(|other| is_same(other)) {
            once |= other.once;
            stacked |= other.stacked > 0;
        }
        if import {
            self.mark_once(entry as u32);
            return !stacked;
        }
        !once
    }
}

/// The name in `"..."` or `<...>`, if the directive has it so.
pub(crate) fn plain_header(rest: &[u8]) -> Option<(&[u8], bool)> {
    let (close, angle) = match rest.first()? {
        b'"' => (b'"', false),
        b'<' => (b'>', true),
        _ => return None,
    };
    let length = rest[1..].iter().position(|byte| *byte == close)?;
    Some((&rest[1..1 + length], angle))
}
