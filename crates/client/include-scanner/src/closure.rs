//! What a scan answers: everything the compiler would read, or why that cannot be said.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::answers::Question;
use crate::unit::{Directories, join_bytes};
use crate::view::{File, Unreadable};

/// A name that was searched in vain in some places: whoever creates it there changes the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// As the directive has it.
    pub name: Box<[u8]>,
    /// The directory that was searched first, absolute: that of the including file.
    pub beside: Option<Arc<Path>>,
    /// The first directory of the chain that was searched.
    pub from: u32,
    /// The first one that was not, or that has it.
    pub to: u32,
}

/// Everything that decides what the preprocessor sees.
#[derive(Clone, Debug, Default)]
pub struct Closure {
    /// What is read: the main file first, then in the order of reading, each path once.
    pub files: Vec<Arc<File>>,
    /// What only has to be there, because `__has_include` asked for it and found it.
    pub asked: Vec<Arc<File>>,
    /// What has to stay absent.
    pub missed: Vec<Missed>,
    /// Files read by `#embed`, by `.incbin`, and by `.include` of the assembler; absolute.
    pub embedded: Vec<PathBuf>,
    /// Paths that were tried for those and found absent; absolute.
    pub embedded_missed: Vec<PathBuf>,
    /// Some file that is read mentions `__DATE__`, `__TIME__` or `__TIMESTAMP__` outside comments.
    pub time_macros: bool,
    /// Directives that were walked: the cost of the scan.
    pub steps: u64,
}

impl Closure {
    /// Every path that has to stay absent, absolute. GCC also looks for each of `files` with `.gch` appended.
    pub fn absent<'c>(&'c self, chain: &'c Directories) -> impl Iterator<Item = PathBuf> + 'c {
        let missed = self.missed.iter().flat_map(|missed| {
            let beside = missed.beside.as_deref();
            let searched = chain
                .paths()
                .get(missed.from as usize..missed.to as usize)
                .unwrap_or_default();
            beside
                .into_iter()
                .chain(searched.iter().map(PathBuf::as_path))
                .map(|directory| join_bytes(directory.as_os_str().as_bytes(), &missed.name))
        });
        missed.chain(self.embedded_missed.iter().cloned())
    }
}

/// Where something is in the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Absolute.
    pub path: PathBuf,
    /// From 1.
    pub line: u32,
}

/// Why a scan has no exact answer. The caller asks the real compiler, or runs the command here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsure {
    /// The compiler has to be asked these first; then the scan is repeated with the answers.
    Questions(Vec<Question>),
    /// A file that is included is nowhere, so the compiler would fail.
    NotFound {
        /// Who includes it.
        at: Position,
        /// What.
        name: String,
    },
    /// The file system failed.
    Unreadable(Unreadable),
    /// More than a named bound of the scanner.
    TooMuch(&'static str),
    /// A directive that compilers reject, or one whose meaning is not known here.
    Directive {
        /// Where.
        at: Position,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The conditionals of a file do not match.
    Unbalanced(PathBuf),
    /// A condition depends on how often `__COUNTER__` was used, or on a line number that compilers count differently.
    Position {
        /// Where.
        at: Position,
        /// Which macro.
        name: &'static str,
    },
    /// A condition depends on a macro that a `#pragma GCC target` or `optimize` may have changed.
    Options {
        /// Where.
        at: Position,
        /// Which macro.
        name: String,
    },
    /// A precompiled header takes the place of a header.
    Precompiled(PathBuf),
    /// The file has something that the options make another thing than it was read as.
    Reading {
        /// Which file.
        path: PathBuf,
        /// Raw strings, trigraphs, digraphs or line comments.
        what: &'static str,
    },
    /// A pragma in text or in a macro may change macros.
    PragmaInText(Position),
    /// C++ modules or `@import`.
    Module(Position),
    /// `.incbin` or `.include` whose file cannot be told.
    Incbin(Position),
    /// `#embed` or `__has_embed` with parameters that are not known here.
    Embed(Position),
}
