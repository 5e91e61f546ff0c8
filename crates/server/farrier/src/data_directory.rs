//! Where `farrier up` and `farrier join` keep their things, and what lies where.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow};
use trust::{Authority, Fingerprint, JoinToken, JoinTokenError};

use crate::bad_options::BadOptions;
use crate::private_file;

/// A directory of ours, private to its user.
#[derive(Clone, Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
}

impl DataDirectory {
    /// Opens it, making it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot create the data directory {}", path.display()))?;
        let path = fs::canonicalize(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(DataDirectory { path })
    }

    /// `$XDG_DATA_HOME/farrier`, else `$HOME/.local/share/farrier`.
    pub(crate) fn default_path() -> Result<PathBuf> {
        let from_environment = |name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        from_environment("XDG_DATA_HOME")
            .or_else(|| from_environment("HOME").map(|home| home.join(".local/share")))
            .map(|base| base.join("farrier"))
            .ok_or_else(|| anyhow!("neither XDG_DATA_HOME nor HOME is set; name a directory with --data-dir"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Blobs and action results.
    pub(crate) fn storage(&self) -> PathBuf {
        self.path.join("storage")
    }

    /// The worker's file cache and build directories.
    pub(crate) fn worker(&self) -> PathBuf {
        self.path.join("worker")
    }

    /// What the scheduler remembers across restarts.
    pub(crate) fn journal_file(&self) -> PathBuf {
        self.path.join("operations.journal")
    }

    /// The token that `farrier up` prints.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.path.join("worker-token")
    }

    /// The server's certificate authority; made once, so that workers that have joined stay joined.
    pub(crate) fn authority(&self) -> Result<Authority> {
        let path = self.path.join("worker-authority.pem");
        if let Some(text) = private_file::read(&path)? {
            return Authority::from_pem(&text).with_context(|| {
                format!(
                    "{} is damaged; without it the server makes a new one, and every worker has to join again",
                    path.display()
                )
            });
        }
        let authority = Authority::new(SystemTime::now())?;
        private_file::write(&path, authority.to_pem())?;
        Ok(authority)
    }

    /// What brings workers in; made once for each authority, so that a pasted `farrier join` line outlives a restart. One of
    /// an earlier version is completed.
    pub(crate) fn join_token(&self, fingerprint: Fingerprint) -> Result<JoinToken> {
        let path = self.token_file();
        let kept = private_file::read(&path)?;
        let secret = match kept.as_deref().map(str::trim) {
            None | Some("") => new_secret(),
            Some(kept) => match kept.parse::<JoinToken>() {
                Ok(token) if token.fingerprint == fingerprint => return Ok(token),
                // Who takes the authority away wants to be rid of those who know the token.
                Ok(_) => new_secret(),
                Err(JoinTokenError::WithoutFingerprint) if !kept.contains('.') => kept.to_owned(),
                Err(error) => {
                    let what = format!("{}: {error}, or remove the file for a new one", path.display());
                    return Err(BadOptions::message(what));
                }
            },
        };
        let token = JoinToken { secret, fingerprint };
        private_file::write(&path, &token.to_string())?;
        Ok(token)
    }

    pub(crate) fn own_token_file(&self) -> PathBuf {
        self.path.join("own-worker-token")
    }

    /// What the worker shows that `farrier up` starts itself. It never leaves this machine.
    pub(crate) fn own_token(&self) -> Result<String> {
        let path = self.own_token_file();
        match private_file::read(&path)? {
            Some(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
            _ => {
                let token = new_secret();
                private_file::write(&path, &token)?;
                Ok(token)
            }
        }
    }

    /// What a worker that has joined is known by.
    pub(crate) fn identity_file(&self) -> PathBuf {
        self.path.join("identity.pem")
    }

    /// Bytes that everything in here takes on the disk. What comes and goes meanwhile is not an error.
    pub(crate) fn used_bytes(&self) -> u64 {
        let mut used_bytes = 0;
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                // Of the entry itself: links out of the directory are not followed.
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                    Ok(metadata) => used_bytes += metadata.blocks() * 512,
                    Err(_) => {}
                }
            }
        }
        used_bytes
    }

    /// Bytes that this user may still write where the directory lies.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)
            .with_context(|| format!("cannot ask for free space at {}", self.path.display()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

fn new_secret() -> String {
    let half = || uuid::Uuid::new_v4().simple();
    format!("{}{}", half(), half())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_counted_at_every_depth() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(scratch.path()).unwrap();
        assert_eq!(directory.used_bytes(), 0);
        fs::create_dir_all(directory.storage().join("a/b")).unwrap();
        fs::write(directory.storage().join("a/b/blob"), vec![1; 1 << 20]).unwrap();
        assert!((1 << 20..2 << 20).contains(&directory.used_bytes()));
    }

    #[test]
    fn secrets_are_made_once_and_are_private() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(&scratch.path().join("a/b")).unwrap();
        let authority = directory.authority().unwrap();
        let token = directory.join_token(authority.fingerprint()).unwrap();
        let own = directory.own_token().unwrap();
        assert_eq!((token.secret.len(), own.len()), (64, 64));
        assert_ne!(token.secret, own);
        let again = directory.authority().unwrap();
        assert_eq!(again.fingerprint(), authority.fingerprint());
        assert_eq!(directory.join_token(again.fingerprint()).unwrap(), token);
        assert_eq!(directory.own_token().unwrap(), own);
        for entry in fs::read_dir(directory.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        }
        assert!(directory.free_bytes().unwrap() > 0);
    }

    #[test]
    fn a_token_follows_its_authority() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(scratch.path()).unwrap();
        let fingerprint = directory.authority().unwrap().fingerprint();
        let old = "0123456789abcdef".repeat(4);
        fs::write(directory.token_file(), &old).unwrap();
        let completed = directory.join_token(fingerprint).unwrap();
        assert_eq!(
            (completed.secret.as_str(), completed.fingerprint),
            (&*old, fingerprint)
        );
        fs::remove_file(scratch.path().join("worker-authority.pem")).unwrap();
        let other = directory.authority().unwrap().fingerprint();
        let token = directory.join_token(other).unwrap();
        assert!(token.secret != old && token.fingerprint == other);
        fs::write(directory.token_file(), "two\nlines").unwrap();
        let error = directory.join_token(other).unwrap_err().to_string();
        assert!(error.contains("remove the file for a new one"), "{error}");
        fs::write(scratch.path().join("worker-authority.pem"), "?").unwrap();
        let error = directory.authority().err().unwrap().to_string();
        assert!(error.contains("every worker has to join again"), "{error}");
    }
}
