//! What a recipe says, read once: the part of the shell's language that is done here.

/// Commands one after another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Script(pub(crate) Vec<AndOr>);

/// `a && b || c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AndOr {
    pub(crate) first: Pipeline,
    pub(crate) rest: Vec<(Joint, Pipeline)>,
}

/// When the next one is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joint {
    /// `&&`
    And,
    /// `||`
    Or,
}

/// `! text | command`. More than a text before the command is not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pipeline {
    pub(crate) is_negated: bool,
    /// Words of an `echo` or `printf` whose text the command reads.
    pub(crate) text: Option<Simple>,
    pub(crate) command: Command,
}

/// One command, with where it reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) body: Body,
    pub(crate) redirections: Vec<Redirection>,
    /// Where it begins, counted from 1: complaints name it.
    pub(crate) line: usize,
}

/// What a command is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Simple(Simple),
    If(If),
    /// `( … )`
    Subshell(Script),
    /// `{ …; }`
    Group(Script),
}

/// `NAME=value word word`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Simple {
    pub(crate) assignments: Vec<(String, Word)>,
    pub(crate) words: Vec<Word>,
}

/// `if …; then …; elif …; then …; else …; fi`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct If {
    /// Conditions with what is done where they hold.
    pub(crate) branches: Vec<(Script, Script)>,
    pub(crate) otherwise: Option<Script>,
}

/// `2>file`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirection {
    /// 0, 1 or 2.
    pub(crate) descriptor: u8,
    pub(crate) to: Target,
}

/// What a descriptor is put on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// `<`
    Read(Word),
    /// `>`
    Write(Word),
    /// `>>`
    Append(Word),
    /// `>&`
    Same(u8),
}

/// One word before expansion.
pub(crate) type Word = Vec<Part>;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it is. Where it was not quoted, it has no character that would make it a pattern.
    Text(Vec<u8>),
    /// `$NAME`. Outside of quotes its value is split into words.
    Variable { name: String, is_quoted: bool },
    /// `$$`
    Process,
    /// `$?`
    Status,
    /// `""`: makes a word even of nothing.
    Empty,
}

/// What a word is, where that needs no expansion.
pub(crate) fn literal(word: &[Part]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    for part in word {
        match part {
            Part::Text(part) => text.extend(part),
            Part::Empty => {}
            Part::Variable { .. } | Part::Process | Part::Status => return None,
        }
    }
    Some(text)
}

impl Simple {
    /// The command's name, where it is written out.
    pub(crate) fn name(&self) -> Option<Vec<u8>> {
        literal(self.words.first()?)
    }
}

impl Script {
    /// Shows everything in it, from the outside inwards, and how many subshells are around each.
    pub(crate) fn each(&self, below: usize, see: &mut dyn FnMut(&Pipeline, usize)) {
        for commands in &self.0 {
            let rest = commands.rest.iter().map(|(_, pipeline)| pipeline);
            for pipeline in std::iter::once(&commands.first).chain(rest) {
                see(pipeline, below);
                match &pipeline.command.body {
                    Body::Simple(_) => {}
                    Body::Group(script) => script.each(below, see),
                    Body::Subshell(script) => script.each(below + 1, see),
                    Body::If(branches) => {
                        for (condition, script) in &branches.branches {
                            condition.each(below, see);
                            script.each(below, see);
                        }
                        if let Some(script) = &branches.otherwise {
                            script.each(below, see);
                        }
                    }
                }
            }
        }
    }
}
