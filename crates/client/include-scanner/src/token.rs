//! Preprocessing tokens: small, copied freely, their bytes in the texts of the scan.

use std::sync::Arc;

use crate::characters::{begins_word, is_blank, is_word};
use crate::hash::hash_bytes;
use crate::source::Source;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Word,
    Number,
    String,
    Character,
    Punctuation,
    /// Bytes that begin no token, and quotes that are not closed.
    Other,
    /// What an empty argument leaves beside `##`.
    Placemarker,
}

/// White space comes before it.
pub(crate) const SPACED: u8 = 1;
/// It named a macro while that macro was being expanded: it stays as it is.
pub(crate) const UNEXPANDABLE: u8 = 2;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) flags: u8,
    /// Which text its bytes are in.
    pub(crate) text: u32,
    pub(crate) start: u32,
    pub(crate) length: u32,
    /// Of words only.
    pub(crate) hash: u64,
}

/// The text in which pasted and stringified tokens live.
pub(crate) const SCRATCH: u32 = u32::MAX;

/// Every text that tokens of one scan point into.
#[derive(Default)]
pub(crate) struct Texts {
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) scratch: Vec<u8>,
}

impl Texts {
    pub(crate) fn whole(&self, text: u32) -> &[u8] {
        if text == SCRATCH {
            return &self.scratch;
        }
        self.sources.get(text as usize).map_or(&[], |source| &source.text)
    }

    pub(crate) fn bytes(&self, token: &Token) -> &[u8] {
        let start = token.start as usize;
        self.whole(token.text)
            .get(start..start + token.length as usize)
            .unwrap_or_default()
    }

    pub(crate) fn is(&self, token: &Token, bytes: &[u8]) -> bool {
        self.bytes(token) == bytes
    }

    /// The tokens of a piece of a text.
    pub(crate) fn lex(&self, text: u32, start: usize, end: usize, tokens: &mut Vec<Token>) {
        let bytes = self.whole(text).get(..end).unwrap_or_default();
        let mut at = start;
        let mut flags = 0;
        while at < bytes.len() {
            if is_blank(bytes[at]) || bytes[at] == b'\n' {
                flags = SPACED;
                at += 1;
                continue;
            }
            let (kind, length) = next_token(&bytes[at..]);
            let word = &bytes[at..at + length];
            tokens.push(Token {
                kind,
                flags,
                text,
                start: at as u32,
                length: length as u32,
                hash: if kind == TokenKind::Word {
                    hash_bytes(word)
                } else {
                    0
                },
            });
            flags = 0;
            at += length;
        }
    }
}

/// Operators of more than one character, longest first.
const OPERATORS: [&[u8]; 34] = [
    b"%:%:", b"...", b"<<=", b">>=", b"->*", b"<=>", b"##", b"<<", b">>", b"<=", b">=", b"==", b"!=", b"&&",
    b"||", b"++", b"--", b"->", b"::", b"+=", b"-=", b"*=", b"/=", b"%=", b"&=", b"|=", b"^=", b"<:", b":>",
    b"<%", b"%>", b"%:", b".*", b"//",
];

/// The kind and length of the token that `bytes` (not empty, no blank first) begins with.
pub(crate) fn next_token(bytes: &[u8]) -> (TokenKind, usize) {
    let first = bytes[0];
    if first.is_ascii_digit() || (first == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit)) {
        return (TokenKind::Number, number_length(bytes));
    }
    if begins_word(first) {
        let length = bytes.iter().take_while(|byte| is_word(**byte)).count();
        return match (&bytes[..length], bytes.get(length)) {
            (b"L" | b"u" | b"U" | b"u8", Some(quote @ (b'"' | b'\''))) => quoted(bytes, length, *quote),
            (b"R" | b"LR" | b"uR" | b"UR" | b"u8R", Some(b'"')) => raw(bytes, length),
            _ => (TokenKind::Word, length),
        };
    }
    if matches!(first, b'"' | b'\'') {
        return quoted(bytes, 0, first);
    }
    for operator in OPERATORS {
        if first == operator[0] && bytes.starts_with(operator) {
            return (TokenKind::Punctuation, operator.len());
        }
    }
    if first.is_ascii_punctuation() && !matches!(first, b'\\' | b'@' | b'`') {
        return (TokenKind::Punctuation, 1);
    }
    (TokenKind::Other, 1)
}

fn number_length(bytes: &[u8]) -> usize {
    let mut length = 1;
    while let Some(byte) = bytes.get(length) {
        let signed = matches!(byte, b'+' | b'-') && matches!(bytes[length - 1], b'e' | b'E' | b'p' | b'P');
        let separates = *byte == b'\'' && bytes.get(length + 1).is_some_and(|next| is_word(*next));
        if !(is_word(*byte) || *byte == b'.' || signed || separates) {
            break;
        }
        length += 1;
    }
    length
}

fn quoted(bytes: &[u8], prefix: usize, quote: u8) -> (TokenKind, usize) {
    let mut at = prefix + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if *byte == quote => {
                let kind = if quote == b'"' {
                    TokenKind::String
                } else {
                    TokenKind::Character
                };
                return (kind, at + 1);
            }
            _ => at += 1,
        }
    }
    (TokenKind::Other, bytes.len())
}

fn raw(bytes: &[u8], prefix: usize) -> (TokenKind, usize) {
    let after = &bytes[prefix + 1..];
    if let Some(open) = after.iter().take(17).position(|byte| *byte == b'(') {
        let delimiter = &after[..open];
        let mut at = prefix + 1 + open + 1;
        while let Some(close) = bytes[at..].iter().position(|byte| *byte == b')') {
            at += close + 1;
            if bytes[at..].starts_with(delimiter) && bytes.get(at + open) == Some(&b'"') {
                return (TokenKind::String, at + open + 1);
            }
        }
    }
    quoted(bytes, prefix, b'"')
}
