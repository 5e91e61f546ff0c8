//! Files that list paths: what `-input_list_paths` and `-output_list_paths` name.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// The words of such a file. White space divides them; in single or double quotes it does not; a backslash takes the next
/// byte as it is, but not in single quotes. A quote that is not closed ends with the file.
pub fn words(text: &[u8]) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\\', None | Some(b'"')) => word.get_or_insert_default().extend(bytes.next()),
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (byte, Some(open)) if byte == open => quote = None,
            (byte, None) if byte.is_ascii_whitespace() => words.extend(word.take()),
            (byte, _) => word.get_or_insert_default().push(byte),
        }
    }
    words.extend(word);
    // An empty word names nothing.
    let words = words.into_iter().filter(|word| !word.is_empty());
    words.map(OsString::from_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_divided_quoted_and_escaped() {
        let cases: [(&str, &[&str]); 12] = [
            ("", &[]),
            (" \n\t ", &[]),
            ("a b\nc\r\nd", &["a", "b", "c", "d"]),
            ("\"a b\" c", &["a b", "c"]),
            ("'a b' c", &["a b", "c"]),
            ("a' 'b\"  \"c", &["a b  c"]),
            (r"a\ b c\\d", &["a b", r"c\d"]),
            (r#""a\"b" 'c\d'"#, &["a\"b", r"c\d"]),
            ("'\"' \"'\"", &["\"", "'"]),
            ("'' \"\" x", &["x"]),
            ("\"open a", &["open a"]),
            ("end\\", &["end"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text.as_bytes()), expected, "{text:?}");
        }
    }
}
