//! Macro expansion by the rule GCC and Clang share: a macro is not expanded within its own expansion, and what was
//! refused that way stays refused. Tokens are pulled one by one, because `defined` and `__has_include` decide as they go
//! whether the next one is to be expanded.

use std::collections::HashMap;
use std::rc::Rc;

use crate::definition::{Definition, read};
use crate::limits::{EXPANSION_DEPTH_MAX, SCRATCH_BYTES_MAX, TOKENS_MAX};
use crate::macros::{PREDEFINED, Place, Table};
use crate::pragma_options::Options;
use crate::substitute::substitute;
use crate::token::{SCRATCH, Texts, Token, TokenKind, UNEXPANDABLE};

/// Why an expansion has no exact result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Compilers reject it.
    Bad(&'static str),
    /// It depends on a position in the text.
    Position(&'static str),
    /// It depends on a macro that a pragma may have changed.
    Options(String),
    /// A bound is reached.
    TooMuch(&'static str),
}

/// Where the walk is, for the macros that tell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Here {
    pub(crate) line: u32,
    /// Which line it is depends on the compiler.
    pub(crate) line_is_vague: bool,
    /// How the compiler spells the current file and the main file. Empty: `#line` may have changed it.
    pub(crate) file: Vec<u8>,
    pub(crate) base_file: Vec<u8>,
    pub(crate) level: usize,
}

/// The macros of a scan, at one point of it.
#[derive(Default)]
pub(crate) struct Preprocessor {
    pub(crate) texts: Texts,
    pub(crate) table: Table,
    pub(crate) here: Here,
    pub(crate) options: Options,
    definitions: HashMap<(u32, u32), Option<Rc<Definition>>>,
}

impl Preprocessor {
    pub(crate) fn place(&self, token: &Token) -> Option<Place> {
        self.table.get(&self.texts, token.hash, self.texts.bytes(token))
    }

    /// Complains if a pragma may have changed whether or how this name is defined.
    pub(crate) fn check_options(&self, name: &[u8], place: Option<Place>) -> Result<(), Trouble> {
        if self.options.are_default() || place.is_some_and(|place| place.text != PREDEFINED) {
            return Ok(());
        }
        if self.options.may_change(name) {
            return Err(Trouble::Options(String::from_utf8_lossy(name).into_owned()));
        }
        Ok(())
    }

    fn definition(&mut self, place: Place) -> Result<Rc<Definition>, Trouble> {
        let texts = &self.texts;
        let definition = self
            .definitions
            .entry((place.text, place.directive))
            .or_insert_with(|| {
                let source = texts.sources.get(place.text as usize)?;
                let directive = source.directives.get(place.directive as usize)?;
                let rest = directive.rest();
                read(texts, place.text, rest.start, rest.end).map(Rc::new)
            });
        definition
            .clone()
            .ok_or(Trouble::Bad("a macro whose definition is malformed"))
    }

    /// Puts bytes where tokens can point to them; gives their place.
    pub(crate) fn scratch(&mut self, bytes: &[u8]) -> Result<(u32, u32), Trouble> {
        let start = self.texts.scratch.len();
        if start + bytes.len() > SCRATCH_BYTES_MAX {
            return Err(Trouble::TooMuch("bytes of pasted tokens"));
        }
        self.texts.scratch.extend_from_slice(bytes);
        Ok((start as u32, bytes.len() as u32))
    }

    pub(crate) fn scratch_token(&mut self, kind: TokenKind, bytes: &[u8]) -> Result<Token, Trouble> {
        let (start, length) = self.scratch(bytes)?;
        Ok(Token {
            kind,
            flags: 0,
            text: SCRATCH,
            start,
            length,
            hash: 0,
        })
    }

    /// What a macro that every compiler has built in stands for here.
    fn builtin(&mut self, token: &Token) -> Result<Option<Token>, Trouble> {
        let (kind, bytes) = match self.texts.bytes(token) {
            b"__COUNTER__" => return Err(Trouble::Position("__COUNTER__")),
            b"__LINE__" if self.here.line_is_vague => return Err(Trouble::Position("__LINE__")),
            b"__LINE__" => (TokenKind::Number, self.here.line.to_string().into_bytes()),
            b"__INCLUDE_LEVEL__" => (TokenKind::Number, self.here.level.to_string().into_bytes()),
            b"__FILE__" if self.here.file.is_empty() => return Err(Trouble::Position("__FILE__")),
            b"__FILE__" => (TokenKind::String, quoted(&self.here.file)),
            b"__BASE_FILE__" => (TokenKind::String, quoted(&self.here.base_file)),
            _ => return Ok(None),
        };
        self.scratch_token(kind, &bytes).map(Some)
    }
}

/// Names which are defined although no list of macros has them.
pub(crate) fn is_builtin(name: &[u8]) -> bool {
    matches!(
        name,
        b"__FILE__"
            | b"__BASE_FILE__"
            | b"__LINE__"
            | b"__INCLUDE_LEVEL__"
            | b"__COUNTER__"
            | b"__DATE__"
            | b"__TIME__"
            | b"__TIMESTAMP__"
    )
}

fn quoted(bytes: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            quoted.push(b'\\');
        }
        quoted.push(*byte);
    }
    quoted.push(b'"');
    quoted
}

