//! The text of a recipe as words and operators.
//!
//! Whatever is not certain to mean here what it means to `/bin/sh` is refused: then that shell gets the whole recipe.

use crate::script::{Part, Word};

/// Why a recipe is left to the real shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs(
    /// What it has that is not done here.
    pub &'static str,
);

/// One word or operator, and the line it ends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A word; whether any of it was quoted (reserved words are not), and how many bytes come before what was, or was expanded.
    Word {
        word: Word,
        is_quoted: bool,
        plain: usize,
    },
    /// Digits right before `<` or `>`.
    Descriptor(u8),
    Operator(Operator),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Newline,
    Semicolon,
    And,
    Or,
    Pipe,
    Open,
    Close,
    Read,
    Write,
    Append,
    /// `>&`
    Same,
}

/// Characters that make an unquoted word a pattern, or mean something of their own.
const SPECIAL: &[u8] = b"*?[~`";

/// Takes a recipe apart.
pub(crate) fn tokens(text: &[u8]) -> Result<Vec<Token>, NotOurs> {
    let mut reader = Reader {
        text,
        at: 0,
        line: 1,
        tokens: Vec::new(),
    };
    while let Some(byte) = reader.peek() {
        reader.token(byte)?;
    }
    Ok(reader.tokens)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Reader<'_> {
    /// The next byte that is no part of a continued line.
    fn peek(&mut self) -> Option<u8> {
        while self.text[self.at..].starts_with(b"\\\n") {
            self.at += 2;
            self.line += 1;
        }
        self.text.get(self.at).copied()
    }

    fn next_is(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    fn push(&mut self, kind: TokenKind) {
        let line = self.line;
        self.tokens.push(Token { kind, line });
    }

    fn operator(&mut self, operator: Operator) {
        self.push(TokenKind::Operator(operator));
    }

    fn token(&mut self, byte: u8) -> Result<(), NotOurs> {
        match byte {
            b' ' | b'\t' => self.at += 1,
            b'\n' => {
                self.at += 1;
                self.operator(Operator::Newline);
                self.line += 1;
            }
            b'#' => {
                // To the end of the line, whatever stands there: nothing continues a comment.
                let rest = &self.text[self.at..];
                self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            }
            b';' => {
                self.at += 1;
                match self.next_is(b';') {
                    true => return Err(NotOurs("case")),
                    false => self.operator(Operator::Semicolon),
                }
            }
            b'&' => {
                self.at += 1;
                match self.next_is(b'&') {
                    true => self.operator(Operator::And),
                    false => return Err(NotOurs("a background command")),
                }
            }
            b'|' => {
                self.at += 1;
                match self.next_is(b'|') {
                    true => self.operator(Operator::Or),
                    false => self.operator(Operator::Pipe),
                }
            }
            b'(' => {
                self.at += 1;
                self.operator(Operator::Open);
            }
            b')' => {
                self.at += 1;
                self.operator(Operator::Close);
            }
            b'<' => {
                self.at += 1;
                match self.peek() {
                    Some(b'<') => return Err(NotOurs("a here-document")),
                    Some(b'>') => return Err(NotOurs("<>")),
                    Some(b'&') => return Err(NotOurs("<&")),
                    _ => self.operator(Operator::Read),
                }
            }
            b'>' => {
                self.at += 1;
                match self.peek() {
                    Some(b'>') => {
                        self.at += 1;
                        self.operator(Operator::Append);
                    }
                    Some(b'&') => {
                        self.at += 1;
                        self.operator(Operator::Same);
                    }
                    Some(b'|') => return Err(NotOurs(">|")),
                    _ => self.operator(Operator::Write),
                }
            }
            _ => self.word()?,
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), NotOurs> {
        let mut word = Builder::default();
        let mut is_quoted = false;
        // Bytes before a quote or a dollar.
        let mut plain = None;
        let mut bytes = 0;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
                b'\'' => {
                    is_quoted = true;
                    plain.get_or_insert(bytes);
                    self.at += 1;
                    let rest = &self.text[self.at..];
                    let length = rest
                        .iter()
                        .position(|byte| *byte == b'\'')
                        .ok_or(NotOurs("a quote without end"))?;
                    let quoted = &rest[..length];
                    self.line += quoted.iter().filter(|byte| **byte == b'\n').count();
                    self.at += length + 1;
                    word.quoted(quoted);
                }
                b'"' => {
                    is_quoted = true;
                    plain.get_or_insert(bytes);
                    self.at += 1;
                    self.double_quoted(&mut word)?;
                }
                b'\\' => {
                    is_quoted = true;
                    plain.get_or_insert(bytes);
                    let escaped = self
                        .text
                        .get(self.at + 1)
                        .ok_or(NotOurs("a backslash at the end"))?;
                    self.at += 2;
                    word.quoted(&[*escaped]);
                }
                b'$' => {
                    plain.get_or_insert(bytes);
                    self.dollar(&mut word, false)?;
                }
                byte if SPECIAL.contains(&byte) && !self.is_test_bracket(&word) => {
                    return Err(NotOurs("a pattern, a tilde or a backquote"));
                }
                byte => {
                    self.at += 1;
                    bytes += 1;
                    word.quoted(&[byte]);
                }
            }
        }
        let word = word.done();
        // Only right before an operator of its kind is it a number of a descriptor.
        let digits = match word.as_slice() {
            [Part::Text(digits)] if !is_quoted && digits.iter().all(u8::is_ascii_digit) => digits.clone(),
            _ => Vec::new(),
        };
        let kind = match self.text.get(self.at) {
            Some(b'<' | b'>') if !digits.is_empty() => match digits.as_slice() {
                [digit @ b'0'..=b'2'] => TokenKind::Descriptor(digit - b'0'),
                _ => return Err(NotOurs("a descriptor beyond 2")),
            },
            _ => TokenKind::Word {
                word,
                is_quoted,
                plain: plain.unwrap_or(bytes),
            },
        };
        self.push(kind);
        Ok(())
    }

    /// `[` as a whole word is a command, not a pattern.
    fn is_test_bracket(&self, word: &Builder) -> bool {
        let after = self.text.get(self.at + 1);
        word.is_nothing() && self.text[self.at] == b'[' && matches!(after, Some(b' ' | b'\t'))
    }

    fn double_quoted(&mut self, word: &mut Builder) -> Result<(), NotOurs> {
        word.quoted(b"");
        loop {
            match self.peek().ok_or(NotOurs("a quote without end"))? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'`' => return Err(NotOurs("a backquote")),
                b'$' => self.dollar(word, true)?,
                b'\\' => match self.text.get(self.at + 1) {
                    Some(escaped @ (b'$' | b'`' | b'"' | b'\\')) => {
                        word.quoted(&[*escaped]);
                        self.at += 2;
                    }
                    _ => {
                        word.quoted(b"\\");
                        self.at += 1;
                    }
                },
                byte => {
                    self.line += usize::from(byte == b'\n');
                    word.quoted(&[byte]);
                    self.at += 1;
                }
            }
        }
    }

    fn dollar(&mut self, word: &mut Builder, is_quoted: bool) -> Result<(), NotOurs> {
        self.at += 1;
        let is_braced = self.next_is(b'{');
        match self.peek() {
            Some(b'$') if !is_braced => {
                self.at += 1;
                word.part(Part::Process);
            }
            Some(b'?') if !is_braced => {
                self.at += 1;
                word.part(Part::Status);
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let mut name = String::new();
                while let Some(byte) = self.peek()
                    && (byte.is_ascii_alphanumeric() || byte == b'_')
                {
                    name.push(char::from(byte));
                    self.at += 1;
                }
                if is_braced && !self.next_is(b'}') {
                    return Err(NotOurs("an expansion with an operator"));
                }
                word.part(Part::Variable { name, is_quoted });
            }
            // A dollar by itself.
            None | Some(b' ' | b'\t' | b'\n' | b'"') if !is_braced => word.quoted(b"$"),
            _ => return Err(NotOurs("a substitution")),
        }
        Ok(())
    }
}

/// A word being read.
#[derive(Default)]
struct Builder {
    parts: Word,
}

impl Builder {
    fn is_nothing(&self) -> bool {
        self.parts.is_empty()
    }

    fn quoted(&mut self, bytes: &[u8]) {
        match (self.parts.last_mut(), bytes) {
            (_, []) => self.parts.push(Part::Empty),
            (Some(Part::Text(text)), _) => text.extend(bytes),
            _ => self.parts.push(Part::Text(bytes.to_vec())),
        }
    }

    fn part(&mut self, part: Part) {
        self.parts.push(part);
    }

    fn done(self) -> Word {
        self.parts
    }
}
