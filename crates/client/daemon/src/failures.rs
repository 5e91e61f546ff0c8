//! Failures of probes: what a compiler says when it does not know an option. They are remembered on this machine only, for
//! as long as the daemon lives: an action cache holds what went well.
//!
//! Only what follows from the inputs alone is remembered. A compiler that was killed, or found no room, says so, and is
//! asked again.

use std::collections::{HashMap, VecDeque};
use std::path::Path;

use action::ActionDigest;
use parking_lot::Mutex;

use crate::limits::{FAILURE_BYTES_MAX, FAILURES_MAX};

/// What a probe printed, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit_code: i32,
    pub(crate) output: Vec<u8>,
    pub(crate) error_output: Vec<u8>,
}

/// What failed.
#[derive(Default)]
pub(crate) struct Failures {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    failures: HashMap<ActionDigest, Failure>,
    /// The oldest first.
    order: VecDeque<ActionDigest>,
}

impl Failures {
    /// How this action failed. `None` as well where a product is there: the compiler would remove it.
    pub(crate) fn get<'a>(
        &self,
        action: &ActionDigest,
        mut products: impl Iterator<Item = &'a Path>,
    ) -> Option<Failure> {
        let is_there = products.any(|product| product.symlink_metadata().is_ok());
        let known = self.known.lock();
        known.failures.get(action).filter(|_| !is_there).cloned()
    }

    /// Remembers how an action failed, if that follows from its inputs.
    pub(crate) fn add(&self, action: ActionDigest, failure: Failure) -> bool {
        if !failure.follows_from_inputs() {
            return false;
        }
        let mut known = self.known.lock();
        if known.failures.insert(action, failure).is_none() {
            known.order.push_back(action);
        }
        if known.order.len() > FAILURES_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.failures.remove(&oldest);
        }
        true
    }
}

/// The exit code of compilers that found something wrong with what they were given.
const EXIT_WRONG_INPUT: i32 = 1;

/// One of these is in what a compiler or an assembler says of its input.
const OF_INPUTS: [&str; 2] = ["error: ", "Error: "];

/// None of these is: they begin what tools say of the machine and of themselves, and what the system says of files, memory
/// and processes.
const OF_THE_MACHINE: [&str; 35] = [
    "atal error",
    "internal compiler error",
    "unable to",
    "annot ",
    "can't ",
    "could not",
    "ailed",
    "ignal",
    "illed",
    "erminated",
    "bort",
    "of memory",
    "memory exhausted",
    "PLEASE",
    "No such",
    "No space",
    "Not a directory",
    "Is a directory",
    "not permitted",
    "ermission",
    "Read-only",
    "quota",
    "Input/output",
    "Too many",
    "too large",
    "too long",
    "temporarily",
    "unavailable",
    "busy",
    "Interrupted",
    "interrupted",
    "Stale",
    "roken pipe",
    "format error",
    "imed out",
];

impl Failure {
    /// Whether the same inputs fail in the same way the next time, as far as what was said tells. In another language than
    /// English it tells nothing.
    pub(crate) fn follows_from_inputs(&self) -> bool {
        let bytes = self.output.len() + self.error_output.len();
        let Ok(said) = std::str::from_utf8(&self.error_output) else {
            return false;
        };
        self.exit_code == EXIT_WRONG_INPUT
            && bytes <= FAILURE_BYTES_MAX
            && OF_INPUTS.iter().any(|words| said.contains(words))
            && !OF_THE_MACHINE.iter().any(|words| said.contains(words))
    }
}

#[cfg(test)]
mod tests {
    use blob::{Digest, DigestFunction};

    use super::*;

    fn failure(exit_code: i32, said: &str) -> Failure {
        Failure {
            exit_code,
            output: Vec::new(),
            error_output: said.as_bytes().to_vec(),
        }
    }

    #[test]
    fn only_what_follows_from_the_inputs_is_remembered() {
        for (exit_code, said, expected) in [
            (
                1,
                "gcc: error: unrecognized command-line option '-fsanitize=kcfi'\n",
                true,
            ),
            (
                1,
                "cc1: error: bad value ('x') for '-mstack-protector-guard-reg='\n",
                true,
            ),
            (
                1,
                "<stdin>: Assembler messages:\n<stdin>:1: Error: no such instruction: `xyz'\n",
                true,
            ),
            (
                1,
                "clang: error: unsupported option '-mx32' for target 'x86_64'\n",
                true,
            ),
            (
                1,
                "/usr/bin/ld: x.o: in function `main':\n<stdin>:(.text): undefined reference to `f'\ncollect2: error: ld returned 1 exit status\n",
                true,
            ),
            (
                1,
                "gcc: error: unrecognized argument to '-fsanitize=' option: 'kernel-memory'\n",
                true,
            ),
            (1, "", false),
            (1, "error: virtual memory exhausted\n", false),
            (2, "gcc: error: something\n", false),
            (4, "gcc: internal compiler error: Killed\n", false),
            (
                1,
                "gcc: fatal error: Killed signal terminated program cc1\n",
                false,
            ),
            (
                1,
                "gcc: fatal error: cannot execute 'cc1': posix_spawnp: No such file or directory\n",
                false,
            ),
            (
                1,
                "Assembler messages:\nFatal error: can't create a.o: Permission denied\n",
                false,
            ),
            (
                1,
                "<stdin>:1:10: fatal error: a.h: No such file or directory\n",
                false,
            ),
            (1, "cc1: out of memory allocating 65536 bytes\nerror: x\n", false),
            (1, "clang: error: unable to execute command: Killed\n", false),
            (
                1,
                "error: unable to open output file 'a.o': 'No space left on device'\n",
                false,
            ),
            (
                1,
                "/usr/bin/ld: cannot find -lz: No such file or directory\n",
                false,
            ),
            (
                1,
                "/usr/bin/ld: final link failed: No space left on device\n",
                false,
            ),
            (1, "gcc: Fehler: nicht erkannte Kommandozeilenoption\n", false),
        ] {
            assert_eq!(failure(exit_code, said).follows_from_inputs(), expected, "{said}");
        }
        let long = "error: ".repeat(FAILURE_BYTES_MAX);
        assert!(!failure(1, &long).follows_from_inputs());
    }

    #[test]
    fn the_oldest_is_forgotten_and_a_product_that_is_there_is_for_the_compiler() {
        let failures = Failures::default();
        let action = |number: usize| {
            let text = number.to_string();
            ActionDigest::new(Digest::of(DigestFunction::Sha256, text.as_bytes()))
        };
        let wrong = failure(1, "gcc: error: unrecognized\n");
        for number in 0..=FAILURES_MAX {
            assert!(failures.add(action(number), wrong.clone()));
        }
        let get =
            |number: usize, products: &[&str]| failures.get(&action(number), products.iter().map(Path::new));
        assert_eq!(get(0, &[]), None);
        assert_eq!(get(1, &[]), Some(wrong.clone()));
        assert_eq!(get(1, &["/no/such/file", "/"]), None);
        assert_eq!(get(1, &["/no/such/file"]), Some(wrong));
    }
}
