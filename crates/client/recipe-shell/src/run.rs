//! Does what a recipe says.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;

use rustix::process::Signal;

use crate::expand::Variables;
use crate::external::{External, find, is_executable, not_found};
use crate::parse::parse;
use crate::place::Place;
use crate::said::{complain, put_out};
use crate::script::{AndOr, Body, Command, If, Joint, Pipeline, Script, Simple};
use crate::streams::Redirected;
use crate::traps::{Event, Traps, kill_this};
use crate::{small, texts, xargs};

/// Of a command of the shell's own that cannot do what it is to do.
const EXIT_TROUBLE: u8 = 2;

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    /// The shell, or the subshell, ends with the last status.
    End,
}

/// A shell at work.
pub(crate) struct Shell {
    variables: Variables,
    place: Place,
    traps: Traps,
    status: u8,
    /// `set -e`
    ends_on_failure: bool,
    /// The recipe is a program and nothing else. make would have started just that, and what ends the one ends the other.
    is_replaced: bool,
}

impl Shell {
    pub(crate) fn new(ends_on_failure: bool) -> io::Result<Self> {
        Ok(Shell {
            variables: Variables::default(),
            place: Place::new()?,
            traps: Traps::default(),
            status: 0,
            ends_on_failure,
            is_replaced: false,
        })
    }

    /// From the first command to the last trap; the status to end with.
    pub(crate) fn run(mut self, script: &Script) -> u8 {
        self.is_replaced = is_one_program(script);
        self.script(script, false);
        if let Some(action) = self.traps.at_exit() {
            let status = self.status;
            if self.action(&action) == Flow::Next {
                self.status = status;
            }
        }
        self.status
    }

    /// `is_asked`: somebody asks for the status, so a failure ends nothing.
    fn script(&mut self, script: &Script, is_asked: bool) -> Flow {
        for commands in &script.0 {
            if self.and_or(commands, is_asked) == Flow::End {
                return Flow::End;
            }
        }
        Flow::Next
    }

    fn and_or(&mut self, commands: &AndOr, is_asked: bool) -> Flow {
        let count = commands.rest.len();
        if self.pipeline(&commands.first, is_asked || count > 0) == Flow::End {
            return Flow::End;
        }
        for (at, (joint, pipeline)) in commands.rest.iter().enumerate() {
            let is_due = (self.status == 0) == (*joint == Joint::And);
            if is_due && self.pipeline(pipeline, is_asked || at + 1 < count) == Flow::End {
                return Flow::End;
            }
        }
        Flow::Next
    }

    fn pipeline(&mut self, pipeline: &Pipeline, is_asked: bool) -> Flow {
        let is_asked = is_asked || pipeline.is_negated;
        let text = pipeline.text.as_ref().map(|simple| {
            let words = self.variables.fields(&simple.words, self.status);
            match words.first().map(Vec::as_slice) {
                Some(b"printf") => texts::printf(&words[1..]),
                _ => texts::echo(words.get(1..).unwrap_or_default()),
            }
        });
        let mut flow = self.command(&pipeline.command, text.as_deref(), is_asked);
        if pipeline.is_negated && flow == Flow::Next {
            self.status = u8::from(self.status == 0);
        }
        // A signal that came meanwhile was for whoever catches it.
        while let Some(action) = self.traps.sprung() {
            let status = self.status;
            match self.action(&action) {
                Flow::Next => self.status = status,
                Flow::End => flow = Flow::End,
            }
        }
        flow
    }

    fn command(&mut self, command: &Command, text: Option<&[u8]>, is_asked: bool) -> Flow {
        let redirected = Redirected::new(&command.redirections, command.line, &self.variables, self.status);
        let Some(redirected) = redirected else {
            self.status = EXIT_TROUBLE;
            let is_shells = matches!(&command.body, Body::Simple(simple) if ends_shell(simple));
            return match is_shells {
                true => Flow::End,
                false => self.after(is_asked),
            };
        };
        let flow = match &command.body {
            Body::Simple(simple) => self.simple(simple, command.line, text),
            Body::If(branches) => return self.branches(branches, is_asked),
            Body::Group(script) => return self.script(script, is_asked),
            Body::Subshell(script) => {
                // It changes nothing that stays: the script was looked at for that.
                let outer = self.variables.clone();
                self.script(script, is_asked);
                self.variables = outer;
                Flow::Next
            }
        };
        drop(redirected);
        match flow {
            Flow::End => Flow::End,
            Flow::Next => self.after(is_asked),
        }
    }

    fn after(&self, is_asked: bool) -> Flow {
        match self.ends_on_failure && self.status != 0 && !is_asked {
            true => Flow::End,
            false => Flow::Next,
        }
    }

    fn branches(&mut self, branches: &If, is_asked: bool) -> Flow {
        for (condition, script) in &branches.branches {
            if self.script(condition, true) == Flow::End {
                return Flow::End;
            }
            if self.status == 0 {
                return self.script(script, is_asked);
            }
        }
        match &branches.otherwise {
            Some(script) => self.script(script, is_asked),
            None => {
                self.status = 0;
                Flow::Next
            }
        }
    }

