//! Which files a step reads: by a scan, and where that is not sure by asking the compiler with `-M`.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use compiler::{DirectoryKind, Kind, ResponseFiles, Step, Tool};
use daemon_api::Request;
use step_memory::Grounds;

use super::build::ActionBuilder;
use super::layout::normal;
use super::link::Links;
use super::list;
use super::make_rule::dependencies;
use super::probe::{NOTHING, is_empty_of_meaning};
use super::scan::{self, Scans};
use super::toolchains::Toolchain;
use super::why::Why;
use crate::limits::RESPONSE_FILE_BYTES_MAX;
use crate::tool::variable;

/// What a step reads.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Paths as the compiler names them.
    pub(crate) files: Vec<PathBuf>,
    /// Directories that it looks into.
    pub(crate) directories: Vec<PathBuf>,
    /// The absolute working directory gets into the product by what is read.
    pub(crate) names_directory: bool,
    /// Why the scan was not sure and the compiler was asked.
    pub(crate) unsure: Option<String>,
    /// What all of this rests on, beside the files and directories themselves.
    pub(crate) grounds: Grounds,
}

impl Reads {
    /// Adds all of it to an action, and to what the finding rests on.
    pub(super) fn add_to(&mut self, builder: &mut ActionBuilder<'_>, directory: &Path) -> Result<(), Why> {
        for path in &self.files {
            let holds = builder.file(path)?;
            self.grounds.known_file(directory.join(path), holds);
        }
        for path in &self.directories {
            builder.directory(path)?;
            self.grounds.directory(directory.join(path));
        }
        Ok(())
    }
}

/// Response files as they are on disk.
pub(crate) struct ResponseFilesOf<'a>(pub(crate) &'a Path);

impl ResponseFiles for ResponseFilesOf<'_> {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let path = self.0.join(path);
        // A pipe would be waited for, and what is read of it is gone.
        if !path.metadata().ok()?.is_file() {
            return None;
        }
        let file = File::open(path).ok()?;
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

/// Variables with directories that count among the system's.
const OF_SYSTEM: [&str; 3] = ["C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH"];

/// What in assembly says which line of which source is meant.
const LINES: &[u8] = b".loc";

/// How compilers call standard input where they need a name.
const INPUT: &str = "<stdin>";
/// What gcc reads before every source, and no scan of an empty one is asked for.
const ALWAYS_READ: &str = "/usr/include/stdc-predef.h";

