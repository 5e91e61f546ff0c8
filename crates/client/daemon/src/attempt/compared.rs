//! Whether a command makes the same again: what is known of it, what workers make of it, and what this machine makes.

use std::collections::BTreeMap;

use reapi::execution::ActionResult;

/// Results of one command.
#[derive(Default)]
pub(crate) struct Results {
    count: usize,
    /// By output, the digests in the order of the results; `None` where it was not made.
    outputs: BTreeMap<String, Vec<Option<String>>>,
}

impl Results {
    pub(crate) fn add(&mut self, result: &ActionResult) {
        for output in &result.output_files {
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
    use reapi::execution::{Digest, OutputFile};

    use super::*;

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
            all.iter().for_each(|outputs| results.add(&result(outputs)));
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
}
