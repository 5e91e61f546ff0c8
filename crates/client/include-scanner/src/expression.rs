//! The value of a condition: C's integer expressions in 64 bits, where a part may be unknown as long as it does not matter.

use crate::expand::Trouble;
use crate::limits::EXPRESSION_DEPTH_MAX;
use crate::number::{Integer, character, integer};
use crate::token::{Texts, Token, TokenKind};

/// A piece of an expanded condition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item {
    Token(Token),
    /// `defined`, `__has_include`, and questions that were answered.
    Known(i64),
    /// A question that was not.
    Unknown,
}

/// None: it depends on what is unknown.
type Value = Option<Integer>;

/// Whether a condition holds; None if that depends on an unknown part.
pub(crate) fn evaluate(
    texts: &Texts,
    items: &[Item],
    named_operators: bool,
) -> Result<Option<bool>, Trouble> {
    let mut parser = Parser {
        texts,
        items,
        at: 0,
        named_operators,
        depth: 0,
    };
    let value = parser.comma(true)?;
    if parser.at < items.len() {
        return Err(Trouble::Bad("a condition with something behind its end"));
    }
    Ok(value.map(|integer| integer.bits != 0))
}

struct Parser<'a> {
    texts: &'a Texts,
    items: &'a [Item],
    at: usize,
    /// `and`, `or` and their kin are operators, `true` is 1.
    named_operators: bool,
    depth: usize,
}

/// Binary operators and how strongly they bind.
fn precedence(operator: &[u8]) -> Option<u8> {
    Some(match operator {
        b"||" => 1,
        b"&&" => 2,
        b"|" => 3,
        b"^" => 4,
        b"&" => 5,
        b"==" | b"!=" => 6,
        b"<" | b">" | b"<=" | b">=" => 7,
        b"<<" | b">>" => 8,
        b"+" | b"-" => 9,
        b"*" | b"/" | b"%" => 10,
        _ => return None,
    })
}

