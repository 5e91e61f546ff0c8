//! What a compiler would read, for those who only ask that and run the command themselves.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use compiler::Step;
use daemon_api::Request;
use file_digests::FileDigests;
use sha2::{Digest as _, Sha256};
use step_memory::{Key, Memory};

use super::discover;
use super::link::Links;
use super::make_rule::dependencies;
use super::scan::Scans;
use super::toolchains::{Toolchain, Toolchains};
use super::why::Why;
use crate::service::FUNCTION;
use crate::tool;

/// Changes with the form of what is remembered.
const VERSION: &[u8] = b"farrier dependencies 1";
/// How reclient wants clang to go about it, each after an `-Xclang`.
const MANNER: [&str; 2] = ["-Eonly", "-sys-header-deps"];
/// Stands between remembered paths, which cannot hold it.
const BETWEEN: u8 = 0;

/// A scanner with a memory.
pub struct Dependencies {
    toolchains: Toolchains,
    scans: Scans,
    links: Links,
    memory: Memory,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// All files, the sources among them, as the compiler names them: relative ones from where it runs.
    pub files: Vec<PathBuf>,
    /// It was remembered.
    pub was_known: bool,
}

impl Dependencies {
    /// With a file in which what is found outlives this, or without.
    pub fn open(memory: Option<&Path>) -> io::Result<Self> {
        let digests = Arc::new(FileDigests::new(FUNCTION));
        Ok(Dependencies {
            toolchains: Toolchains::new(digests.clone()),
            scans: Scans::default(),
            links: Links::default(),
            memory: match memory {
                Some(path) => Memory::open(path, digests)?,
                None => Memory::new(digests),
            },
        })
    }

    /// Writes down what is to outlive this.
    pub fn flush(&self) {
        self.memory.flush();
    }

