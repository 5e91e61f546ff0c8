//! Conditions as they mostly are: `defined(A) && B >= 3`, with macros that stand for a number. Their tokens are made once,
//! with the file; their value needs no expansion and no memory. Whatever is not of this kind is left to `condition.rs`,
//! which knows everything.

use crate::expand::{Preprocessor, is_builtin};
use crate::expression::{apply, is_cxx_word, precedence};
use crate::hash::hash_bytes;
use crate::number::{Integer, integer};
use crate::token::{TokenKind, next_token};
use crate::unit::Dialect;

/// A token of a condition, as it is kept with the file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QuickToken {
    Open,
    Close,
    Not,
    Defined,
    /// An operator between two values: its text, one or two bytes.
    Binary([u8; 2]),
    Number(Integer),
    /// A word: where it is in the text of its file, and its hash.
    Word {
        start: u32,
        length: u32,
        hash: u64,
    },
}

/// Nesting of parentheses and operators up to which a condition is tried.
const DEPTH_MAX: usize = 24;
/// Macros that stand for macros that stand for macros.
const INDIRECTIONS_MAX: usize = 8;

/// Appends the tokens of a condition, `text[start..end]`; false, and nothing appended, if some token is of another kind.
pub(crate) fn tokens(text: &[u8], start: usize, end: usize, tokens: &mut Vec<QuickToken>) -> bool {
    let from = tokens.len();
    let mut at = start;
    while at < end {
        if text[at] == b' ' {
            at += 1;
            continue;
        }
        let (kind, length) = next_token(&text[at..end]);
        let bytes = &text[at..at + length];
        let token = match (kind, bytes) {
            (TokenKind::Word, b"defined") => QuickToken::Defined,
            (TokenKind::Word, _) => QuickToken::Word {
                start: at as u32,
                length: length as u32,
                hash: hash_bytes(bytes),
            },
            (TokenKind::Number, _) => match integer(bytes) {
                Some(integer) => QuickToken::Number(integer),
                None => {
                    tokens.truncate(from);
                    return false;
                }
            },
            (TokenKind::Punctuation, b"(") => QuickToken::Open,
            (TokenKind::Punctuation, b")") => QuickToken::Close,
            (TokenKind::Punctuation, b"!") => QuickToken::Not,
            (TokenKind::Punctuation, _) if length <= 2 && precedence(bytes).is_some() => {
                QuickToken::Binary([bytes[0], bytes.get(1).copied().unwrap_or(0)])
            }
            _ => {
                tokens.truncate(from);
                return false;
            }
        };
        tokens.push(token);
        at += length;
    }
    true
}

/// The value of a condition of `text`, None if it takes more than this.
pub(crate) fn evaluate(
    pp: &Preprocessor,
    dialect: &Dialect,
    has_named_operators: bool,
    text: &[u8],
    tokens: &[QuickToken],
) -> Option<bool> {
    if tokens.is_empty() || !pp.options.are_default() || !pp.unknown.is_empty() {
        return None;
    }
    let mut quick = Quick {
        pp,
        dialect,
        has_named_operators,
        text,
        tokens,
        at: 0,
        depth: 0,
    };
    let value = quick.binary(1)?;
    (quick.at == tokens.len()).then_some(value.bits != 0)
}

struct Quick<'a> {
    pp: &'a Preprocessor,
    dialect: &'a Dialect,
    has_named_operators: bool,
    text: &'a [u8],
    tokens: &'a [QuickToken],
    at: usize,
    depth: usize,
}

impl Quick<'_> {
    fn binary(&mut self, weakest: u8) -> Option<Integer> {
        let mut left = self.unary()?;
        while let Some(QuickToken::Binary(operator)) = self.tokens.get(self.at) {
            let operator: &[u8] = if operator[1] == 0 {
                &operator[..1]
            } else {
                operator
            };
            let strength = precedence(operator)?;
            if strength < weakest {
                break;
            }
            self.at += 1;
            let right = self.binary(strength + 1)?;
            // Where it matters that a part is not evaluated, the exact way finds out.
            left = apply(operator, Some(left), Some(right), true).ok()??;
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<Integer> {
        if self.depth >= DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let token = *self.tokens.get(self.at)?;
        self.at += 1;
        let value = match token {
            QuickToken::Not => Integer::truth(self.unary()?.bits == 0),
            QuickToken::Number(integer) => integer,
            QuickToken::Open => {
                let value = self.binary(1)?;
                self.closes()?;
                value
            }
            QuickToken::Defined => Integer::truth(self.defined()?),
            QuickToken::Word { start, length, hash } => {
                let name = self.text.get(start as usize..(start + length) as usize)?;
                self.word(hash, name)?
            }
            QuickToken::Close | QuickToken::Binary(_) => return None,
        };
        self.depth -= 1;
        Some(value)
    }

    fn closes(&mut self) -> Option<()> {
        let closes = matches!(self.tokens.get(self.at), Some(QuickToken::Close));
        self.at += 1;
        closes.then_some(())
    }

    fn defined(&mut self) -> Option<bool> {
        let mut token = self.tokens.get(self.at)?;
        self.at += 1;
        let parenthesized = matches!(token, QuickToken::Open);
        if parenthesized {
            token = self.tokens.get(self.at)?;
            self.at += 1;
        }
        let QuickToken::Word { start, length, hash } = *token else {
            return None;
        };
        let name = self.text.get(start as usize..(start + length) as usize)?;
        if parenthesized {
            self.closes()?;
        }
        let is_macro = self.pp.table.get(&self.pp.texts, hash, name).is_some();
        Some(is_macro || (name.starts_with(b"__") && (is_builtin(name) || self.dialect.knows(name))))
    }

    /// The value of a name: 0 if it is no macro, the number that it stands for otherwise.
    fn word(&self, hash: u64, name: &[u8]) -> Option<Integer> {
        let texts = &self.pp.texts;
        let (mut hash, mut name) = (hash, name);
        for _ in 0..INDIRECTIONS_MAX {
            let Some(place) = self.pp.table.get(texts, hash, name) else {
                let is_special = (name.starts_with(b"__") && (is_builtin(name) || self.dialect.knows(name)))
                    || (self.has_named_operators && is_cxx_word(name))
                    || name.contains(&b'$')
                    || name == b"defined";
                return (!is_special).then_some(Integer::truth(false));
            };
            let source = texts.sources.get(place.text as usize)?;
            let directive = source.directives.get(place.directive as usize)?;
            let body = source.text.get(directive.rest())?;
            if body.first() == Some(&b'(') {
                return None;
            }
            let body = body.trim_ascii();
            let first = body.first()?;
            let (kind, length) = next_token(body);
            if length != body.len() {
                return None;
            }
            match kind {
                TokenKind::Number if first.is_ascii_digit() => return integer(body),
                TokenKind::Word => {
                    // A macro that stands for itself is no macro within itself.
                    if body == name {
                        return None;
                    }
                    name = body;
                    hash = hash_bytes(body);
                }
                _ => return None,
            }
        }
        None
    }
}
