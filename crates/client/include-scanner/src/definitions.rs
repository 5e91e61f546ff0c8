//! What directives and the command line do to the table of macros.

use std::sync::Arc;

use crate::closure::{Position, Unsure};
use crate::directive::{ASKS_FOR_FILES, Directive, Kind, ODD_BODY};
use crate::limits::PUSHED_MACROS_MAX;
use crate::macros::Place;
use crate::scan::Scan;
use crate::source::Source;
use crate::unit::CommandLineMacro;

impl Scan<'_> {
    pub(crate) fn command_line_macro(&mut self, item: &CommandLineMacro) -> Result<(), Unsure> {
        let mut line = Vec::new();
        match item {
            CommandLineMacro::Define(text) => {
                line.extend_from_slice(b"#define ");
                match text.iter().position(|byte| *byte == b'=') {
                    Some(equals) => {
                        line.extend_from_slice(&text[..equals]);
                        line.push(b' ');
                        line.extend_from_slice(&text[equals + 1..]);
                    }
                    None => {
                        line.extend_from_slice(text);
                        line.extend_from_slice(b" 1");
                    }
                }
            }
            CommandLineMacro::Undefine(name) => {
                line.extend_from_slice(b"#undef ");
                line.extend_from_slice(name);
            }
        }
        let source = Arc::new(Source::parse(&line));
        let text = self.pp.texts.sources.len() as u32;
        self.pp.texts.sources.push(source.clone());
        let directive = source.directives.first().filter(|_| source.directives.len() == 1);
        match directive.map(|directive| directive.kind) {
            Some(Kind::Define) => self.define(&source, text, 0),
            Some(Kind::Undef) => {
                self.undefine(&source, &source.directives[0]);
                Ok(())
            }
            _ => Err(Unsure::Directive {
                at: Position {
                    path: self.unit.main.to_owned(),
                    line: 0,
                },
                why: "a macro of the command line that is malformed",
            }),
        }
    }

    pub(crate) fn define(&mut self, source: &Arc<Source>, text: u32, index: usize) -> Result<(), Unsure> {
        let directive = &source.directives[index];
        if directive.flags & (ASKS_FOR_FILES | ODD_BODY) != 0 {
            self.asks_in_macros |= directive.flags & ASKS_FOR_FILES != 0;
            self.check_body(source, directive)?;
        }
        let place = Place {
            text,
            directive: index as u32,
        };
        self.pp.unknown.settle(source.name(directive));
        self.pp.table.define(&self.pp.texts, directive, place);
        Ok(())
    }

    pub(crate) fn undefine(&mut self, source: &Source, directive: &Directive) {
        self.pp.unknown.settle(source.name(directive));
        self.pp
            .table
            .undefine(&self.pp.texts, directive.hash, source.name(directive));
    }

    pub(crate) fn push_macro(&mut self, source: &Source, directive: &Directive) -> Result<(), Unsure> {
        self.pushed_count += 1;
        if self.pushed_count > PUSHED_MACROS_MAX {
            return Err(Unsure::TooMuch("pushed macros"));
        }
        let name = source.name(directive);
        let place = self.pp.table.get(&self.pp.texts, directive.hash, name);
        self.pushed.entry(name.to_vec()).or_default().push(place);
        Ok(())
    }

    pub(crate) fn pop_macro(&mut self, source: &Source, directive: &Directive) {
        let name = source.name(directive);
        let Some(saved) = self.pushed.get_mut(name).and_then(Vec::pop) else {
            return;
        };
        match saved {
            Some(place) => self.pp.table.set(&self.pp.texts, directive.hash, name, place),
            None => self.pp.table.undefine(&self.pp.texts, directive.hash, name),
        }
    }
}
