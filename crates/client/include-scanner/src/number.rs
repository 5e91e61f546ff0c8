//! Integers and characters of conditions.

/// An integer of a condition: 64 bits, and whether they are unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Integer {
    pub(crate) bits: u64,
    pub(crate) is_unsigned: bool,
}

impl Integer {
    pub(crate) fn signed(value: i64) -> Integer {
        Integer {
            bits: value as u64,
            is_unsigned: false,
        }
    }

    pub(crate) fn truth(value: bool) -> Integer {
        Integer::signed(i64::from(value))
    }
}

/// The value of a preprocessing number, if it is an integer that fits.
pub(crate) fn integer(bytes: &[u8]) -> Option<Integer> {
    let (base, digits): (u32, &[u8]) = match bytes {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest),
        [b'0', ..] => (8, bytes),
        _ => (10, bytes),
    };
    let mut value: u64 = 0;
    let mut length = 0;
    let mut any = false;
    for byte in digits {
        if *byte == b'\'' {
            length += 1;
            continue;
        }
        let Some(digit) = char::from(*byte).to_digit(base) else {
            break;
        };
        value = value
            .checked_mul(u64::from(base))?
            .checked_add(u64::from(digit))?;
        any = true;
        length += 1;
    }
    if !any {
        return None;
    }
    let suffix = digits[length..].to_ascii_lowercase();
    let is_unsigned = match suffix.as_slice() {
        b"" | b"l" | b"ll" | b"z" | b"wb" | b"i64" => false,
        b"u" | b"ul" | b"ull" | b"lu" | b"llu" | b"uz" | b"zu" | b"uwb" | b"wbu" | b"ui64" => true,
        _ => return None,
    };
    let is_unsigned = is_unsigned || i64::try_from(value).is_err();
    Some(Integer {
        bits: value,
        is_unsigned,
    })
}

/// The value of a plain character constant: one character of ASCII or one escape, as `char` of either sign has it.
pub(crate) fn character(bytes: &[u8]) -> Option<Integer> {
    let inner = bytes.strip_prefix(b"'")?.strip_suffix(b"'")?;
    let value = match inner {
        [byte] if byte.is_ascii() => *byte,
        [b'\\', escape] => match escape {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'f' => 12,
            b'v' => 11,
            b'e' | b'E' => 27,
            b'0'..=b'7' => escape - b'0',
            b'\\' | b'\'' | b'"' | b'?' => *escape,
            _ => return None,
        },
        [b'\\', b'x', digits @ ..] => number(digits, 16)?,
        [b'\\', digits @ ..] if digits.len() <= 3 => number(digits, 8)?,
        _ => return None,
    };
    // From 128 on it depends on the sign of `char`.
    value.is_ascii().then(|| Integer::signed(i64::from(value)))
}

fn number(digits: &[u8], base: u32) -> Option<u8> {
    let mut value = 0u8;
    for byte in digits {
        let digit = char::from(*byte).to_digit(base)?;
        value = value
            .checked_mul(base as u8)?
            .checked_add(u8::try_from(digit).ok()?)?;
    }
    (!digits.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers() {
        let cases: [(&str, Option<(u64, bool)>); 14] = [
            ("0", Some((0, false))),
            ("017", Some((15, false))),
            ("0x1F", Some((31, false))),
            ("0b101", Some((5, false))),
            ("201103L", Some((201_103, false))),
            ("1u", Some((1, true))),
            ("1'000'000", Some((1_000_000, false))),
            ("0xffffffffffffffff", Some((u64::MAX, true))),
            ("18446744073709551616", None),
            ("1.0", None),
            ("08", None),
            ("0x", None),
            ("5ULL", Some((5, true))),
            ("1e3", None),
        ];
        for (text, expected) in cases {
            let found = integer(text.as_bytes()).map(|integer| (integer.bits, integer.is_unsigned));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn characters() {
        let cases: [(&str, Option<i64>); 7] = [
            ("'a'", Some(97)),
            ("'\\n'", Some(10)),
            ("'\\0'", Some(0)),
            ("'\\x41'", Some(65)),
            ("'\\377'", None),
            ("L'a'", None),
            ("'ab'", None),
        ];
        for (text, expected) in cases {
            assert_eq!(
                character(text.as_bytes()),
                expected.map(Integer::signed),
                "{text}"
            );
        }
    }
}
