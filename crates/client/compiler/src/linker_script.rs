//! What other files a linker script names: `INPUT`, `GROUP`, `INCLUDE`, `STARTUP`, `SEARCH_DIR`, `OUTPUT`.
//!
//! A text in place of a library (`libc.so`) is a linker script as well as what `-T` names. Only commands that name
//! files are looked for; everything else, expressions and sections, is passed over. A name that is found where the
//! linker would see none costs an input too many, never one too few.

use std::fmt;

/// A longer script is not read: the kernel's have some 30 KB.
pub const SCRIPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// More names than this are refused.
pub const REFERENCES_MAX: usize = 100_000;

/// Something that a linker script names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A file to link (`INPUT`, `GROUP`, `STARTUP`): as it is, or to be looked for in the directories of libraries.
    /// With a leading `=` or `$SYSROOT`, below the root.
    File {
        /// As written.
        name: String,
        /// Within `AS_NEEDED`.
        as_needed: bool,
    },
    /// A library to search for: what follows `-l`.
    Library {
        /// Without `-l`.
        name: String,
        /// Within `AS_NEEDED`.
        as_needed: bool,
    },
    /// Another script, looked for in the working directory, then where libraries are.
    Include(String),
    /// A directory to look for libraries in, after those of the command line.
    SearchDirectory(String),
    /// What is linked goes here, unless the command line says otherwise.
    Output(String),
}

/// Why a script cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptError {
    /// An object, an archive or other binary file.
    NotText,
    /// Longer than [`SCRIPT_BYTES_MAX`], or with more names than [`REFERENCES_MAX`].
    TooLarge,
    /// A comment, a quotation or a list without an end.
    Open,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotText => "not a text",
            Self::TooLarge => "too large",
            Self::Open => "something has no end",
        })
    }
}

impl std::error::Error for ScriptError {}

/// Everything that a script names, in order.
pub fn references(script: &[u8]) -> Result<Vec<Reference>, ScriptError> {
    if script.len() > SCRIPT_BYTES_MAX {
        return Err(ScriptError::TooLarge);
    }
    if script.contains(&0) || script.starts_with(b"!<arch>") || script.starts_with(b"!<thin>") {
        return Err(ScriptError::NotText);
    }
    let text = std::str::from_utf8(script).map_err(|_| ScriptError::NotText)?;
    let tokens = tokens(text)?;
    let mut found = Vec::new();
    let mut rest = tokens.as_slice();
    while let [first, following @ ..] = rest {
        rest = following;
        match (first, following) {
            (Token::Name("INPUT" | "GROUP" | "STARTUP"), [Token::Open, list @ ..]) => {
                rest = files(list, &mut found)?;
            }
            (Token::Name("INCLUDE"), [name, after @ ..]) if name.text().is_some() => {
                found.extend(name.text().map(|name| Reference::Include(name.to_owned())));
                rest = after;
            }
            (Token::Name("SEARCH_DIR"), [Token::Open, name, after @ ..]) if name.text().is_some() => {
                found.extend(
                    name.text()
                        .map(|name| Reference::SearchDirectory(name.to_owned())),
                );
                rest = after;
            }
            (Token::Name("OUTPUT"), [Token::Open, name, after @ ..]) if name.text().is_some() => {
                found.extend(name.text().map(|name| Reference::Output(name.to_owned())));
                rest = after;
            }
            _ => {}
        }
        if found.len() > REFERENCES_MAX {
            return Err(ScriptError::TooLarge);
        }
    }
    Ok(found)
}

/// The names of a list, up to its end; `AS_NEEDED` is a list within.
fn files<'t, 'a>(list: &'t [Token<'a>], found: &mut Vec<Reference>) -> Result<&'t [Token<'a>], ScriptError> {
    let mut rest = list;
    let mut depth = 1_u32;
    let mut as_needed = false;
    while let [first, following @ ..] = rest {
        rest = following;
        match first {
            Token::Open => depth += 1,
            Token::Close if depth == 1 => return Ok(rest),
            Token::Close => {
                depth -= 1;
                as_needed &= depth > 1;
            }
            Token::Name("AS_NEEDED") if matches!(following.first(), Some(Token::Open)) => as_needed = true,
            Token::Name(name) | Token::Quoted(name) => found.push(match name.strip_prefix("-l") {
                Some(library) => Reference::Library {
                    name: library.to_owned(),
                    as_needed,
                },
                None => Reference::File {
                    name: (*name).to_owned(),
                    as_needed,
                },
            }),
            Token::Other => {}
        }
    }
    Err(ScriptError::Open)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    Quoted(&'a str),
    Open,
    Close,
    Other,
}

impl<'a> Token<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Name(text) | Self::Quoted(text) => Some(text),
            _ => None,
        }
    }
}

