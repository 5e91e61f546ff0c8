//! From what a compiler prints to what is known about it. Pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use include_scanner::{Dialect, Family, Macros};

use crate::probe::{MARK, OPERATORS};

/// What is known about a compiler under one set of options.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its own macros, without those of headers that it includes by itself.
    pub macros: Arc<Macros>,
    /// What it takes for what.
    pub dialect: Dialect,
    /// `#include "..." search starts here`, as printed.
    pub quote: Vec<PathBuf>,
    /// `#include <...> search starts here`, as printed.
    pub angle: Vec<PathBuf>,
    /// Directories it would search if they were there. Whoever creates one changes these facts.
    pub absent_directories: Vec<PathBuf>,
    /// Headers it includes by itself, by the name it searches: `stdc-predef.h`.
    pub implicit: Vec<PathBuf>,
    /// Where it found those.
    pub implicit_files: Vec<PathBuf>,
    /// `gcc version 12.2.0 (...)`
    pub version: String,
    /// `Target:`
    pub target: String,
    /// The program that compiles: `cc1`, `cc1plus`, or Clang itself.
    pub compiler_proper: PathBuf,
    /// Clang's `-resource-dir`.
    pub resource_directory: Option<PathBuf>,
}

/// Reads what `-E -dM -v -H` printed for the probe's source. The error names what is missing.
pub fn parse_answer(stdout: &[u8], stderr: &[u8]) -> Result<Facts, &'static str> {
    let mut listing = Listing::default();
    for line in stderr.split(|byte| *byte == b'\n') {
        listing.line(line);
    }
    if !listing.ended {
        return Err("the list of directories");
    }
    let version = listing.version.ok_or("the version")?;
    let family = if version.contains("clang") {
        Family::Clang
    } else if version.starts_with("gcc ") {
        Family::Gcc
    } else {
        return Err("a known compiler's name");
    };
    let compiler_proper = listing
        .compiler_proper
        .ok_or("the command of the compiler proper")?;
    let all = Macros::parse(stdout);
    let dialect = dialect(family, &all).ok_or("the macros of the probe's source")?;
    let implicit_files = listing.included;
    let implicit = implicit_files
        .iter()
        .map(|path| relative_name(path, &listing.angle))
        .collect();
    Ok(Facts {
        macros: Arc::new(Macros::parse(&own_definitions(stdout))),
        dialect,
        quote: listing.quote,
        angle: listing.angle,
        absent_directories: listing.absent,
        implicit,
        implicit_files,
        version,
        target: listing.target.unwrap_or_default(),
        compiler_proper,
        resource_directory: listing.resource_directory,
    })
}

#[derive(Default)]
struct Listing {
    quote: Vec<PathBuf>,
    angle: Vec<PathBuf>,
    absent: Vec<PathBuf>,
    included: Vec<PathBuf>,
    version: Option<String>,
    target: Option<String>,
    compiler_proper: Option<PathBuf>,
    resource_directory: Option<PathBuf>,
    section: Section,
    ended: bool,
}

#[derive(Default, PartialEq, Eq)]
enum Section {
    #[default]
    None,
    Quote,
    Angle,
}

impl Listing {
    fn line(&mut self, line: &[u8]) {
        if line.starts_with(b"#include \"...\" search starts here") {
            self.section = Section::Quote;
        } else if line.starts_with(b"#include <...> search starts here") {
            self.section = Section::Angle;
        } else if line.starts_with(b"End of search list") {
            self.section = Section::None;
            self.ended = true;
        } else if self.section != Section::None {
            if let Some(directory) = line.strip_prefix(b" ") {
                let directory = path(directory);
                match self.section {
                    Section::Quote => self.quote.push(directory),
                    _ => self.angle.push(directory),
                }
            }
        } else if let Some(rest) = line.strip_prefix(b"ignoring nonexistent directory \"") {
            self.absent.push(path(rest.strip_suffix(b"\"").unwrap_or(rest)));
        } else if let Some(rest) = line.strip_prefix(b". ") {
            // `-H`: what the main file includes, which is empty, so it is the compiler's own doing.
            self.included.push(path(rest));
        } else if self.version.is_none() && is_version(line) {
            self.version = Some(String::from_utf8_lossy(line).trim().to_owned());
        } else if let Some(rest) = line.strip_prefix(b"Target: ") {
            self.target = Some(String::from_utf8_lossy(rest).trim().to_owned());
        } else if self.compiler_proper.is_none() && line.starts_with(b" ") {
            self.command(line);
        }
    }

    /// The command line of the compiler proper: ` /usr/lib/.../cc1 -E ...`, or Clang's, in quotes.
    fn command(&mut self, line: &[u8]) {
        let words = words(line);
        let Some(first) = words.first() else { return };
        let is_gcc = first
            .rsplit(|byte| *byte == b'/')
            .next()
            .is_some_and(|name| name.starts_with(b"cc1"));
        let is_clang = words.get(1).is_some_and(|word| word == b"-cc1");
        if is_gcc || is_clang {
            self.compiler_proper = Some(path(first));
            let at = words.iter().position(|word| word == b"-resource-dir");
            self.resource_directory = at.and_then(|at| words.get(at + 1)).map(|word| path(word));
        }
    }
}

fn is_version(line: &[u8]) -> bool {
    line.starts_with(b"gcc version ")
        || line
            .windows(14)
            .take(40)
            .any(|window| window == b"clang version ")
}

/// The words of a printed command: separated by blanks, perhaps in double quotes with backslashes.
fn words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut bytes = line.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            b' ' if !quoted => words.extend(word.take()),
            byte => word.get_or_insert_default().push(*byte),
        }
    }
    words.extend(word);
    words
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn dialect(family: Family, macros: &Macros) -> Option<Dialect> {
    let has = |name: &str| macros.is_defined(&format!("{MARK}{name}"));
    let value = |name: &str| macros.value(&format!("{MARK}{name}")).map(str::trim);
    let is_new_clang = family == Family::Clang
        && macros
            .value("__cplusplus")
            .and_then(|value| value.trim().trim_end_matches('L').parse::<u64>().ok())
            .is_some_and(|version| version > 201_703);
    Some(Dialect {
        family,
        raw_strings: has("raw"),
        trigraphs: value("trigraphs")? == "\"#\"",
        digraphs: has("digraphs"),
        line_comments: value("comments")? == "1",
        modules: is_new_clang || macros.is_defined("__cpp_modules"),
        operators: OPERATORS
            .iter()
            .filter(|operator| has(operator))
            .map(|operator| (*operator).into())
            .collect(),
    })
}

/// The definitions without those of the probe, and without the guard of the header that GCC includes by itself: a scan
/// reads that header as it is then.
fn own_definitions(stdout: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(stdout.len());
    for line in stdout.split_inclusive(|byte| *byte == b'\n') {
        let name = line.strip_prefix(b"#define ").unwrap_or_default();
        if !name.starts_with(MARK.as_bytes()) && !name.starts_with(b"_STDC_PREDEF_H ") {
            kept.extend_from_slice(line);
        }
    }
    kept
}

/// A header's name below the directory that it was found in.
fn relative_name(file: &std::path::Path, directories: &[PathBuf]) -> PathBuf {
    directories
        .iter()
        .find_map(|directory| file.strip_prefix(directory).ok())
        .unwrap_or(file)
        .to_owned()
}
