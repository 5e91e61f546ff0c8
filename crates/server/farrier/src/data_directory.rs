//! Where `farrier up` and `farrier join` keep their things, and what lies where.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

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

    pub(crate) fn token_file(&self) -> PathBuf {
        self.path.join("worker-token")
    }

    /// The secret that workers show; made once, so that a pasted `farrier join` line outlives a restart.
    pub(crate) fn worker_token(&self) -> Result<String> {
        let path = self.token_file();
        match fs::read_to_string(&path) {
            Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        let token = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        // Renamed into place, so that a crash leaves the old token or the new, never half of one.
        let temporary = self.path.join("worker-token.new");
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(token.as_bytes()))
            .and_then(|()| fs::rename(&temporary, &path));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(token)
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
    fn the_token_is_made_once_and_is_private() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(&scratch.path().join("a/b")).unwrap();
        let token = directory.worker_token().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(directory.worker_token().unwrap(), token);
        let mode = fs::metadata(directory.token_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(directory.free_bytes().unwrap() > 0);
    }
}