fn named(word: &[u8]) -> Option<&'static [u8]> {
    Some(match word {
        b"and" => b"&&",
        b"or" => b"||",
        b"not" => b"!",
        b"bitand" => b"&",
        b"bitor" => b"|",
        b"xor" => b"^",
        b"compl" => b"~",
        b"not_eq" => b"!=",
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    /// The operator at the current place, if there is one.
    fn operator(&self) -> Option<&'a [u8]> {
        match self.items.get(self.at) {
            Some(Item::Token(token)) if token.kind == TokenKind::Punctuation => Some(self.texts.bytes(token)),
            Some(Item::Token(token)) if token.kind == TokenKind::Word && self.named_operators => {
                named(self.texts.bytes(token))
            }
            _ => None,
        }
    }

    fn takes(&mut self, operator: &[u8]) -> bool {
        let takes = self.operator() == Some(operator);
        self.at += usize::from(takes);
        takes
    }

    fn comma(&mut self, counts: bool) -> Result<Value, Trouble> {
        let mut value = self.conditional(counts)?;
        while self.takes(b",") {
            value = self.conditional(counts)?;
        }
        Ok(value)
    }

    /// `counts`: the value decides something, so dividing by zero is an error.
    fn conditional(&mut self, counts: bool) -> Result<Value, Trouble> {
        let condition = self.binary(1, counts)?;
        if !self.takes(b"?") {
            return Ok(condition);
        }
        self.deeper()?;
        let truth = condition.map(|integer| integer.bits != 0);
        let left = self.comma(counts && truth != Some(false))?;
        if !self.takes(b":") {
            return Err(Trouble::Bad("a `?` without `:`"));
        }
        let right = self.conditional(counts && truth != Some(true))?;
        self.depth -= 1;
        let Some(truth) = truth else { return Ok(None) };
        let chosen = if truth { left } else { right };
        Ok(match (chosen, left, right) {
            (Some(chosen), Some(left), Some(right)) => Some(Integer {
                is_unsigned: left.is_unsigned || right.is_unsigned,
                ..chosen
            }),
            _ => None,
        })
    }

    fn deeper(&mut self) -> Result<(), Trouble> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            return Err(Trouble::TooMuch("nesting of a condition"));
        }
        Ok(())
    }

    fn binary(&mut self, weakest: u8, counts: bool) -> Result<Value, Trouble> {
        let mut left = self.unary(counts)?;
        while let Some(operator) = self.operator() {
            let Some(strength) = precedence(operator).filter(|strength| *strength >= weakest) else {
                break;
            };
            self.at += 1;
            let truth = left.map(|integer| integer.bits != 0);
            let right_counts = match operator {
                b"&&" => counts && truth != Some(false),
                b"||" => counts && truth != Some(true),
                _ => counts,
            };
            let right = self.binary(strength + 1, right_counts)?;
            left = apply(operator, left, right, counts)?;
        }
        Ok(left)
    }

    fn unary(&mut self, counts: bool) -> Result<Value, Trouble> {
        self.deeper()?;
        let value = self.unary_inner(counts)?;
        self.depth -= 1;
        Ok(value)
    }

    fn unary_inner(&mut self, counts: bool) -> Result<Value, Trouble> {
        if let Some(operator) = self.operator() {
            self.at += 1;
            return match operator {
                b"!" => Ok(self
                    .unary(counts)?
                    .map(|integer| Integer::truth(integer.bits == 0))),
                b"-" => Ok(self.unary(counts)?.map(|integer| Integer {
                    bits: integer.bits.wrapping_neg(),
                    ..integer
                })),
                b"~" => Ok(self.unary(counts)?.map(|integer| Integer {
                    bits: !integer.bits,
                    ..integer
                })),
                b"+" => self.unary(counts),
                b"(" => {
                    let value = self.comma(counts)?;
                    if self.takes(b")") {
                        Ok(value)
                    } else {
                        Err(Trouble::Bad("a parenthesis that is not closed"))
                    }
                }
                _ => Err(Trouble::Bad("an operator where a value is expected")),
            };
        }
        let item = self
            .items
            .get(self.at)
            .ok_or(Trouble::Bad("a condition that ends too early"))?;
        self.at += 1;
        match item {
            Item::Known(value) => Ok(Some(Integer::signed(*value))),
            Item::Unknown => Ok(None),
            Item::Token(token) => self.literal(token).map(Some),
        }
    }

    fn literal(&self, token: &Token) -> Result<Integer, Trouble> {
        let bytes = self.texts.bytes(token);
        match token.kind {
            TokenKind::Word if bytes == b"true" && self.named_operators => Ok(Integer::truth(true)),
            TokenKind::Word if bytes.contains(&b'$') => Err(Trouble::Bad("a `$` in a condition")),
            TokenKind::Word => Ok(Integer::truth(false)),
            TokenKind::Number => integer(bytes).ok_or(Trouble::Bad("a number that is no integer of 64 bits")),
            TokenKind::Character => {
                character(bytes).ok_or(Trouble::Bad("a character whose value depends on the compiler"))
            }
            _ => Err(Trouble::Bad("a token that no condition may have")),
        }
    }
}

fn apply(operator: &[u8], left: Value, right: Value, counts: bool) -> Result<Value, Trouble> {
    let truth = |value: Value| value.map(|integer| integer.bits != 0);
    match operator {
        b"&&" => {
            return Ok(match (truth(left), truth(right)) {
                (Some(false), _) | (_, Some(false)) => Some(Integer::truth(false)),
                (Some(true), Some(true)) => Some(Integer::truth(true)),
                _ => None,
            });
        }
        b"||" => {
            return Ok(match (truth(left), truth(right)) {
                (Some(true), _) | (_, Some(true)) => Some(Integer::truth(true)),
                (Some(false), Some(false)) => Some(Integer::truth(false)),
                _ => None,
            });
        }
        _ => {}
    }
    let (Some(left), Some(right)) = (left, right) else {
        return Ok(None);
    };
    if matches!(operator, b"<<" | b">>") {
        return Ok(Some(shift(operator, left, right)));
    }
    let is_unsigned = left.is_unsigned || right.is_unsigned;
    let (a, b) = (left.bits, right.bits);
    let (signed_a, signed_b) = (a as i64, b as i64);
    let compared = |signed: bool, unsigned: bool| Integer::truth(if is_unsigned { unsigned } else { signed });
    let bits = match operator {
        b"==" => return Ok(Some(Integer::truth(a == b))),
        b"!=" => return Ok(Some(Integer::truth(a != b))),
        b"<" => return Ok(Some(compared(signed_a < signed_b, a < b))),
        b">" => return Ok(Some(compared(signed_a > signed_b, a > b))),
        b"<=" => return Ok(Some(compared(signed_a <= signed_b, a <= b))),
        b">=" => return Ok(Some(compared(signed_a >= signed_b, a >= b))),
        b"|" => a | b,
        b"^" => a ^ b,
        b"&" => a & b,
        b"+" => a.wrapping_add(b),
        b"-" => a.wrapping_sub(b),
        b"*" => a.wrapping_mul(b),
        _ if b == 0 && counts => return Err(Trouble::Bad("a division by zero")),
        _ if b == 0 => 0,
        b"/" if is_unsigned => a / b,
        b"/" => signed_a.wrapping_div(signed_b) as u64,
        _ if is_unsigned => a % b,
        _ => signed_a.wrapping_rem(signed_b) as u64,
    };
    Ok(Some(Integer { bits, is_unsigned }))
}

