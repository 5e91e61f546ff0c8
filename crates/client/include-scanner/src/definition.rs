//! A macro's definition, read from its text when the macro is first expanded in a scan.

use crate::token::{Texts, Token, TokenKind};

/// One token of a macro's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyToken {
    pub(crate) token: Token,
    /// Which parameter it names.
    pub(crate) parameter: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) is_function: bool,
    pub(crate) parameters: usize,
    /// The last parameter takes all arguments that are left.
    pub(crate) is_variadic: bool,
    pub(crate) body: Vec<BodyToken>,
}

/// Reads what follows a macro's name. None: no compiler accepts it.
pub(crate) fn read(texts: &Texts, text: u32, start: usize, end: usize) -> Option<Definition> {
    let mut tokens = Vec::new();
    let is_function = texts.whole(text).get(start..end)?.first() == Some(&b'(');
    texts.lex(text, start, end, &mut tokens);
    let mut names: Vec<Token> = Vec::new();
    let mut is_variadic = false;
    let mut body = tokens.as_slice();
    if is_function {
        body = &body[1..];
        loop {
            let (token, rest) = body.split_first()?;
            body = rest;
            match token.kind {
                TokenKind::Word => {
                    names.push(*token);
                    if body.first().is_some_and(|next| texts.is(next, b"...")) {
                        is_variadic = true;
                        body = &body[1..];
                    }
                }
                _ if texts.is(token, b"...") => {
                    is_variadic = true;
                    names.push(*token);
                }
                _ if texts.is(token, b")") && names.is_empty() => break,
                _ => return None,
            }
            let (separator, rest) = body.split_first()?;
            body = rest;
            if texts.is(separator, b")") {
                break;
            }
            if !texts.is(separator, b",") || is_variadic {
                return None;
            }
        }
    }
    let parameter = |token: &Token| {
        if token.kind != TokenKind::Word {
            return None;
        }
        names.iter().position(|name| {
            texts.bytes(name) == texts.bytes(token)
                || (texts.is(name, b"...") && texts.is(token, b"__VA_ARGS__"))
        })
    };
    let body = body
        .iter()
        .map(|token| BodyToken {
            token: *token,
            parameter: parameter(token),
        })
        .collect();
    Some(Definition {
        is_function,
        parameters: names.len(),
        is_variadic,
        body,
    })
}