    /// What a command would read. The error says why that cannot be told. May run the compiler to ask it something.
    pub fn find(
        &self,
        arguments: Vec<OsString>,
        directory: PathBuf,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Found, String> {
        let request = Request {
            arguments: without_manner(arguments),
            directory,
            environment,
            settings: Vec::new(),
            is_terminal: false,
        };
        let program = tool::find(&request).ok_or("there is no such compiler")?;
        self.found(&request, &program).map_err(|why| why.to_string())
    }

    fn found(&self, request: &Request, program: &Path) -> Result<Found, Why> {
        let begun = SystemTime::now();
        let step = super::understood::parsed(request)?;
        if step.sources.is_empty() {
            return Err(Why::Inputs("it names no source".to_owned()));
        }
        let toolchain = self.toolchains.of(request, program)?;
        let key = key(request, program, &toolchain);
        if let Some(known) = self.memory.recall(&key) {
            let paths = known.split(|byte| *byte == BETWEEN);
            return Ok(Found {
                files: paths.map(|path| OsStr::from_bytes(path).into()).collect(),
                was_known: true,
            });
        }
        let scanned = discover::inputs(
            &self.scans,
            &self.links,
            request,
            program,
            &toolchain,
            &step,
            None,
        );
        let files = match scanned {
            Ok(mut reads) => {
                for file in &reads.files {
                    reads.grounds.file(request.directory.join(file));
                }
                for directory in &reads.directories {
                    reads.grounds.directory(request.directory.join(directory));
                }
                let value = joined(&reads.files);
                if let Err(why) = self.memory.remember(key, begun, &reads.grounds, &value) {
                    tracing::debug!(%why, "it is found out again the next time");
                }
                reads.files
            }
            // Such steps are not kept, but what they read can be told.
            Err(Why::Time | Why::Inputs(_)) => asked(request, program, &step)?,
            Err(why) => return Err(why),
        };
        Ok(Found {
            files,
            was_known: false,
        })
    }
}

/// Without what reclient adds to a clang's command so that it answers quickly: options of its inner compiler, which change
/// nothing of what is read.
fn without_manner(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_manner =
        |pair: &[OsString]| pair[0] == "-Xclang" && MANNER.iter().any(|option| pair[1] == *option);
    while let Some(at) = arguments.windows(2).position(is_manner) {
        arguments.drain(at..at + 2);
    }
    arguments
}

/// In the compiler's own words.
fn asked(request: &Request, program: &Path, step: &Step) -> Result<Vec<PathBuf>, Why> {
    let mut files = step.inputs.clone();
    for source in &step.sources {
        files.extend(dependencies(request, program, step, source)?);
    }
    files.sort();
    files.dedup();
    Ok(files)
}

fn joined(files: &[PathBuf]) -> Vec<u8> {
    let paths: Vec<_> = files.iter().map(|path| path.as_os_str().as_bytes()).collect();
    paths.join(&BETWEEN)
}

/// Everything but files that decides what is read.
fn key(request: &Request, program: &Path, toolchain: &Toolchain) -> Key {
    let mut hasher = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(VERSION);
    field(&toolchain.fingerprint);
    field(program.as_os_str().as_bytes());
    field(request.directory.as_os_str().as_bytes());
    request.arguments.iter().for_each(|word| field(word.as_bytes()));
    field(b"environment");
    for (name, value) in &request.environment {
        field(name.as_bytes());
        field(value.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, Instant};

    use super::*;

    fn find(known: &Dependencies, directory: &Path, words: &str) -> Result<Found, String> {
        let words = words.split_whitespace().map(OsString::from).collect();
        known.find(
            words,
            directory.to_owned(),
            vec![("PATH".into(), "/usr/bin:/bin".into())],
        )
    }

    /// As reclient's reproxy words its question; and again after a restart; and after a change.
    #[test]
    fn what_is_included_is_found_and_remembered_while_it_is_so() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::write(root.join("a.c"), "#include \"a.h\"\nint a = A;\n").unwrap();
        fs::write(root.join("a.h"), "#define A 1\n").unwrap();
        fs::write(root.join("b.h"), "").unwrap();
        let memory = root.join("memory");
        let words = "gcc -c a.c -o a.o";
        let check = |known: &Dependencies, was_known: bool, expected: &[&str]| {
            let found = find(known, &root, words).unwrap();
            let own = found.files.iter().filter(|path| !path.starts_with("/usr"));
            let own: Vec<_> = own
                .map(|path| path.strip_prefix(&root).unwrap_or(path).to_str().unwrap())
                .collect();
            assert_eq!((own.as_slice(), found.was_known), (expected, was_known));
        };
        let known = Dependencies::open(Some(&memory)).unwrap();
        check(&known, false, &["a.c", "a.h"]);
        // Nothing is remembered of a file that was written a moment ago: it may change once more and look the same.
        let until = Instant::now() + Duration::from_secs(60);
        while !find(&known, &root, words).unwrap().was_known {
            assert!(Instant::now() < until, "it is never remembered");
            std::thread::yield_now();
        }
        check(&known, true, &["a.c", "a.h"]);
        known.flush();
        drop(known);
        let known = Dependencies::open(Some(&memory)).unwrap();
        check(&known, true, &["a.c", "a.h"]);
        fs::write(root.join("a.h"), "#include \"b.h\"\n#define A 2\n").unwrap();
        check(&known, false, &["a.c", "a.h", "b.h"]);
        // Nobody keeps such a step, but what it reads can be told.
        fs::write(root.join("a.h"), "#define A sizeof __TIME__\n").unwrap();
        check(&known, false, &["a.c", "a.h"]);
    }

    #[test]
    fn what_reclient_adds_is_left_out() {
        let words = |text: &str| text.split_whitespace().map(OsString::from).collect::<Vec<_>>();
        let check = |text: &str, expected: &str| assert_eq!(without_manner(words(text)), words(expected));
        check(
            "clang -M -Xclang -Eonly -Xclang -sys-header-deps a.c",
            "clang -M a.c",
        );
        check(
            "clang -Xclang -other -Eonly a.c -Xclang",
            "clang -Xclang -other -Eonly a.c -Xclang",
        );
        check("", "");
    }

    #[test]
    fn what_cannot_be_told_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let known = Dependencies::open(None).unwrap();
        let check = |words: &str, expected: &str| {
            let error = find(&known, directory.path(), words).unwrap_err();
            assert!(error.contains(expected), "{words}: {error}");
        };
        check("no-such-compiler -c a.c", "no such compiler");
        check("gcc --version", "no source");
        check("sh -c a.c", "not understood");
        check("gcc -c no-such-source.c", "no-such-source.c");
    }
}