/// Everything that a step reads. `input` is what comes on standard input.
pub(crate) fn inputs(
    scans: &Scans,
    links: &Links,
    request: &Request,
    program: &Path,
    toolchain: &Toolchain,
    step: &Step,
    input: Option<&[u8]>,
) -> Result<Reads, Why> {
    let mut reads = Reads {
        files: step.inputs.clone(),
        ..Reads::default()
    };
    if step.kind == Kind::Link {
        reads
            .files
            .extend(links.inputs(request, program, toolchain, step, &mut reads.grounds)?);
    }
    if step.kind == Kind::List {
        reads.files.extend(list::inputs(&request.directory, step)?);
    }
    // Whatever becomes an object goes through an assembler.
    let is_assembled = matches!(step.kind, Kind::Compile | Kind::Assemble | Kind::Link);
    let language = step.language.and_then(scan::language);
    let compiled = step.sources.iter().filter(|_| step.kind != Kind::List);
    let on_disk = compiled.map(|source| (source.as_path(), None));
    let given = step
        .stdin
        .then(|| (Path::new(INPUT), Some(input.unwrap_or_default())));
    for (source, text) in on_disk.chain(given) {
        let empty = (source == Path::new(NOTHING)).then_some(&b""[..]);
        if let Some(text) = text.or(empty)
            && is_empty_of_meaning(step, text, &request.arguments)
        {
            let always = PathBuf::from(ALWAYS_READ);
            match always.is_file() {
                true => reads.files.push(always),
                false => reads.grounds.absent(always),
            }
            continue;
        }
        let files = match language {
            Some(language) => match scans.scan(
                request,
                program,
                toolchain,
                step,
                source,
                text,
                language,
                &mut reads.grounds,
            )? {
                Ok(files) => {
                    reads.files.extend(files);
                    continue;
                }
                Err(unsure) if text.is_some() => {
                    return Err(Why::Inputs(format!("standard input: {unsure}")));
                }
                Err(unsure) => {
                    reads.unsure = Some(unsure);
                    reads.grounds.unknown("what the compiler said");
                    dependencies(request, program, step, source)?
                }
            },
            None => match text {
                Some(text) => {
                    check_words(Path::new(INPUT), text, is_assembled)?;
                    continue;
                }
                None => vec![source.to_owned()],
            },
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
    reads.names_directory = has_lines(request, step) || is_made_absolute(&reads.files, request, step);
    Ok(reads)
}

/// Whether assembly says of which lines it is: then the assembler writes debug information, without being asked.
fn has_lines(request: &Request, step: &Step) -> bool {
    let says = |source: &PathBuf| {
        let text = std::fs::read(request.directory.join(source));
        text.is_ok_and(|text| contains(&text, LINES))
    };
    step.kind == Kind::Assemble && step.sources.iter().any(says)
}

/// Whether gcc calls a header by its absolute path: one below a relative `--sysroot`; and one of a directory of the system's, where
/// that is the shorter name.
fn is_made_absolute(files: &[PathBuf], request: &Request, step: &Step) -> bool {
    if step.tool != Tool::GccDriver {
        return false;
    }
    let absolute = |path: &Path| normal(&request.directory.join(path));
    let is_below = |root: &Path| {
        let root = absolute(root);
        files.iter().any(|path| absolute(path).starts_with(&root))
    };
    if relative_roots(&request.arguments).any(is_below) {
        return true;
    }
    let directories = step
        .preprocessing
        .iter()
        .flat_map(|preprocessing| &preprocessing.directories);
    let is_of_system = |kind| matches!(kind, DirectoryKind::System | DirectoryKind::After);
    let named = directories
        .filter(|directory| is_of_system(directory.kind))
        .map(|it| it.path.clone());
    let listed = OF_SYSTEM
        .iter()
        .filter_map(|name| variable(request, name))
        .flat_map(std::env::split_paths);
    let of_system: Vec<_> = named.chain(listed).filter(|path| path.is_relative()).collect();
    let is_longer = |path: &&PathBuf| {
        let found = path.strip_prefix(&request.directory).unwrap_or(path);
        let is_of_system = of_system.iter().any(|directory| found.starts_with(directory));
        let whole = || request.directory.join(found).canonicalize();
        is_of_system && whole().is_ok_and(|whole| whole.as_os_str().len() <= found.as_os_str().len())
    };
    !of_system.is_empty() && files.iter().any(|path| is_longer(&path))
}

/// Directories that stand for `/` where headers are looked for, as far as they are not named from there.
fn relative_roots(words: &[OsString]) -> impl Iterator<Item = &Path> {
    words.iter().enumerate().filter_map(|(number, word)| {
        let word = word.to_str()?;
        let is_alone = matches!(word, "--sysroot" | "-isysroot");
        let root = match is_alone {
            true => words.get(number + 1)?.to_str()?,
            false => word
                .strip_prefix("--sysroot=")
                .or_else(|| word.strip_prefix("-isysroot"))?,
        };
        Some(Path::new(root)).filter(|root| root.is_relative())
    })
}

/// Says why a file has words in it by which more is read than the compiler tells, or by which the result is never the same.
fn check_text(path: &Path, is_assembled: bool) -> Result<(), Why> {
    let unreadable = |error: std::io::Error| Why::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let text = std::fs::read(path).map_err(unreadable)?;
    check_words(path, &text, is_assembled)
}

fn check_words(path: &Path, text: &[u8], is_assembled: bool) -> Result<(), Why> {
    if NAMES_TIME.iter().any(|word| contains(text, word)) {
        return Err(Why::Time);
    }
    let mut words = NAMES_FILES
        .iter()
        .filter(|word| is_assembled || !word.starts_with(b"."));
    match words.find(|word| contains(text, word)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_are_named_from_here() {
        let found = |line: &str| {
            let words: Vec<_> = line.split(' ').map(OsString::from).collect();
            relative_roots(&words)
                .map(|root| root.display().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            found("gcc --sysroot=../sys -isysroot a -isysrootb --sysroot c"),
            ["../sys", "a", "b", "c"]
        );
        assert_eq!(
            found("gcc --sysroot=/sys -isysroot /a -c a.c"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn words_are_found_wherever_they_are() {
        assert!(contains(b"asm(\".incbin \\\"x\\\"\")", b"incbin"));
        assert!(contains(b"iincbin", b"incbin"));
        assert!(!contains(b"incbi", b"incbin"));
        assert!(!contains(b"", b"incbin"));
    }
}
