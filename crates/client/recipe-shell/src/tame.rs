//! Whether a recipe that can be read also means the same whatever its variables hold, and in whichever process its parts run.

use crate::known;
use crate::parse::parse;
use crate::script::{Body, Part, Pipeline, Script, Simple, Target, literal};
use crate::tokens::NotOurs;
use crate::traps::Event;

/// A value with one of these may become a pattern, or an escape.
const WILD: &[u8] = b"\\*?[";

/// Variables that shells have values of their own for.
const OF_SHELLS: [&str; 11] = [
    "PWD",
    "OLDPWD",
    "PPID",
    "OPTIND",
    "IFS",
    "PS1",
    "PS2",
    "PS4",
    "LINENO",
    "MAIL",
    "MAILCHECK",
];

/// Looks at every variable of a script: its value outside of it (`value_of`), and what it is set to; and at what subshells and traps do.
pub(crate) fn check(script: &Script, value_of: &dyn Fn(&str) -> Option<Vec<u8>>) -> Result<(), NotOurs> {
    let mut seen = Seen::default();
    seen.script(script)?;
    let is_wild = |text: &[u8]| text.iter().any(|byte| WILD.contains(byte));
    for name in &seen.used {
        if OF_SHELLS.contains(&name.as_str()) {
            return Err(NotOurs("a variable of the shell's own"));
        }
        let is_set_wildly = seen.set.iter().any(|(set, value)| set == name && is_wild(value));
        if is_set_wildly || value_of(name).is_some_and(|value| is_wild(&value)) {
            return Err(NotOurs("a variable whose value may be a pattern"));
        }
    }
    match () {
        () if seen.is_changed_below => Err(NotOurs("a subshell that changes the shell")),
        // In a subshell it would have its usual effect.
        () if seen.catches_signals && seen.has_subshell => {
            Err(NotOurs("a subshell, and signals that are caught"))
        }
        () => Ok(()),
    }
}

/// What a script has in it.
#[derive(Default)]
struct Seen {
    used: Vec<String>,
    set: Vec<(String, Vec<u8>)>,
    has_subshell: bool,
    catches_signals: bool,
    /// What a subshell does would stay where there is none.
    is_changed_below: bool,
}

impl Seen {
    fn script(&mut self, script: &Script) -> Result<(), NotOurs> {
        let mut actions = Vec::new();
        script.each(0, &mut |pipeline, below| {
            self.pipeline(pipeline, below, &mut actions)
        });
        for action in actions {
            // One within it was refused when this one was read.
            self.script(&parse(&action)?)?;
        }
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, below: usize, actions: &mut Vec<Vec<u8>>) {
        for redirection in &pipeline.command.redirections {
            match &redirection.to {
                Target::Read(word) | Target::Write(word) | Target::Append(word) => self.word(word),
                Target::Same(_) => {}
            }
        }
        if let Some(text) = &pipeline.text {
            self.simple(text, below);
        }
        match &pipeline.command.body {
            Body::Simple(simple) => {
                self.simple(simple, below);
                if simple.name().as_deref() == Some(b"trap") {
                    self.catches_signals |= catches_signals(simple);
                    actions.extend(simple.words.get(1).and_then(|action| known::action(action)));
                }
            }
            Body::Subshell(_) => self.has_subshell = true,
            Body::Group(_) | Body::If(_) => {}
        }
    }

    fn simple(&mut self, simple: &Simple, below: usize) {
        for (name, value) in &simple.assignments {
            self.word(value);
            let texts = value.iter().filter_map(|part| match part {
                Part::Text(text) => Some(text.as_slice()),
                _ => None,
            });
            self.set.push((name.clone(), texts.collect::<Vec<_>>().concat()));
        }
        simple.words.iter().for_each(|word| self.word(word));
        if below > 0 {
            let changes = |name: Vec<u8>| matches!(name.as_slice(), b"trap" | b"set" | b"kill" | b"cd");
            self.is_changed_below |= simple.words.is_empty() || simple.name().is_some_and(changes);
        }
    }

    fn word(&mut self, word: &[Part]) {
        for part in word {
            if let Part::Variable { name, .. } = part {
                self.used.push(name.clone());
            }
        }
    }
}

fn catches_signals(trap: &Simple) -> bool {
    let events = trap
        .words
        .iter()
        .skip(2)
        .filter_map(|word| Event::parse(&literal(word)?));
    events.into_iter().any(|event| event != Event::Exit)
}
