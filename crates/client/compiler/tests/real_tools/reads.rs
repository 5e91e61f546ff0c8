//! What the command line names and the tool reads is declared: watched by strace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use compiler::{Invocation, Parsed, parse};

use crate::directory::{ARGS, LD_ARGS, LOCALE, files, is_installed, prepare, variable};
use crate::support::{Held, rendered, words};
use crate::tables::READS;

/// Runs a command under strace and says which files of the directory it read without a word about them. What sources
/// include (`h.h`) is not for the command line to say.
fn unsaid_reads(line: &str) -> Option<String> {
    let root = tempfile::tempdir().unwrap();
    let cwd = root.path().join("w");
    prepare(&cwd);
    let (line, input) = match line.split_once(" < ") {
        Some((line, input)) => (line, Some(input)),
        None => (line, None),
    };
    let before = files(&cwd);
    let log = root.path().join("log");
    let argv = words(line);
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=openat", "-o"])
        .arg(&log)
        .args(&argv)
        .current_dir(&cwd)
        .env(LOCALE.0, LOCALE.1)
        .stdin(match input {
            Some(input) => Stdio::from(fs::File::open(cwd.join(input)).unwrap()),
            None => Stdio::null(),
        })
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    if !status.success() {
        return Some("fails".to_owned());
    }
    let held = Held(
        [("args.rsp", ARGS), ("ld.rsp", LD_ARGS)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
    );
    let invocation = Invocation {
        argv: &argv,
        cwd: &cwd,
        env: &variable,
    };
    let Parsed::Step(step) = parse(&invocation, &held) else {
        return Some("not ours".to_owned());
    };
    let log = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    let unsaid: Vec<PathBuf> = log
        .lines()
        .filter(|line| {
            // Failed, a directory, or only to be written.
            [" = -1 ", "O_DIRECTORY", "O_WRONLY", "O_TRUNC"]
                .iter()
                .all(|word| !line.contains(word))
        })
        .filter_map(|line| line.split('"').nth(1))
        .filter_map(|name| {
            let name = Path::new(name);
            let name = name.strip_prefix(&cwd).unwrap_or(name);
            (!name.is_absolute()).then(|| name.to_owned())
        })
        .filter(|name| before.contains_key(name) && !name.ends_with("h.h"))
        .filter(|name| {
            let said = step.sources.iter().chain(&step.inputs);
            !said
                .map(|said| said.strip_prefix("./").unwrap_or(said))
                .any(|said| said == name)
        })
        .collect();
    (!unsaid.is_empty()).then(|| format!("{unsaid:?} of {}", rendered(&Parsed::Step(step))))
}

#[test]
fn whatever_is_read_is_said() {
    let traces = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !traces || !["gcc", "ld", "ar", "objcopy"].into_iter().all(is_installed) {
        eprintln!("no strace, or no tools: left out");
        return;
    }
    let complaints: Vec<String> = READS
        .lines()
        .filter(|line| !line.is_empty())
        .filter_map(|line| Some(format!("{line}\n   {}", unsaid_reads(line)?)))
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
