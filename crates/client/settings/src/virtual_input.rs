//! An input that is no file here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A file that exists in the remote store only, at a place in the input root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualInput {
    /// Where, from the exec root.
    pub path: PathBuf,
    /// What, as `hash/size`.
    pub digest: String,
    /// When it was changed, in nanoseconds since 1970; a property of the node if set.
    pub mtime_ns: Option<i64>,
    /// Its permission bits.
    pub mode: Option<u32>,
}

impl VirtualInput {
    /// `digest mtime mode path`, where `-` is none: the path comes last because it may contain anything.
    pub(crate) fn to_value(&self) -> OsString {
        let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
        let mut value = format!(
            "{} {} {} ",
            self.digest,
            number(self.mtime_ns.map(|mtime| mtime.to_string())),
            number(self.mode.map(|mode| format!("{mode:o}")))
        )
        .into_bytes();
        value.extend_from_slice(self.path.as_os_str().as_bytes());
        OsString::from_vec(value)
    }

    pub(crate) fn from_value(value: &OsStr) -> Option<Self> {
        let mut words = value.as_bytes().splitn(4, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(words.next()?).ok();
        let (digest, mtime, mode) = (word()?, word()?, word()?);
        let path = words.next().filter(|path| !path.is_empty())?;
        Some(VirtualInput {
            path: OsStr::from_bytes(path).into(),
            digest: digest.to_owned(),
            mtime_ns: match mtime {
                "-" => None,
                number => Some(number.parse().ok()?),
            },
            mode: match mode {
                "-" => None,
                number => Some(u32::from_str_radix(number, 8).ok()?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let full = VirtualInput {
            path: "a file with spaces".into(),
            digest: "abc/3".to_owned(),
            mtime_ns: Some(-5),
            mode: Some(0o755),
        };
        assert_eq!(full.to_value(), "abc/3 -5 755 a file with spaces");
        let bare = VirtualInput {
            path: "x".into(),
            digest: "abc/3".to_owned(),
            ..VirtualInput::default()
        };
        assert_eq!(bare.to_value(), "abc/3 - - x");
        for input in [full, bare] {
            assert_eq!(VirtualInput::from_value(&input.to_value()), Some(input));
        }
        for wrong in ["", "abc/3", "abc/3 - - ", "abc/3 x - p", "abc/3 - 9 p"] {
            assert_eq!(VirtualInput::from_value(OsStr::new(wrong)), None, "{wrong}");
        }
    }
}
