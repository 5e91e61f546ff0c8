//! From the bytes of a file to its directives, in one pass: comments, splices, strings and raw strings are stepped over,
//! and text that is no directive is looked at only where a byte may begin one of those.

use crate::characters::{begins_word, find, is_blank, is_interesting, is_word, past_splices, splice};
use crate::clean::Cleaner;
use crate::directive::{ASKS_FOR_FILES, Directive, EFFECTLESS, Kind, ODD_BODY, SPLICED};
use crate::hash::hash_bytes;
use crate::limits::{CONDITIONALS_MAX, SOURCE_BYTES_MAX};
use crate::source::Traits;

/// Bytes that make a line of text worth keeping, wherever they stand in it.
const ODD: [&[u8]; 5] = [b"incbin", b".include", b"_macro(", b"GCC target", b"GCC optimize"];

/// A conditional whose `#endif` has not come yet.
struct Group {
    /// The branch that came last.
    last: usize,
    first: usize,
    else_seen: bool,
    /// Something in it changes what follows, or one of its conditions asks for files.
    has_effect: bool,
}

pub(crate) struct Parser<'t> {
    cleaner: Cleaner<'t>,
    directives: Vec<Directive>,
    open: Vec<Group>,
    /// Some of [`ODD`] is in the file, so lines are looked at.
    is_odd: bool,
    counted_to: usize,
    line: u32,
}