/// Tokens still to be read: of the directive itself, of a macro's expansion, or of an argument.
struct Context {
    tokens: Vec<Token>,
    at: usize,
    /// The macro whose expansion this is.
    expands: Option<Place>,
    /// The tokens of an argument: what comes after them is not looked at.
    is_argument: bool,
}

/// Pulls expanded tokens out of the tokens of one directive.
pub(crate) struct Expander {
    contexts: Vec<Context>,
    spent: usize,
    arguments_open: usize,
}

impl Expander {
    pub(crate) fn new(tokens: Vec<Token>) -> Expander {
        Expander {
            contexts: vec![Context {
                tokens,
                at: 0,
                expands: None,
                is_argument: false,
            }],
            spent: 0,
            arguments_open: 0,
        }
    }

    /// The directive's own text behind the token that was just read, if it came from there: headers' names in angle
    /// brackets are not made of tokens.
    pub(crate) fn is_in_directive(&self) -> bool {
        self.contexts.len() == 1
    }

    /// Skips the directive's own tokens that begin before `start`.
    pub(crate) fn skip_to(&mut self, start: usize) {
        if let Some(base) = self.contexts.first_mut() {
            while base
                .tokens
                .get(base.at)
                .is_some_and(|token| (token.start as usize) < start)
            {
                base.at += 1;
            }
        }
    }

    /// The next token, expanded if `expand`. None at the end.
    pub(crate) fn next(&mut self, pp: &mut Preprocessor, expand: bool) -> Result<Option<Token>, Trouble> {
        loop {
            let Some(context) = self.contexts.last_mut() else {
                return Ok(None);
            };
            let Some(token) = context.tokens.get(context.at).copied() else {
                if context.is_argument || self.contexts.len() == 1 {
                    return Ok(None);
                }
                self.contexts.pop();
                continue;
            };
            context.at += 1;
            self.spent += 1;
            if self.spent > TOKENS_MAX {
                return Err(Trouble::TooMuch("tokens of an expansion"));
            }
            if token.kind != TokenKind::Word || token.flags & UNEXPANDABLE != 0 {
                return Ok(Some(token));
            }
            let place = pp.place(&token);
            if expand {
                pp.check_options(pp.texts.bytes(&token), place)?;
            }
            let Some(place) = place else {
                let builtin = if expand { pp.builtin(&token)? } else { None };
                return Ok(Some(builtin.unwrap_or(token)));
            };
            if self.contexts.iter().any(|context| context.expands == Some(place)) {
                return Ok(Some(Token {
                    flags: token.flags | UNEXPANDABLE,
                    ..token
                }));
            }
            if !expand {
                return Ok(Some(token));
            }
            let definition = pp.definition(place)?;
            let arguments = if definition.is_function {
                match self.arguments(pp, &definition)? {
                    Some(arguments) => arguments,
                    None => return Ok(Some(token)),
                }
            } else {
                Vec::new()
            };
            self.enter(pp, place, &definition, &token, arguments)?;
        }
    }

