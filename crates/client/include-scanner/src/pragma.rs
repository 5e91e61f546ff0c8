//! Which pragmas change what the preprocessor does.

use crate::characters::{is_blank, is_word};
use crate::directive::Kind;

/// What `#pragma TEXT` is, or nothing if the preprocessor does not care.
pub(crate) fn classify(text: &[u8]) -> Option<Kind> {
    let (first, rest) = word(text);
    match first {
        b"once" => Some(Kind::Once),
        b"push_macro" => Some(Kind::PushMacro),
        b"pop_macro" => Some(Kind::PopMacro),
        b"include_alias" => Some(Kind::Pragma),
        b"GCC" => match word(rest).0 {
            b"target" | b"optimize" | b"push_options" | b"pop_options" | b"reset_options" | b"dependency"
            | b"pch_preprocess" => Some(Kind::Pragma),
            _ => None,
        },
        b"clang" => match word(rest).0 {
            b"module" => Some(Kind::Pragma),
            _ => None,
        },
        _ => None,
    }
}

/// The first word of a pragma's text and what follows it.
pub(crate) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let start = text.iter().take_while(|byte| is_blank(**byte)).count();
    let text = &text[start..];
    let length = text.iter().take_while(|byte| is_word(**byte)).count();
    text.split_at(length)
}

/// The macro in `push_macro("NAME")`.
pub(crate) fn macro_name(text: &[u8]) -> Option<&[u8]> {
    let (_, rest) = word(text);
    let rest = rest.trim_ascii_start().strip_prefix(b"(")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"")?;
    let length = rest.iter().position(|byte| *byte == b'"')?;
    rest[length + 1..]
        .trim_ascii_start()
        .starts_with(b")")
        .then_some(())?;
    Some(&rest[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pragmas_that_matter_are_kept() {
        let cases: [(&str, Option<Kind>); 9] = [
            ("once", Some(Kind::Once)),
            ("  once", Some(Kind::Once)),
            ("once_more", None),
            ("push_macro(\"x\")", Some(Kind::PushMacro)),
            ("pop_macro (\"x\")", Some(Kind::PopMacro)),
            ("GCC diagnostic push", None),
            ("GCC target(\"avx2\")", Some(Kind::Pragma)),
            ("GCC dependency \"x\"", Some(Kind::Pragma)),
            ("omp parallel", None),
        ];
        for (text, kind) in cases {
            assert_eq!(classify(text.as_bytes()), kind, "{text}");
        }
    }

    #[test]
    fn names_of_pushed_macros() {
        assert_eq!(macro_name(b"push_macro(\"x\")"), Some(b"x".as_slice()));
        assert_eq!(macro_name(b"push_macro ( \"x\" ) "), Some(b"x".as_slice()));
        assert_eq!(macro_name(b"push_macro(x)"), None);
        assert_eq!(macro_name(b"push_macro(\"x\""), None);
    }
}
