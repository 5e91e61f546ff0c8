//! One directive of a file, as the parser leaves it: which, where its text is, and where control goes next.

use std::ops::Range;

/// What a directive does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// `#if`: `rest` is the condition.
    If,
    /// `#ifdef`: `name` is the macro.
    Ifdef,
    /// `#ifndef`
    Ifndef,
    /// `#elif`
    Elif,
    /// `#elifdef`
    Elifdef,
    /// `#elifndef`
    Elifndef,
    /// `#else`
    Else,
    /// `#endif`
    Endif,
    /// `#define`: `name`, and `rest` right behind it, so that a parenthesis there makes it function-like.
    Define,
    /// `#undef`
    Undef,
    /// `#include`: `rest` is what follows.
    Include,
    /// `#include_next`
    IncludeNext,
    /// `#import`
    Import,
    /// `#embed`
    Embed,
    /// `#pragma once`
    Once,
    /// `#pragma push_macro("name")`
    PushMacro,
    /// `#pragma pop_macro("name")`
    PopMacro,
    /// Any other pragma that changes what the preprocessor does: `rest` is its text.
    Pragma,
    /// Text that is no directive and yet matters: `rest` is the line. See [`crate::text`].
    Text,
    /// A directive that no compiler could read here; matters only where it is reached.
    Broken,
}

/// A condition's group changes nothing for the rest of the scan, whichever branch is taken.
pub(crate) const EFFECTLESS: u8 = 1;
/// The directive was written over several lines, so which line it is on depends on the compiler.
pub(crate) const SPLICED: u8 = 2;
/// A macro's body has an operator that asks for files (`__has_include` and its kin).
pub(crate) const ASKS_FOR_FILES: u8 = 4;
/// A macro's body has `_Pragma` or bytes which could become `.incbin`.
pub(crate) const ODD_BODY: u8 = 8;

/// One directive. Offsets point into the cleaned text of its [`crate::Source`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Directive {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// Bytes of `name`, which begins where the directive's text begins.
    pub(crate) name_length: u16,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// For a conditional the next branch of its group, for `Endif` itself.
    pub(crate) next: u32,
    /// The line it begins on, from 1.
    pub(crate) line: u32,
    /// The hash of `name`.
    pub(crate) hash: u64,
}

impl Directive {
    /// Where its name is: of the macro it defines or asks about.
    pub(crate) fn name(&self) -> Range<usize> {
        self.start as usize..self.start as usize + usize::from(self.name_length)
    }

    /// Where its text behind the name is.
    pub(crate) fn rest(&self) -> Range<usize> {
        self.start as usize + usize::from(self.name_length)..self.end as usize
    }
}