    fn enter(
        &mut self,
        pp: &mut Preprocessor,
        place: Place,
        definition: &Definition,
        invocation: &Token,
        arguments: Vec<Vec<Token>>,
    ) -> Result<(), Trouble> {
        if self.contexts.len() >= EXPANSION_DEPTH_MAX {
            return Err(Trouble::TooMuch("macros within macros"));
        }
        let mut tokens = substitute(self, pp, definition, &arguments)?;
        if let Some(first) = tokens.first_mut() {
            first.flags = (first.flags & !crate::token::SPACED) | (invocation.flags & crate::token::SPACED);
        }
        self.spent += tokens.len();
        self.contexts.push(Context {
            tokens,
            at: 0,
            expands: Some(place),
            is_argument: false,
        });
        Ok(())
    }

    /// The arguments of an invocation, if an opening parenthesis follows.
    fn arguments(
        &mut self,
        pp: &mut Preprocessor,
        definition: &Definition,
    ) -> Result<Option<Vec<Vec<Token>>>, Trouble> {
        if !self.opens(pp) {
            return Ok(None);
        }
        let mut arguments = vec![Vec::new()];
        let mut depth = 0usize;
        loop {
            let Some(token) = self.next(pp, false)? else {
                return Err(Trouble::Bad("the arguments of a macro have no end"));
            };
            if token.kind == TokenKind::Punctuation {
                match pp.texts.bytes(&token) {
                    b"(" => depth += 1,
                    b")" if depth == 0 => break,
                    b")" => depth -= 1,
                    b"," if depth == 0
                        && !(definition.is_variadic && arguments.len() == definition.parameters) =>
                    {
                        arguments.push(Vec::new());
                        continue;
                    }
                    _ => {}
                }
            }
            if let Some(argument) = arguments.last_mut() {
                argument.push(token);
            }
        }
        let given = arguments.len();
        let wanted = definition.parameters;
        if given == wanted {
            return Ok(Some(arguments));
        }
        if wanted == 0 && given == 1 && arguments[0].is_empty() {
            return Ok(Some(Vec::new()));
        }
        if definition.is_variadic && given + 1 == wanted {
            arguments.push(Vec::new());
            return Ok(Some(arguments));
        }
        Err(Trouble::Bad("a macro with the wrong number of arguments"))
    }

    /// Steps over an opening parenthesis, if that is what comes next. Expansions that end before it are left for good.
    fn opens(&mut self, pp: &Preprocessor) -> bool {
        loop {
            let count = self.contexts.len();
            let Some(context) = self.contexts.last_mut() else {
                return false;
            };
            if let Some(token) = context.tokens.get(context.at) {
                let opens = token.kind == TokenKind::Punctuation && pp.texts.is(token, b"(");
                context.at += usize::from(opens);
                return opens;
            }
            if context.is_argument || count == 1 {
                return false;
            }
            self.contexts.pop();
        }
    }

    /// All tokens of an argument, expanded by themselves.
    pub(crate) fn expand_argument(
        &mut self,
        pp: &mut Preprocessor,
        tokens: &[Token],
    ) -> Result<Vec<Token>, Trouble> {
        if tokens.iter().all(|token| token.kind != TokenKind::Word) {
            return Ok(tokens.to_vec());
        }
        if self.arguments_open >= EXPANSION_DEPTH_MAX {
            return Err(Trouble::TooMuch("arguments within arguments"));
        }
        self.arguments_open += 1;
        self.contexts.push(Context {
            tokens: tokens.to_vec(),
            at: 0,
            expands: None,
            is_argument: true,
        });
        let mut expanded = Vec::new();
        while let Some(token) = self.next(pp, true)? {
            expanded.push(token);
        }
        self.contexts.pop();
        self.arguments_open -= 1;
        Ok(expanded)
    }
}
