//! A kernel under QEMU, until it speaks.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::waiting;

/// How long a kernel may take until it has said something, emulated on a busy machine.
const SPEAKS_AT_MOST: Duration = Duration::from_secs(300);

/// Starts `image` on an emulated PC, and returns the line of its serial console with these words in it.
pub fn boot(image: &Path, words: &str) -> Result<String> {
    let directory = tempfile::Builder::new().prefix("farrier-boot-").tempdir()?;
    let console = directory.path().join("console");
    let serial = format!("file:{}", console.display());
    let mut machine = Command::new("qemu-system-x86_64")
        .args("-accel tcg -m 256 -display none -monitor none -nic none -no-reboot -serial".split(' '))
        .arg(serial)
        .args(["-append", "console=ttyS0 panic=-1", "-kernel"])
        .arg(image)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context("qemu-system-x86_64 does not start: run e2e/sources --fetch linux")?;
    let said = || -> Result<String> {
        match fs::read(&console) {
            Ok(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    };
    let spoken = waiting::until("the kernel speaks", SPEAKS_AT_MOST, || {
        // Looked at first: what it said before it ended is there then.
        let ended = machine.try_wait()?;
        let text = said()?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        match (whole.lines().find(|line| line.contains(words)), ended) {
            (Some(line), _) => Ok(Some(line.trim_end().to_owned())),
            (None, Some(status)) => bail!("the machine ended with {status} and said {text:?}"),
            (None, None) => Ok(None),
        }
    });
    // Whether or not it has ended by itself.
    let _ = machine.kill();
    machine.wait().context("cannot wait for QEMU")?;
    spoken.with_context(|| format!("it said {:?}", said().unwrap_or_default()))
}
