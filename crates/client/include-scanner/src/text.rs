//! Lines of text that matter although they are no directives: `_Pragma`, assembly that reads files, modules; and what a
//! file as a whole has that this unit's options make another thing.

use std::sync::Arc;

use crate::characters::find;
use crate::closure::{Position, Unsure};
use crate::directive::{Directive, Kind, ODD_BODY};
use crate::expand::Trouble;
use crate::pragma::{classify, macro_name};
use crate::scan::{Frame, Scan};
use crate::source::Source;
use crate::token::{Token, TokenKind};
use crate::unit::Language;

/// Words of pragmas that change what the preprocessor does.
const CHANGING: [&[u8]; 5] = [
    b"_macro(",
    b"GCC target",
    b"GCC optimize",
    b"GCC reset_options",
    b"include_alias",
];

impl Scan<'_> {
    /// Refuses a file that was parsed as this unit's options do not have it.
    pub(crate) fn check_reading(&self, entry: u32) -> Result<(), Unsure> {
        let file = &self.entries[entry as usize].file;
        let traits = file.source.traits();
        let dialect = self.unit.dialect;
        if traits.broken {
            return Err(Unsure::Unbalanced(file.path.clone()));
        }
        if traits.split_incbin {
            return Err(Unsure::Incbin(Position {
                path: file.path.clone(),
                line: 0,
            }));
        }
        let what = if traits.raw_strings && !dialect.raw_strings {
            "raw strings"
        } else if traits.trigraphs && dialect.trigraphs {
            "trigraphs"
        } else if traits.digraphs && !dialect.digraphs {
            "digraphs"
        } else if traits.line_comments && !dialect.line_comments {
            "line comments"
        } else {
            return Ok(());
        };
        Err(Unsure::Reading {
            path: file.path.clone(),
            what,
        })
    }

    /// Refuses a macro whose use in text would change what the preprocessor does, or make the assembler read a file.
    pub(crate) fn check_body(&self, source: &Source, directive: &Directive) -> Result<(), Unsure> {
        if directive.flags & ODD_BODY == 0 {
            return Ok(());
        }
        let body = &source.text[directive.rest()];
        let at = Position {
            path: self
                .frames
                .last()
                .map(|frame| self.entries[frame.entry as usize].file.path.clone())
                .unwrap_or_default(),
            line: directive.line,
        };
        if find(body, b"incbin").is_some() || has_assembler_include(body) {
            return Err(Unsure::Incbin(at));
        }
        let is_once = find(body, b"(\"once\")").is_some();
        if is_once || CHANGING.iter().any(|word| find(body, word).is_some()) {
            return Err(Unsure::PragmaInText(at));
        }
        Ok(())
    }

    pub(crate) fn text(
        &mut self,
        source: &Arc<Source>,
        frame: &Frame,
        directive: &Directive,
    ) -> Result<(), Unsure> {
        let rest = directive.rest();
        let line = &source.text[rest.clone()];
        let at = || self.position(frame, directive);
        if is_module_line(line, self.unit.dialect.modules, self.unit.language) {
            return Err(Unsure::Module(at()));
        }
        let text = self.entries[frame.entry as usize].text;
        let mut tokens = Vec::new();
        self.pp.texts.lex(text, rest.start, rest.end, &mut tokens);
        if find(line, b"incbin").is_some() || find(line, b".include").is_some() {
            self.assembly(frame, directive, &tokens)?;
        }
        self.pragmas(frame, directive, &tokens)
    }

    /// Does what the `_Pragma`s of a line do; refuses what looks as if a macro made a pragma of it.
    fn pragmas(&mut self, frame: &Frame, directive: &Directive, tokens: &[Token]) -> Result<(), Unsure> {
        let mut index = 0;
        while index < tokens.len() {
            let is_pragma = self.pp.texts.is(&tokens[index], b"_Pragma");
            match tokens.get(index..index + 4) {
                Some([_, open, string, close])
                    if is_pragma
                        && self.pp.texts.is(open, b"(")
                        && string.kind == TokenKind::String
                        && self.pp.texts.is(close, b")") =>
                {
                    let bytes = self.pp.texts.bytes(string).to_vec();
                    let text = unescaped(&bytes);
                    self.pragma_operator(frame, directive, &text)?;
                    index += 4;
                }
                _ => {
                    let bytes = self.pp.texts.bytes(&tokens[index]);
                    let changes = matches!(bytes, b"push_macro" | b"pop_macro")
                        || (bytes == b"GCC"
                            && tokens.get(index + 1).is_some_and(|next| {
                                matches!(self.pp.texts.bytes(next), b"target" | b"optimize")
                            }));
                    if changes {
                        return Err(Unsure::PragmaInText(self.position(frame, directive)));
                    }
                    index += 1;
                }
            }
        }
        Ok(())
    }

    fn pragma_operator(&mut self, frame: &Frame, directive: &Directive, text: &[u8]) -> Result<(), Unsure> {
        match classify(text) {
            None => Ok(()),
            Some(Kind::Once) => {
                self.mark_once(frame.entry);
                Ok(())
            }
            Some(Kind::PushMacro | Kind::PopMacro) => {
                let Some(name) = macro_name(text) else {
                    return Err(self.unsure(
                        frame,
                        directive,
                        Trouble::Bad("a pragma without a macro's name"),
                    ));
                };
                // The same code as for the directive, on a text of its own.
                let mut made = b"#pragma ".to_vec();
                made.extend_from_slice(crate::pragma::word(text).0);
                made.extend_from_slice(b"(\"");
                made.extend_from_slice(name);
                made.extend_from_slice(b"\")");
                let source = Source::parse(&made);
                match source.directives.first() {
                    Some(made) if made.kind == Kind::PushMacro => self.push_macro(&source, made),
                    Some(made) if made.kind == Kind::PopMacro => {
                        self.pop_macro(&source, made);
                        Ok(())
                    }
                    _ => Err(Unsure::PragmaInText(self.position(frame, directive))),
                }
            }
            Some(_) => self.pragma(frame, directive, text),
        }
    }
}

