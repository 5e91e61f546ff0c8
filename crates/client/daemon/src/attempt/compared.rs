//! Whether a command makes the same again: what is known of it, what workers make of it, and what this machine makes.

use std::collections::BTreeMap;

use reapi::execution::{ActionResult, OutputFile};

use crate::plan::Subject;

/// Results of one command.
#[derive(Default)]
pub(crate) struct Results {
    count: usize,
    /// By output, the digests in the order of the results; `None` where it was not made.
    outputs: BTreeMap<String, Vec<Option<String>>>,
}

impl Results {
    /// One more. The lines of a make rule are broken where names are long, so one that was made in another directory
    /// (`plan/moved.rs`) says the same in other bytes.
    pub(crate) fn add(&mut self, subject: &Subject, result: &ActionResult) {
        let is_rule = |name: &str| {
            subject
                .outputs
                .iter()
                .any(|output| output.name == name && output.is_rule)
        };
        let compares = |output: &&OutputFile| subject.moved.is_none() || !is_rule(&output.path);
        for output in result.output_files.iter().filter(compares) {
            let digest = output
                .digest
                .as_ref()
                .map(|digest| format!("{}/{}", digest.hash, digest.size_bytes));
            let known = self.outputs.entry(output.path.clone()).or_default();
            known.resize(self.count, None);
            known.push(digest);
        }
        self.count += 1;
    }

    /// The outputs that are not the same in all results; `None` if there are fewer than two, which says nothing.
    pub(crate) fn different(&self) -> Option<Vec<String>> {
        let differs = |digests: &Vec<Option<String>>| {
            digests.len() < self.count || digests.iter().any(|digest| *digest != digests[0])
        };
        (self.count >= 2).then(|| {
            let different = self.outputs.iter().filter(|(_, digests)| differs(digests));
            different.map(|(path, _)| path.clone()).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use action::ActionDigest;
    use reapi::execution::Digest;

    use super::*;
    use crate::plan::{Moved, PlannedOutput};
    use crate::service::FUNCTION;

    fn subject(moved: Option<Moved>) -> Subject {
        let output = |name: &str| PlannedOutput {
            name: name.to_owned(),
            path: name.into(),
            is_required: true,
            is_rule: name == "b",
            is_directory: false,
        };
        Subject {
            name: "a".to_owned(),
            program: "/usr/bin/gcc".into(),
            action_digest: ActionDigest::new(blob::Digest::of(FUNCTION, b"action")),
            outputs: ["a", "b"].map(output).to_vec(),
            moved,
            unsure: None,
            dated: None,
        }
    }

    fn result(outputs: &[(&str, &str)]) -> ActionResult {
        let output = |(path, hash): &(&str, &str)| OutputFile {
            path: (*path).to_owned(),
            digest: Some(Digest {
                hash: (*hash).to_owned(),
                size_bytes: 1,
            }),
            ..OutputFile::default()
        };
        ActionResult {
            output_files: outputs.iter().map(output).collect(),
            ..ActionResult::default()
        }
    }

    #[test]
    fn what_is_not_the_same_in_all_results_is_named() {
        let check = |all: &[&[(&str, &str)]], expected: Option<&[&str]>| {
            let mut results = Results::default();
            let subject = subject(None);
            all.iter()
                .for_each(|outputs| results.add(&subject, &result(outputs)));
            let expected =
                expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
            assert_eq!(results.different(), expected, "{all:?}");
        };
        check(&[], None);
        check(&[&[("a", "1")]], None);
        check(&[&[("a", "1"), ("b", "1")], &[("b", "1"), ("a", "1")]], Some(&[]));
        check(
            &[&[("a", "1"), ("b", "1")], &[("a", "1"), ("b", "2")]],
            Some(&["b"]),
        );
        check(&[&[("a", "1")], &[("a", "1"), ("b", "2")]], Some(&["b"]));
        check(
            &[&[("a", "1"), ("b", "2")], &[("a", "1")], &[("a", "2")]],
            Some(&["a", "b"]),
        );
    }

    #[test]
    fn make_rules_of_other_directories_are_not_compared() {
        let mut results = Results::default();
        let subject = subject(Some(Moved::at("/p".to_owned())));
        for hash in ["1", "2"] {
            results.add(&subject, &result(&[("a", "1"), ("b", hash)]));
        }
        assert_eq!(results.different(), Some(Vec::new()));
        results.add(&subject, &result(&[("a", "2")]));
        assert_eq!(results.different(), Some(vec!["a".to_owned()]));
    }
}
