//! Everything that a command reads, as its action has it: what is found, what is declared, what it is made with, what comes on
//! standard input and what a front end puts before it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use compiler::Tool;
use settings::Strategy;
use step_memory::Grounds;

use super::build::ActionBuilder;
use super::discover::Reads;
use super::layout::Place;
use super::toolchains::Toolchain;
use super::why::Why;
use super::wrapped::{self, Wrapped};
use super::{Looked, PlannedOutput, declared, discover, embedded, probe, seat};
use crate::tool::variable;

/// What it reads.
pub(super) struct Inputs<'a> {
    /// An action that has it.
    pub(super) builder: ActionBuilder<'a>,
    /// What was found, as the command names it.
    pub(super) files: Vec<PathBuf>,
    /// Its result depends on where its tree is, unless that is mapped away.
    pub(super) needs_root: bool,
    /// Why the compiler was asked, if it was.
    pub(super) unsure: Option<String>,
    pub(super) grounds: Grounds,
    /// What was found was partly left out, because a front end wants that.
    pub(super) is_excluded: bool,
    pub(super) declared: declared::Added,
    /// What the action calls the command's own program, where that is an input.
    pub(super) own_program: Option<PathBuf>,
    /// What the tool is, but for what of it is an input.
    pub(super) made_with: Toolchain,
    pub(super) wrapped: Wrapped,
}

impl<'a> Looked<'a> {
    /// Finds out what it reads. Reads files, and may run the compiler to ask it something.
    pub(super) fn inputs(&self, outputs: &[PlannedOutput]) -> Result<Inputs<'a>, Why> {
        let Looked {
            knowledge,
            request,
            program,
            wanted,
            toolchain,
            layout,
            is_declared,
            ..
        } = *self;
        let asked = &wanted.settings;
        let mut read = self.found()?;
        let needs_root = self.names_root || embedded::by_reading(&read.files, request, self.step);
        let is_excluded = declared::leave_out(asked, layout, &mut read.files);
        let mut builder = ActionBuilder::new(layout, &knowledge.digests)
            .seated(self.seat(&read).filter(|_| !needs_root))
            .keeping_links(asked.preserve_symlink);
        read.add_to(&mut builder, &request.directory)?;
        let mut grounds = read.grounds;
        let wrapped = wrapped::of(wanted, request, layout, &mut builder, &mut grounds)?;
        let wrapper = wrapped.program.as_deref();
        let more = declared::More {
            wrapper,
            // Of another tool nobody knows whether it reads what it has made before.
            made: match self.step.tool {
                Tool::Other => BTreeSet::new(),
                _ => outputs.iter().map(|output| output.path.clone()).collect(),
            },
        };
        let mut declared = declared::add(asked, &more, layout, &mut builder, &mut grounds)?;
        let own_program = declared::own_program(layout, program).filter(|_| is_declared);
        let made_with = match &own_program {
            // What of the tool is in the tree is an input like others; the rest makes the tool what it is.
            Some(_) => {
                let is_own = |part: &PathBuf| matches!(layout.place(part), Place::Tree(_));
                let (own, others): (Vec<_>, Vec<_>) = toolchain.parts.iter().cloned().partition(is_own);
                for part in own.into_iter().chain([program.to_owned()]) {
                    let holds = builder.file(&part)?;
                    grounds.known_file(&part, holds);
                    declared.paths.push(part);
                }
                knowledge.toolchains.made_of(others.into())?
            }
            None => toolchain.clone(),
        };
        // A declared tool has an empty one, which is what a worker gives it; a compiler may have more, also where its files
        // are declared.
        let input = wanted.input.as_deref().filter(|_| self.step.stdin);
        if let Some(input) = input.filter(|input| !is_declared || !input.is_empty()) {
            builder.input(input);
        }
        Ok(Inputs {
            builder,
            files: read.files,
            needs_root,
            unsure: read.unsure,
            grounds,
            is_excluded,
            declared,
            own_program,
            made_with,
            wrapped,
        })
    }

    fn found(&self) -> Result<Reads, Why> {
        if self.is_declared {
            return Ok(Reads::default());
        }
        let knowledge = self.knowledge;
        let mut read = discover::inputs(
            &knowledge.scans,
            &knowledge.links,
            self.request,
            self.program,
            self.toolchain,
            self.step,
            self.wanted.input.as_deref(),
        )?;
        // There is nothing to read, on every machine.
        read.files.retain(|path| path != Path::new(probe::NOTHING));
        Ok(read)
    }

    fn seat(&self, read: &Reads) -> Option<seat::Seat> {
        // What is declared may look where it is, and here it finds that.
        if self.is_declared && self.wanted.strategy == Strategy::Local {
            return None;
        }
        let arguments = self.request.arguments.iter().map(|word| &**word);
        // Some are found with the directory where the command runs before them, which is no word of the command.
        let directory = &self.request.directory;
        let found = read.files.iter();
        let files = found.map(|path| path.strip_prefix(directory).unwrap_or(path).as_os_str());
        let directories = read.directories.iter().map(|path| path.as_os_str());
        let files = files.chain(directories);
        let read = self.step.environment.iter().filter(|name| **name != "PWD");
        let read = read.filter_map(|name| variable(self.request, name));
        let given = self.wanted.variables(self.request);
        let given = given
            .iter()
            .filter(|(name, _)| name != "PWD")
            .map(|(_, value)| &**value);
        let wrapper = &self.wanted.settings.remote_wrapper;
        let words = arguments.chain(files).chain(read).chain(given);
        let words = words.chain(wrapper.iter().map(|word| &**word));
        seat::wanted(&self.wanted.settings, self.layout, words)
    }
}