/// The type is that of the left side; a negative count shifts the other way, one of 64 or more shifts everything out.
fn shift(operator: &[u8], left: Integer, right: Integer) -> Integer {
    let is_negative = !right.is_unsigned && (right.bits as i64) < 0;
    let count = if is_negative {
        right.bits.wrapping_neg()
    } else {
        right.bits
    };
    let goes_left = (operator == b"<<") != is_negative;
    let bits = if goes_left {
        left.bits
            .checked_shl(u32::try_from(count).unwrap_or(64))
            .unwrap_or(0)
    } else if left.is_unsigned {
        left.bits
            .checked_shr(u32::try_from(count).unwrap_or(64))
            .unwrap_or(0)
    } else {
        ((left.bits as i64) >> count.min(63)) as u64
    };
    Integer { bits, ..left }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::Source;

    fn value(text: &str) -> Result<Option<bool>, Trouble> {
        let source = Arc::new(Source::parse(
            format!("#if {text}\n#define X\n#endif\n").as_bytes(),
        ));
        let range = source.directives[0].rest();
        let texts = Texts {
            sources: vec![source],
            scratch: Vec::new(),
        };
        let mut tokens = Vec::new();
        texts.lex(0, range.start, range.end, &mut tokens);
        let items: Vec<Item> = tokens
            .into_iter()
            .map(|token| match texts.bytes(&token) {
                b"UNKNOWN" => Item::Unknown,
                _ => Item::Token(token),
            })
            .collect();
        evaluate(&texts, &items, true)
    }

    #[test]
    fn values() {
        for (text, expected) in [
            ("1 + 2 * 3 == 7", true),
            ("(1 + 2) * 3 == 9", true),
            ("-1 > 0u", true),
            ("-1 < 0", true),
            ("1 ? 0 : 1", false),
            ("0 ? 0 : 1 ? 2 : 0", true),
            ("(2 || 3) != 1", false),
            ("10 - 4 - 3 == 3", true),
            ("1 << 63 < 0", true),
            ("1 << 64", false),
            ("-8 >> 1 == -4", true),
            ("7 / -2 == -3 && 7 % -2 == 1", true),
            ("0 && 1 / 0", false),
            ("1 || 1 % 0", true),
            ("not 0 and 1", true),
            ("true && !false", true),
            ("UNDEFINED", false),
            ("'a' == 97", true),
            ("~0 == -1", true),
            ("(0, 1)", true),
            ("(0 ? -1 : 0u) - 1 > 0", true),
            ("0x8000000000000000 == -0x8000000000000000", true),
            ("-0x7fffffffffffffff - 1 < 0", true),
            ("1 == 1 == 1", true),
            ("2 | 1 ^ 3 & 2", true),
        ] {
            assert_eq!(value(text), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn unknown_parts_matter_only_where_they_decide() {
        for (text, expected) in [
            ("UNKNOWN", None),
            ("!UNKNOWN", None),
            ("0 && UNKNOWN", Some(false)),
            ("UNKNOWN && 0", Some(false)),
            ("UNKNOWN || 1", Some(true)),
            ("UNKNOWN > 3", None),
            ("UNKNOWN ? 1 : 0", None),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_compilers_reject() {
        for text in [
            "", "1 +", "(1", "1 2", "\"x\"", "1.5", "1 / 0", "f(1)", "1 ? 2", ")", "= 1",
        ] {
            assert!(matches!(value(text), Err(Trouble::Bad(_))), "{text}");
        }
        let deep = "(".repeat(5000) + "1" + &")".repeat(5000);
        assert!(matches!(value(&deep), Err(Trouble::TooMuch(_))));
    }
}
