//! Which files a step reads: by a scan, and where that is not sure by asking the compiler with `-M`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use compiler::{DirectoryKind, Included, Kind, Macro, ResponseFiles, Step};
use daemon_api::Request;

use super::link::Links;
use super::scan::{self, Scans};
use super::why::Why;
use crate::limits::RESPONSE_FILE_BYTES_MAX;
use crate::tool::path_of;

/// What a step reads.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Paths as the compiler names them.
    pub(crate) files: Vec<PathBuf>,
    /// Directories that it looks into.
    pub(crate) directories: Vec<PathBuf>,
    /// Why the scan was not sure and the compiler was asked.
    pub(crate) unsure: Option<String>,
}

/// Response files as they are on disk.
pub(crate) struct ResponseFilesOf<'a>(pub(crate) &'a Path);

impl ResponseFiles for ResponseFilesOf<'_> {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let file = File::open(self.0.join(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(RESPONSE_FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }
}

/// What compiles the time in.
const NAMES_TIME: [&[u8]; 3] = [b"__DATE__", b"__TIME__", b"__TIMESTAMP__"];

/// What makes an assembler read a file that no make rule names, and a preprocessor ask for files that it does not read.
const NAMES_FILES: [&[u8]; 4] = [b"incbin", b".include", b"#embed", b"__has_include"];

/// Everything that a step reads.
pub(crate) fn inputs(
    scans: &Scans,
    links: &Links,
    request: &Request,
    program: &Path,
    step: &Step,
) -> Result<Reads, Why> {
    let mut reads = Reads {
        files: step.inputs.clone(),
        ..Reads::default()
    };
    if step.kind == Kind::Link {
        reads.files.extend(links.inputs(request, program, step)?);
    }
    // Whatever becomes an object goes through an assembler.
    let is_assembled = matches!(step.kind, Kind::Compile | Kind::Assemble | Kind::Link);
    for source in &step.sources {
        let files = match step.language.and_then(scan::language) {
            Some(language) => match scans.scan(request, program, step, source, language)? {
                Ok(files) => {
                    reads.files.extend(files);
                    continue;
                }
                Err(unsure) => {
                    reads.unsure = Some(unsure);
                    dependencies(request, program, step, source)?
                }
            },
            None => vec![source.clone()],
        };
        for file in &files {
            check_text(&request.directory.join(file), is_assembled)?;
        }
        reads.files.extend(files);
    }
    reads.files.sort();
    reads.files.dedup();
    let directories = step
        .preprocessing
        .iter()
        .flat_map(|preprocessing| &preprocessing.directories);
    reads.directories = directories.map(|directory| directory.path.clone()).collect();
    Ok(reads)
}

/// Says why a file has words in it by which more is read than the compiler tells, or by which the result is never the same.
fn check_text(path: &Path, is_assembled: bool) -> Result<(), Why> {
    let unreadable = |error: std::io::Error| Why::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let text = std::fs::read(path).map_err(unreadable)?;
    if NAMES_TIME.iter().any(|word| contains(&text, word)) {
        return Err(Why::Time);
    }
    let mut words = NAMES_FILES
        .iter()
        .filter(|word| is_assembled || !word.starts_with(b"."));
    match words.find(|word| contains(&text, word)) {
        Some(word) => {
            let word = String::from_utf8_lossy(word);
            Err(Why::Inputs(format!("{} has `{word}` in it", path.display())))
        }
        None => Ok(()),
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    let (first, rest) = (word[0], &word[1..]);
    let mut at = text;
    while let Some(found) = at.iter().position(|byte| *byte == first) {
        at = &at[found + 1..];
        if at.starts_with(rest) {
            return true;
        }
    }
    false
}

/// What the compiler says that it reads for one source.
fn dependencies(request: &Request, program: &Path, step: &Step, source: &Path) -> Result<Vec<PathBuf>, Why> {
    let asked = Command::new(program)
        .args(question(step, source))
        .current_dir(&request.directory)
        .env_clear()
        .envs(request.environment.iter().map(|(name, value)| (name, value)))
        .env("PATH", path_of(request))
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Why::Inputs(format!("cannot ask {}: {error}", program.display())))?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        return Err(Why::Inputs(
            said.lines()
                .next()
                .unwrap_or("the compiler does not say why")
                .to_owned(),
        ));
    }
    prerequisites(&asked.stdout)
        .ok_or_else(|| Why::Inputs("the compiler's make rule is not understood".to_owned()))
}