/// Names as the linker's lexer sees file names: up to white space or punctuation that no path has.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, ScriptError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.find("*/").ok_or(ScriptError::Open)?;
            rest = &comment[end + 2..];
            continue;
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"').ok_or(ScriptError::Open)?;
            tokens.push(Token::Quoted(&quoted[..end]));
            rest = &quoted[end + 1..];
            continue;
        }
        let ends = |next: char| next.is_whitespace() || "(){};,\"".contains(next);
        let length = if ends(first) {
            match first {
                '(' => tokens.push(Token::Open),
                ')' => tokens.push(Token::Close),
                first if first.is_whitespace() || first == ',' => {}
                _ => tokens.push(Token::Other),
            }
            first.len_utf8()
        } else {
            let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
            // A comment may follow a name at once.
            let word = &word[..word.find("/*").filter(|at| *at > 0).unwrap_or(word.len())];
            tokens.push(Token::Name(word));
            word.len()
        };
        rest = &rest[length..];
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(script: &str) -> String {
        match references(script.as_bytes()) {
            Err(error) => format!("{error}"),
            Ok(found) => {
                let shown: Vec<String> = found
                    .iter()
                    .map(|reference| match reference {
                        Reference::File { name, as_needed } => {
                            format!("{name}{}", if *as_needed { "?" } else { "" })
                        }
                        Reference::Library { name, as_needed } => {
                            format!("-l{name}{}", if *as_needed { "?" } else { "" })
                        }
                        Reference::Include(name) => format!("include {name}"),
                        Reference::SearchDirectory(name) => format!("L {name}"),
                        Reference::Output(name) => format!("out {name}"),
                    })
                    .collect();
                shown.join(", ")
            }
        }
    }

    #[test]
    fn scripts_and_what_they_name() {
        for (script, expected) in [
            (
                "/* GNU ld script\n*/\nOUTPUT_FORMAT(elf64-x86-64)\n\
                 GROUP ( /lib/x86_64-linux-gnu/libc.so.6 /usr/lib/libc_nonshared.a  AS_NEEDED ( /lib64/ld.so.2 ) )",
                "/lib/x86_64-linux-gnu/libc.so.6, /usr/lib/libc_nonshared.a, /lib64/ld.so.2?",
            ),
            ("INPUT(-lfoo, \"a b.o\" =/lib/x.so)", "-lfoo, a b.o, =/lib/x.so"),
            ("GROUP(AS_NEEDED(-lx) y.a)", "-lx?, y.a"),
            ("SEARCH_DIR(\"=/usr/lib\"); SEARCH_DIR(d)", "L =/usr/lib, L d"),
            ("STARTUP(crt0.o) OUTPUT(prog)", "crt0.o, out prog"),
            (
                "SECTIONS { .text : { *(.text) INCLUDE a.ld } INCLUDE \"b.ld\" }",
                "include a.ld, include b.ld",
            ),
            ("INPUT/**/(a/*x*/b)", "a, b"),
            ("ENTRY(start) SECTIONS { . = 0x100; .data : { KEEP(*(.d)) } }", ""),
            ("INPUT = 5; INPUT_SECTION_FLAGS(x)", ""),
            ("/* no end", "something has no end"),
            ("GROUP(a", "something has no end"),
            ("INPUT(\"a", "something has no end"),
            ("INCLUDE", ""),
            ("", ""),
            ("\x7fELF\0", "not a text"),
            ("!<thin>\n", "not a text"),
        ] {
            assert_eq!(shown(script), expected, "{script}");
        }
    }

    #[test]
    fn a_script_that_is_too_long() {
        assert_eq!(
            references(&vec![b' '; SCRIPT_BYTES_MAX + 1]),
            Err(ScriptError::TooLarge)
        );
    }

    /// Ends without a panic, within its bound, and names no file without a name.
    fn holds(script: &[u8]) {
        if let Ok(found) = references(script) {
            assert!(found.len() <= REFERENCES_MAX);
            let is_named = |reference: &Reference| match reference {
                Reference::File { name, .. } | Reference::Library { name, .. } => !name.is_empty(),
                _ => true,
            };
            assert!(found.iter().all(is_named), "{found:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(bytes in proptest::collection::vec(0u8..128, 0..200)) {
            holds(&bytes);
        }

        #[test]
        fn no_list_makes_it_panic(text in "(INPUT|GROUP|INCLUDE|AS_NEEDED|[(){};,\" /*a-é]){0,40}") {
            holds(text.as_bytes());
        }
    }
}
