//! What macros are defined: the compiler's own, shared by all scans, and the table each scan changes.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::directive::{Directive, Kind};
use crate::source::Source;
use crate::token::Texts;

/// Where a macro's definition is: in which text, and which of its directives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) text: u32,
    pub(crate) directive: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    place: Place,
}

/// The macros that a compiler defines by itself, as `-dM` prints them.
#[derive(Debug)]
pub struct Macros {
    pub(crate) source: Arc<Source>,
    table: HashTable<Entry>,
}

/// The text that the compiler's own macros are in, in every scan.
pub(crate) const PREDEFINED: u32 = 0;

impl Macros {
    /// Reads `#define` lines, the later one of two for the same macro being right. Other lines are ignored.
    pub fn parse(definitions: &[u8]) -> Macros {
        let source = Arc::new(Source::parse(definitions));
        let texts = Texts {
            sources: vec![source.clone()],
            scratch: Vec::new(),
        };
        let mut table = Table::default();
        for (index, directive) in source.directives.iter().enumerate() {
            match directive.kind {
                Kind::Define => table.define(
                    &texts,
                    directive,
                    Place {
                        text: PREDEFINED,
                        directive: index as u32,
                    },
                ),
                Kind::Undef => table.undefine(&texts, directive.hash, source.name(directive)),
                _ => {}
            }
        }
        Macros {
            source,
            table: table.table,
        }
    }

    /// Whether `name` is among them.
    pub fn is_defined(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// What `name` stands for, with the parameters if it has some: `" 12"`, `"(c) c ## L"`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let hash = crate::hash::hash_bytes(name.as_bytes());
        let directive = |entry: &Entry| &self.source.directives[entry.place.directive as usize];
        let entry = self.table.find(hash, |entry| {
            entry.hash == hash && self.source.name(directive(entry)) == name.as_bytes()
        })?;
        std::str::from_utf8(&self.source.text[directive(entry).rest()]).ok()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// The macros that are defined at one point of a scan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    table: HashTable<Entry>,
}

impl Table {
    pub(crate) fn new(predefined: &Macros) -> Table {
        Table {
            table: predefined.table.clone(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, texts: &Texts, hash: u64, name: &[u8]) -> Option<Place> {
        self.table
            .find(hash, |entry| entry.is(texts, hash, name))
            .map(|entry| entry.place)
    }

    /// Defines what `directive`, which is at `place`, defines.
    #[inline]
    pub(crate) fn define(&mut self, texts: &Texts, directive: &Directive, place: Place) {
        let name = texts.whole(place.text).get(directive.name()).unwrap_or_default();
        self.set(texts, directive.hash, name, place);
    }

    pub(crate) fn set(&mut self, texts: &Texts, hash: u64, name: &[u8], place: Place) {
        let entry = Entry { hash, place };
        match self
            .table
            .entry(hash, |entry| entry.is(texts, hash, name), |entry| entry.hash)
        {
            hashbrown::hash_table::Entry::Occupied(mut occupied) => *occupied.get_mut() = entry,
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(entry);
            }
        }
    }

    pub(crate) fn undefine(&mut self, texts: &Texts, hash: u64, name: &[u8]) {
        if let Ok(entry) = self.table.find_entry(hash, |entry| entry.is(texts, hash, name)) {
            entry.remove();
        }
    }
}

impl Entry {
    #[inline]
    fn is(&self, texts: &Texts, hash: u64, name: &[u8]) -> bool {
        if self.hash != hash {
            return false;
        }
        let Some(source) = texts.sources.get(self.place.text as usize) else {
            return false;
        };
        source
            .directives
            .get(self.place.directive as usize)
            .is_some_and(|directive| source.name(directive) == name)
    }
}