    fn simple(&mut self, simple: &Simple, line: usize, text: Option<&[u8]>) -> Flow {
        let words = self.variables.fields(&simple.words, self.status);
        let mut assigned: Vec<(&str, Vec<u8>)> = Vec::new();
        for (name, value) in &simple.assignments {
            let value = self.variables.whole(value, self.status);
            if simple.words.is_empty() {
                self.place.assigned(name, &value);
                self.variables.set(name, value);
            } else {
                assigned.retain(|(other, _)| other != name);
                assigned.push((name, value));
            }
        }
        let Some(name) = words.first() else {
            self.status = 0;
            return Flow::Next;
        };
        if let Some(flow) = self.own(name, &words[1..], simple, line) {
            return flow;
        }
        self.external(&words, &assigned, line, text);
        Flow::Next
    }

    /// A command that shells do themselves; `None` if it is none.
    fn own(&mut self, name: &[u8], words: &[Vec<u8>], simple: &Simple, line: usize) -> Option<Flow> {
        self.status = match name {
            b":" | b"true" => 0,
            b"false" => 1,
            b"echo" => self.printed(name, &texts::echo(words), line),
            b"printf" => self.printed(name, &texts::printf(words), line),
            b"test" => u8::from(!texts::test(words)),
            b"[" => u8::from(!texts::test(&words[..words.len().saturating_sub(1)])),
            b"set" => {
                self.ends_on_failure = true;
                0
            }
            b"cd" => match self.place.change(&words[0]) {
                Ok(()) => 0,
                Err(_) => {
                    complain(line, &[b"cd: can't cd to ", words[0].as_slice()].concat());
                    EXIT_TROUBLE
                }
            },
            b"exit" => {
                if let Some(status) = words.first() {
                    let status = String::from_utf8_lossy(status);
                    self.status = status.parse().unwrap_or(EXIT_TROUBLE);
                }
                return Some(Flow::End);
            }
            b"trap" => {
                // Expanded once here; what it says was looked at before.
                let action = self.variables.whole(&simple.words[1], self.status);
                let action = (action != b"-").then_some(action);
                for event in words[1..].iter().filter_map(|word| Event::parse(word)) {
                    self.traps.set(event, action.clone());
                }
                0
            }
            b"kill" => match words.get(1).and_then(|name| Event::parse(name)) {
                Some(Event::Signal(signal)) => {
                    self.listen();
                    u8::from(kill_this(signal).is_err())
                }
                _ => EXIT_TROUBLE,
            },
            _ => return None,
        };
        Some(Flow::Next)
    }

    fn printed(&mut self, name: &[u8], text: &[u8], line: usize) -> u8 {
        match put_out(text) {
            Ok(()) => 0,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                // This process is deaf to this signal, as all of Rust's; a shell is not.
                let _ = self.traps.set_off(Signal::PIPE);
                EXIT_TROUBLE
            }
            Err(_) => {
                complain(line, &[name, b": ", name, b": I/O error"].concat());
                1
            }
        }
    }

    fn external(
        &mut self,
        words: &[Vec<u8>],
        assigned: &[(&str, Vec<u8>)],
        line: usize,
        text: Option<&[u8]>,
    ) {
        let Some(program) = find(&words[0]) else {
            self.status = not_found(&words[0], line);
            return;
        };
        let is_plain = assigned.is_empty() && text.is_none();
        if is_plain && let Some(status) = small::done(&program, &words[1..]) {
            self.status = status;
            return;
        }
        if program.ends_with("xargs")
            && assigned.is_empty()
            && let Some(words) = text.and_then(|text| xargs::words(&words[1..], text))
            && let Some(program) = find(&words[0]).filter(|program| is_executable(program))
        {
            self.listen();
            self.status = self.of(&words, &[], program, line, Some(&[])).run_for_xargs();
            return;
        }
        self.listen();
        let external = self.of(words, assigned, program, line, text);
        if self.is_replaced {
            external.replace();
        }
        self.status = external.run();
    }

    fn of<'a>(
        &self,
        words: &[Vec<u8>],
        assigned: &[(&str, Vec<u8>)],
        program: std::path::PathBuf,
        line: usize,
        input: Option<&'a [u8]>,
    ) -> External<'a> {
        let assigned = assigned
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from_vec(value.clone())));
        External {
            program,
            words: words.iter().cloned().map(OsString::from_vec).collect(),
            set: self.place.set.iter().cloned().chain(assigned).collect(),
            input,
            line,
            is_alone: self.is_replaced,
        }
    }

    /// Before something that takes time.
    fn listen(&mut self) {
        // A signal that cannot be listened for has its usual effect.
        let _ = self.traps.listen();
    }

    fn action(&mut self, action: &[u8]) -> Flow {
        match parse(action) {
            Ok(script) => self.script(&script, false),
            // It was read before, with another process number in it.
            Err(_) => Flow::End,
        }
    }
}

/// Whether a recipe is the words of a program.
pub(crate) fn is_one_program(script: &Script) -> bool {
    let [AndOr { first, rest }] = script.0.as_slice() else {
        return false;
    };
    let is_plain =
        rest.is_empty() && !first.is_negated && first.text.is_none() && first.command.redirections.is_empty();
    is_plain && matches!(&first.command.body, Body::Simple(simple) if simple.assignments.is_empty())
}

/// Whether a redirection that fails ends the shell: of its special commands.
fn ends_shell(simple: &Simple) -> bool {
    simple
        .name()
        .is_some_and(|name| matches!(name.as_slice(), b":" | b"set" | b"trap" | b"exit"))
}
