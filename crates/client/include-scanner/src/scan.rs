//! The walk: from directive to directive, file to file, as the preprocessor goes.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::answers::Question;
use crate::closure::{Closure, Position, Unsure};
use crate::directive::{Directive, EFFECTLESS, Kind, SPLICED};
use crate::expand::{Here, Preprocessor, Trouble};
use crate::expression::Rules;
use crate::include::{Entry, Memo, Origin, Resolved};
use crate::limits::{DEPTH_MAX, OPENED_MAX, STEPS_MAX};
use crate::macros::{PREDEFINED, Place, Table};
use crate::number::Signs;
use crate::source::Source;
use crate::unit::{Family, Language, Unit, join};
use crate::view::SourceView;

/// Everything the compiler would read for `unit`, exactly, or why that cannot be said.
pub fn scan(unit: &Unit<'_>, view: &dyn SourceView) -> Result<Closure, Unsure> {
    let mut scan = Scan::new(unit, view);
    let walked = scan.run();
    if !scan.questions.is_empty() {
        scan.questions.sort();
        scan.questions.dedup();
        return Err(Unsure::Questions(scan.questions));
    }
    walked?;
    Ok(scan.finish())
}

/// A file that is being walked.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) entry: u32,
    text: u32,
    at: u32,
    pub(crate) origin: Origin,
}

/// One scan, at one point of its walk.
pub(crate) struct Scan<'a> {
    pub(crate) unit: &'a Unit<'a>,
    pub(crate) view: &'a dyn SourceView,
    pub(crate) pp: Preprocessor,
    pub(crate) entries: Vec<Entry>,
    /// From the address of a file to its entry. The entries keep the files, so no address is used twice.
    pub(crate) by_address: HashMap<usize, u32>,
    pub(crate) directories: Vec<Arc<Path>>,
    pub(crate) by_directory: HashTable<u32>,
    pub(crate) memo: HashTable<Memo>,
    pub(crate) frames: Vec<Frame>,
    /// The main file is being walked, so the lowest frame is the "primary" file.
    pub(crate) in_main: bool,
    /// `#pragma once` or `#import` was seen, so files are compared.
    pub(crate) seen_once: bool,
    /// A macro was defined that asks for files, so no condition is skipped any more.
    pub(crate) asks_in_macros: bool,
    pub(crate) pushed: HashMap<Vec<u8>, Vec<Option<Place>>>,
    pub(crate) pushed_count: usize,
    pub(crate) questions: Vec<Question>,
    pub(crate) closure: Closure,
    opened: usize,
    pub(crate) rules: Rules,
}

