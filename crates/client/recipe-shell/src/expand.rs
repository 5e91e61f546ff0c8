//! Words as what a command gets.

use std::collections::HashMap;

use crate::script::{Part, Word};

/// What words may refer to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    /// Set here. What is not comes from the environment.
    own: HashMap<String, Vec<u8>>,
}

impl Variables {
    pub(crate) fn set(&mut self, name: &str, value: Vec<u8>) {
        self.own.insert(name.to_owned(), value);
    }

    fn get(&self, name: &str) -> Vec<u8> {
        match self.own.get(name) {
            Some(value) => value.clone(),
            None => environment(name).unwrap_or_default(),
        }
    }

    /// The fields that words become. `status` is that of the command before.
    pub(crate) fn fields(&self, words: &[Word], status: u8) -> Vec<Vec<u8>> {
        words.iter().flat_map(|word| self.split(word, status)).collect()
    }

    /// One word as one field: of an assignment, a redirection, a trap.
    pub(crate) fn whole(&self, word: &[Part], status: u8) -> Vec<u8> {
        word.iter().flat_map(|part| self.value(part, status)).collect()
    }

    fn value(&self, part: &Part, status: u8) -> Vec<u8> {
        match part {
            Part::Text(text) => text.clone(),
            Part::Variable { name, .. } => self.get(name),
            Part::Process => std::process::id().to_string().into_bytes(),
            Part::Status => status.to_string().into_bytes(),
            Part::Empty => Vec::new(),
        }
    }

    fn split(&self, word: &[Part], status: u8) -> Vec<Vec<u8>> {
        let mut fields = Vec::new();
        let mut field: Option<Vec<u8>> = None;
        for part in word {
            let value = self.value(part, status);
            let is_split = matches!(part, Part::Variable { is_quoted: false, .. });
            if !is_split {
                field.get_or_insert_default().extend(value);
                continue;
            }
            for byte in value {
                match byte {
                    b' ' | b'\t' | b'\n' => fields.extend(field.take()),
                    byte => field.get_or_insert_default().push(byte),
                }
            }
        }
        fields.extend(field);
        fields
    }
}

/// A variable of the environment.
pub(crate) fn environment(name: &str) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    std::env::var_os(name).map(OsStringExt::into_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;
    use crate::script::Body;

    fn check(words: &str, expected: &[&str]) {
        let mut variables = Variables::default();
        variables.set("TWO", b" a  b ".to_vec());
        variables.set("NONE", Vec::new());
        let script = parse(format!("x {words}").as_bytes()).unwrap();
        let Body::Simple(simple) = &script.0[0].first.command.body else {
            panic!("{script:?}");
        };
        let fields = variables.fields(&simple.words[1..], 7);
        let fields: Vec<_> = fields
            .iter()
            .map(|field| String::from_utf8_lossy(field))
            .collect();
        assert_eq!(fields, expected, "{words}");
    }

    #[test]
    fn words_are_split_where_a_shell_splits_them() {
        check("$TWO", &["a", "b"]);
        check("x${TWO}y", &["x", "a", "b", "y"]);
        check("\"$TWO\"", &[" a  b "]);
        check("$NONE", &[]);
        check("\"$NONE\" ''", &["", ""]);
        check("''$NONE", &[""]);
        check(
            "$NOT_THERE_AT_ALL_ 'a b' c\\ d \"e\\\"f\\g\"",
            &["a b", "c d", "e\"f\\g"],
        );
        check("$? a$", &["7", "a$"]);
    }
}
