//! What builds that are independent of paths need to know of files and compilers: whether a step is the same in every tree.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use daemon_api::Request;
use file_digests::FileDigests;
use toolchain::ProbeError;

use super::memo::Memo;
use super::mentions::Mentions;
use super::moved::{Candidate, Moved};
use super::toolchains::Toolchain;
use super::why::Why;
use crate::limits::MAPPING_MAX;
use crate::tool::ask;

/// What is known across commands.
pub(super) struct Trees {
    digests: Arc<FileDigests>,
    mentions: Mentions,
    /// Which drivers can be told to map paths: by where they are, and the fingerprint of their toolchain.
    mapping: Memo<([u8; 32], PathBuf), bool>,
}

impl Trees {
    pub(super) fn new(digests: Arc<FileDigests>) -> Self {
        Trees {
            digests,
            mentions: Mentions::default(),
            mapping: Memo::new(MAPPING_MAX),
        }
    }

    /// The step, if its result is the same in every tree; the inner error says why that is not certain. `opened` are the files of
    /// `candidate` that do not come with the host, as they can be opened.
    pub(super) fn moved(
        &self,
        request: &Request,
        program: &Path,
        toolchain: &Toolchain,
        candidate: &Candidate<'_>,
        opened: &[PathBuf],
    ) -> Result<Result<Moved, String>, Why> {
        let moved = match Moved::of(candidate) {
            Ok(moved) => moved,
            Err(why) => return Ok(Err(why.to_owned())),
        };
        if !candidate.step.sources.is_empty() && !self.maps(request, program, toolchain)? {
            return Ok(Err("the compiler cannot be told to map paths".to_owned()));
        }
        let mentioning = self.mentions.first(&self.digests, candidate.root, opened);
        Ok(match mentioning? {
            Some(path) => Err(format!(
                "{} says where the tree is, or is too large to look",
                path.display()
            )),
            None => Ok(moved),
        })
    }

    /// Whether a driver takes `-ffile-prefix-map` (gcc since 8, clang since 10).
    fn maps(&self, request: &Request, program: &Path, toolchain: &Toolchain) -> Result<bool, Why> {
        let key = (toolchain.fingerprint, program.to_owned());
        let words = [
            "-ffile-prefix-map=/no/such=.",
            "-fsyntax-only",
            "-x",
            "c",
            "/dev/null",
        ];
        self.mapping
            .get_or_find(key, |_| match ask(request, program, &words.map(Into::into)) {
                Ok(_) => Ok(true),
                Err(ProbeError::Refused { .. }) => Ok(false),
                Err(error) => Err(Why::Toolchain(error.to_string())),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::service::FUNCTION;

    #[test]
    fn a_driver_is_asked_once_whether_it_maps_paths() {
        let directory = tempfile::tempdir().unwrap();
        let trees = Trees::new(Arc::new(FileDigests::new(FUNCTION)));
        let request = Request {
            arguments: vec!["cc".into()],
            directory: directory.path().to_owned(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            settings: Vec::new(),
            is_terminal: false,
        };
        let toolchain = Toolchain {
            fingerprint: [1; 32],
            elsewhere: None,
            parts: Arc::default(),
        };
        let maps = |program: &Path| trees.maps(&request, program, &toolchain);
        assert!(maps(Path::new("/usr/bin/gcc")).unwrap());
        assert!(maps(Path::new("/usr/bin/clang")).unwrap());
        let old = directory.path().join("old-gcc");
        std::fs::write(
            &old,
            "#!/bin/sh\necho x >>asked\necho \"error: $1\" >&2\nexit 1\n",
        )
        .unwrap();
        std::fs::set_permissions(&old, std::fs::Permissions::from_mode(0o755)).unwrap();
        for _ in 0..2 {
            assert!(!maps(&old).unwrap());
        }
        assert_eq!(std::fs::read(directory.path().join("asked")).unwrap(), b"x\n");
        maps(Path::new("/no/such/gcc")).unwrap_err();
    }
}
