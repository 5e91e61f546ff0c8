//! Which files say where the tree is. What is made of them may say so too, whatever the compiler is told.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use blob::{Blob, Digest};
use file_digests::FileDigests;

use super::memo::Memo;
use super::moved::names;
use super::why::Why;
use crate::limits::{MENTIONING_BYTES_MAX, MENTIONS_MAX};
use crate::service::FUNCTION;

/// What has been looked for.
pub(super) struct Mentions {
    /// By root and contents.
    known: Memo<(String, Digest), bool>,
}

impl Default for Mentions {
    fn default() -> Self {
        Mentions {
            known: Memo::new(MENTIONS_MAX),
        }
    }
}

impl Mentions {
    /// The first of these files that has the root's path in it, or is too large to look.
    pub(super) fn first<'a>(
        &self,
        digests: &FileDigests,
        root: &str,
        files: &'a [PathBuf],
    ) -> Result<Option<&'a PathBuf>, Why> {
        for path in files {
            let unreadable = |why: String| Why::Unreadable {
                path: path.clone(),
                why,
            };
            let digest = digests
                .get(path)
                .map_err(|error| unreadable(error.to_string()))?
                .digest;
            let known = self.known.get(&(root.to_owned(), digest));
            let mentions = match known {
                Some(known) => known,
                None => self
                    .look(root, path)
                    .map_err(|error| unreadable(error.to_string()))?,
            };
            if mentions {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn look(&self, root: &str, path: &Path) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.take(MENTIONING_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MENTIONING_BYTES_MAX {
            return Ok(true);
        }
        let mentions = names(&bytes, root);
        // It may have changed since anybody asked for its digest.
        let digest = Blob::from_bytes(FUNCTION, bytes).digest();
        self.known.insert((root.to_owned(), digest), mentions);
        Ok(mentions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_once_for_each_of_their_contents() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let digests = FileDigests::new(FUNCTION);
        let mentions = Mentions::default();
        let files = ["a.c", "b.h", "copy.h"].map(path);
        for (file, text) in files
            .iter()
            .zip(["#include \"b.h\"", "in /home/u/pp", "in /home/u/pp"])
        {
            std::fs::write(file, text).unwrap();
        }
        let first = |root: &str| mentions.first(&digests, root, &files).unwrap().cloned();
        assert_eq!(first("/home/u/p"), None);
        assert_eq!(mentions.known.len(), 2);
        assert_eq!(first("/home/u/pp"), Some(path("b.h")));
        std::fs::write(path("copy.h"), "#line 1 \"/home/u/p/gen.y\"").unwrap();
        assert_eq!(first("/home/u/p"), Some(path("copy.h")));
        std::fs::remove_file(path("a.c")).unwrap();
        assert!(mentions.first(&digests, "/home/u/p", &files).is_err());
    }
}
