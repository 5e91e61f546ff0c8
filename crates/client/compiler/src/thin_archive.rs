//! Thin archives: what files are their members.
//!
//! A thin archive (`!<thin>`) has headers and no bodies. Names are in one table, with paths relative to the archive;
//! the table and the index are the only members with a body. A member of a nested archive is named by the archive and
//! the offset within (binutils, `bfd/archive.c`).

use std::fmt;

/// More members than this are refused: the kernel's largest has some 5000.
pub const MEMBERS_MAX: usize = 1_000_000;

/// What the beginning of a file says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archive {
    /// Members are other files.
    Thin(Vec<Member>),
    /// Members are within.
    Whole,
    /// No archive at all.
    Other,
}

/// One member of a thin archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Relative to the directory of the archive, unless absolute.
    pub path: String,
    /// Where it is in the archive that `path` is then; `None` when `path` is the member itself.
    pub nested_at: Option<u64>,
}

/// Why an archive cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveError {
    /// It ends within a header or a body.
    Short,
    /// A header is none.
    Header,
    /// A name is not in the table, or not UTF-8.
    Name,
    /// More than [`MEMBERS_MAX`] members.
    TooMany,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Short => "the archive ends too early",
            Self::Header => "a header is malformed",
            Self::Name => "a name is missing",
            Self::TooMany => "too many members",
        })
    }
}

impl std::error::Error for ArchiveError {}

/// A longer name is refused: no path is longer.
pub const NAME_BYTES_MAX: usize = 4096;

const HEADER_BYTES: usize = 60;

/// The members of an archive, if they are files of their own.
pub fn members(archive: &[u8]) -> Result<Archive, ArchiveError> {
    let Some(mut rest) = archive.strip_prefix(b"!<thin>\n") else {
        let is_whole = archive.starts_with(b"!<arch>\n");
        return Ok(if is_whole { Archive::Whole } else { Archive::Other });
    };
    let mut names: &[u8] = &[];
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (header, body) = rest.split_at_checked(HEADER_BYTES).ok_or(ArchiveError::Short)?;
        if header.get(58..) != Some(b"`\n") {
            return Err(ArchiveError::Header);
        }
        let name = text(header.get(..16))?.trim_end();
        let size: usize = text(header.get(48..58))?
            .trim_end()
            .parse()
            .map_err(|_| ArchiveError::Header)?;
        match name {
            "/" | "/SYM64/" | "//" => {
                let (content, after) = body.split_at_checked(size).ok_or(ArchiveError::Short)?;
                if name == "//" {
                    names = content;
                }
                // Bodies begin at even offsets.
                rest = if size % 2 == 1 {
                    after.get(1..).unwrap_or_default()
                } else {
                    after
                };
            }
            name => {
                if members.len() >= MEMBERS_MAX {
                    return Err(ArchiveError::TooMany);
                }
                members.push(member(name, names)?);
                rest = body;
            }
        }
    }
    Ok(Archive::Thin(members))
}

/// `/123` is a name in the table, `/123:456` a member at 456 of the archive of that name; a short name ends with `/`.
fn member(name: &str, names: &[u8]) -> Result<Member, ArchiveError> {
    let Some(reference) = name.strip_prefix('/') else {
        let path = name.strip_suffix('/').unwrap_or(name);
        return if path.is_empty() {
            Err(ArchiveError::Name)
        } else {
            Ok(Member {
                path: path.to_owned(),
                nested_at: None,
            })
        };
    };
    // An archive whose members `ar m` has moved has a slash at the end of the field as well: `/3524          /`.
    let reference = reference.split(' ').next().unwrap_or_default();
    let (at, nested_at) = match reference.split_once(':') {
        Some((at, nested)) => (at, Some(nested.parse().map_err(|_| ArchiveError::Name)?)),
        None => (reference, None),
    };
    let at: usize = at.parse().map_err(|_| ArchiveError::Name)?;
    let from = names.get(at..).ok_or(ArchiveError::Name)?;
    let end = from
        .get(..NAME_BYTES_MAX.min(from.len()))
        .unwrap_or_default()
        .windows(2)
        .position(|pair| pair == b"/\n")
        .ok_or(ArchiveError::Name)?;
    let path = text(from.get(..end))?;
    if path.is_empty() {
        return Err(ArchiveError::Name);
    }
    Ok(Member {
        path: path.to_owned(),
        nested_at,
    })
}

fn text(bytes: Option<&[u8]>) -> Result<&str, ArchiveError> {
    std::str::from_utf8(bytes.ok_or(ArchiveError::Header)?).map_err(|_| ArchiveError::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, size: usize) -> Vec<u8> {
        format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644).into_bytes()
    }

    fn thin(parts: &[&[u8]]) -> Vec<u8> {
        let mut archive = b"!<thin>\n".to_vec();
        for part in parts {
            archive.extend_from_slice(part);
        }
        archive
    }

    #[test]
    fn members_of_a_thin_archive() {
        let names = b"a.o/\nd/long name.o/\nsub/lib.a/\n";
        let archive = thin(&[
            &header("/", 3),
            b"xyz\n",
            &header("//", names.len()),
            names,
            &header("/0", 100),
            &header("/5             /", 7),
            &header("/20:68", 7),
        ]);
        let member = |path: &str, nested_at| Member {
            path: path.to_owned(),
            nested_at,
        };
        // The table has an odd length; a byte fills it up.
        let mut archive = archive;
        if names.len() % 2 == 1 {
            let at = 8 + HEADER_BYTES + 4 + HEADER_BYTES + names.len();
            archive.insert(at, b'\n');
        }
        assert_eq!(
            members(&archive),
            Ok(Archive::Thin(vec![
                member("a.o", None),
                member("d/long name.o", None),
                member("sub/lib.a", Some(68)),
            ]))
        );
    }

    #[test]
    fn what_is_no_thin_archive() {
        assert_eq!(members(b"!<arch>\n"), Ok(Archive::Whole));
        assert_eq!(members(b"\x7fELF"), Ok(Archive::Other));
        assert_eq!(members(b""), Ok(Archive::Other));
        assert_eq!(members(b"!<thin>\n"), Ok(Archive::Thin(vec![])));
    }

    #[test]
    fn damage_is_named() {
        assert_eq!(members(&thin(&[b"short"])), Err(ArchiveError::Short));
        assert_eq!(members(&thin(&[&[b' '; 60]])), Err(ArchiveError::Header));
        assert_eq!(members(&thin(&[&header("//", 99)])), Err(ArchiveError::Short));
        assert_eq!(members(&thin(&[&header("/7", 1)])), Err(ArchiveError::Name));
        assert_eq!(members(&thin(&[&header("/x", 1)])), Err(ArchiveError::Name));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            for archive in [thin(&[&bytes]), thin(&[&header("//", bytes.len()), &bytes, &header("/3:4", 1)])] {
                // Never taken for another kind, and every member has a name.
                match members(&archive) {
                    Ok(Archive::Thin(members)) => assert!(members.iter().all(|member| !member.path.is_empty())),
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => {}
                }
            }
        }
    }
}
