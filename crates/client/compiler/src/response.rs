//! Response files: `@file` among the arguments stands for the words in that file.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::limits::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, RESPONSE_DEPTH_MAX, RESPONSE_FILE_BYTES_MAX, RESPONSE_FILES_MAX,
};
use crate::{NotOurs, ResponseFiles};

/// Arguments as text, with response files in their place.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    /// All of them, without the tool.
    pub(crate) list: Vec<String>,
    /// The files that were read for it, as written.
    pub(crate) response_files: Vec<PathBuf>,
}

/// How a tool reads its response files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// gcc, clang, binutils: white space separates; quotes of either kind and backslashes protect; files may nest.
    Gnu,
    /// rustc, d8, r8: one argument a line, nothing protects.
    Lines,
    /// javac, metalava: as `Gnu`, but a file within a file is no file, and `#` begins a comment in javac's.
    Java,
    /// The tool has no response files: `@x` is a word like any other.
    None,
}

/// The text of all arguments, response files expanded.
pub(crate) fn expand(
    argv: &[OsString],
    files: &dyn ResponseFiles,
    quoting: Quoting,
) -> Result<Arguments, NotOurs> {
    let mut arguments = Arguments::default();
    for argument in argv {
        let text = text(argument)?;
        expand_one(text, files, quoting, 0, &mut arguments)?;
    }
    Ok(arguments)
}

fn expand_one(
    argument: String,
    files: &dyn ResponseFiles,
    quoting: Quoting,
    depth: usize,
    arguments: &mut Arguments,
) -> Result<(), NotOurs> {
    let named = argument.strip_prefix('@').filter(|name| !name.is_empty());
    let is_file = match quoting {
        Quoting::Gnu => true,
        Quoting::Lines | Quoting::Java => depth == 0,
        Quoting::None => false,
    };
    let Some(name) = named.filter(|_| is_file) else {
        if arguments.list.len() >= ARGUMENTS_MAX || argument.len() > ARGUMENT_BYTES_MAX {
            return Err(NotOurs::TooMany);
        }
        arguments.list.push(argument);
        return Ok(());
    };
    let path = Path::new(name);
    let refused = || NotOurs::ResponseFile {
        path: path.to_owned(),
    };
    if depth >= RESPONSE_DEPTH_MAX || arguments.response_files.len() >= RESPONSE_FILES_MAX {
        return Err(refused());
    }
    let bytes = files
        .read(path)
        .filter(|bytes| bytes.len() <= RESPONSE_FILE_BYTES_MAX)
        .ok_or_else(refused)?;
    let content = String::from_utf8(bytes).map_err(|_| refused())?;
    arguments.response_files.push(path.to_owned());
    let words = match quoting {
        Quoting::Gnu => words(&content),
        Quoting::Lines | Quoting::None => content
            .lines()
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
        Quoting::Java => java_words(&content),
    };
    for word in words {
        expand_one(word, files, quoting, depth + 1, arguments)?;
    }
    Ok(())
}

fn text(argument: &OsStr) -> Result<String, NotOurs> {
    match argument.to_str() {
        Some(text) if text.len() > ARGUMENT_BYTES_MAX => Err(NotOurs::TooMany),
        Some(text) => Ok(text.to_owned()),
        None => Err(NotOurs::NotText {
            shown: argument.to_string_lossy().into_owned(),
        }),
    }
}

/// Words by the rules of gcc and of clang's GNU mode, which agree: a backslash protects the next character anywhere,
/// within quotes of either kind too.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(next) = characters.next() {
        match (next, quote) {
            ('\\', _) => word.get_or_insert_default().extend(characters.next()),
            (_, Some(open)) if next == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(next);
                word.get_or_insert_default();
            }
            (' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(next),
        }
    }
    words.extend(word);
    words
}

/// Words by javac's rules: a backslash protects within quotes only, `#` begins a comment up to the end of the line.
fn java_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for line in text.lines() {
        let mut word: Option<String> = None;
        let mut quote = None;
        let mut characters = line.chars();
        while let Some(next) = characters.next() {
            match (next, quote) {
                ('\\', Some(_)) => word.get_or_insert_default().extend(characters.next()),
                (_, Some(open)) if next == open => quote = None,
                ('\'' | '"', None) => {
                    quote = Some(next);
                    word.get_or_insert_default();
                }
                ('#', None) if word.is_none() => break,
                (' ' | '\t' | '\x0c', None) => words.extend(word.take()),
                _ => word.get_or_insert_default().push(next),
            }
        }
        words.extend(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Held(HashMap<&'static str, &'static str>);

    impl ResponseFiles for Held {
        fn read(&self, path: &Path) -> Option<Vec<u8>> {
            self.0.get(path.to_str()?).map(|text| text.as_bytes().to_vec())
        }
    }

    fn expanded(argument: &str, files: &[(&'static str, &'static str)]) -> Result<Vec<String>, NotOurs> {
        let files = Held(files.iter().copied().collect());
        expand(&[argument.into()], &files, Quoting::Gnu).map(|arguments| arguments.list)
    }

    #[test]
    fn quotes_and_backslashes() {
        for (text, expected) in [
            ("a b\tc\nd", vec!["a", "b", "c", "d"]),
            (" 'a b' \"c d\"e ", vec!["a b", "c de"]),
            (r#"-DX=\"y\" a\ b"#, vec![r#"-DX="y""#, "a b"]),
            (r"'a\'b'", vec!["a'b"]),
            ("'' \"\"", vec!["", ""]),
            ("a\\\nb", vec!["a\nb"]),
            ("'open end", vec!["open end"]),
            ("end\\", vec!["end"]),
            ("", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn files_within_files() {
        let files = [("a", "-c @b x.c"), ("b", "-O2")];
        assert_eq!(expanded("@a", &files).unwrap(), ["-c", "-O2", "x.c"]);
    }

    #[test]
    fn an_endless_nest_is_refused() {
        assert!(matches!(
            expanded("@a", &[("a", "@a")]),
            Err(NotOurs::ResponseFile { .. })
        ));
    }

    #[test]
    fn a_file_that_is_not_there_is_refused() {
        assert!(matches!(
            expanded("@none", &[]),
            Err(NotOurs::ResponseFile { .. })
        ));
        assert_eq!(expanded("@", &[]).unwrap(), ["@"]);
    }

    #[test]
    fn javac_has_comments_and_keeps_backslashes() {
        assert_eq!(
            java_words("-d out # comment\n\"a b\\\"c\" C:\\x #y\n"),
            ["-d", "out", "a b\"c", "C:\\x"]
        );
    }
}
