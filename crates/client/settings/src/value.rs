//! How each kind of value is written: one pair for each element, so that nothing has to be escaped.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use crate::choices::{Choice, Dialect, Kind, Strategy, word};
use crate::virtual_input::VirtualInput;

/// A field of the settings.
pub(crate) trait Value {
    /// The values of its pairs; none when it is unset.
    fn values(&self) -> Vec<OsString>;
    /// Takes the value of one pair. `false` when it is none of this field's.
    fn add(&mut self, value: &OsStr) -> bool;
}

/// One element of a field, in one pair.
pub(crate) trait Element: Sized {
    fn write(&self) -> OsString;
    fn read(value: &OsStr) -> Option<Self>;
}

impl Element for OsString {
    fn write(&self) -> OsString {
        self.clone()
    }

    fn read(value: &OsStr) -> Option<Self> {
        Some(value.to_owned())
    }
}

impl Element for PathBuf {
    fn write(&self) -> OsString {
        self.clone().into_os_string()
    }

    fn read(value: &OsStr) -> Option<Self> {
        (!value.is_empty()).then(|| value.into())
    }
}

impl Element for String {
    fn write(&self) -> OsString {
        self.into()
    }

    fn read(value: &OsStr) -> Option<Self> {
        value.to_str().map(str::to_owned)
    }
}

impl Element for bool {
    fn write(&self) -> OsString {
        self.to_string().into()
    }

    fn read(value: &OsStr) -> Option<Self> {
        value.to_str()?.parse().ok()
    }
}

impl Element for u32 {
    fn write(&self) -> OsString {
        self.to_string().into()
    }

    fn read(value: &OsStr) -> Option<Self> {
        value.to_str()?.parse().ok()
    }
}

/// In whole milliseconds.
impl Element for Duration {
    fn write(&self) -> OsString {
        self.as_millis().to_string().into()
    }

    fn read(value: &OsStr) -> Option<Self> {
        Some(Duration::from_millis(value.to_str()?.parse().ok()?))
    }
}

impl Element for VirtualInput {
    fn write(&self) -> OsString {
        self.to_value()
    }

    fn read(value: &OsStr) -> Option<Self> {
        VirtualInput::from_value(value)
    }
}

/// `from=to`: the first `=` divides them.
impl Element for (PathBuf, PathBuf) {
    fn write(&self) -> OsString {
        joined(self.0.as_os_str(), self.1.as_os_str())
    }

    fn read(value: &OsStr) -> Option<Self> {
        let (from, to) = divided(value)?;
        Some((from.into(), to.into()))
    }
}

impl Element for (OsString, OsString) {
    fn write(&self) -> OsString {
        joined(&self.0, &self.1)
    }

    fn read(value: &OsStr) -> Option<Self> {
        divided(value)
    }
}

macro_rules! choices {
    ($($choice:ty),*) => {$(
        impl Element for $choice {
            fn write(&self) -> OsString {
                word(*self).into()
            }

            fn read(value: &OsStr) -> Option<Self> {
                Self::WORDS.iter().find(|(word, _)| value == *word).map(|(_, found)| *found)
            }
        }
    )*};
}

choices!(Dialect, Strategy, Kind);

/// Set or not; what is set twice is a mistake.
impl<E: Element> Value for Option<E> {
    fn values(&self) -> Vec<OsString> {
        self.iter().map(Element::write).collect()
    }

    fn add(&mut self, value: &OsStr) -> bool {
        if self.is_some() {
            return false;
        }
        *self = E::read(value);
        self.is_some()
    }
}

/// Unset is `false`.
impl Value for bool {
    fn values(&self) -> Vec<OsString> {
        self.then(|| self.write()).into_iter().collect()
    }

    fn add(&mut self, value: &OsStr) -> bool {
        let is_first = !*self;
        let read = bool::read(value);
        *self |= read == Some(true);
        is_first && read.is_some()
    }
}

/// Unset is zero.
impl Value for u32 {
    fn values(&self) -> Vec<OsString> {
        (*self != 0).then(|| self.write()).into_iter().collect()
    }

    fn add(&mut self, value: &OsStr) -> bool {
        let is_first = *self == 0;
        let read = u32::read(value);
        *self = read.unwrap_or(*self);
        is_first && read.is_some()
    }
}

/// Unset is our own.
impl Value for Dialect {
    fn values(&self) -> Vec<OsString> {
        (*self != Dialect::default())
            .then(|| self.write())
            .into_iter()
            .collect()
    }

    fn add(&mut self, value: &OsStr) -> bool {
        let is_first = *self == Dialect::default();
        let read = Dialect::read(value);
        *self = read.unwrap_or(*self);
        is_first && read.is_some()
    }
}

impl<E: Element> Value for Vec<E> {
    fn values(&self) -> Vec<OsString> {
        self.iter().map(Element::write).collect()
    }

    fn add(&mut self, value: &OsStr) -> bool {
        let read = E::read(value);
        let is_read = read.is_some();
        self.extend(read);
        is_read
    }
}

/// A list that replaces another: one that is empty says something else than none. No element of such a list is empty, so
/// an empty value is the empty list.
impl<E: Element> Value for Option<Vec<E>> {
    fn values(&self) -> Vec<OsString> {
        match self {
            None => Vec::new(),
            Some(list) if list.is_empty() => vec![OsString::new()],
            Some(list) => list.values(),
        }
    }

    fn add(&mut self, value: &OsStr) -> bool {
        let list = self.get_or_insert_default();
        value.is_empty() || list.add(value)
    }
}

impl<E: Element + Ord> Value for BTreeSet<E> {
    fn values(&self) -> Vec<OsString> {
        self.iter().map(Element::write).collect()
    }

    fn add(&mut self, value: &OsStr) -> bool {
        E::read(value).is_some_and(|element| self.insert(element))
    }
}

/// `key=value`: the first `=` divides them, and no key comes twice.
impl Value for BTreeMap<String, String> {
    fn values(&self) -> Vec<OsString> {
        self.iter()
            .map(|(key, value)| format!("{key}={value}").into())
            .collect()
    }

    fn add(&mut self, value: &OsStr) -> bool {
        let pair = value.to_str().and_then(|text| text.split_once('='));
        pair.is_some_and(|(key, value)| self.insert(key.to_owned(), value.to_owned()).is_none())
    }
}

fn joined(left: &OsStr, right: &OsStr) -> OsString {
    OsString::from_vec([left.as_bytes(), b"=", right.as_bytes()].concat())
}

fn divided(value: &OsStr) -> Option<(OsString, OsString)> {
    let bytes = value.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=')?;
    let part = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    Some((part(&bytes[..at]), part(&bytes[at + 1..])))
}
