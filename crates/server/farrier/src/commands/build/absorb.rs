//! `farrier run --absorb`: recipes of make are given to `farrier-sh` instead of `/bin/sh`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Makefiles that make reads before all others, and hands on to the makes that it starts.
pub(super) const MAKEFILES_VARIABLE: &str = "MAKEFILES";
/// What make takes for a shell that it knows, and so skips recipes that do nothing.
const SHELL: &str = "sh";
const MAKEFILE: &str = "shell.mk";

/// Makes the shell and the makefile that names it in `directory`, and says what [`MAKEFILES_VARIABLE`] is then. A makefile that
/// chooses a shell of its own keeps it: what it says comes later.
pub(super) fn makefiles(directory: &Path, before: Option<&OsStr>) -> Result<OsString> {
    let this = std::env::current_exe().context("cannot find this program")?;
    let shell = this.with_file_name(recipe_shell::SHELL_NAME);
    ensure!(
        shell.is_file(),
        "--absorb wants {}, which is not there; `cargo small` builds it",
        shell.display()
    );
    written(directory, &shell, before)
}

fn written(directory: &Path, shell: &Path, before: Option<&OsStr>) -> Result<OsString> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@,".contains(byte);
    ensure!(
        directory.as_os_str().as_bytes().iter().all(is_plain),
        "--absorb cannot name {} to make; set XDG_STATE_HOME to a path without spaces and the like",
        directory.display()
    );
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let link = directory.join(SHELL);
    in_place(directory, &link, |temporary| symlink(shell, temporary))?;
    let makefile = directory.join(MAKEFILE);
    let text = text(&link, &makefile);
    in_place(directory, &makefile, |temporary| fs::write(temporary, &text))?;
    let mut makefiles = OsString::from(makefile);
    if let Some(before) = before.filter(|before| !before.is_empty()) {
        makefiles.push(" ");
        makefiles.push(before);
    }
    Ok(makefiles)
}

/// What the makefile says. The list of makefiles would name it as well, and makefiles look for themselves in that. With a rule of
/// two colons and nothing to depend on, make does not try to make it anew by some rule for all names.
fn text(shell: &Path, makefile: &Path) -> String {
    format!(
        "SHELL := {}\nMAKEFILE_LIST :=\n{}:: ; @:\n",
        shell.display(),
        makefile.display()
    )
}

/// In one step: another build may be using it.
fn in_place(directory: &Path, path: &PathBuf, make: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let temporary = directory.join(format!(".{}", uuid::Uuid::new_v4().simple()));
    make(&temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn make_is_told_of_the_shell_before_anything_else() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path().join("shell");
        let shell = Path::new("/opt/farrier-sh");
        let own = at.join("shell.mk").into_os_string();
        for _ in 0..2 {
            assert_eq!(written(&at, shell, None).unwrap(), own);
        }
        let both = [own.as_os_str(), OsStr::new(" mine.mk")].join(OsStr::new(""));
        assert_eq!(written(&at, shell, Some(OsStr::new("mine.mk"))).unwrap(), both);
        assert_eq!(fs::read_link(at.join("sh")).unwrap(), shell);
        let text = fs::read_to_string(at.join("shell.mk")).unwrap();
        let at = at.display();
        assert_eq!(
            text,
            format!("SHELL := {at}/sh\nMAKEFILE_LIST :=\n{at}/shell.mk:: ; @:\n")
        );
        assert!(written(Path::new("/a b"), shell, None).is_err());
    }
}
