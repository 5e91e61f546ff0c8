//! Tables of options: one row an option, and how an argument finds its row.

use crate::NotOurs;

/// How an option takes its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// None: `-c`.
    Nothing,
    /// What follows in the same word, which must be something: `-lm`.
    Joined,
    /// The next word: `-MF x.d`.
    Separate,
    /// What follows in the same word, or else the next word: `-Idir`, `-I dir`.
    Either,
    /// After a `=`: `-std=c17`.
    Equals,
    /// After a `=`, or the next word: `--sysroot=/x`, `--sysroot /x`.
    EqualsOrNext,
    /// After a `=`, or none: `-flto`, `-flto=8`.
    MaybeEquals,
    /// Whatever the word goes on with: `-g`, `-ggdb3`.
    Prefix,
}

/// One option of a tool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<R: 'static> {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) role: R,
}

/// A row, in the order in which people read it.
pub(crate) const fn row<R>(name: &'static str, takes: Takes, role: R) -> Row<R> {
    Row { name, takes, role }
}

/// An argument that found its row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a, R: 'static> {
    pub(crate) row: &'static Row<R>,
    /// The option's argument; `None` for an option that has none here.
    pub(crate) value: Option<&'a str>,
    /// How many words it took: 1 or 2.
    pub(crate) words: usize,
}

impl<'a, R> Found<'a, R> {
    /// The argument, empty where there is none.
    pub(crate) fn text(&self) -> &'a str {
        self.value.unwrap_or_default()
    }
}

/// The row with the longest name that fits the first of `arguments`.
///
/// An option whose next word is missing is an error that the tool itself will report.
pub(crate) fn find<'a, R>(
    rows: &'static [Row<R>],
    arguments: &'a [String],
) -> Result<Option<Found<'a, R>>, NotOurs> {
    let Some(first) = arguments.first() else {
        return Ok(None);
    };
    find_spelled(rows, first, arguments.get(1))
}

/// As [`find`], for tools that let an option be spelled otherwise than in the table (`--Map` for `-Map`).
pub(crate) fn find_spelled<'a, R>(
    rows: &'static [Row<R>],
    first: &'a str,
    next: Option<&'a String>,
) -> Result<Option<Found<'a, R>>, NotOurs> {
    let fitting = rows
        .iter()
        .filter_map(|row| Some((row, fit(row, first)?)))
        .max_by_key(|(row, _)| row.name.len());
    let Some((row, fit)) = fitting else {
        return Ok(None);
    };
    let (value, words) = match fit {
        Fit::Alone => (None, 1),
        Fit::Here(value) => (Some(value), 1),
        Fit::Next => match next {
            Some(next) => (Some(next.as_str()), 2),
            None => {
                return Err(NotOurs::MissingArgument {
                    option: first.to_owned(),
                });
            }
        },
    };
    Ok(Some(Found { row, value, words }))
}

enum Fit<'a> {
    Alone,
    Here(&'a str),
    Next,
}

fn fit<'a, R>(row: &Row<R>, word: &'a str) -> Option<Fit<'a>> {
    let rest = word.strip_prefix(row.name)?;
    match row.takes {
        Takes::Nothing => rest.is_empty().then_some(Fit::Alone),
        Takes::Joined => (!rest.is_empty()).then_some(Fit::Here(rest)),
        Takes::Separate => rest.is_empty().then_some(Fit::Next),
        Takes::Either if rest.is_empty() => Some(Fit::Next),
        Takes::Either | Takes::Prefix => Some(Fit::Here(rest)),
        Takes::Equals => rest.strip_prefix('=').map(Fit::Here),
        Takes::EqualsOrNext if rest.is_empty() => Some(Fit::Next),
        Takes::EqualsOrNext => rest.strip_prefix('=').map(Fit::Here),
        Takes::MaybeEquals if rest.is_empty() => Some(Fit::Alone),
        Takes::MaybeEquals => rest.strip_prefix('=').map(Fit::Here),
    }
}

/// Fails when a table says two things about one spelling.
#[cfg(test)]
pub(crate) fn assert_no_duplicates<R>(rows: &[Row<R>]) {
    let mut seen = std::collections::HashSet::new();
    for row in rows {
        assert!(
            seen.insert((row.name, format!("{:?}", row.takes))),
            "{} twice",
            row.name
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ROWS: [Row<u8>; 8] = [
        row("-c", Takes::Nothing, 1),
        row("-l", Takes::Joined, 2),
        row("-MF", Takes::Separate, 3),
        row("-I", Takes::Either, 4),
        row("-std", Takes::Equals, 5),
        row("--sysroot", Takes::EqualsOrNext, 6),
        row("-flto", Takes::MaybeEquals, 7),
        row("-f", Takes::Prefix, 8),
    ];

    #[test]
    fn every_way_to_take_an_argument() {
        for (words, expected) in [
            ("-c", Some((1, "", 1))),
            ("-cx", None),
            ("-lm", Some((2, "m", 1))),
            ("-l", None),
            ("-MF x", Some((3, "x", 2))),
            ("-MFx", None),
            ("-Ia", Some((4, "a", 1))),
            ("-I a", Some((4, "a", 2))),
            ("-std=c17", Some((5, "c17", 1))),
            ("-std", None),
            ("--sysroot=/x", Some((6, "/x", 1))),
            ("--sysroot /x", Some((6, "/x", 2))),
            ("--sysroots", None),
            ("-flto", Some((7, "", 1))),
            ("-flto=8", Some((7, "8", 1))),
            ("-flto-partition=one", Some((8, "lto-partition=one", 1))),
            ("-f", Some((8, "", 1))),
            ("x", None),
        ] {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let found = find(&ROWS, &words).unwrap();
            let found = found.map(|found| (found.row.role, found.text(), found.words));
            assert_eq!(found, expected, "{words:?}");
        }
    }

    #[test]
    fn a_missing_next_word_is_named() {
        assert_eq!(
            find(&ROWS, &["-MF".to_owned()]).unwrap_err(),
            NotOurs::MissingArgument {
                option: "-MF".to_owned()
            }
        );
    }
}
