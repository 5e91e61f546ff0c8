//! Assembly that reads files: `.incbin` and `.include`, in assembly sources and in strings of inline assembly; `#embed`.
//!
//! Plain forms are exact: the file is searched as GNU as does it. Everything else is unsure.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::characters::{find, is_word};
use crate::closure::Unsure;
use crate::directive::Directive;
use crate::expand::Expander;
use crate::include::plain_header;
use crate::scan::{Frame, Scan};
use crate::source::Source;
use crate::text::unescaped;
use crate::token::{Token, TokenKind};
use crate::unit::{Language, join, join_bytes};

/// What one line makes the assembler read.
#[derive(Debug, PartialEq, Eq)]
enum Reads {
    Nothing,
    /// This file, once per directive.
    Incbin(Vec<Vec<u8>>),
    /// Cannot be told.
    Unclear,
}

impl Scan<'_> {
    /// A line that has `incbin` or `.include` in it.
    pub(crate) fn assembly(
        &mut self,
        frame: &Frame,
        directive: &Directive,
        tokens: &[Token],
    ) -> Result<(), Unsure> {
        let unclear = Unsure::Incbin(self.position(frame, directive));
        let assembly = if self.unit.language == Language::AssemblerWithCpp {
            self.expanded_line(frame, directive, tokens)?
        } else {
            let mut outside = Vec::new();
            let mut inside = Vec::new();
            for token in tokens {
                match token.kind {
                    TokenKind::String => inside.extend(unescaped(self.pp.texts.bytes(token))),
                    _ => {
                        outside.extend_from_slice(self.pp.texts.bytes(token));
                        // A macro between two strings may be anything.
                        if token.kind == TokenKind::Word && !inside.is_empty() {
                            inside.push(0);
                        }
                    }
                }
            }
            if find(&outside, b"incbin").is_some() {
                return Err(unclear);
            }
            inside
        };
        match reads(&assembly) {
            Reads::Nothing => Ok(()),
            Reads::Unclear => Err(unclear),
            Reads::Incbin(names) => {
                for name in names {
                    self.incbin(&name)
                        .map_err(|found| found.unwrap_or(unclear.clone()))?;
                }
                Ok(())
            }
        }
    }

    /// The line as the assembler gets it.
    fn expanded_line(
        &mut self,
        frame: &Frame,
        directive: &Directive,
        tokens: &[Token],
    ) -> Result<Vec<u8>, Unsure> {
        self.set_here(frame, directive);
        let mut expander = Expander::new(tokens.to_vec());
        let mut line = Vec::new();
        loop {
            let token = expander
                .next(&mut self.pp, true)
                .map_err(|trouble| self.unsure(frame, directive, trouble))?;
            let Some(token) = token else { return Ok(line) };
            if !line.is_empty() {
                line.push(b' ');
            }
            line.extend_from_slice(self.pp.texts.bytes(&token));
        }
    }

    /// Searches a file as GNU as does: as named, then in each directory. The error is None where it is nowhere.
    fn incbin(&mut self, name: &[u8]) -> Result<(), Option<Unsure>> {
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        let mut candidates = vec![join(self.unit.cwd, path.as_os_str())];
        if name.first() != Some(&b'/') {
            for directory in self.unit.assembler_search {
                let directory = join(self.unit.cwd, directory.as_os_str());
                candidates.push(join_bytes(directory.as_os_str().as_bytes(), name));
            }
        }
        if self.embed_first(candidates).map_err(Some)? {
            Ok(())
        } else {
            Err(None)
        }
    }

    /// Takes the first candidate that is there, and notes those that are not. False: none is.
    fn embed_first(&mut self, candidates: Vec<PathBuf>) -> Result<bool, Unsure> {
        for candidate in candidates {
            if self.view.exists(&candidate).map_err(Unsure::Unreadable)? {
                if !self.closure.embedded.contains(&candidate) {
                    self.closure.embedded.push(candidate);
                }
                return Ok(true);
            }
            self.closure.embedded_missed.push(candidate);
        }
        Ok(false)
    }

    /// `#embed`: beside the file if quoted, then in the directories of `--embed-dir`.
    pub(crate) fn embed(
        &mut self,
        source: &Source,
        frame: &Frame,
        directive: &Directive,
    ) -> Result<(), Unsure> {
        let unclear = Unsure::Embed(self.position(frame, directive));
        let Some((name, angle)) = plain_header(&source.text[directive.rest()]) else {
            return Err(unclear);
        };
        let mut candidates = Vec::new();
        if name.first() == Some(&b'/') {
            candidates.push(PathBuf::from(std::ffi::OsStr::from_bytes(name)));
        } else {
            let file = &self.entries[frame.entry as usize].file.path;
            if let Some(parent) = file.parent().filter(|_| !angle) {
                candidates.push(join_bytes(parent.as_os_str().as_bytes(), name));
            }
            for directory in &self.unit.search.embed {
                let directory = join(self.unit.cwd, directory.as_os_str());
                candidates.push(join_bytes(directory.as_os_str().as_bytes(), name));
            }
        }
        if self.embed_first(candidates)? {
            Ok(())
        } else {
            Err(unclear)
        }
    }
}

