//! `cargo xtask nightly`: the long versions of the tests that try to break storage, one after the other.
//!
//! A part that fails does not keep the others from running: a night is for finding all there is. What failed is said at
//! the end, with how long each part took.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::ci;

/// What no command here takes, by far. One that does hangs.
const COMMAND_AT_MOST: Duration = Duration::from_secs(8 * 3600);

/// One part: what it is called, what it tries, and what runs with which variables.
struct Part {
    name: &'static str,
    tries: &'static str,
    environment: &'static [(&'static str, &'static str)],
    commands: &'static [&'static str],
}

/// In the order in which they run: the short ones first.
const PARTS: [Part; 10] = [
    Part {
        name: "schedules",
        tries: "callers of one digest in a million orders",
        environment: &[("FARRIER_ROUNDS", "50")],
        commands: &["cargo test --locked -p cas --features conformance --lib schedules"],
    },
    Part {
        name: "decorators",
        tries: "every pair of stores around stores",
        environment: &[("FARRIER_ROUNDS", "1")],
        commands: &["cargo test --locked -p cas --features conformance --lib pairs_of_decorators"],
    },
    Part {
        name: "properties",
        tries: "the property tests of storage and of its words, forty times as many cases",
        environment: &[("PROPTEST_CASES", "10000")],
        commands: &[
            "cargo test --locked --release -p blob -p chunking -p compression -p cas -p cas-disk -p cas-object --lib -- --skip simulated --skip schedules --skip decorators",
        ],
    },
    Part {
        name: "uploads",
        tries: "uploads that are cut, interrupted and resumed anywhere",
        environment: &[("PROPTEST_CASES", "10000")],
        commands: &["cargo test --locked --release -p services --lib byte_stream"],
    },
    Part {
        name: "bucket",
        tries: "50 000 requests to a bucket that go wrong",
        environment: &[],
        commands: &["cargo test --locked -p cas-object --test s3 -- --ignored"],
    },
    Part {
        name: "simulated",
        tries: "power cuts in a million states, flipped bits, failing disks, spoilt files",
        environment: &[("FARRIER_ROUNDS", "100")],
        commands: &["cargo test --locked --release -p cas-disk --lib simulated"],
    },
    Part {
        name: "small-store",
        tries: "ten builds of Bazel's in a store hardly larger than they are",
        environment: &[("FARRIER_ROUNDS", "5")],
        commands: &[ci::PROGRAM, "cargo test --locked -p e2e --test small_store"],
    },
    Part {
        name: "runner-kills",
        tries: "a runner that is killed 500 times in each mode",
        environment: &[("FARRIER_KILL_CYCLES", "500")],
        commands: &["cargo test --locked -p runner --test runner killed"],
    },
    Part {
        name: "kill-cycles",
        tries: "a server that is killed 10 000 times under load",
        environment: &[("FARRIER_KILL_CYCLES", "10000")],
        commands: &[ci::PROGRAM, "cargo test --locked -p e2e --test kill_cycles"],
    },
    Part {
        name: "chaos",
        tries: "fifty builds of Bazel's among servers and workers that are killed",
        environment: &[("FARRIER_ROUNDS", "25")],
        commands: &[ci::PROGRAM, "cargo test --locked -p e2e --test chaos"],
    },
];

/// What became of a part.
struct Outcome {
    name: &'static str,
    took: Duration,
    failure: Option<String>,
}

/// Runs everything, or only the parts named; `--list` says what there is.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    if words == ["--list"] {
        println!("{}", list());
        return Ok(());
    }
    let outcomes: Vec<Outcome> = chosen(words)?.into_iter().map(run_part).collect();
    println!("\n{}", report(&outcomes));
    match outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_some())
        .count()
    {
        0 => Ok(()),
        failed => bail!("{failed} of {} parts failed", outcomes.len()),
    }
}

fn run_part(part: &Part) -> Outcome {
    let started = Instant::now();
    let run = |command: &&str| {
        println!("\n=== {}: {command}", part.name);
        ci::run_command_with(part.name, command, part.environment, COMMAND_AT_MOST)
    };
    let ran = part.commands.iter().try_for_each(run);
    let outcome = Outcome {
        name: part.name,
        took: started.elapsed(),
        failure: ran.err().map(|error| format!("{error:#}")),
    };
    println!("=== {}", line(&outcome));
    outcome
}

/// The parts with these names, in the order of the list; all of them without a name.
fn chosen(names: &[&str]) -> Result<Vec<&'static Part>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !PARTS.iter().any(|part| part.name == **name))
    {
        bail!("no part `{unknown}`; there are:\n{}", list());
    }
    let is_wanted = |part: &&Part| names.is_empty() || names.contains(&part.name);
    Ok(PARTS.iter().filter(is_wanted).collect())
}

