//! From a directive to the answer: tokens are expanded, what asks about macros, files and the compiler is answered, and
//! the rest is arithmetic. Computed headers (`#include MACRO`) are read here too.

use std::sync::Arc;

use crate::answers::Question;
use crate::closure::Unsure;
use crate::directive::{Directive, Kind};
use crate::expand::{Expander, Trouble, is_builtin};
use crate::expression::{Item, evaluate};
use crate::include::Resolved;
use crate::limits::QUESTIONS_MAX;
use crate::scan::{Frame, Scan};
use crate::source::Source;
use crate::token::{SPACED, Token, TokenKind};
use crate::unit::Language;

/// The directive whose tokens are being read.
struct Reading<'r> {
    frame: &'r Frame,
    directive: &'r Directive,
    text: u32,
}

impl Scan<'_> {
    pub(crate) fn is_defined(&self, hash: u64, name: &[u8]) -> Result<bool, Trouble> {
        let place = self.pp.table.get(&self.pp.texts, hash, name);
        self.pp.check_options(name, place)?;
        Ok(place.is_some() || is_builtin(name) || self.unit.dialect.knows(name))
    }

    /// Whether the condition of an `#if` or `#elif` holds. What the compiler has to be asked first is noted, and taken
    /// for false meanwhile.
    pub(crate) fn condition(
        &mut self,
        source: &Arc<Source>,
        frame: &Frame,
        directive: &Directive,
    ) -> Result<bool, Unsure> {
        let text = self.entries[frame.entry as usize].text;
        let rest = directive.rest();
        if let Some(value) = plain_number(&source.text[rest.clone()]) {
            return Ok(value);
        }
        self.set_here(frame, directive);
        let mut tokens = Vec::new();
        self.pp.texts.lex(text, rest.start, rest.end, &mut tokens);
        let reading = Reading {
            frame,
            directive,
            text,
        };
        let mut asked = Vec::new();
        let items = self.items(&reading, tokens, &mut asked)?;
        let value = evaluate(&self.pp.texts, &items, self.has_named_operators())
            .map_err(|trouble| self.unsure(frame, directive, trouble))?;
        Ok(match value {
            Some(value) => value,
            None => {
                self.questions.append(&mut asked);
                if self.questions.len() > QUESTIONS_MAX {
                    return Err(Unsure::TooMuch("questions"));
                }
                false
            }
        })
    }

    fn has_named_operators(&self) -> bool {
        matches!(self.unit.language, Language::Cxx | Language::ObjCxx)
    }

    fn items(
        &mut self,
        reading: &Reading<'_>,
        tokens: Vec<Token>,
        asked: &mut Vec<Question>,
    ) -> Result<Vec<Item>, Unsure> {
        let trouble = |scan: &Self, trouble| scan.unsure(reading.frame, reading.directive, trouble);
        let mut expander = Expander::new(tokens);
        let mut items = Vec::new();
        loop {
            let token = expander
                .next(&mut self.pp, true)
                .map_err(|error| trouble(self, error))?;
            let Some(token) = token else {
                return Ok(items);
            };
            if token.kind != TokenKind::Word {
                items.push(Item::Token(token));
                continue;
            }
            let word = self.pp.texts.bytes(&token);
            let item = match word {
                b"defined" => {
                    let known = self
                        .defined(&mut expander)
                        .map_err(|error| trouble(self, error))?;
                    Item::Known(i64::from(known))
                }
                b"__has_include" | b"__has_include_next" if self.unit.dialect.knows(word) => {
                    let next = word == b"__has_include_next";
                    let has = self.has_include(reading, &mut expander, next)?;
                    Item::Known(i64::from(has))
                }
                b"__has_embed" if self.unit.dialect.knows(word) => {
                    return Err(Unsure::Embed(self.position(reading.frame, reading.directive)));
                }
                _ if word.starts_with(b"__") && self.unit.dialect.knows(word) => {
                    let operator = String::from_utf8_lossy(word).into();
                    let argument = self
                        .argument(&mut expander)
                        .map_err(|error| trouble(self, error))?;
                    let question = Question { operator, argument };
                    match self.unit.answers.get(&question) {
                        Some(value) => Item::Known(value),
                        None => {
                            asked.push(question);
                            Item::Unknown
                        }
                    }
                }
                _ => Item::Token(token),
            };
            items.push(item);
        }
    }

    fn defined(&mut self, expander: &mut Expander) -> Result<bool, Trouble> {
        const BAD: Trouble = Trouble::Bad("`defined` without a name");
        let mut token = expander.next(&mut self.pp, false)?.ok_or(BAD)?;
        let parenthesized = self.pp.texts.is(&token, b"(");
        if parenthesized {
            token = expander.next(&mut self.pp, false)?.ok_or(BAD)?;
        }
        if token.kind != TokenKind::Word {
            return Err(BAD);
        }
        if parenthesized {
            let close = expander.next(&mut self.pp, false)?.ok_or(BAD)?;
            if !self.pp.texts.is(&close, b")") {
                return Err(BAD);
            }
        }
        self.is_defined(token.hash, self.pp.texts.bytes(&token))
    }

    /// What is in the parentheses of a question about the compiler. Compilers differ in whether macros are expanded in
    /// it, so there may be none.
    fn argument(&mut self, expander: &mut Expander) -> Result<Box<str>, Trouble> {
        const BAD: Trouble = Trouble::Bad("a question about the compiler without argument");
        let open = expander.next(&mut self.pp, false)?.ok_or(BAD)?;
        if !self.pp.texts.is(&open, b"(") {
            return Err(BAD);
        }
        let mut bytes = Vec::new();
        let mut depth = 0usize;
        loop {
            let token = expander.next(&mut self.pp, false)?.ok_or(BAD)?;
            match self.pp.texts.bytes(&token) {
                b"(" => depth += 1,
                b")" if depth == 0 => break,
                b")" => depth -= 1,
                _ => {}
            }
            if token.kind == TokenKind::Word && self.pp.place(&token).is_some() {
                return Err(Trouble::Bad("a question about the compiler that names a macro"));
            }
            bytes.extend_from_slice(self.pp.texts.bytes(&token));
        }
        // What is asked goes into a source file of the probe: one line, nothing strange in it.
        match String::from_utf8(bytes) {
            Ok(argument) if !argument.is_empty() && !argument.contains(['\n', '\\', '#']) => {
                Ok(argument.into())
            }
            _ => Err(BAD),
        }
    }

    fn has_include(
        &mut self,
        reading: &Reading<'_>,
        expander: &mut Expander,
        next: bool,
    ) -> Result<bool, Unsure> {
        let trouble = |scan: &Self, trouble| scan.unsure(reading.frame, reading.directive, trouble);
        let bad = || Trouble::Bad("`__has_include` without a header's name");
        let first = expander
            .next(&mut self.pp, true)
            .map_err(|error| trouble(self, error))?;
        let Some(first) = first.filter(|token| self.pp.texts.is(token, b"(")) else {
            return Err(trouble(self, bad()));
        };
        let (name, angle) = self.header(reading, expander, first)?;
        let close = expander
            .next(&mut self.pp, true)
            .map_err(|error| trouble(self, error))?;
        if !close.is_some_and(|token| self.pp.texts.is(&token, b")")) {
            return Err(trouble(self, bad()));
        }
        let resolved: Option<Resolved> = self.resolve(&name, angle, next)?;
        if let Some(resolved) = resolved {
            self.asked(resolved.entry);
        }
        Ok(resolved.is_some())
    }

    /// The header that an `#include` with macros names.
    pub(crate) fn computed_header(
        &mut self,
        frame: &Frame,
        directive: &Directive,
    ) -> Result<(Vec<u8>, bool), Unsure> {
        debug_assert!(!matches!(directive.kind, Kind::If | Kind::Elif));
        self.set_here(frame, directive);
        let text = self.entries[frame.entry as usize].text;
        let rest = directive.rest();
        let mut tokens = Vec::new();
        self.pp.texts.lex(text, rest.start, rest.end, &mut tokens);
        let mut expander = Expander::new(tokens);
        let reading = Reading {
            frame,
            directive,
            text,
        };
        // A token in whose place the header's own first one is read.
        let before = Token {
            kind: TokenKind::Placemarker,
            flags: 0,
            text,
            start: rest.start as u32,
            length: 0,
            hash: 0,
        };
        self.header(&reading, &mut expander, before)
    }

    /// A header's name behind `before`: a string, or everything from `<` to `>`.
    fn header(
        &mut self,
        reading: &Reading<'_>,
        expander: &mut Expander,
        before: Token,
    ) -> Result<(Vec<u8>, bool), Unsure> {
        let trouble = |scan: &Self, trouble| scan.unsure(reading.frame, reading.directive, trouble);
        let bad = || Trouble::Bad("a header's name that is neither \"...\" nor <...>");
        // In angle brackets a header's name is no sequence of tokens, if it stands in the directive itself.
        if before.text == reading.text
            && expander.is_in_directive()
            && let Some(name) = self.raw_header(reading, expander, &before)
        {
            return Ok((name, true));
        }
        let first = expander
            .next(&mut self.pp, true)
            .map_err(|error| trouble(self, error))?;
        let Some(first) = first else {
            return Err(trouble(self, bad()));
        };
        let bytes = self.pp.texts.bytes(&first);
        if first.kind == TokenKind::String && bytes.first() == Some(&b'"') && bytes.len() >= 2 {
            let name = bytes[1..bytes.len() - 1].to_vec();
            // In a string a backslash escapes, in a header's name it does not: GCC and Clang differ.
            if name.contains(&b'\\') {
                return Err(trouble(self, bad()));
            }
            return Ok((name, false));
        }
        // Operators that begin with `<` are cut where the name begins: `<<`, `<:`.
        if bytes != b"<" {
            return Err(trouble(self, bad()));
        }
        let mut name = Vec::new();
        let mut is_first = true;
        loop {
            let token = expander
                .next(&mut self.pp, true)
                .map_err(|error| trouble(self, error))?;
            let Some(token) = token else {
                return Err(trouble(self, bad()));
            };
            let bytes = self.pp.texts.bytes(&token);
            if bytes == b">" {
                return Ok((name, true));
            }
            if token.flags & SPACED != 0 {
                // Whether blanks between tokens of macros are kept is where GCC and Clang differ.
                if !is_first {
                    return Err(trouble(self, bad()));
                }
            }
            is_first = false;
            name.extend_from_slice(bytes);
        }
    }

    fn raw_header(&self, reading: &Reading<'_>, expander: &mut Expander, before: &Token) -> Option<Vec<u8>> {
        let end = reading.directive.rest().end;
        let text = self.pp.texts.whole(reading.text).get(..end)?;
        let mut start = before.start as usize + before.length as usize;
        while text
            .get(start)
            .is_some_and(|byte| crate::characters::is_blank(*byte))
        {
            start += 1;
        }
        if text.get(start) != Some(&b'<') {
            return None;
        }
        let length = text[start + 1..].iter().position(|byte| *byte == b'>')?;
        expander.skip_to(start + 1 + length + 1);
        Some(text[start + 1..start + 1 + length].to_vec())
    }
}

/// Conditions like `0` and `1`, which need no tokens.
fn plain_number(condition: &[u8]) -> Option<bool> {
    match condition {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}
