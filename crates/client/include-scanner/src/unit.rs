//! What a scan is asked: one translation unit, and everything that decides how it is preprocessed.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::answers::Answers;
use crate::hash::hash_bytes;
use crate::macros::Macros;

/// Which language a file is preprocessed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// C
    C,
    /// C++
    Cxx,
    /// Objective-C
    ObjC,
    /// Objective-C++
    ObjCxx,
    /// Assembly which goes through the preprocessor first (`.S`).
    AssemblerWithCpp,
}

/// Whose rules hold where GCC and Clang differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// GCC
    #[default]
    Gcc,
    /// Clang
    Clang,
}

/// What a compiler takes for what, under one set of options. A probe of the compiler tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Whose rules hold.
    pub family: Family,
    /// `R"(...)"` is one string.
    pub raw_strings: bool,
    /// `??=` is `#`.
    pub trigraphs: bool,
    /// `%:` is `#`.
    pub digraphs: bool,
    /// `//` begins a comment everywhere.
    pub line_comments: bool,
    /// `import` and `module` begin directives.
    pub modules: bool,
    /// Operators that the compiler knows and that ask about it or about files: `__has_include`, `__has_builtin`.
    pub operators: Vec<Box<str>>,
}

impl Dialect {
    pub(crate) fn knows(&self, name: &[u8]) -> bool {
        self.operators.iter().any(|operator| operator.as_bytes() == name)
    }
}

/// A macro of the command line, in the form the option has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLineMacro {
    /// `-D`: `NAME`, `NAME=VALUE` or `NAME(PARAMETERS)=VALUE`.
    Define(Vec<u8>),
    /// `-U`
    Undefine(Vec<u8>),
}

/// Directories in the order they are searched, with a number that stands for the list.
#[derive(Clone, Debug)]
pub struct Directories {
    paths: Arc<[PathBuf]>,
    id: u64,
    precompiled: bool,
}

impl Directories {
    /// `written` are the directories as the compiler has them, relative ones to `cwd`. `precompiled`: a directory also
    /// has a header if it has only its precompiled form (`NAME.gch`), as GCC sees it.
    pub fn new(cwd: &Path, written: &[PathBuf], precompiled: bool) -> Directories {
        let paths: Arc<[PathBuf]> = written.iter().map(|path| join(cwd, path.as_os_str())).collect();
        let mut all = Vec::new();
        for path in paths.iter() {
            all.extend_from_slice(path.as_os_str().as_bytes());
            all.push(0);
        }
        all.push(u8::from(precompiled));
        Directories {
            id: hash_bytes(&all),
            paths,
            precompiled,
        }
    }

    /// The directories, absolute, and otherwise as written: `..` and links are as the compiler was given them.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Stands for the list in caches; compare [`Directories::paths`] where a collision would matter.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether precompiled headers count.
    pub fn precompiled(&self) -> bool {
        self.precompiled
    }

    /// Whether two lists are the same list.
    pub fn is_same(&self, other: &Directories) -> bool {
        self.id == other.id
            && (Arc::ptr_eq(&self.paths, &other.paths)
                || (self.paths == other.paths && self.precompiled == other.precompiled))
    }
}

/// Where headers are searched, duplicates already removed as the compiler does it.
#[derive(Clone, Debug)]
pub struct SearchPath {
    /// First those for `"..."` only (`-iquote`), then those for both, in order.
    pub chain: Directories,
    /// How many of the chain are for `"..."` only.
    pub quote_only: usize,
    /// `--embed-dir`
    pub embed: Vec<PathBuf>,
    /// `-I-`: the directory of the including file is not searched.
    pub skip_beside: bool,
}

impl SearchPath {
    /// `quote` and `angle` as the compiler prints them under "search starts here".
    pub fn new(cwd: &Path, family: Family, quote: &[PathBuf], angle: &[PathBuf]) -> SearchPath {
        let written: Vec<PathBuf> = quote.iter().chain(angle).cloned().collect();
        SearchPath {
            chain: Directories::new(cwd, &written, family == Family::Gcc),
            quote_only: quote.len(),
            embed: Vec::new(),
            skip_beside: false,
        }
    }
}

/// One translation unit.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    /// The source, as the command line has it.
    pub main: &'a Path,
    /// Absolute; everything relative is relative to it.
    pub cwd: &'a Path,
    /// What it is preprocessed as.
    pub language: Language,
    /// How.
    pub dialect: &'a Dialect,
    /// The compiler's own macros.
    pub predefined: &'a Arc<Macros>,
    /// What the compiler said about its features so far.
    pub answers: &'a Answers,
    /// `-D` and `-U`, in order.
    pub command_line: &'a [CommandLineMacro],
    /// `-imacros`, in order: all of them come before `implicit` and `includes`.
    pub imacros: &'a [PathBuf],
    /// Headers that the compiler includes by itself, searched as `<...>`: GCC's `stdc-predef.h`.
    pub implicit: &'a [PathBuf],
    /// `-include`, in order.
    pub includes: &'a [PathBuf],
    /// Where headers are.
    pub search: &'a SearchPath,
    /// Where `.include` and `.incbin` look after `cwd`: `-I` and `-Wa,-I`, in order.
    pub assembler_search: &'a [PathBuf],
}

/// `path` as the compiler opens it: below `cwd` if relative, with nothing else changed.
pub(crate) fn join(cwd: &Path, path: &OsStr) -> PathBuf {
    if path.as_bytes().first() == Some(&b'/') {
        return PathBuf::from(path);
    }
    join_bytes(cwd.as_os_str().as_bytes(), path.as_bytes())
}

/// `directory/name`, by bytes.
pub(crate) fn join_bytes(directory: &[u8], name: &[u8]) -> PathBuf {
    let mut joined = Vec::with_capacity(directory.len() + name.len() + 1);
    joined.extend_from_slice(directory);
    if joined.last() != Some(&b'/') {
        joined.push(b'/');
    }
    joined.extend_from_slice(name);
    PathBuf::from(std::ffi::OsString::from(OsStr::from_bytes(&joined)))
}