/// What a line of assembly reads.
fn reads(line: &[u8]) -> Reads {
    let mut names = Vec::new();
    let mut rest = line;
    loop {
        let incbin = find(rest, b"incbin");
        let include = find(rest, b".include").map(|at| at + 1);
        let Some(at) = incbin.into_iter().chain(include).min() else {
            break;
        };
        let word_length = if Some(at) == incbin { 6 } else { 7 };
        let behind = &rest[at + word_length..];
        let is_directive = at > 0
            && rest[at - 1] == b'.'
            && !behind.first().is_some_and(|byte| is_word(*byte))
            && (at < 2 || !is_word(rest[at - 2]));
        rest = behind;
        if !is_directive {
            // `incbin` without its dot may get it from a macro or from a string before.
            if word_length == 6 && at == 0 {
                return Reads::Unclear;
            }
            continue;
        }
        if word_length == 7 {
            // What the other file contains would have to be read as assembly: the real assembler is asked.
            return Reads::Unclear;
        }
        let Some(name) = behind.trim_ascii_start().strip_prefix(b"\"").and_then(|quoted| {
            quoted
                .split(|byte| *byte == b'"')
                .next()
                .filter(|name| name.len() < quoted.len())
        }) else {
            return Reads::Unclear;
        };
        if name.is_empty() || name.iter().any(|byte| matches!(byte, b'\\' | 0 | b'\n')) {
            return Reads::Unclear;
        }
        names.push(name.to_vec());
    }
    if names.is_empty() {
        Reads::Nothing
    } else {
        Reads::Incbin(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_assembly() {
        let one = |name: &str| Reads::Incbin(vec![name.as_bytes().to_vec()]);
        let cases: [(&str, Reads); 11] = [
            (".incbin \"a.bin\"", one("a.bin")),
            ("x: .incbin\t\"a b\", 4, 8", one("a b")),
            (
                ".incbin \"a\"; .incbin \"b\"",
                Reads::Incbin(vec![b"a".to_vec(), b"b".to_vec()]),
            ),
            (".incbin NAME", Reads::Unclear),
            (".incbin \"\\file\"", Reads::Unclear),
            (".incbin \"open", Reads::Unclear),
            (".incbinary \"x\"", Reads::Nothing),
            ("call my_incbin", Reads::Nothing),
            ("incbin \"x\"", Reads::Unclear),
            (".include \"x.s\"", Reads::Unclear),
            ("obj.include(x)", Reads::Nothing),
        ];
        for (line, expected) in cases {
            assert_eq!(reads(line.as_bytes()), expected, "{line}");
        }
    }
}
