//! Whether the values of variables are ones that mean the same wherever they are put.

use crate::script::{AndOr, Body, Command, Part, Script, Simple, Target, Word};
use crate::tokens::NotOurs;

/// A value with one of these may become a pattern, or an escape.
const WILD: &[u8] = b"\\*?[";

/// Looks at every variable of a script: its value outside of it (`value_of`), and what it is set to.
pub(crate) fn check(script: &Script, value_of: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<(), NotOurs> {
    let is_wild = |text: &[u8]| text.iter().any(|byte| WILD.contains(byte));
    let mut seen = Seen::default();
    seen.script(script);
    for name in &seen.used {
        let is_set_wildly = seen.set.iter().any(|(set, value)| set == name && is_wild(value));
        if is_set_wildly || value_of(name).is_some_and(|value| is_wild(&value)) {
            return Err(NotOurs("a variable whose value may be a pattern"));
        }
    }
    match seen.is_changed_below {
        true => Err(NotOurs("a subshell that changes the shell")),
        false => Ok(()),
    }
}

/// What a script has in it.
#[derive(Default)]
struct Seen<'a> {
    used: Vec<&'a str>,
    set: Vec<(&'a str, Vec<u8>)>,
    /// How many subshells are around.
    below: usize,
    /// What a subshell does would stay where there is none.
    is_changed_below: bool,
}

impl<'a> Seen<'a> {
    fn script(&mut self, script: &'a Script) {
        script.0.iter().for_each(|commands| self.and_or(commands));
    }

    fn and_or(&mut self, commands: &'a AndOr) {
        let rest = commands.rest.iter().map(|(_, pipeline)| pipeline);
        for pipeline in std::iter::once(&commands.first).chain(rest) {
            if let Some(text) = &pipeline.text {
                self.simple(text);
            }
            self.command(&pipeline.command);
        }
    }

    fn command(&mut self, command: &'a Command) {
        for redirection in &command.redirections {
            match &redirection.to {
                Target::Read(word) | Target::Write(word) | Target::Append(word) => self.word(word),
                Target::Same(_) => {}
            }
        }
        match &command.body {
            Body::Simple(simple) => self.simple(simple),
            Body::Group(script) => self.script(script),
            Body::Subshell(script) => {
                self.below += 1;
                self.script(script);
                self.below -= 1;
            }
            Body::If(branches) => {
                for (condition, script) in &branches.branches {
                    self.script(condition);
                    self.script(script);
                }
                if let Some(script) = &branches.otherwise {
                    self.script(script);
                }
            }
        }
    }

    fn simple(&mut self, simple: &'a Simple) {
        for (name, value) in &simple.assignments {
            self.word(value);
            let texts = value.iter().filter_map(|part| match part {
                Part::Text(text) => Some(text.as_slice()),
                _ => None,
            });
            self.set.push((name, texts.collect::<Vec<_>>().concat()));
        }
        simple.words.iter().for_each(|word| self.word(word));
        if self.below > 0 {
            let changes = |name: Vec<u8>| matches!(name.as_slice(), b"trap" | b"set" | b"kill" | b"cd");
            self.is_changed_below |= simple.words.is_empty() || simple.name().is_some_and(changes);
        }
    }

    fn word(&mut self, word: &'a Word) {
        for part in word {
            if let Part::Variable { name, .. } = part {
                self.used.push(name);
            }
        }
    }
}