fn list() -> String {
    let lines = PARTS.iter().map(|part| {
        let variables = part.environment.iter();
        let variables: String = variables
            .map(|(name, value)| format!(" ({name}={value})"))
            .collect();
        format!("  {:<14}{}{variables}", part.name, part.tries)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A line for each part, those that failed last, and the sum.
fn report(outcomes: &[Outcome]) -> String {
    let (failed, passed): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.failure.is_some());
    let sum = format!("{} passed, {} failed", passed.len(), failed.len());
    let lines = passed
        .iter()
        .chain(&failed)
        .map(|outcome| line(outcome))
        .chain([sum]);
    lines
        .map(|line| format!("nightly: {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn line(outcome: &Outcome) -> String {
    let (name, seconds) = (outcome.name, outcome.took.as_secs());
    match &outcome.failure {
        None => format!("{name:<14}passed in {seconds} s"),
        Some(failure) => format!("{name:<14}FAILED after {seconds} s: {failure}"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::tidy::{root, rust_files};

    fn names(parts: &[&Part]) -> Vec<&'static str> {
        parts.iter().map(|part| part.name).collect()
    }

    #[test]
    fn parts_are_chosen_by_name() {
        assert_eq!(chosen(&[]).unwrap().len(), PARTS.len());
        // In the order of the list, each once.
        let some = chosen(&["chaos", "schedules", "chaos"]).unwrap();
        assert_eq!(names(&some), ["schedules", "chaos"]);
        let Err(error) = chosen(&["chaos", "chaso"]) else {
            panic!("there is no such part")
        };
        let error = error.to_string();
        assert!(error.contains("`chaso`") && error.contains("  chaos "), "{error}");
    }

    #[test]
    fn every_part_is_told_with_its_end() {
        let outcome = |name, seconds, failure: Option<&str>| Outcome {
            name,
            took: Duration::from_secs(seconds),
            failure: failure.map(str::to_owned),
        };
        let outcomes = [
            outcome("a", 5, None),
            outcome("b", 7200, Some("b failed: exit status: 101")),
            outcome("c", 0, None),
        ];
        let expected = "nightly: a             passed in 5 s\n\
                        nightly: c             passed in 0 s\n\
                        nightly: b             FAILED after 7200 s: b failed: exit status: 101\n\
                        nightly: 2 passed, 1 failed";
        assert_eq!(report(&outcomes), expected);
    }

    #[test]
    fn a_part_that_fails_does_not_end_the_night() {
        let part = |name, commands| Part {
            name,
            tries: "",
            environment: &[("FARRIER_ROUNDS", "3")],
            commands,
        };
        let fails = run_part(&part("fails", &["false", "touch /never/reached"]));
        assert!(
            fails
                .failure
                .is_some_and(|failure| failure.contains("fails failed"))
        );
        let missing = run_part(&part("missing", &["no-such-program"]));
        assert!(
            missing
                .failure
                .is_some_and(|failure| failure.contains("no-such-program"))
        );
        let passes = run_part(&part("passes", &["true", "printenv FARRIER_ROUNDS"]));
        assert!(passes.failure.is_none());
    }

    /// Every source file, with the package that it is of.
    fn sources() -> Vec<(PathBuf, String)> {
        let package_of = |path: &Path| {
            let folder = path
                .ancestors()
                .find(|folder| folder.join("Cargo.toml").is_file());
            let name = folder.and_then(Path::file_name).unwrap_or_default();
            name.to_string_lossy().into_owned()
        };
        let files = rust_files(&root()).unwrap().into_iter();
        files
            .map(|file| root().join(file))
            .map(|path| (path.clone(), package_of(&path)))
            .collect()
    }

    /// What follows `option` in a command, each time.
    fn arguments<'a>(command: &'a str, option: &str) -> Vec<&'a str> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let pairs = words.windows(2).filter(|pair| pair[0] == option);
        pairs.map(|pair| pair[1]).collect()
    }

    /// Whoever writes a test that can be made longer finds here that nobody makes it so.
    #[test]
    fn no_test_that_can_be_made_longer_is_forgotten() {
        let mut found = 0;
        for (path, package) in sources() {
            let text = fs::read_to_string(&path).unwrap();
            let asks_for = |variable: &&str| {
                ["var", "var_os"]
                    .iter()
                    .any(|call| text.contains(&format!("env::{call}(\"{variable}\")")))
            };
            for variable in ["FARRIER_ROUNDS", "FARRIER_KILL_CYCLES"]
                .iter()
                .filter(|it| asks_for(it))
            {
                let file = path.file_stem().unwrap_or_default().to_string_lossy();
                let is_run = |command: &&str| {
                    let programs = arguments(command, "--test");
                    arguments(command, "-p").contains(&package.as_str())
                        && (programs.is_empty() || command.contains(&*file))
                };
                let sets = |part: &&Part| part.environment.iter().any(|(name, _)| name == variable);
                let mut parts = PARTS.iter().filter(sets);
                let is_there = parts.any(|part| part.commands.iter().any(is_run));
                assert!(
                    is_there,
                    "{} asks for {variable}, which no part sets",
                    path.display()
                );
                found += 1;
            }
        }
        assert!(found >= 7, "only {found} tests can be made longer");
    }

    #[test]
    fn what_parts_run_exists() {
        let sources = sources();
        for command in PARTS.iter().flat_map(|part| part.commands) {
            for name in arguments(command, "-p") {
                let is_there = sources.iter().any(|(_, package)| package == name);
                assert!(is_there, "{command}: no package {name}");
            }
            for name in arguments(command, "--test") {
                let places = [
                    format!("tests/{name}.rs"),
                    format!("tests/{name}"),
                    format!("tests/{name}/main.rs"),
                ];
                let is_there = sources.iter().any(|(path, _)| {
                    let folder = path.parent().unwrap_or(path);
                    places
                        .iter()
                        .any(|place| path.ends_with(place) || folder.ends_with(place))
                });
                assert!(is_there, "{command}: no test program {name}");
            }
        }
    }
}
