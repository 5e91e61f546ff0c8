//! A file as the scanner sees it: its directives, parsed once and shared by every scan that meets the file.

use crate::directive::Directive;
use crate::hash::{hash_bytes, hash_seeded};
use crate::parse::Parser;

/// What holds for a file as a whole. Each of these is rare, and none is an error by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Something looks like a raw string. It was read as one.
    pub raw_strings: bool,
    /// A trigraph is there. It was not replaced.
    pub trigraphs: bool,
    /// A directive begins with `%:`. It was read as one.
    pub digraphs: bool,
    /// A `//` comment is where ISO C90 sees something else. It was read as a comment.
    pub line_comments: bool,
    /// `__DATE__`, `__TIME__` or `__TIMESTAMP__` is in the text outside comments.
    pub time_macros: bool,
    /// The conditionals do not match, or there are too many, or the file is too large: whoever reaches it is unsure.
    pub broken: bool,
    /// `#line` or a line marker is there, so `__LINE__` and `__FILE__` are not what they seem.
    pub line_markers: bool,
    /// The file has inline assembly, and a string that ends within what may become `.incbin`.
    pub split_incbin: bool,
    /// `.incbin` or `.include` is somewhere in the text.
    pub incbin: bool,
    /// `#embed` is there.
    pub embed: bool,
}

/// A file's directives, with comments stripped and lines joined. Immutable; a few dozen bytes for each directive.
#[derive(Debug)]
pub struct Source {
    pub(crate) text: Box<[u8]>,
    pub(crate) directives: Box<[Directive]>,
    traits: Traits,
    size_bytes: u64,
    fingerprint: [u64; 2],
}

impl Source {
    /// Parses the contents of a file. Never fails: what cannot be read here is unsure where it is reached.
    pub fn parse(contents: &[u8]) -> Source {
        let (text, directives, traits) = Parser::new(contents).run();
        Source {
            text: text.into(),
            directives: directives.into(),
            traits,
            size_bytes: contents.len() as u64,
            fingerprint: fingerprint(contents),
        }
    }

    /// What holds for the file as a whole.
    pub fn traits(&self) -> Traits {
        self.traits
    }

    /// The length of the contents that were parsed.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Tells contents apart: two sources with one fingerprint and one length had the same contents.
    pub fn fingerprint(&self) -> [u64; 2] {
        self.fingerprint
    }

    /// What this value holds in memory, for caches with a bound.
    pub fn held_bytes(&self) -> usize {
        size_of::<Source>() + self.text.len() + self.directives.len() * size_of::<Directive>()
    }

    /// The name that a directive defines or asks about.
    pub(crate) fn name(&self, directive: &Directive) -> &[u8] {
        self.text.get(directive.name()).unwrap_or_default()
    }
}

fn fingerprint(contents: &[u8]) -> [u64; 2] {
    [hash_bytes(contents), hash_seeded(contents, 0x8f14_e45f_ceea_167a)]
}
