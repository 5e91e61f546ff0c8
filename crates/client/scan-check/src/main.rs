//! `scan-check [--driver PATH] [--bench] FILE...`: compares scans of recorded commands with the compiler's `-M`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};
use include_scanner::{Closure, Unsure};
use scan_check::asked::asked;
use scan_check::command::Command;
use scan_check::{records, scanning};
use source_view::{DiskView, Store};

mod timing;

#[derive(Default)]
struct Report {
    units: usize,
    equal: usize,
    superset: usize,
    refused: BTreeMap<String, usize>,
    unsure: BTreeMap<String, usize>,
    examples: BTreeMap<String, String>,
    missing: Vec<String>,
    extra: BTreeSet<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let mut files = Vec::new();
    let mut driver = None;
    let mut bench = false;
    let mut threads = 2;
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--driver") => {
                driver = Some(PathBuf::from(arguments.next().context("--driver takes a path")?))
            }
            Some("--threads") => {
                let count = arguments.next().context("--threads takes a number")?;
                threads = count
                    .to_str()
                    .and_then(|count| count.parse().ok())
                    .context("--threads takes a number")?;
            }
            Some("--bench") => bench = true,
            _ => files.push(PathBuf::from(argument)),
        }
    }
    let mut failed = false;
    for file in files {
        let commands = records::read(&file)?;
        if bench {
            timing::measure(&file, &commands, driver.as_deref(), threads)?;
            continue;
        }
        let report = check(&commands, driver.as_deref(), threads);
        println!("{}", describe(&file, &report));
        failed |= !report.missing.is_empty();
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The driver that a command is checked with: another one's, of the same language, if told so.
fn driver_of(command: &Command, other: Option<&Path>) -> PathBuf {
    match other {
        Some(other) if command.driver.to_string_lossy().ends_with("++") => {
            PathBuf::from(format!("{}++", other.display()))
        }
        Some(other) => other.to_owned(),
        None => command.driver.clone(),
    }
}

fn check(commands: &[Command], driver: Option<&Path>, threads: usize) -> Report {
    let store = Arc::new(Store::default());
    let view = store.tick();
    let compilers = scanning::Compilers::default();
    let next = AtomicUsize::new(0);
    let report = Mutex::new(Report::default());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(command) = commands.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let driver = driver_of(command, driver);
                    let scanned = compilers
                        .prepare(command, &driver)
                        .and_then(|prepared| prepared.scan(&view));
                    let real = asked(command, &driver);
                    if let Ok(mut report) = report.lock() {
                        report.add(command, scanned, real, &view);
                    }
                }
            });
        }
    });
    report.into_inner().unwrap_or_default()
}

impl Report {
    fn add(
        &mut self,
        command: &Command,
        scanned: Result<Result<Closure, Unsure>>,
        real: Result<Vec<PathBuf>, String>,
        _view: &DiskView,
    ) {
        let real = match real {
            Ok(real) => real,
            Err(complaint) => {
                // What the compiler refuses needs no answer, but an answer would be no harm either.
                *self.refused.entry(shortened(&complaint)).or_default() += 1;
                return;
            }
        };
        self.units += 1;
        let closure = match scanned {
            Ok(Ok(closure)) => closure,
            Ok(Err(unsure)) => return self.count_unsure(command, &format!("{unsure:?}")),
            Err(error) => return self.count_unsure(command, &format!("{error:#}")),
        };
        let canonical =
            |path: &Path| std::fs::canonicalize(command.cwd.join(path)).unwrap_or(path.to_owned());
        let scanned: HashSet<PathBuf> = closure.files.iter().map(|file| canonical(&file.path)).collect();
        let asked: HashSet<PathBuf> = closure.asked.iter().map(|file| canonical(&file.path)).collect();
        let real: HashSet<PathBuf> = real.iter().map(|path| canonical(path)).collect();
        for missing in real.iter().filter(|path| !scanned.contains(*path)) {
            // Clang lists what `__has_include` found.
            if !asked.contains(missing) {
                self.missing
                    .push(format!("{}: {}", command.main.display(), missing.display()));
            }
        }
        let extra: Vec<&PathBuf> = scanned.difference(&real).collect();
        if extra.is_empty() {
            self.equal += 1;
        } else {
            self.superset += 1;
            self.extra.extend(extra.into_iter().cloned());
        }
    }

    fn count_unsure(&mut self, command: &Command, reason: &str) {
        let kind = reason
            .split(['(', '{'])
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        self.examples
            .entry(kind.clone())
            .or_insert_with(|| format!("{}: {reason}", command.main.display()));
        *self.unsure.entry(kind).or_default() += 1;
    }
}

fn shortened(complaint: &str) -> String {
    complaint
        .rsplit(": ")
        .next()
        .unwrap_or(complaint)
        .chars()
        .take(80)
        .collect()
}

fn describe(file: &Path, report: &Report) -> String {
    let Report {
        units,
        equal,
        superset,
        refused,
        unsure,
        examples,
        missing,
        extra,
    } = report;
    let mut text = format!(
        "{}: {units} units, {equal} equal, {superset} more than the compiler, {} unsure, {} missing; {} refused by the compiler",
        file.display(),
        unsure.values().sum::<usize>(),
        missing.len(),
        refused.values().sum::<usize>()
    );
    for (kind, count) in unsure {
        text.push_str(&format!("\n  unsure {count:5} {kind}: {}", examples[kind]));
    }
    for line in missing.iter().take(10) {
        text.push_str(&format!("\n  MISSING {line}"));
    }
    for path in extra.iter().take(10) {
        text.push_str(&format!("\n  extra {}", path.display()));
    }
    for (complaint, count) in refused.iter().take(5) {
        text.push_str(&format!("\n  refused {count:5} {complaint}"));
    }
    text
}
