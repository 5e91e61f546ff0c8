//! A macro's body with its arguments put in: `#`, `##`, `__VA_ARGS__`, `__VA_OPT__`, and GNU's comma before `##`.

use crate::definition::{BodyToken, Definition};
use crate::expand::{Expander, Preprocessor, Trouble};
use crate::hash::hash_bytes;
use crate::token::{SCRATCH, SPACED, Texts, Token, TokenKind, UNEXPANDABLE, next_token};

/// A token on its way to the result.
#[derive(Clone, Copy)]
struct Piece {
    token: Token,
    /// The next piece is to be pasted to it.
    pastes: bool,
}

struct Substitution<'a> {
    definition: &'a Definition,
    arguments: &'a [Vec<Token>],
    expanded: Vec<Option<Vec<Token>>>,
}

/// The tokens that take the place of an invocation.
pub(crate) fn substitute(
    expander: &mut Expander,
    pp: &mut Preprocessor,
    definition: &Definition,
    arguments: &[Vec<Token>],
) -> Result<Vec<Token>, Trouble> {
    let mut substitution = Substitution {
        definition,
        arguments,
        expanded: vec![None; arguments.len()],
    };
    let pieces = substitution.pieces(expander, pp, &definition.body)?;
    paste(pp, &pieces)
}

impl Substitution<'_> {
    fn pieces(
        &mut self,
        expander: &mut Expander,
        pp: &mut Preprocessor,
        body: &[BodyToken],
    ) -> Result<Vec<Piece>, Trouble> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut index = 0;
        while index < body.len() {
            let item = &body[index];
            if is_paste(&pp.texts, item) {
                match pieces.last_mut() {
                    Some(last) => last.pastes = true,
                    None => return Err(Trouble::Bad("`##` at the beginning of a macro")),
                }
                index += 1;
                continue;
            }
            if self.definition.is_function && is_punctuation(&pp.texts, &item.token, &[b"#", b"%:"]) {
                let parameter = body.get(index + 1).and_then(|next| next.parameter);
                let Some(argument) = parameter.and_then(|parameter| self.arguments.get(parameter)) else {
                    return Err(Trouble::Bad("`#` before something that is no parameter"));
                };
                let bytes = stringify(&pp.texts, argument);
                let mut token = pp.scratch_token(TokenKind::String, &bytes)?;
                token.flags = item.token.flags & SPACED;
                pieces.push(whole(token));
                index += 2;
                continue;
            }
            if self.definition.is_variadic && pp.texts.is(&item.token, b"__VA_OPT__") {
                let end =
                    closing(&pp.texts, body, index + 1).ok_or(Trouble::Bad("`__VA_OPT__` without end"))?;
                if pieces.last().is_some_and(|last| last.pastes) || next_pastes(&pp.texts, body, end) {
                    return Err(Trouble::Bad("`__VA_OPT__` beside `##`"));
                }
                let last = self.arguments.len().saturating_sub(1);
                if !self.expanded(expander, pp, last)?.is_empty() {
                    let inner = self.pieces(expander, pp, &body[index + 2..end])?;
                    pieces.extend(inner);
                }
                index = end + 1;
                continue;
            }
            let Some(parameter) = item.parameter else {
                pieces.push(whole(item.token));
                index += 1;
                continue;
            };
            let before = pieces.last().is_some_and(|last| last.pastes);
            let after = next_pastes(&pp.texts, body, index);
            if before && self.drops_comma(&pp.texts, &mut pieces, parameter) {
                // GNU: `, ## args` is a comma and the arguments, or nothing.
                index += 1;
                continue;
            }
            let before = pieces.last().is_some_and(|last| last.pastes);
            let tokens = if before || after {
                self.arguments.get(parameter).cloned().unwrap_or_default()
            } else {
                self.expanded(expander, pp, parameter)?.to_vec()
            };
            if tokens.is_empty() && (before || after) {
                pieces.push(whole(placemarker()));
            }
            for (position, token) in tokens.iter().enumerate() {
                let mut token = *token;
                if position == 0 {
                    token.flags = (token.flags & !SPACED) | (item.token.flags & SPACED);
                }
                pieces.push(whole(token));
            }
            index += 1;
        }
        if pieces.last().is_some_and(|last| last.pastes) {
            return Err(Trouble::Bad("`##` at the end of a macro"));
        }
        Ok(pieces)
    }

    /// Whether the piece that waits for pasting is the comma of `, ## args`: dropped if there are none, else it stays,
    /// unpasted. True when the parameter is dealt with.
    fn drops_comma(&self, texts: &Texts, pieces: &mut Vec<Piece>, parameter: usize) -> bool {
        let is_rest = self.definition.is_variadic && parameter + 1 == self.definition.parameters;
        let is_comma = pieces.last().is_some_and(|last| texts.is(&last.token, b","));
        if !is_rest || !is_comma {
            return false;
        }
        if self.arguments.get(parameter).is_none_or(Vec::is_empty) {
            pieces.pop();
            return true;
        }
        if let Some(last) = pieces.last_mut() {
            last.pastes = false;
        }
        false
    }

    fn expanded(
        &mut self,
        expander: &mut Expander,
        pp: &mut Preprocessor,
        parameter: usize,
    ) -> Result<&[Token], Trouble> {
        if let Some(None) = self.expanded.get(parameter) {
            let argument = self.arguments.get(parameter).map_or(&[][..], Vec::as_slice);
            self.expanded[parameter] = Some(expander.expand_argument(pp, argument)?);
        }
        Ok(self
            .expanded
            .get(parameter)
            .and_then(Option::as_deref)
            .unwrap_or_default())
    }
}

