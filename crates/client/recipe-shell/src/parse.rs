//! Words and operators as commands.

use crate::known;
use crate::script::{
    AndOr, Body, Command, If, Joint, Part, Pipeline, Redirection, Script, Simple, Target, Word, literal,
};
use crate::tokens::{NotOurs, Operator, Token, TokenKind, tokens};

/// Commands within commands.
const DEPTH_MAX: usize = 32;

/// Reads a recipe.
pub(crate) fn parse(text: &[u8]) -> Result<Script, NotOurs> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    let script = parser.script(&[])?;
    match parser.peek() {
        None => Ok(script),
        Some(_) => Err(NotOurs("a syntax that is not known here")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a TokenKind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(1, |token| token.line)
    }

    fn is_operator(&self, operator: Operator) -> bool {
        self.peek() == Some(&TokenKind::Operator(operator))
    }

    fn skip(&mut self, operator: Operator) -> bool {
        let is_next = self.is_operator(operator);
        self.at += usize::from(is_next);
        is_next
    }

    /// The next token, where it is a word that may be a reserved one.
    fn reserved(&self) -> Option<Vec<u8>> {
        match self.peek()? {
            TokenKind::Word {
                word,
                is_quoted: false,
                ..
            } => literal(word),
            _ => None,
        }
    }

    fn skip_reserved(&mut self, word: &[u8]) -> bool {
        let is_next = self.reserved().as_deref() == Some(word);
        self.at += usize::from(is_next);
        is_next
    }

    fn newlines(&mut self) {
        while self.skip(Operator::Newline) {}
    }

    /// Commands until one of these reserved words, a `)` or the end.
    fn script(&mut self, ends: &[&[u8]]) -> Result<Script, NotOurs> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(NotOurs("commands within commands"));
        }
        let mut commands = Vec::new();
        loop {
            self.newlines();
            let is_end = |word: Vec<u8>| ends.contains(&word.as_slice());
            if self.peek().is_none()
                || self.is_operator(Operator::Close)
                || self.reserved().is_some_and(is_end)
            {
                self.depth -= 1;
                return Ok(Script(commands));
            }
            commands.push(self.and_or()?);
            if !self.skip(Operator::Semicolon) && !self.is_operator(Operator::Newline) {
                self.depth -= 1;
                return Ok(Script(commands));
            }
        }
    }

    /// The same, with something in it.
    fn some(&mut self, ends: &[&[u8]]) -> Result<Script, NotOurs> {
        let script = self.script(ends)?;
        match script.0.is_empty() {
            true => Err(NotOurs("nothing where a command is due")),
            false => Ok(script),
        }
    }

    fn and_or(&mut self) -> Result<AndOr, NotOurs> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let joint = match () {
                () if self.skip(Operator::And) => Joint::And,
                () if self.skip(Operator::Or) => Joint::Or,
                () => return Ok(AndOr { first, rest }),
            };
            self.newlines();
            rest.push((joint, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, NotOurs> {
        let is_negated = self.skip_reserved(b"!");
        let first = self.command()?;
        if !self.skip(Operator::Pipe) {
            let (text, command) = (None, first);
            return Ok(Pipeline {
                is_negated,
                text,
                command,
            });
        }
        self.newlines();
        let command = self.command()?;
        let text = match first {
            Command {
                body: Body::Simple(simple),
                redirections,
                ..
            } if redirections.is_empty() && known::is_text(&simple) => Some(simple),
            _ => return Err(NotOurs("a pipe")),
        };
        let reads_text = match &command.body {
            Body::Simple(simple) => {
                simple.assignments.is_empty() && simple.name().is_some_and(|name| !known::is_in_shell(&name))
            }
            _ => false,
        };
        let reads_other = command
            .redirections
            .iter()
            .any(|redirection| redirection.descriptor == 0);
        if !reads_text || reads_other || self.is_operator(Operator::Pipe) {
            return Err(NotOurs("a pipe"));
        }
        Ok(Pipeline {
            is_negated,
            text,
            command,
        })
    }

    fn command(&mut self) -> Result<Command, NotOurs> {
        let line = self.line();
        let body = match self.peek() {
            Some(TokenKind::Operator(Operator::Open)) => {
                self.at += 1;
                let script = self.some(&[])?;
                match self.skip(Operator::Close) {
                    true => Body::Subshell(script),
                    false => return Err(NotOurs("a parenthesis without its other half")),
                }
            }
            _ if self.skip_reserved(b"{") => {
                let script = self.some(&[b"}"])?;
                match self.skip_reserved(b"}") {
                    true => Body::Group(script),
                    false => return Err(NotOurs("a brace without its other half")),
                }
            }
            _ if self.skip_reserved(b"if") => Body::If(self.branches()?),
            _ => return self.simple(line),
        };
        let mut redirections = Vec::new();
        while let Some(redirection) = self.redirection()? {
            redirections.push(redirection);
        }
        Ok(Command {
            body,
            redirections,
            line,
        })
    }

    fn branches(&mut self) -> Result<If, NotOurs> {
        let mut branches = Vec::new();
        loop {
            let condition = self.some(&[b"then"])?;
            if !self.skip_reserved(b"then") {
                return Err(NotOurs("if without then"));
            }
            branches.push((condition, self.some(&[b"elif", b"else", b"fi"])?));
            if self.skip_reserved(b"elif") {
                continue;
            }
            let otherwise = match self.skip_reserved(b"else") {
                true => Some(self.some(&[b"fi"])?),
                false => None,
            };
            return match self.skip_reserved(b"fi") {
                true => Ok(If { branches, otherwise }),
                false => Err(NotOurs("if without fi")),
            };
        }
    }

    fn simple(&mut self, line: usize) -> Result<Command, NotOurs> {
        if self.reserved().is_some_and(|word| known::is_reserved(&word)) {
            return Err(NotOurs("a reserved word"));
        }
        let mut simple = Simple::default();
        let mut redirections = Vec::new();
        loop {
            if let Some(redirection) = self.redirection()? {
                redirections.push(redirection);
                continue;
            }
            let Some(TokenKind::Word { word, plain, .. }) = self.peek() else {
                break;
            };
            self.at += 1;
            match simple
                .words
                .is_empty()
                .then(|| assignment(word, *plain))
                .flatten()
            {
                Some(assignment) => simple.assignments.push(assignment),
                None => simple.words.push(word.clone()),
            }
        }
        if self.is_operator(Operator::Open) {
            return Err(NotOurs("a function"));
        }
        if simple.words.is_empty() && (simple.assignments.is_empty() || !redirections.is_empty()) {
            return Err(NotOurs("no command"));
        }
        known::check(&simple)?;
        Ok(Command {
            body: Body::Simple(simple),
            redirections,
            line,
        })
    }

    fn redirection(&mut self) -> Result<Option<Redirection>, NotOurs> {
        let begun = self.at;
        let descriptor = match self.peek() {
            Some(TokenKind::Descriptor(descriptor)) => {
                self.at += 1;
                Some(*descriptor)
            }
            _ => None,
        };
        let Some(TokenKind::Operator(
            operator @ (Operator::Read | Operator::Write | Operator::Append | Operator::Same),
        )) = self.peek()
        else {
            self.at = begun;
            return Ok(None);
        };
        self.at += 1;
        let Some(TokenKind::Word { word, .. }) = self.peek() else {
            return Err(NotOurs("a redirection to nothing"));
        };
        self.at += 1;
        let (usual, to) = match operator {
            Operator::Read => (0, Target::Read(whole(word)?)),
            Operator::Append => (1, Target::Append(whole(word)?)),
            Operator::Same => (1, Target::Same(same(word)?)),
            _ => (1, Target::Write(whole(word)?)),
        };
        let descriptor = descriptor.unwrap_or(usual);
        Ok(Some(Redirection { descriptor, to }))
    }
}

/// The name of a file is never split here: in some shells it is.
fn whole(word: &Word) -> Result<Word, NotOurs> {
    match known::is_split(word) {
        true => Err(NotOurs("a file name that may be many words")),
        false => Ok(word.clone()),
    }
}

fn same(word: &Word) -> Result<u8, NotOurs> {
    match literal(word).as_deref() {
        Some([digit @ b'1'..=b'2']) => Ok(digit - b'0'),
        _ => Err(NotOurs("a descriptor that is closed, or beyond 2")),
    }
}

/// `NAME=value`, with the name and the `=` unquoted.
fn assignment(word: &Word, plain: usize) -> Option<(String, Word)> {
    let (Part::Text(first), rest) = word.split_first()? else {
        return None;
    };
    let at = first
        .iter()
        .position(|byte| *byte == b'=')
        .filter(|at| *at < plain)?;
    let name = std::str::from_utf8(&first[..at]).ok()?;
    let mut letters = name.bytes();
    let is_name = letters
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        return None;
    }
    let mut value = Vec::new();
    if at + 1 < first.len() {
        value.push(Part::Text(first[at + 1..].to_vec()));
    }
    value.extend_from_slice(rest);
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<usize, &'static str>) {
        let found = parse(text.as_bytes()).map(|script| script.0.len());
        assert_eq!(found, expected.map_err(NotOurs), "{text}");
    }

    #[test]
    fn what_is_known_is_read() {
        check("", Ok(0));
        check(" \n\n# nothing\n", Ok(0));
        check("a; b\nc && d || e", Ok(3));
        check("if a; then b; elif c; then d; else e; fi >f 2>&1; g", Ok(2));
        check("{ a; }; (b; c)", Ok(2));
        check("! a 'then' \\fi \"do\"", Ok(1));
        check("echo x | xargs y", Ok(1));
        check("A=1 B=$C c; D=", Ok(2));
        check("a 2>b <c >>d", Ok(1));
        check("echo fi then }", Ok(1));
        check("set -e; trap \"rm -f x$$\" EXIT; trap - INT TERM", Ok(3));
    }

    #[test]
    fn what_is_not_is_refused() {
        check("a | b", Err("a pipe"));
        check("echo x | test y", Err("a pipe"));
        check("echo x | y | z", Err("a pipe"));
        check("echo x >f | y", Err("a pipe"));
        check("a &", Err("a background command"));
        check("a *.c", Err("a pattern, a tilde or a backquote"));
        check("\"a", Err("a quote without end"));
        check("a <<b", Err("a here-document"));
        check("$a", Err("a command from a variable"));
        check("a $(b)", Err("a substitution"));
        check("a ${b-c}", Err("an expansion with an operator"));
        check("a >$b", Err("a file name that may be many words"));
        check("a 3>b", Err("a descriptor beyond 2"));
        check("a >&-", Err("a descriptor that is closed, or beyond 2"));
        check("for", Err("a reserved word"));
        check("()", Err("nothing where a command is due"));
        check("f() { a; }", Err("a function"));
        check("a; then", Err("a reserved word"));
        check("PATH=x; a", Err("a variable that means something"));
        check("trap '*' EXIT", Err("a pattern, a tilde or a backquote"));
        check("trap '' INT", Err("a signal that is ignored"));
        check("read x", Err("a command of the shell's own"));
        check(&"(".repeat(100), Err("commands within commands"));
        check(">f", Err("no command"));
        check("a)", Err("a syntax that is not known here"));
    }
}