impl<'t> Parser<'t> {
    pub(crate) fn new(text: &'t [u8]) -> Parser<'t> {
        let is_odd = text.len() <= SOURCE_BYTES_MAX && ODD.iter().any(|needle| find(text, needle).is_some());
        Parser {
            cleaner: Cleaner::new(text),
            directives: Vec::new(),
            open: Vec::new(),
            is_odd,
            counted_to: 0,
            line: 1,
        }
    }

    /// The cleaned text, the directives, and what holds for the whole file.
    pub(crate) fn run(mut self) -> (Vec<u8>, Vec<Directive>, Traits) {
        let text = self.cleaner.text;
        if text.len() > SOURCE_BYTES_MAX {
            let traits = Traits {
                broken: true,
                ..Traits::default()
            };
            return (Vec::new(), Vec::new(), traits);
        }
        let mut at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        while at < text.len() {
            let start = at;
            at = self.cleaner.past_blanks(at);
            match text.get(at) {
                None => break,
                Some(b'\n') => at += 1,
                Some(b'#') => at = self.directive(at, at + 1),
                Some(b'%') if text.get(past_splices(text, at + 1)) == Some(&b':') => {
                    self.cleaner.traits.digraphs = true;
                    at = self.directive(at, past_splices(text, at + 1) + 1);
                }
                Some(_) => at = self.text_line(start, at),
            }
        }
        let mut traits = self.cleaner.traits;
        traits.broken |= !self.open.is_empty();
        traits.trigraphs = has_trigraphs(text);
        traits.split_incbin &= find(text, b"asm").is_some();
        self.directives.shrink_to_fit();
        (self.cleaner.out, self.directives, traits)
    }

    fn line_of(&mut self, at: usize) -> u32 {
        let newlines = self.cleaner.text[self.counted_to..at]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        self.line += newlines as u32;
        self.counted_to = at;
        self.line
    }

    /// Steps over a line that is no directive, and keeps it if it matters.
    fn text_line(&mut self, start: usize, first: usize) -> usize {
        let text = self.cleaner.text;
        let mut at = first;
        let mut keep = may_be_module_line(&text[first..]);
        loop {
            while at < text.len() && !is_interesting(text[at]) {
                at += 1;
            }
            match text.get(at) {
                None => break,
                Some(b'\n') => {
                    at += 1;
                    break;
                }
                Some(b'\\') => at += splice(text, at).unwrap_or(1),
                Some(b'/') => at = self.cleaner.past_comment(at).unwrap_or(at + 1),
                Some(quote @ (b'"' | b'\'')) => at = self.cleaner.past_quoted(at, *quote).0,
                Some(_) => {
                    let end = self.cleaner.past_underscore(at);
                    keep |= &text[at..end] == b"_Pragma";
                    at = end;
                }
            }
        }
        if keep || (self.is_odd && ODD.iter().any(|needle| find(&text[start..at], needle).is_some())) {
            self.keep_text(start);
        }
        at
    }

    fn keep_text(&mut self, start: usize) {
        let line = self.line_of(start);
        let from = self.cleaner.out.len();
        let (_, spliced) = self.cleaner.copy_line(start, false);
        let cleaned = &self.cleaner.out[from..];
        self.cleaner.traits.incbin |=
            find(cleaned, b"incbin").is_some() || find(cleaned, b".include").is_some();
        self.push(Kind::Text, from, 0, flag(spliced, SPLICED), line);
    }

    /// Reads the directive whose `#` is at `hash` and whose name is expected at `at`; gives where the next line begins.
    fn directive(&mut self, hash: usize, at: usize) -> usize {
        let text = self.cleaner.text;
        let line = self.line_of(hash);
        let at = self.cleaner.past_blanks_on_line(at);
        if text.get(at).is_some_and(u8::is_ascii_digit) {
            self.cleaner.traits.line_markers = true;
        }
        let (name, length, at) = short_word(text, at);
        let from = self.cleaner.out.len();
        let kind = match &name[..length] {
            b"if" => Some(Kind::If),
            b"ifdef" => Some(Kind::Ifdef),
            b"ifndef" => Some(Kind::Ifndef),
            b"elif" => Some(Kind::Elif),
            b"elifdef" => Some(Kind::Elifdef),
            b"elifndef" => Some(Kind::Elifndef),
            b"else" => Some(Kind::Else),
            b"endif" => Some(Kind::Endif),
            b"define" => Some(Kind::Define),
            b"undef" => Some(Kind::Undef),
            b"include" => Some(Kind::Include),
            b"include_next" => Some(Kind::IncludeNext),
            b"import" => Some(Kind::Import),
            b"embed" => Some(Kind::Embed),
            b"pragma" => Some(Kind::Pragma),
            b"line" => {
                self.cleaner.traits.line_markers = true;
                None
            }
            // Assertions, which only conditions of the same kind ask for: those are unsure.
            _ => None,
        };
        let names_header = matches!(
            kind,
            Some(Kind::Include | Kind::IncludeNext | Kind::Import | Kind::Embed)
        );
        let at = self.cleaner.past_blanks_on_line(at);
        let (end, spliced) = self.cleaner.copy_line(at, names_header);
        let flags = flag(spliced, SPLICED);
        match kind {
            None => self.cleaner.out.truncate(from),
            Some(kind @ (Kind::Else | Kind::Endif)) => {
                self.cleaner.out.truncate(from);
                self.push(kind, from, 0, flags, line);
            }
            Some(kind @ (Kind::If | Kind::Elif)) => {
                let flags = flags | self.asks_for_files(from);
                self.push(kind, from, 0, flags, line);
            }
            Some(Kind::Pragma) => self.pragma(from, flags, line),
            Some(Kind::Embed) => {
                self.cleaner.traits.embed = true;
                self.push(Kind::Embed, from, 0, flags, line);
            }
            Some(kind @ (Kind::Include | Kind::IncludeNext | Kind::Import)) => {
                self.push(kind, from, 0, flags, line);
            }
            Some(kind) => self.named(kind, from, flags, line),
        }
        end
    }

    /// A directive whose first word is the name of a macro.
    fn named(&mut self, kind: Kind, from: usize, flags: u8, line: u32) {
        let cleaned = &self.cleaner.out[from..];
        let length = cleaned.iter().take_while(|byte| is_word(**byte)).count();
        let is_name = cleaned.first().is_some_and(|byte| begins_word(*byte)) && u16::try_from(length).is_ok();
        // A universal character name in a name is another spelling of the same name.
        if !is_name || cleaned.get(length) == Some(&b'\\') {
            self.push_broken(kind, from, flags, line);
            return;
        }
        let mut flags = flags;
        if kind == Kind::Define {
            let body = &cleaned[length..];
            let is_odd = [b"_Pragma".as_slice(), b"incbin", b".include"]
                .iter()
                .any(|needle| find(body, needle).is_some());
            flags |= self.asks_for_files(from) | flag(is_odd, ODD_BODY);
        } else {
            self.cleaner.out.truncate(from + length);
        }
        self.push(kind, from, length, flags, line);
    }

    /// Something unreadable. A broken conditional still opens a group, so that the rest of the file keeps its shape.
    fn push_broken(&mut self, kind: Kind, from: usize, flags: u8, line: u32) {
        match kind {
            Kind::Ifdef | Kind::Ifndef => self.push(Kind::If, from, 0, flags | ASKS_FOR_FILES, line),
            Kind::Elifdef | Kind::Elifndef => self.push(Kind::Elif, from, 0, flags | ASKS_FOR_FILES, line),
            _ => self.push(Kind::Broken, from, 0, flags, line),
        }
    }

    fn pragma(&mut self, from: usize, flags: u8, line: u32) {
        let kind = crate::pragma::classify(&self.cleaner.out[from..]);
        match kind {
            None => self.cleaner.out.truncate(from),
            Some(kind @ (Kind::PushMacro | Kind::PopMacro)) => {
                let name = crate::pragma::macro_name(&self.cleaner.out[from..]).map(<[u8]>::to_vec);
                self.cleaner.out.truncate(from);
                match name {
                    Some(name) => {
                        self.cleaner.out.extend_from_slice(&name);
                        self.named(kind, from, flags, line);
                    }
                    None => self.push(Kind::Broken, from, 0, flags, line),
                }
            }
            Some(kind) => self.push(kind, from, 0, flags, line),
        }
    }

    fn asks_for_files(&self, from: usize) -> u8 {
        let cleaned = &self.cleaner.out[from..];
        let asks = find(cleaned, b"__has_include").is_some() || find(cleaned, b"__has_embed").is_some();
        flag(asks, ASKS_FOR_FILES)
    }

    /// Adds a directive whose cleaned text begins at `from`, and links it with the group it belongs to.
    fn push(&mut self, kind: Kind, from: usize, name_length: usize, flags: u8, line: u32) {
        let index = self.directives.len();
        let out = &self.cleaner.out;
        self.directives.push(Directive {
            kind,
            flags,
            name_length: name_length as u16,
            start: from as u32,
            end: out.len() as u32,
            next: index as u32,
            line,
            hash: hash_bytes(&out[from..from + name_length]),
        });
        let traits = &mut self.cleaner.traits;
        match kind {
            Kind::If | Kind::Ifdef | Kind::Ifndef => {
                traits.broken |= self.open.len() >= CONDITIONALS_MAX;
                self.open.push(Group {
                    last: index,
                    first: index,
                    else_seen: false,
                    has_effect: flags & ASKS_FOR_FILES != 0,
                });
            }
            Kind::Elif | Kind::Elifdef | Kind::Elifndef | Kind::Else | Kind::Endif => {
                let Some(group) = self.open.last_mut() else {
                    traits.broken = true;
                    return;
                };
                traits.broken |= group.else_seen && kind != Kind::Endif;
                self.directives[group.last].next = index as u32;
                group.last = index;
                group.else_seen |= kind == Kind::Else;
                group.has_effect |= flags & ASKS_FOR_FILES != 0;
                if kind == Kind::Endif {
                    self.close();
                }
            }
            _ => {
                if let Some(group) = self.open.last_mut() {
                    group.has_effect = true;
                }
            }
        }
    }

    fn close(&mut self) {
        let Some(group) = self.open.pop() else { return };
        if !group.has_effect {
            self.directives[group.first].flags |= EFFECTLESS;
        } else if let Some(outer) = self.open.last_mut() {
            outer.has_effect = true;
        }
    }
}

fn flag(condition: bool, flag: u8) -> u8 {
    if condition { flag } else { 0 }
}

/// The word at `at`, as far as it fits: no directive has a longer name. Splices within it are stepped over.
fn short_word(text: &[u8], at: usize) -> ([u8; 16], usize, usize) {
    let mut word = [0; 16];
    let mut length = 0;
    let mut at = past_splices(text, at);
    while let Some(byte) = text.get(at).filter(|byte| is_word(**byte)) {
        // A longer word keeps one byte too many, so that it equals no name.
        word[length.min(15)] = *byte;
        length = (length + 1).min(16);
        at = past_splices(text, at + 1);
    }
    (word, length, at)
}

/// Whether a line of text begins as C++ modules and `@import` do.
fn may_be_module_line(line: &[u8]) -> bool {
    let rest = match line.first() {
        Some(b'i') => line.strip_prefix(b"import"),
        Some(b'e') => line.strip_prefix(b"export"),
        Some(b'm') => line.strip_prefix(b"module"),
        Some(b'@') => line.strip_prefix(b"@import"),
        _ => return false,
    };
    rest.is_some_and(|rest| {
        rest.first()
            .is_some_and(|byte| is_blank(*byte) || matches!(byte, b';' | b'<' | b'"'))
    })
}

fn has_trigraphs(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'?') {
        rest = &rest[at + 1..];
        if let [b'?', third, ..] = rest
            && b"=/'()!<>-".contains(third)
        {
            return true;
        }
    }
    false
}