/// Whether a macro's body has the assembler's `.include` in a string, or where it may become one.
fn has_assembler_include(body: &[u8]) -> bool {
    find(body, b".include").is_some()
}

/// A string's contents, without the quotes and with escapes undone as `_Pragma` does it.
pub(crate) fn unescaped(string: &[u8]) -> Vec<u8> {
    let open = string
        .iter()
        .position(|byte| *byte == b'"')
        .map_or(0, |at| at + 1);
    let inner = string
        .get(open..string.len().saturating_sub(1))
        .unwrap_or_default();
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => match rest.next() {
                Some(escaped @ (b'"' | b'\\')) => bytes.push(*escaped),
                Some(other) => bytes.extend_from_slice(&[b'\\', *other]),
                None => bytes.push(b'\\'),
            },
            _ => bytes.push(*byte),
        }
    }
    bytes
}

/// Whether a line is one of C++ modules, or `@import` of Objective-C.
fn is_module_line(line: &[u8], modules: bool, language: Language) -> bool {
    let line = line.trim_ascii_start();
    if line.starts_with(b"@import") {
        return matches!(language, Language::ObjC | Language::ObjCxx);
    }
    if !modules || !matches!(language, Language::Cxx | Language::ObjCxx) {
        return false;
    }
    [b"import".as_slice(), b"module"].iter().any(|word| {
        line.strip_prefix(*word).is_some_and(|rest| {
            rest.first()
                .is_some_and(|byte| matches!(byte, b' ' | b';' | b'<' | b'"'))
        })
    }) || (line.starts_with(b"export ")
        && (find(line, b"import").is_some() || find(line, b"module").is_some()))
}
