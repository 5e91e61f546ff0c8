//! Which files a step reads: by a scan, and where that is not sure by asking the compiler with `-M`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use compiler::{Kind, ResponseFiles, Step};
use daemon_api::Request;
use step_memory::Grounds;

use super::build::ActionBuilder;
use super::link::Links;
use super::list;
use super::make_rule::dependencies;
use super::probe::{NOTHING, is_empty_of_meaning};
use super::scan::{self, Scans};
use super::toolchains::Toolchain;
use super::why::Why;
use crate::limits::RESPONSE_FILE_BYTES_MAX;

/// What a step reads.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Paths as the compiler names them.
    pub(crate) files: Vec<PathBuf>,
    /// Directories that it looks into.
    pub(crate) directories: Vec<PathBuf>,
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
    Ok(reads)
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

pub(super) fn contains(text: &[u8], word: &[u8]) -> bool {
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
    fn words_are_found_wherever_they_are() {
        assert!(contains(b"asm(\".incbin \\\"x\\\"\")", b"incbin"));
        assert!(contains(b"iincbin", b"incbin"));
        assert!(!contains(b"incbi", b"incbin"));
        assert!(!contains(b"", b"incbin"));
    }
}
