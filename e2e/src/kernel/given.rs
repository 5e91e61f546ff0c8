//! Files that a kernel's configuration names: certificates, an initramfs, firmware.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A directory of them: `signing.pem` with a key, `trusted.pem`, `init.list` with `hello`, `blob.bin`.
#[derive(Debug)]
pub struct Given {
    directory: PathBuf,
}

impl Given {
    /// Makes the directory, and new keys.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        fs::create_dir(directory)?;
        let given = Given {
            directory: directory.to_owned(),
        };
        let key = given.file("signing.key");
        given.certificate("signing.pem", Some(&key))?;
        // The kernel wants both in one file.
        let (certificate, key) = (fs::read(given.file("signing.pem"))?, fs::read(key)?);
        fs::write(given.file("signing.pem"), [key, certificate].concat())?;
        given.certificate("trusted.pem", None)?;
        let list = format!(
            "dir /dev 0755 0 0\nnod /dev/console 0600 0 0 c 5 1\nfile /hello {} 0644 0 0\n",
            given.file("hello").display()
        );
        fs::write(given.file("init.list"), list)?;
        fs::write(given.file("hello"), "hello\n")?;
        fs::write(given.file("blob.bin"), [7; 3000])?;
        Ok(given)
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// One of them.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Puts a new certificate in the place of `name`, and its key into another file.
    pub fn certificate(&self, name: &str, key: Option<&Path>) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl
            .args("req -new -nodes -utf8 -sha256 -days 36500 -batch -x509 -subj /CN=kernel".split(' '))
            .arg("-out")
            .arg(self.file(name))
            .arg("-keyout")
            .arg(key.unwrap_or(Path::new("/dev/null")));
        let done = openssl.output().context("openssl does not start")?;
        ensure!(
            done.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }
}
