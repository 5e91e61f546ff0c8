//! One recipe through both shells.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What came of a recipe.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    output: String,
    errors: String,
    made: BTreeMap<String, String>,
}

fn place() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/in"), "in d\n").unwrap();
    fs::write(at("a"), "text of a\n").unwrap();
    fs::write(at("b"), "text of b\n").unwrap();
    fs::write(at("no-interpreter"), "echo a script: $1\n").unwrap();
    fs::set_permissions(at("no-interpreter"), PermissionsExt::from_mode(0o755)).unwrap();
    symlink("a", at("link")).unwrap();
    place
}

fn listed(directory: &Path, prefix: &str, made: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().display());
        if entry.file_type().unwrap().is_dir() {
            listed(&entry.path(), &format!("{name}/"), made);
            made.insert(name, "directory".to_owned());
        } else {
            let text = fs::read(entry.path()).unwrap_or_default();
            made.insert(name, String::from_utf8_lossy(&text).into_owned());
        }
    }
}

fn done(shell: &Path, flags: &str, recipe: &str) -> Done {
    let place = place();
    let mut command = Command::new(shell);
    command
        .args([flags, recipe])
        .current_dir(place.path())
        .env_remove("FARRIER_TOOLS")
        .env_remove("OLDPWD")
        .env("PWD", "/nonsense")
        .env("LC_ALL", "C")
        .env("WORDS", "two  words")
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    let mut made = BTreeMap::new();
    listed(place.path(), "", &mut made);
    // Directories have names of their own.
    let text =
        |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&place.path().display().to_string(), "PLACE");
    for text in made.values_mut() {
        *text = text.replace(&place.path().display().to_string(), "PLACE");
    }
    Done {
        code: output.status.code(),
        signal: output.status.signal(),
        output: text(&output.stdout),
        errors: text(&output.stderr),
        made,
    }
}

/// `farrier-sh`, and the shell that it does as.
pub(crate) fn ours(flags: &str, recipe: &str) -> Done {
    done(Path::new(env!("CARGO_BIN_EXE_farrier-sh")), flags, recipe)
}

pub(crate) fn theirs(flags: &str, recipe: &str) -> Done {
    done(Path::new("/bin/sh"), flags, recipe)
}

/// Whether there is anything to compare with: where `/bin/sh` is another shell, everything is left to that.
pub(crate) fn is_dash() -> bool {
    Path::new("/bin/sh")
        .canonicalize()
        .is_ok_and(|shell| shell.ends_with("dash"))
}
