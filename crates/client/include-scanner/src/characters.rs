//! Classes of bytes, and the two things that may stand between any two characters: a splice and a line end.

/// Bytes that end the fast walk through text that is no directive.
const INTERESTING: [bool; 256] = {
    let mut table = [false; 256];
    let bytes = b"\n/\"'\\_";
    let mut index = 0;
    while index < bytes.len() {
        table[bytes[index] as usize] = true;
        index += 1;
    }
    table
};

const WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        table[byte] =
            character.is_ascii_alphanumeric() || character == b'_' || character == b'$' || character >= 0x80;
        byte += 1;
    }
    table
};

/// Whether text that is no directive has to be looked at closely here.
#[inline]
pub(crate) fn is_interesting(byte: u8) -> bool {
    INTERESTING[byte as usize]
}

/// Whether a byte continues an identifier. `$` and every byte outside ASCII do.
#[inline]
pub(crate) fn is_word(byte: u8) -> bool {
    WORD[byte as usize]
}

/// Whether a byte begins an identifier.
#[inline]
pub(crate) fn begins_word(byte: u8) -> bool {
    is_word(byte) && !byte.is_ascii_digit()
}

/// White space within a line. A NUL counts, as both compilers have it; `\r` does when it ends no line.
#[inline]
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r' | 0)
}

/// The length of the splice at `at`: a backslash, blanks (both compilers allow them, with a warning) and a line end.
pub(crate) fn splice(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'\\') {
        return None;
    }
    let mut end = at + 1;
    while end < text.len() && is_blank(text[end]) {
        end += 1;
    }
    (text.get(end) == Some(&b'\n')).then_some(end + 1 - at)
}

/// The first place at or after `at` that is not a splice.
pub(crate) fn past_splices(text: &[u8], mut at: usize) -> usize {
    while let Some(length) = splice(text, at) {
        at += length;
    }
    at
}

/// The first place of `needle` (2 to 255 bytes) in `text`, by Horspool's rule: most bytes are never looked at.
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let last = needle.len() - 1;
    let mut skip = [needle.len() as u8; 256];
    for (index, byte) in needle[..last].iter().enumerate() {
        skip[*byte as usize] = (last - index) as u8;
    }
    let mut at = last;
    while let Some(byte) = text.get(at) {
        if *byte == needle[last] && text[at - last..=at] == *needle {
            return Some(at - last);
        }
        at += usize::from(skip[*byte as usize]);
    }
    None
}
