//! Conditions on macros that `#pragma GCC target` may have changed, where it does not matter which way they go.
//!
//! GCC's own headers have them by the dozen: `#ifndef __AVX2__`, some pragmas and a `#define` that remembers them, and after
//! the functions an `#ifdef` of what was remembered that takes the pragmas back. Nothing is included in between. The names
//! that such a group defines are unknown from then on, and a condition on them is treated the same way.

use std::collections::HashSet;

use crate::directive::{ASKS_FOR_FILES, Directive, Kind, ODD_BODY};
use crate::limits::UNKNOWN_NAMES_MAX;
use crate::source::Source;

/// Names of which it is not known whether they are defined.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnknownNames {
    names: HashSet<Box<[u8]>>,
    /// How many more `push_options` than `pop_options` the skipped groups have.
    pushed: i64,
}

impl UnknownNames {
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        !self.names.is_empty() && self.names.contains(name)
    }

    /// A name that is defined or undefined for certain.
    pub(crate) fn settle(&mut self, name: &[u8]) {
        if !self.names.is_empty() {
            self.names.remove(name);
        }
    }

    /// Whether a `pop_options` outside such groups takes back what is outside of them too.
    pub(crate) fn are_balanced(&self) -> bool {
        self.pushed == 0
    }

    /// Takes in a group whose condition is unknown: `directives` are all of it. False: it matters which way it goes.
    pub(crate) fn absorb(&mut self, source: &Source, directives: &[Directive]) -> bool {
        let matters = |directive: &Directive| match directive.kind {
            Kind::Define => directive.flags & (ASKS_FOR_FILES | ODD_BODY) != 0,
            Kind::Pragma => !source.text[directive.rest()].starts_with(b"GCC "),
            Kind::If | Kind::Elif => directive.flags & ASKS_FOR_FILES != 0,
            Kind::Undef
            | Kind::Ifdef
            | Kind::Ifndef
            | Kind::Elifdef
            | Kind::Elifndef
            | Kind::Else
            | Kind::Endif => false,
            _ => true,
        };
        if directives.iter().any(matters) || self.names.len() + directives.len() > UNKNOWN_NAMES_MAX {
            return false;
        }
        for directive in directives {
            match directive.kind {
                Kind::Define | Kind::Undef => {
                    self.names.insert(source.name(directive).into());
                }
                Kind::Pragma => {
                    let text = &source.text[directive.rest()];
                    let (_, rest) = crate::pragma::word(text);
                    match crate::pragma::word(rest).0 {
                        b"push_options" => self.pushed += 1,
                        b"pop_options" => self.pushed -= 1,
                        b"dependency" | b"pch_preprocess" => return false,
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        true
    }
}