/// The command that lists what a source includes, system headers too.
fn question(step: &Step, source: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = step.facts_arguments.clone();
    let mut joined = |option: &str, value: &OsStr| {
        let mut word = OsString::from(option);
        word.push(value);
        words.push(word);
    };
    if let Some(preprocessing) = &step.preprocessing {
        for change in &preprocessing.macros {
            match change {
                Macro::Define(text) => joined("-D", text.as_ref()),
                Macro::Undefine(name) => joined("-U", name.as_ref()),
                Macro::Assert(text) => joined("-A", text.as_ref()),
            }
        }
        for directory in &preprocessing.directories {
            let option = match directory.kind {
                DirectoryKind::Quote => "-iquote",
                DirectoryKind::Angle => "-I",
                DirectoryKind::System => "-isystem",
                DirectoryKind::After => "-idirafter",
                DirectoryKind::Framework => "-F",
                DirectoryKind::SystemFramework => "-iframework",
                DirectoryKind::CxxSystem => "-cxx-isystem",
                DirectoryKind::CSystem => "-c-isystem",
            };
            joined(option, directory.path.as_os_str());
        }
        for forced in &preprocessing.forced {
            let option = match forced.how {
                Included::Whole => "-include",
                Included::Macros => "-imacros",
            };
            words.extend([option.into(), forced.path.clone().into_os_string()]);
        }
    }
    words.extend(["-M".into(), source.as_os_str().to_owned()]);
    words
}

/// What stands after the colon of a make rule. `None` if there is no rule.
fn prerequisites(rule: &[u8]) -> Option<Vec<PathBuf>> {
    let colon = rule
        .windows(2)
        .position(|pair| pair[0] == b':' && pair[1].is_ascii_whitespace())?;
    let mut paths = Vec::new();
    let mut path = Vec::new();
    let mut bytes = rule[colon + 1..].iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if bytes.peek() == Some(&b'\n') => {}
            // Before a blank or a `#` it makes that a part of the name.
            b'\\'
                if bytes
                    .peek()
                    .is_some_and(|next| matches!(next, b' ' | b'\t' | b'#')) =>
            {
                path.extend(bytes.next())
            }
            b'$' if bytes.peek() == Some(&b'$') => path.extend(bytes.next()),
            byte if byte.is_ascii_whitespace() => {
                if !path.is_empty() {
                    paths.push(PathBuf::from(OsString::from_vec(std::mem::take(&mut path))));
                }
            }
            byte => path.push(byte),
        }
    }
    if !path.is_empty() {
        paths.push(PathBuf::from(OsStr::from_bytes(&path)));
    }
    Some(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_make_rule_is_read_as_make_reads_it() {
        let check = |rule: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(prerequisites(rule.as_bytes()), Some(expected), "{rule}");
        };
        check(
            "a.o: a.c \\\n /usr/include/stdio.h b.h\n",
            &["a.c", "/usr/include/stdio.h", "b.h"],
        );
        check(
            "a.o: with\\ blank.c x\\#y.h do$$llar.h\n",
            &["with blank.c", "x#y.h", "do$llar.h"],
        );
        check("a.o:\n", &[]);
        assert_eq!(prerequisites(b"no rule"), None);
    }

    #[test]
    fn words_are_found_wherever_they_are() {
        assert!(contains(b"asm(\".incbin \\\"x\\\"\")", b"incbin"));
        assert!(contains(b"iincbin", b"incbin"));
        assert!(!contains(b"incbi", b"incbin"));
        assert!(!contains(b"", b"incbin"));
    }
}
