//! What the variables say, from the files and the environment together.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::config_file::{entries, find};
use crate::variables::{Kind, Variable};

/// What stands before every variable in the environment.
pub(crate) const PREFIX: &str = "RECC_";

/// What was said.
#[derive(Clone, Debug, Default)]
pub struct Said {
    texts: BTreeMap<&'static str, OsString>,
    sets: BTreeMap<&'static str, BTreeSet<OsString>>,
    maps: BTreeMap<&'static str, BTreeMap<String, OsString>>,
}

/// Reads the texts of the files, the least important first, and then the environment.
pub fn read(files: &[String], environment: &[(OsString, OsString)]) -> Said {
    let mut said = Said::default();
    for (variable, key, value) in files.iter().flat_map(|text| entries(text)) {
        said.add(variable, key, OsStr::new(value));
    }
    for (name, value) in environment {
        let name = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some((variable, key)) = name.and_then(|name| find(name, |name, wanted| name == wanted)) {
            said.add(variable, key, value);
        }
    }
    said
}

impl Said {
    fn add(&mut self, variable: &Variable, key: Option<&str>, value: &OsStr) {
        match (variable.kind, key) {
            (Kind::Set, _) => {
                let words = words(value);
                self.sets.entry(variable.name).or_default().extend(words);
            }
            (Kind::Map, Some(key)) => {
                let map = self.maps.entry(variable.name).or_default();
                map.insert(key.to_owned(), value.to_owned());
            }
            _ => {
                self.texts.insert(variable.name, value.to_owned());
            }
        }
    }

    /// Of [`Kind::Text`], if it is not empty.
    pub fn text(&self, name: &str) -> Option<&OsStr> {
        let text = self.texts.get(name).map(OsString::as_os_str);
        text.filter(|text| !text.is_empty())
    }

    /// The same, even if it is empty.
    pub(crate) fn any_text(&self, name: &str) -> Option<&OsStr> {
        self.texts.get(name).map(OsString::as_os_str)
    }

    /// Of [`Kind::Bool`].
    pub fn bool(&self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// Of [`Kind::Set`].
    pub fn set(&self, name: &str) -> impl Iterator<Item = &OsString> {
        self.sets.get(name).into_iter().flatten()
    }

    /// Of [`Kind::Map`].
    pub fn map(&self, name: &str) -> impl Iterator<Item = (&String, &OsString)> {
        self.maps.get(name).into_iter().flatten()
    }

    /// Whether anything at all was said about it.
    pub(crate) fn is_said(&self, name: &str) -> bool {
        self.text(name).is_some() || self.sets.contains_key(name) || self.maps.contains_key(name)
    }
}

/// Words with commas between them; a backslash makes a comma a part of its word. Empty words are none: recc takes them for
/// names of files, which cannot be.
fn words(value: &OsStr) -> Vec<OsString> {
    let mut words = vec![Vec::new()];
    let mut bytes = value.as_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let last = words.len() - 1;
        match byte {
            b'\\' if bytes.next_if_eq(&b',').is_some() => words[last].push(b','),
            b',' => words.push(Vec::new()),
            byte => words[last].push(byte),
        }
    }
    let words = words.into_iter().filter(|word| !word.is_empty());
    words.map(OsString::from_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_commas() {
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("a", &["a"]),
            ("a,b c,,d", &["a", "b c", "d"]),
            (r"a\,b,c", &["a,b", "c"]),
            (r"a\b,\,", &[r"a\b", ","]),
            ("\\", &["\\"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(OsStr::new(text)), expected, "{text}");
        }
    }

    #[test]
    fn the_environment_wins_and_sets_and_maps_grow() {
        let files = [
            "server=low\ninstance=low\nlink=1\nenv_to_read=A\nremote_platform_a=1\nremote_platform_b=1"
                .to_owned(),
            "instance=middle\nenv_to_read=B".to_owned(),
        ];
        let environment = [
            ("RECC_SERVER", "high"),
            ("RECC_LINK", ""),
            ("RECC_ENV_TO_READ", "C,A"),
            ("RECC_REMOTE_PLATFORM_b", "2"),
            ("RECC_verify", "names have their case here"),
            ("VERIFY", "not ours"),
            ("RECC_SKIP_CACHE", "0"),
        ];
        let environment = environment.map(|(name, value)| (name.into(), value.into()));
        let said = read(&files, &environment);
        assert_eq!(said.text("SERVER"), Some(OsStr::new("high")));
        assert_eq!(said.text("INSTANCE"), Some(OsStr::new("middle")));
        assert!(!said.bool("LINK"), "set to nothing is not set");
        assert!(said.bool("SKIP_CACHE"), "zero is something");
        assert!(!said.bool("VERIFY"));
        assert_eq!(said.set("ENV_TO_READ").collect::<Vec<_>>(), ["A", "B", "C"]);
        let platform: Vec<_> = said
            .map("REMOTE_PLATFORM")
            .map(|(key, value)| (key.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(platform, [("a", "1"), ("b", "2")]);
    }
}
