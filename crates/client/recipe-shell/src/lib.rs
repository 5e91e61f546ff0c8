//! `farrier-sh`: what make calls instead of `/bin/sh` for a recipe.
//!
//! Most of what a build starts beside compilers is small: a shell, `rm -f`, `mkdir -p`, `echo`. This shell does such commands itself, asks the
//! daemon about compilers without another process in between, and starts the rest. It knows a part of the shell's language,
//! and within that part does what Debian's `/bin/sh` (dash) does, to the byte. Before it does anything it reads the whole
//! recipe; if there is a single thing in it that it does not know, `/bin/sh` gets the recipe as it is. See ADR 31.
//!
//! Read `script.rs` first (the language), then `parse.rs`, `known.rs` (which commands), `run.rs`.

mod expand;
mod external;
mod known;
mod parse;
mod place;
mod run;
mod said;
mod script;
mod small;
mod streams;
mod surroundings;
mod tame;
mod texts;
mod tokens;
mod traps;
mod xargs;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use said::REAL_SHELL;
pub use tokens::NotOurs;

/// What the program is called; make's variable names a link called `sh`, for that make asks whether it is a shell that it knows.
pub const SHELL_NAME: &str = "farrier-sh";
/// The only shell that this one does as.
const MODEL: &str = "dash";

const THIS: &str = "/proc/self/exe";

/// Everything that the program does.
pub fn main(argv: &[OsString]) -> ExitCode {
    let words: Vec<&OsStr> = argv.iter().skip(1).map(OsString::as_os_str).collect();
    if let [flags, text] = words.as_slice()
        && let Some(ends_on_failure) = flags_of(flags)
        && is_model(Path::new(REAL_SHELL))
        && let Ok(script) = read(text.as_bytes())
        && let Ok(shell) = run::Shell::new(ends_on_failure)
    {
        let nameless = surroundings::nameless(std::env::vars_os());
        if nameless.is_empty() || run::is_one_program(&script) {
            return ExitCode::from(shell.run(&script));
        }
        let mut again = Command::new(THIS);
        nameless.iter().for_each(|name| {
            again.env_remove(name);
        });
        // If that cannot be, /bin/sh can do it all.
        let _ = again.args(&words).exec();
    }
    let error = Command::new(REAL_SHELL).args(&words).exec();
    said::say(&format!("{REAL_SHELL}: {error}"));
    ExitCode::from(external::EXIT_NOT_FOUND)
}

/// Whether a recipe is done here, and if not, why.
pub fn is_ours(recipe: &[u8]) -> Result<(), NotOurs> {
    read(recipe).map(|_| ())
}

fn read(text: &[u8]) -> Result<script::Script, NotOurs> {
    surroundings::check(std::env::vars_os())?;
    let script = parse::parse(text)?;
    tame::check(&script, &expand::environment)?;
    Ok(script)
}

/// Whether `-e` is set, of flags that are known.
fn flags_of(flags: &OsStr) -> Option<bool> {
    match flags.as_bytes() {
        b"-c" => Some(false),
        b"-ec" | b"-ce" => Some(true),
        _ => None,
    }
}

fn is_model(shell: &Path) -> bool {
    shell
        .canonicalize()
        .is_ok_and(|shell| shell.file_name() == Some(OsStr::new(MODEL)))
}