fn whole(token: Token) -> Piece {
    Piece { token, pastes: false }
}

fn placemarker() -> Token {
    Token {
        kind: TokenKind::Placemarker,
        flags: 0,
        text: SCRATCH,
        start: 0,
        length: 0,
        hash: 0,
    }
}

fn is_punctuation(texts: &Texts, token: &Token, any: &[&[u8]]) -> bool {
    token.kind == TokenKind::Punctuation && any.contains(&texts.bytes(token))
}

fn is_paste(texts: &Texts, item: &BodyToken) -> bool {
    is_punctuation(texts, &item.token, &[b"##", b"%:%:"])
}

fn next_pastes(texts: &Texts, body: &[BodyToken], index: usize) -> bool {
    body.get(index + 1).is_some_and(|next| is_paste(texts, next))
}

/// Where the parenthesis that opens at `open` closes.
fn closing(texts: &Texts, body: &[BodyToken], open: usize) -> Option<usize> {
    if !texts.is(&body.get(open)?.token, b"(") {
        return None;
    }
    let mut depth = 0usize;
    for (index, item) in body.iter().enumerate().skip(open) {
        match texts.bytes(&item.token) {
            b"(" => depth += 1,
            b")" => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

fn stringify(texts: &Texts, tokens: &[Token]) -> Vec<u8> {
    let mut bytes = vec![b'"'];
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 && token.flags & SPACED != 0 {
            bytes.push(b' ');
        }
        let is_quoted = matches!(token.kind, TokenKind::String | TokenKind::Character);
        for byte in texts.bytes(token) {
            if is_quoted && matches!(byte, b'"' | b'\\') {
                bytes.push(b'\\');
            }
            bytes.push(*byte);
        }
    }
    bytes.push(b'"');
    bytes
}

fn paste(pp: &mut Preprocessor, pieces: &[Piece]) -> Result<Vec<Token>, Trouble> {
    let mut tokens = Vec::with_capacity(pieces.len());
    let mut index = 0;
    while let Some(piece) = pieces.get(index) {
        let mut token = piece.token;
        let mut pastes = piece.pastes;
        index += 1;
        while pastes && let Some(next) = pieces.get(index) {
            match pasted(pp, &token, &next.token)? {
                Some(both) => token = both,
                None => {
                    // No token comes of it: compilers complain, but for assembly, and keep both.
                    tokens.push(token);
                    token = next.token;
                }
            }
            pastes = next.pastes;
            index += 1;
        }
        if token.kind != TokenKind::Placemarker {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

fn pasted(pp: &mut Preprocessor, left: &Token, right: &Token) -> Result<Option<Token>, Trouble> {
    if right.kind == TokenKind::Placemarker {
        return Ok(Some(*left));
    }
    if left.kind == TokenKind::Placemarker {
        return Ok(Some(*right));
    }
    let mut bytes = pp.texts.bytes(left).to_vec();
    bytes.extend_from_slice(pp.texts.bytes(right));
    let (kind, length) = next_token(&bytes);
    if length != bytes.len() || bytes == b"//" {
        return Ok(None);
    }
    let mut token = pp.scratch_token(kind, &bytes)?;
    token.flags = left.flags & !UNEXPANDABLE;
    if kind == TokenKind::Word {
        token.hash = hash_bytes(&bytes);
    }
    Ok(Some(token))
}