impl<'a> Scan<'a> {
    fn new(unit: &'a Unit<'a>, view: &'a dyn SourceView) -> Scan<'a> {
        let mut pp = Preprocessor::default();
        pp.texts.sources.push(unit.predefined.source.clone());
        debug_assert_eq!(PREDEFINED, 0);
        pp.table = Table::new(unit.predefined);
        pp.main = unit.main.as_os_str().as_bytes().to_vec();
        pp.cwd = unit.cwd.as_os_str().as_bytes().to_vec();
        Scan {
            unit,
            view,
            pp,
            entries: Vec::new(),
            by_address: HashMap::new(),
            directories: Vec::new(),
            by_directory: HashTable::new(),
            memo: HashTable::new(),
            frames: Vec::new(),
            in_main: false,
            seen_once: false,
            asks_in_macros: false,
            pushed: HashMap::new(),
            pushed_count: 0,
            questions: Vec::new(),
            closure: Closure::default(),
            opened: 0,
            rules: Rules {
                named_operators: matches!(unit.language, Language::Cxx | Language::ObjCxx),
                signs: Signs {
                    unsigned_char: unit.predefined.is_defined("__CHAR_UNSIGNED__"),
                    unsigned_wchar: unit.predefined.is_defined("__WCHAR_UNSIGNED__"),
                },
            },
        }
    }

    fn run(&mut self) -> Result<(), Unsure> {
        let path = join(self.unit.cwd, self.unit.main.as_os_str());
        let Some(file) = self.view.file(&path).map_err(Unsure::Unreadable)? else {
            return Err(Unsure::NotFound {
                at: Position { path, line: 0 },
                name: self.unit.main.to_string_lossy().into_owned(),
            });
        };
        let main = self.entry(file);
        self.read(main);
        for item in self.unit.command_line {
            self.command_line_macro(item)?;
        }
        let before = self
            .unit
            .imacros
            .iter()
            .map(|path| (path, false))
            .chain(self.unit.implicit.iter().map(|path| (path, true)))
            .chain(self.unit.includes.iter().map(|path| (path, false)));
        for (path, angle) in before {
            let name = path.as_os_str().as_bytes();
            let at = Position {
                path: self.unit.main.to_owned(),
                line: 0,
            };
            let resolved = if angle {
                self.resolve(name, true, false)?
            } else {
                self.resolve_command_line(name)?
            };
            // GCC does without its implicit header where there is none, as with `-nostdinc`.
            let Some(resolved) = resolved else {
                if angle {
                    continue;
                }
                return Err(Unsure::NotFound {
                    at,
                    name: path.to_string_lossy().into_owned(),
                });
            };
            self.read(resolved.entry);
            if let Some(frame) = self.stack(resolved, false)? {
                self.frames.push(frame);
                self.walk()?;
            }
        }
        self.in_main = true;
        let frame = self.open(Resolved {
            entry: main,
            origin: Origin::Main,
        })?;
        self.frames.push(frame);
        self.walk()
    }

    fn finish(self) -> Closure {
        let mut closure = self.closure;
        let mut seen = std::collections::HashSet::with_capacity(closure.files.len());
        let is_first: Vec<bool> = closure
            .files
            .iter()
            .map(|file| seen.insert(file.path.as_os_str()))
            .collect();
        drop(seen);
        let mut is_first = is_first.into_iter();
        closure.files.retain(|_| is_first.next().unwrap_or(true));
        closure
    }

    /// Begins to walk a file.
    fn open(&mut self, resolved: Resolved) -> Result<Frame, Unsure> {
        self.opened += 1;
        if self.opened > OPENED_MAX {
            return Err(Unsure::TooMuch("files opened"));
        }
        if self.frames.len() >= DEPTH_MAX {
            return Err(Unsure::TooMuch("files within files"));
        }
        self.check_reading(resolved.entry)?;
        let entry = &mut self.entries[resolved.entry as usize];
        entry.stacked += 1;
        Ok(Frame {
            entry: resolved.entry,
            text: entry.text,
            at: 0,
            origin: resolved.origin,
        })
    }

    /// A frame for an included file, unless it is not to be read again.
    fn stack(&mut self, resolved: Resolved, import: bool) -> Result<Option<Frame>, Unsure> {
        if self.should_stack(resolved.entry, import) {
            self.open(resolved).map(Some)
        } else {
            Ok(None)
        }
    }

    fn walk(&mut self) -> Result<(), Unsure> {
        let lowest = self.frames.len();
        while self.frames.len() >= lowest
            && let Some(frame) = self.frames.last().copied()
        {
            let source = self.pp.texts.sources[frame.text as usize].clone();
            match self.walk_file(&source, &frame)? {
                Some((at, below)) => {
                    if let Some(frame) = self.frames.last_mut() {
                        frame.at = at;
                    }
                    self.frames.push(below);
                }
                None => {
                    self.frames.pop();
                }
            }
        }
        Ok(())
    }

    /// Walks a file until it includes another one: gives where to go on, and the file to walk first.
    fn walk_file(&mut self, source: &Arc<Source>, frame: &Frame) -> Result<Option<(u32, Frame)>, Unsure> {
        let directives = &source.directives;
        let mut at = frame.at as usize;
        while let Some(directive) = directives.get(at) {
            self.closure.steps += 1;
            if self.closure.steps > STEPS_MAX {
                return Err(Unsure::TooMuch("directives"));
            }
            match directive.kind {
                Kind::Define => self.define(source, frame.text, at)?,
                Kind::Undef => self.undefine(source, directive),
                Kind::If | Kind::Ifdef | Kind::Ifndef => {
                    at = if directive.flags & EFFECTLESS != 0 && !self.asks_in_macros {
                        end_of_group(directives, at)
                    } else {
                        self.branch(source, frame, at)?
                    };
                    continue;
                }
                // A branch that is reached by walking ends the one before it, which was taken.
                Kind::Elif | Kind::Elifdef | Kind::Elifndef | Kind::Else => {
                    at = end_of_group(directives, at);
                    continue;
                }
                Kind::Endif => {}
                Kind::Include | Kind::IncludeNext | Kind::Import => {
                    let resolved = self.include(source, frame, directive)?;
                    if let Some(below) = self.stack(resolved, directive.kind == Kind::Import)? {
                        return Ok(Some((at as u32 + 1, below)));
                    }
                }
                Kind::Once => self.mark_once(frame.entry),
                Kind::PushMacro => self.push_macro(source, directive)?,
                Kind::PopMacro => self.pop_macro(source, directive),
                Kind::Pragma => self.pragma(frame, directive, &source.text[directive.rest()])?,
                Kind::Embed => self.embed(source, frame, directive)?,
                Kind::Text => self.text(source, frame, directive)?,
                Kind::Broken => {
                    return Err(Unsure::Directive {
                        at: self.position(frame, directive),
                        why: "it is malformed",
                    });
                }
            }
            at += 1;
        }
        Ok(None)
    }

    /// Where control goes from the conditional at `at`: into one of its branches, or behind its end.
    fn branch(&mut self, source: &Arc<Source>, frame: &Frame, at: usize) -> Result<usize, Unsure> {
        let mut at = at;
        while let Some(directive) = source.directives.get(at) {
            let taken = match directive.kind {
                Kind::Else | Kind::Endif => Ok(true),
                Kind::Ifdef | Kind::Elifdef => self.is_defined_here(source, frame, directive),
                Kind::Ifndef | Kind::Elifndef => self
                    .is_defined_here(source, frame, directive)
                    .map(|defined| !defined),
                _ => self.condition(source, frame, directive),
            };
            if let Err(Unsure::Options { .. }) = &taken {
                let end = end_of_group(&source.directives, at);
                if self.pp.unknown.absorb(source, &source.directives[at..end]) {
                    return Ok(end);
                }
            }
            if taken? {
                return Ok(at + 1);
            }
            self.closure.steps += 1;
            at = directive.next as usize;
        }
        Ok(at)
    }

    fn is_defined_here(
        &mut self,
        source: &Source,
        frame: &Frame,
        directive: &Directive,
    ) -> Result<bool, Unsure> {
        self.is_defined(directive.hash, source.name(directive))
            .map_err(|trouble| self.unsure(frame, directive, trouble))
    }

    /// Makes the macros that tell where they are right, before something is expanded.
    pub(crate) fn set_here(&mut self, frame: &Frame, directive: &Directive) {
        let traits = self.pp.texts.sources[frame.text as usize].traits();
        self.pp.here = Here {
            line: directive.line,
            is_vague: traits.line_markers || directive.flags & SPLICED != 0,
            file: frame.entry,
            level: self.frames.len() - usize::from(self.in_main),
        };
    }

    pub(crate) fn pragma(&mut self, frame: &Frame, directive: &Directive, text: &[u8]) -> Result<(), Unsure> {
        let (first, rest) = crate::pragma::word(text);
        let is_gcc = self.unit.dialect.family == Family::Gcc;
        match (first, crate::pragma::word(rest).0) {
            (b"GCC", b"dependency" | b"pch_preprocess") | (b"clang" | b"include_alias", _) => {
                Err(Unsure::Directive {
                    at: self.position(frame, directive),
                    why: "a pragma that reads or renames files",
                })
            }
            (b"GCC", b"pop_options") if is_gcc && !self.pp.unknown.are_balanced() => Err(Unsure::Options {
                at: self.position(frame, directive),
                name: "what is popped".to_owned(),
            }),
            (b"GCC", _) if is_gcc => self
                .pp
                .options
                .pragma(text)
                .ok_or(Unsure::TooMuch("pushed options")),
            _ => Ok(()),
        }
    }

    pub(crate) fn position(&self, frame: &Frame, directive: &Directive) -> Position {
        Position {
            path: self.entries[frame.entry as usize].file.path.clone(),
            line: directive.line,
        }
    }

    pub(crate) fn unsure(&self, frame: &Frame, directive: &Directive, trouble: Trouble) -> Unsure {
        let at = self.position(frame, directive);
        match trouble {
            Trouble::Bad(why) => Unsure::Directive { at, why },
            Trouble::Position(name) => Unsure::Position { at, name },
            Trouble::Options(name) => Unsure::Options { at, name },
            Trouble::TooMuch(what) => Unsure::TooMuch(what),
        }
    }
}

/// Behind the `#endif` of the group that the conditional at `at` belongs to.
fn end_of_group(directives: &[Directive], at: usize) -> usize {
    let mut at = at;
    while let Some(directive) = directives.get(at) {
        if directive.kind == Kind::Endif {
            return at + 1;
        }
        at = directive.next as usize;
    }
    at
}
