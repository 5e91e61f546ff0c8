//! Whether a kernel is the same through farrier, and known the second time.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::{Built, Configuration, Kernel, ensure_same};
use crate::build::{Step, User};
use crate::tools;

/// Why steps of a kernel are left to the real tool, or are not kept, in the words of `farrier steps`; and what is in the
/// names of all steps that are.
const EXPLAINED: [(&str, &str); 10] = [
    // `--version`, `ld -v`, `-print-file-name=`.
    ("kind: Probe", ""),
    // What Kconfig asks for and this compiler does not have.
    ("the command failed", ""),
    ("not ours: UnknownOption", ""),
    ("not ours: Contradiction", ""),
    // `-m32` where the processor has no such thing: the compiler does not say what it would read.
    ("unknown inputs", "/dev/null"),
    // Likewise: an option of stack protectors that this clang does not have.
    ("unknown inputs", " -m32 "),
    // It has `incbin` in a text, and inline assembly.
    ("unknown inputs", "mkpiggy"),
    // Whether programs for 32 bits can be linked, where their libraries are not installed.
    ("unreadable input", "-x c - -o /dev/null"),
    ("a plugin is loaded", ""),
    // Whether clang can have another assembler do its work.
    ("caution: OtherTools", "clang -Werror -D__KERNEL__"),
];

/// The most steps of a second build that may not be answered from the cache, for each hundred: questions about options
/// that derive other names from what they make.
const MISSED_PERCENT_MAX: u64 = 3;

/// What `tools/build` notes of its `fixdep`, by means of it.
const OF_ITSELF: &str = "tools/objtool/.fixdep.o.cmd";

/// Fewer files are no kernel.
const FILES_MIN: usize = 300;

/// Makes a kernel plainly, then through farrier that knows nothing, then again after `make clean`, then again from nothing, and
/// once more with recipes absorbed.
/// All must be the same to the byte; what is not kept must have a reason that is known here. Prints what it saw.
pub fn check(name: &str, configuration: Configuration) -> Result<Kernel> {
    let kernel = Kernel::new(configuration)?;
    let user = User::new()?;
    let build = kernel.make("-j2");
    let all = kernel.configure() + &build;
    let (took, plain_errors) = kernel.plain(&all)?;
    println!("{name}: plain in {took:.1?}");
    let expected = kernel.hashes()?;
    ensure!(expected.len() > FILES_MIN, "only {} files", expected.len());

    kernel.forget()?;
    let first = kernel.farrier(&user, &all)?;
    first.print(name, "nothing known");
    ensure_same("the first build", &kernel.hashes()?, &expected)?;
    first.ensure_explained()?;
    ensure_no_other_errors(&first, &plain_errors)?;

    kernel.plain(&kernel.make("clean"))?;
    let cleaned = kernel.farrier(&user, &build)?;
    cleaned.print(name, "after make clean");
    cleaned.ensure_known()?;
    // What only the configuration needs is not made again; and what is noted of a program that makes notes of itself
    // depends on whether it was there before.
    let mut made = kernel.hashes()?;
    made.retain(|(path, _)| !path.ends_with(OF_ITSELF));
    let paths: Vec<&PathBuf> = made.iter().map(|(path, _)| path).collect();
    let made_before = expected.iter().filter(|(path, _)| paths.contains(&path));
    ensure_same(
        "after make clean",
        &made,
        &made_before.cloned().collect::<Vec<_>>(),
    )?;

    kernel.forget()?;
    let last = kernel.farrier(&user, &all)?;
    last.print(name, "again");
    last.ensure_known()?;
    ensure_same("from nothing", &kernel.hashes()?, &expected)?;

    kernel.forget()?;
    tools::shell()?;
    let absorbed = kernel.farrier_with(&["--absorb"], &user, &all)?;
    absorbed.print(name, "again, recipes absorbed");
    absorbed.ensure_known()?;
    ensure_no_other_errors(&absorbed, &plain_errors)?;
    ensure_same("with recipes absorbed", &kernel.hashes()?, &expected)?;
    println!("{name}: {} files, none differs", expected.len());
    Ok(kernel)
}

impl Built {
    /// One line of what was seen.
    pub fn print(&self, name: &str, what: &str) {
        let Built { summary, steps, took } = self;
        let real = steps.iter().filter(|step| step.how == "real tool").count();
        println!(
            "{name}: {what}: {} of {} steps from the cache, {real} more by the real tool, in {took:.1?}",
            summary.cached, summary.steps
        );
    }

    /// Nothing was to be done elsewhere and was not; whatever is not kept has a reason that is known.
    pub fn ensure_explained(&self) -> Result<()> {
        for step in &self.steps {
            ensure!(step.fallback.is_none(), "a fallback: {step:?}");
            let is_explained = step.why.as_deref().is_none_or(|why| {
                let explains = |(reason, part): &(&str, &str)| *reason == why && step.name.contains(part);
                EXPLAINED.iter().any(explains)
            });
            ensure!(is_explained, "no reason is known here for {step:?}");
        }
        Ok(())
    }

    /// Steps that could have been answered and have run; but for questions about split debug information, whose product has
    /// the name of its other half in it, and that one a process number; and for what scripts make under a name of `mktemp`.
    pub fn again(&self) -> impl Iterator<Item = &Step> {
        let is_known_to_miss = |step: &Step| {
            let is_question = step.name.contains(".tmp_") || step.name.contains("-x c /dev/null");
            step.name.contains("-gsplit-dwarf") && is_question || step.name.contains("/tmp/tmp.")
        };
        let ran = self.steps.iter().filter(|step| step.how == "local");
        ran.filter(move |step| !is_known_to_miss(step))
    }

    /// Beyond that, nothing that could have been kept has run again.
    pub fn ensure_known(&self) -> Result<()> {
        self.ensure_explained()?;
        let again: Vec<_> = self.again().collect();
        ensure!(
            again.is_empty(),
            "{} steps have run again: {again:#?}",
            again.len()
        );
        let missed = self.summary.steps - self.summary.cached;
        ensure!(
            missed * 100 <= self.summary.steps * MISSED_PERCENT_MAX,
            "{}",
            self.summary.text
        );
        Ok(())
    }
}

/// No error is printed that plain make does not print.
fn ensure_no_other_errors(built: &Built, plain: &str) -> Result<()> {
    let plain: Vec<&str> = plain.lines().collect();
    let ours = |line: &&str| line.starts_with("farrier: ");
    let other = built
        .summary
        .text
        .lines()
        .filter(|line| !ours(line))
        .find(|line| !plain.contains(line));
    other.map_or(Ok(()), |line| {
        Err(anyhow::anyhow!("{line}")).context("printed by farrier's build alone")
    })
}
