//! Steps over comments, strings and splices, and copies lines without them.

use crate::characters::{is_blank, is_word, past_splices, splice};
use crate::source::Traits;

/// A raw string's delimiter has at most this many characters (C++ [lex.string]).
const DELIMITER_MAX: usize = 16;

pub(crate) struct Cleaner<'t> {
    pub(crate) text: &'t [u8],
    pub(crate) out: Vec<u8>,
    pub(crate) traits: Traits,
}

impl<'t> Cleaner<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Cleaner<'t> {
        Cleaner {
            text,
            out: Vec::new(),
            traits: Traits::default(),
        }
    }

    /// Past blanks, splices and comments. A line comment ends before its line end.
    pub(crate) fn past_blanks(&mut self, mut at: usize) -> usize {
        loop {
            match self.text.get(at) {
                Some(byte) if is_blank(*byte) => at += 1,
                Some(b'/') => match self.past_comment(at) {
                    Some(end) => at = end,
                    None => return at,
                },
                Some(b'\\') => match splice(self.text, at) {
                    Some(length) => at += length,
                    None => return at,
                },
                _ => return at,
            }
        }
    }

    /// The same within a directive, where ISO C90 takes `//` for an operator.
    pub(crate) fn past_blanks_on_line(&mut self, at: usize) -> usize {
        let end = self.past_blanks(at);
        self.traits.line_comments |= self.text[at..end].windows(2).any(|pair| pair == b"//");
        end
    }

    /// Where the comment at `at` ends, if there is one.
    pub(crate) fn past_comment(&mut self, at: usize) -> Option<usize> {
        let second = past_splices(self.text, at + 1);
        match self.text.get(second) {
            Some(b'*') => Some(self.past_block(second + 1)),
            Some(b'/') => Some(self.past_line_comment(second + 1)),
            _ => None,
        }
    }

    fn past_block(&self, mut at: usize) -> usize {
        while let Some(star) = self.text[at..].iter().position(|byte| *byte == b'*') {
            at += star + 1;
            let next = past_splices(self.text, at);
            if self.text.get(next) == Some(&b'/') {
                return next + 1;
            }
        }
        self.text.len()
    }

    fn past_line_comment(&mut self, start: usize) -> usize {
        let mut at = start;
        while let Some(newline) = self.text[at..].iter().position(|byte| *byte == b'\n') {
            let mut back = at + newline;
            while back > at && is_blank(self.text[back - 1]) {
                back -= 1;
            }
            if back == at || self.text[back - 1] != b'\\' {
                let comment = &self.text[start..at + newline];
                self.traits.line_comments |= comment.windows(2).any(|pair| pair == b"/*");
                return at + newline;
            }
            self.traits.line_comments = true;
            at += newline + 1;
        }
        self.text.len()
    }

    /// Past the string or character at `at`, and whether it was a raw string. What is not closed ends with its line.
    pub(crate) fn past_quoted(&mut self, at: usize, quote: u8) -> (usize, bool) {
        if quote == b'\'' && self.is_separator(at) {
            return (at + 1, false);
        }
        if quote == b'"'
            && self.is_raw(at)
            && let Some(end) = self.past_raw(at)
        {
            self.traits.raw_strings = true;
            return (end, true);
        }
        let end = self.past_plain(at, quote);
        if quote == b'"' {
            self.note_string(at + 1, end);
        }
        (end, false)
    }

    fn past_plain(&self, at: usize, quote: u8) -> usize {
        let mut at = at + 1;
        while let Some(byte) = self.text.get(at) {
            match byte {
                b'\\' => match splice(self.text, at) {
                    Some(length) => at += length,
                    None => at = past_splices(self.text, at + 1) + 1,
                },
                b'\n' => return at,
                byte if *byte == quote => return at + 1,
                _ => at += 1,
            }
        }
        self.text.len()
    }

    /// A string that ends as `.incbin` begins may be one half of it.
    fn note_string(&mut self, start: usize, end: usize) {
        let Some(content) = self.text.get(start..end.saturating_sub(1)) else {
            return;
        };
        let half = b".incbi";
        self.traits.split_incbin |= (2..=half.len()).any(|length| content.ends_with(&half[..length]));
    }

    /// Whether the quote at `at` separates the digits of a number, as in `1'000`.
    fn is_separator(&self, at: usize) -> bool {
        if !self.text.get(at + 1).is_some_and(u8::is_ascii_alphanumeric) {
            return false;
        }
        let mut start = at;
        while start > 0 && (is_word(self.text[start - 1]) || matches!(self.text[start - 1], b'.' | b'\'')) {
            start -= 1;
        }
        start < at
            && self.text[start..at]
                .trim_ascii_start()
                .first()
                .is_some_and(u8::is_ascii_digit)
    }

    /// Whether the quote at `at` has the prefix of a raw string.
    fn is_raw(&self, at: usize) -> bool {
        let before = &self.text[..at];
        if before.last() != Some(&b'R') {
            return false;
        }
        let start = before
            .iter()
            .rposition(|byte| !is_word(*byte))
            .map_or(0, |index| index + 1);
        matches!(&before[start..], b"R" | b"LR" | b"uR" | b"UR" | b"u8R")
    }

    fn past_raw(&self, at: usize) -> Option<usize> {
        let after = &self.text[at + 1..];
        let open = after
            .iter()
            .take(DELIMITER_MAX + 1)
            .position(|byte| *byte == b'(')?;
        let delimiter = &after[..open];
        if delimiter
            .iter()
            .any(|byte| is_blank(*byte) || matches!(byte, b'\\' | b')' | b'"' | b'\n'))
        {
            return None;
        }
        let mut at = at + 1 + open + 1;
        while let Some(close) = self.text[at..].iter().position(|byte| *byte == b')') {
            at += close + 1;
            if self.text[at..].starts_with(delimiter) && self.text.get(at + open) == Some(&b'"') {
                return Some(at + open + 1);
            }
        }
        Some(self.text.len())
    }

    /// Past the underscore at `at`, or past the whole word that begins with it; notes macros that tell the time.
    pub(crate) fn past_underscore(&mut self, at: usize) -> usize {
        if at > 0 && is_word(self.text[at - 1]) {
            return at + 1;
        }
        let length = self.text[at..].iter().take_while(|byte| is_word(**byte)).count();
        let word = &self.text[at..at + length];
        self.traits.time_macros |= matches!(word, b"__DATE__" | b"__TIME__" | b"__TIMESTAMP__");
        at + length
    }

    /// Copies the line at `at` without comments and splices, and without blanks at its end. Gives where the next line
    /// begins, and whether this one went over several. A header's name is copied as it is.
    pub(crate) fn copy_line(&mut self, at: usize, names_header: bool) -> (usize, bool) {
        let from = self.out.len();
        let mut at = at;
        let start = at;
        if names_header {
            at = self.copy_header_name(at);
        }
        let end = loop {
            let Some(byte) = self.text.get(at) else { break at };
            match byte {
                b'\n' => break at + 1,
                b'\\' => match splice(self.text, at) {
                    Some(length) => at += length,
                    None => {
                        self.out.push(b'\\');
                        at += 1;
                    }
                },
                b'/' => match self.past_comment(at) {
                    Some(end) => {
                        let second = past_splices(self.text, at + 1);
                        self.traits.line_comments |= self.text.get(second) == Some(&b'/');
                        self.out.push(b' ');
                        at = end;
                    }
                    None => {
                        self.out.push(b'/');
                        at += 1;
                    }
                },
                quote @ (b'"' | b'\'') => {
                    let (end, is_raw) = self.past_quoted(at, *quote);
                    self.copy(at, end, is_raw);
                    at = end;
                }
                b'_' => {
                    let end = self.past_underscore(at);
                    self.out.extend_from_slice(&self.text[at..end]);
                    at = end;
                }
                byte if is_blank(*byte) => {
                    self.out.push(b' ');
                    at += 1;
                }
                byte => {
                    self.out.push(*byte);
                    at += 1;
                }
            }
        };
        while self.out.len() > from && self.out.last() == Some(&b' ') {
            self.out.pop();
        }
        let inner = &self.text[start..end.saturating_sub(1).max(start)];
        (end, inner.contains(&b'\n'))
    }

    fn copy(&mut self, at: usize, end: usize, is_raw: bool) {
        let mut at = at;
        while at < end {
            match splice(self.text, at).filter(|_| !is_raw) {
                Some(length) => at += length,
                None => {
                    self.out.push(self.text[at]);
                    at += 1;
                }
            }
        }
    }

    fn copy_header_name(&mut self, start: usize) -> usize {
        let close = match self.text.get(start) {
            Some(b'<') => b'>',
            Some(b'"') => b'"',
            _ => return start,
        };
        let from = self.out.len();
        self.out.push(self.text[start]);
        let mut at = past_splices(self.text, start + 1);
        while let Some(byte) = self.text.get(at).filter(|byte| **byte != b'\n') {
            self.out.push(*byte);
            at = past_splices(self.text, at + 1);
            if *byte == close {
                return at;
            }
        }
        // Not closed on its line: no header name after all.
        self.out.truncate(from);
        start
    }
}
