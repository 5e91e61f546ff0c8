//! What actions may use of a machine, as options of whoever starts a worker.

use std::ffi::OsString;
use std::fs;

use anyhow::Result;
use clap::Args;
use runner_api::{Availability, Capabilities};
use worker::ActionLimits;

use crate::bad_options::BadOptions;
use crate::byte_size::ByteSize;

/// The options.
#[derive(Args, Clone, Debug)]
pub(super) struct LimitOptions {
    /// Most memory that all actions on this machine use together [default: nine tenths of what there is].
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Most memory that one action uses [default: as much as all together].
    #[arg(long, value_name = "SIZE")]
    action_memory: Option<ByteSize>,
    /// Most processes and threads that one action has at a time.
    #[arg(long, default_value_t = 4096, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    action_processes: u32,
    /// Most processors that one action uses at a time, also where others are idle, unless its platform asks for more (`cpus`)
    /// [default: all that are idle].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    action_cpus: Option<u32>,
    /// Most bytes that one action writes beside its inputs, in files of its build directory. What is in memory counts as
    /// memory [default: what the disk holds].
    #[arg(long, value_name = "SIZE")]
    action_disk: Option<ByteSize>,
    /// Most processes that may outlive the action they were started for, to serve others with the same tools and command
    /// line (Bazel's persistent workers). They keep their memory from action to action; 0 keeps every action apart.
    #[arg(long, default_value_t = 0, value_name = "N")]
    persistent_workers: u32,
    /// Something of which this machine has so much, for actions whose platform asks for some; repeat for several.
    #[arg(long = "resource", value_name = "NAME=AMOUNT", value_parser = parse_resource)]
    resources: Vec<(String, u64)>,
}

impl LimitOptions {
    /// The same for the command line of a worker.
    pub(super) fn to_arguments(&self) -> Vec<OsString> {
        let resource = |(name, amount): &(String, u64)| format!("--resource={name}={amount}");
        let size = |option: &str, size: Option<ByteSize>| size.map(|size| format!("{option}={}", size.0));
        [
            size("--memory", self.memory),
            size("--action-memory", self.action_memory),
            Some(format!("--action-processes={}", self.action_processes)),
            self.action_cpus.map(|cpus| format!("--action-cpus={cpus}")),
            size("--action-disk", self.action_disk),
            Some(format!("--persistent-workers={}", self.persistent_workers)),
        ]
        .into_iter()
        .flatten()
        .chain(self.resources.iter().map(resource))
        .map(OsString::from)
        .collect()
    }

    /// For all actions together. `None`: nobody has said, and nobody knows how much there is.
    pub(super) fn memory_bytes_max(&self) -> Option<u64> {
        self.memory.map_or_else(default_memory, |size| Some(size.0))
    }

    /// For one action.
    pub(super) fn of_one_action(&self) -> ActionLimits {
        ActionLimits {
            memory_bytes_max: self.action_memory.map(|size| size.0),
            processes_max: Some(self.action_processes),
            processors_max: self.action_cpus,
            disk_bytes_max: self.action_disk.map(|size| size.0),
        }
    }

    /// How many processes may outlive their action.
    pub(super) fn persistent_processes_max(&self) -> u32 {
        self.persistent_workers
    }

    /// What can be shared out beside processors and memory.
    pub(super) fn resources(&self) -> Vec<(String, u64)> {
        self.resources.clone()
    }

    /// Whoever asks for a bound by name must not get none.
    pub(super) fn check(&self, capabilities: &Capabilities) -> Result<()> {
        let (memory, processors) = (&capabilities.memory_limit, &capabilities.processor_limit);
        let asked = [
            ("--memory", self.memory.is_some(), memory),
            ("--action-memory", self.action_memory.is_some(), memory),
            ("--action-cpus", self.action_cpus.is_some(), processors),
        ];
        for (option, is_asked, limit) in asked {
            if let (true, Availability::Missing { why }) = (is_asked, limit) {
                return Err(BadOptions::message(format!(
                    "{option} cannot be kept on this machine: {why}"
                )));
            }
        }
        Ok(())
    }
}

fn parse_resource(text: &str) -> Result<(String, u64), String> {
    let mistake = || format!("`{text}` is not NAME=AMOUNT, with a whole number");
    let (name, amount) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(mistake)?;
    if ["cpus", "memory"].contains(&name) {
        return Err(format!("{name} is said by --slots and --memory"));
    }
    Ok((name.to_owned(), amount.parse().map_err(|_| mistake())?))
}

/// What leaves something for the worker, its file cache and the rest of the machine or container.
fn default_memory() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let bounds = CONTAINER_BOUNDS
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok());
    let there = of_machine(&table)
        .into_iter()
        .chain(bounds.filter_map(|bound| bound.trim().parse().ok()))
        .min()?;
    Some(there / 10 * 9)
}

/// What a container may have, where it says so: for control groups of version 2 and 1. Without a bound the one holds no
/// number, and the other one that is larger than any machine.
const CONTAINER_BOUNDS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// Bytes, from `/proc/meminfo`.
fn of_machine(table: &str) -> Option<u64> {
    let total = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use runner_api::UidMode;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        limits: LimitOptions,
    }

    fn parse(words: &[OsString]) -> LimitOptions {
        let program = OsString::from("farrier");
        Words::try_parse_from([&program].into_iter().chain(words))
            .unwrap()
            .limits
    }

    #[test]
    fn a_worker_is_told_what_its_starter_was_told() {
        let words = [
            "--memory=1073741824",
            "--action-memory=1048576",
            "--action-processes=7",
            "--action-cpus=2",
            "--action-disk=4096",
            "--persistent-workers=3",
            "--resource=gpu=2",
        ];
        let words = words.map(OsString::from);
        assert_eq!(parse(&words).to_arguments(), words);
        assert_eq!(parse(&words).resources(), [("gpu".to_owned(), 2)]);
        for wrong in ["gpu", "=1", "gpu=many", "cpus=2"] {
            assert!(parse_resource(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            parse(&[]).to_arguments(),
            ["--action-processes=4096", "--persistent-workers=0"]
        );
        assert!(parse(&[]).memory_bytes_max().is_some_and(|bytes| bytes > 1 << 26));
    }

    #[test]
    fn the_memory_of_a_machine_is_read() {
        assert_eq!(
            of_machine("MemFree: 1 kB\nMemTotal:       24684836 kB\n"),
            Some(24_684_836 << 10)
        );
        assert_eq!(of_machine("MemTotal: lots"), None);
    }

    #[test]
    fn a_bound_that_does_not_hold_is_refused_to_those_who_ask_for_it() {
        let missing = Availability::Missing {
            why: "no control groups".to_owned(),
        };
        let capabilities = Capabilities {
            mechanisms: Vec::new(),
            uid_mode: UidMode::Rootless,
            hardlinks_safe: false,
            action_uid: 0,
            action_gid: 0,
            runs_max: 1,
            memory_limit: missing.clone(),
            process_limit: missing.clone(),
            processor_limit: missing.clone(),
            overlays: missing,
        };
        assert!(parse(&[]).check(&capabilities).is_ok());
        let error = parse(&["--action-memory=1GiB".into()])
            .check(&capabilities)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "--action-memory cannot be kept on this machine: no control groups"
        );
        assert!(parse(&["--action-cpus=1".into()]).check(&capabilities).is_err());
    }
}
