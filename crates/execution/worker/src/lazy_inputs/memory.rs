//! What commands have read when they ran before.
//!
//! A command without its inputs is named by the digest of its `Command`: the same compile of a changed source has the same
//! one, and will most likely open the same files.

use std::collections::BTreeSet;
use std::sync::Arc;

use blob::Digest;
use cas::Lru;
use merkle::{Entry, InputTree};
use parking_lot::Mutex;

use crate::file_cache::FileId;
use crate::limits::{PREFETCH_BYTES_MAX, READ_BEFORE_BYTES_MAX};

/// Paths by command; those that ran longest ago are forgotten first.
pub(crate) struct ReadBefore {
    paths: Mutex<Lru<Digest, Arc<BTreeSet<String>>>>,
}

impl Default for ReadBefore {
    fn default() -> Self {
        ReadBefore {
            paths: Mutex::new(Lru::new()),
        }
    }
}

/// What an entry takes beside its text, about: a set's node, a string's head.
const PATH_OVERHEAD_BYTES: u64 = 48;

impl ReadBefore {
    /// A command has read these.
    pub(crate) fn note(&self, command: Digest, paths: BTreeSet<String>) {
        let bytes_of = |path: &String| path.len() as u64 + PATH_OVERHEAD_BYTES;
        let weight = PATH_OVERHEAD_BYTES + paths.iter().map(bytes_of).sum::<u64>();
        let mut known = self.paths.lock();
        known.insert(command, Arc::new(paths), weight);
        while known.weight() > READ_BEFORE_BYTES_MAX && known.pop_oldest().is_some() {}
    }

    /// The files that it will most likely read of `tree`, each once; as many as are at most fetched ahead.
    pub(crate) fn expected(&self, command: Digest, tree: &InputTree) -> Vec<FileId> {
        let paths = self.paths.lock().get(&command).cloned();
        let mut files = BTreeSet::new();
        let mut bytes = 0;
        for path in paths.iter().flat_map(|paths| paths.iter()) {
            let Ok(Some(Entry::File(node))) = tree.entry(path) else {
                continue;
            };
            bytes += node.digest.size_bytes();
            if bytes > PREFETCH_BYTES_MAX {
                break;
            }
            files.insert(FileId {
                digest: node.digest,
                is_executable: node.is_executable,
            });
        }
        files.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use merkle::TreeBuilder;

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    fn tree(files: &[(&str, &str)]) -> InputTree {
        let mut tree = TreeBuilder::new();
        for (path, content) in files {
            tree.insert_file(path, Digest::of(F, content.as_bytes()), false)
                .unwrap();
        }
        tree.build(F).unwrap().into_tree().into_input_tree()
    }

    fn paths(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn what_was_read_before_and_is_there_is_expected_with_its_new_content() {
        let (read_before, compile) = (ReadBefore::default(), Digest::of(F, b"compile"));
        let changed = tree(&[("a.h", "new"), ("b.h", "b"), ("c/d.h", "new"), ("unread.h", "x")]);
        assert_eq!(read_before.expected(compile, &changed), []);
        read_before.note(compile, paths(&["a.h", "c/d.h", "gone.h", "c"]));
        let expected = read_before.expected(compile, &changed);
        // The same content at two paths is fetched once.
        assert_eq!(expected.len(), 1);
        assert_eq!(expected[0].digest, Digest::of(F, b"new"));
        assert_eq!(read_before.expected(Digest::of(F, b"link"), &changed), []);
        read_before.note(compile, paths(&["b.h"]));
        assert_eq!(
            read_before.expected(compile, &changed)[0].digest,
            Digest::of(F, b"b")
        );
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let read_before = ReadBefore::default();
        let there = tree(&[("x", "x")]);
        let long = "l".repeat(READ_BEFORE_BYTES_MAX as usize / 3);
        let commands: Vec<Digest> = (0..4u8).map(|number| Digest::of(F, &[number])).collect();
        for command in &commands {
            read_before.note(*command, paths(&["x", &long]));
        }
        let expected = commands
            .iter()
            .map(|command| read_before.expected(*command, &there).len());
        assert_eq!(expected.collect::<Vec<_>>(), [0, 0, 1, 1]);
    }
}
