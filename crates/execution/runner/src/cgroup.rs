//! Memory, processes and processors of commands, bounded and counted by the kernel.
//!
//! A runner makes one control group for all its commands, and in it one for each: named after the supervisor, made
//! before its command's init is let go, removed when all is dead. Version 2 of control groups is used where it hands both
//! controllers down; else version 1, each controller in its own tree.
//!
//! The groups lie below the runner's own where possible, so that whatever bounds the runner bounds its commands. With
//! version 2 a group with processes in it hands nothing down; then they lie beside it, below the nearest group that
//! does. They never touch a group that was there before.

mod place;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use place::{Place, Version};
use runner_api::RunRequest;
use rustix::io::Errno;

use crate::limits::CGROUPS_LEFT_MAX;
use crate::setup_error::{Result, SetupError};

/// What all groups of ours are called, before the number of their runner.
const PREFIX: &str = "farrier-";

/// The groups of a runner.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    memory: Option<Tree>,
    processes: Option<Tree>,
    processors: Option<Tree>,
}

/// One controller's group for all commands.
#[derive(Clone, Debug)]
struct Tree {
    version: Version,
    path: PathBuf,
}

/// The groups of one command.
#[derive(Debug)]
pub(crate) struct Group {
    memory: Option<Leaf>,
    processes: Option<Leaf>,
    processors: Processors,
}

/// Few commands have a bound there, and what has none pays for no group.
#[derive(Debug)]
struct Processors {
    supervisor: u32,
    tree: Option<Tree>,
    leaf: Option<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    version: Version,
    path: PathBuf,
}

/// What a command may have at most; `None` is no bound of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) processes_max: Option<u32>,
    pub(crate) processors_max: Option<u32>,
}

impl Limits {
    pub(crate) fn of(request: &RunRequest) -> Self {
        Limits {
            memory_bytes_max: request.memory_bytes_max,
            processes_max: request.processes_max,
            processors_max: request.processors_max,
        }
    }
}

/// What the kernel has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The most memory at any one time, files in memory included; zero if nobody counted.
    pub(crate) memory_peak_bytes: u64,
    /// How many processes were killed because the memory was used up.
    pub(crate) killed_for_memory: u64,
    /// How often a process could not be made because there were too many.
    pub(crate) refused_processes: u64,
}

/// Whether commands can be bounded, and why not.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) cgroups: Cgroups,
    pub(crate) why_no_memory: Option<String>,
    pub(crate) why_no_processes: Option<String>,
    pub(crate) why_no_processors: Option<String>,
}

impl Cgroups {
    /// None at all: commands are not bounded.
    pub(crate) fn none() -> Self {
        Cgroups {
            memory: None,
            processes: None,
            processors: None,
        }
    }

    /// Makes the groups of this runner, in which all commands together have at most `memory_bytes_max`. Removes what
    /// runners that are dead have left.
    pub(crate) fn prepare(memory_bytes_max: Option<u64>) -> Findings {
        let tables = place::Tables::read();
        let make = |controller: &str| {
            let place = tables.as_ref().map_err(Clone::clone)?.find(controller)?;
            Tree::make(&place)
        };
        let memory = make("memory").and_then(|tree| {
            if let Some(bytes) = memory_bytes_max {
                let leaf = tree.as_leaf();
                leaf.limit_memory(bytes)
                    .map_err(|error| leaf.failed("bounding its memory", &error).to_string())?;
            }
            Ok(tree)
        });
        let processes = make("pids");
        let processors = match &memory {
            Ok(tree) if tree.version == Version::Two => tree.hands_processors_down(),
            _ => make("cpu"),
        };
        let (memory, why_no_memory) = split(memory);
        let (processes, why_no_processes) = split(processes);
        let (processors, why_no_processors) = split(processors);
        Findings {
            cgroups: Cgroups {
                memory,
                processes,
                processors,
            },
            why_no_memory,
            why_no_processes,
            why_no_processors,
        }
    }

    /// Whether there is a bound on processes here.
    pub(crate) fn bound_processes(&self) -> bool {
        self.processes.is_some()
    }

    /// The groups for what this process supervises.
    pub(crate) fn group(&self, supervisor: u32) -> Result<Group> {
        let leaf = |tree: &Tree| tree.leaf(supervisor);
        Ok(Group {
            memory: self.memory.as_ref().map(leaf).transpose()?,
            processes: self.processes.as_ref().map(leaf).transpose()?,
            processors: Processors {
                supervisor,
                tree: self.processors.clone(),
                leaf: None,
            },
        })
    }

    /// Removes the groups of a supervisor that is dead. `false`: something still lives in them.
    pub(crate) fn remove_of(&self, supervisor: u32) -> bool {
        let gone = |tree: &Tree| match fs::remove_dir(tree.path.join(supervisor.to_string())) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        // Each of them, whatever becomes of the others.
        self.trees().map(gone).filter(|gone| !gone).count() == 0
    }

    /// Removes everything of this runner; what still lives keeps its group.
    pub(crate) fn remove_all(&self) {
        self.trees().for_each(|tree| remove_tree(&tree.path));
    }

    fn trees(&self) -> impl Iterator<Item = &Tree> {
        let trees = [&self.memory, &self.processes, &self.processors];
        let is_first = move |at: usize, tree: &Tree| {
            let mut before = trees[..at].iter().filter_map(|tree| tree.as_ref());
            before.all(|before| before.path != tree.path)
        };
        let there = trees.into_iter().enumerate();
        let there = there.filter_map(|(at, tree)| Some((at, tree.as_ref()?)));
        there
            .filter(move |(at, tree)| is_first(*at, tree))
            .map(|(_, tree)| tree)
    }
}

fn split(made: std::result::Result<Tree, String>) -> (Option<Tree>, Option<String>) {
    match made {
        Ok(tree) => (Some(tree), None),
        Err(why) => (None, Some(why)),
    }
}

impl Tree {
    fn make(place: &Place) -> std::result::Result<Tree, String> {
        remove_those_of_the_dead(&place.parent);
        let path = place.parent.join(format!("{PREFIX}{}", std::process::id()));
        let made = match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        made.map_err(|error| format!("making the control group {}: {error}", path.display()))?;
        let tree = Tree {
            version: place.version,
            path,
        };
        if place.version == Version::Two {
            let leaf = tree.as_leaf();
            leaf.write("cgroup.subtree_control", "+memory +pids")
                .map_err(|error| leaf.failed("handing controllers down", &error).to_string())?;
        }
        Ok(tree)
    }

    /// This one, if what lies in it can be bounded in processors too. Not everybody's group hands that down.
    fn hands_processors_down(&self) -> std::result::Result<Tree, String> {
        let leaf = self.as_leaf();
        leaf.write("cgroup.subtree_control", "+cpu").map_err(|error| {
            leaf.failed("handing the controller of processors down", &error)
                .to_string()
        })?;
        Ok(self.clone())
    }

    fn as_leaf(&self) -> Leaf {
        Leaf {
            version: self.version,
            path: self.path.clone(),
        }
    }

    fn leaf(&self, supervisor: u32) -> Result<Leaf> {
        let leaf = Leaf {
            version: self.version,
            path: self.path.join(supervisor.to_string()),
        };
        match fs::create_dir(&leaf.path) {
            Ok(()) => Ok(leaf),
            // Both controllers share the group.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(leaf),
            Err(error) => Err(leaf.failed("making it", &error)),
        }
    }
}

impl Group {
    /// Moves a process there, which has started nothing yet.
    pub(crate) fn take_in(&self, pid: libc::pid_t) -> Result<()> {
        for leaf in self.leaves() {
            leaf.take_in(pid)?;
        }
        Ok(())
    }

    /// Bounds the command; what cannot be bounded here is not.
    pub(crate) fn limit(&mut self, limits: Limits) -> Result<()> {
        if let (Some(leaf), Some(bytes)) = (&self.memory, limits.memory_bytes_max) {
            leaf.limit_memory(bytes)
                .map_err(|error| leaf.failed("bounding its memory", &error))?;
        }
        if let (Some(leaf), Some(processes)) = (&self.processes, limits.processes_max) {
            // Init is one of them, and none of the command's.
            let all = processes.saturating_add(1);
            leaf.write("pids.max", &all.to_string())
                .map_err(|error| leaf.failed("bounding its processes", &error))?;
        }
        self.processors.limit(limits.processors_max)
    }

    /// The same for a command whose init is there already.
    pub(crate) fn limit_running(&mut self, limits: Limits, init: libc::pid_t) -> Result<()> {
        self.limit(limits)?;
        match &self.processors.leaf {
            Some(leaf) => leaf.take_in(init),
            None => Ok(()),
        }
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        if let Some(leaf) = &self.memory {
            let (peak, events) = match leaf.version {
                Version::One => ("memory.max_usage_in_bytes", "memory.oom_control"),
                Version::Two => ("memory.peak", "memory.events"),
            };
            counts.memory_peak_bytes = leaf.read(peak).trim().parse().unwrap_or(0);
            counts.killed_for_memory = keyed(&leaf.read(events), "oom_kill");
        }
        if let Some(leaf) = &self.processes {
            counts.refused_processes = keyed(&leaf.read("pids.events"), "max");
        }
        counts
    }

    fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        let processors = self.processors.leaf.iter();
        self.memory.iter().chain(&self.processes).chain(processors)
    }
}

impl Processors {
    fn limit(&mut self, processors_max: Option<u32>) -> Result<()> {
        let (Some(tree), Some(processors)) = (&self.tree, processors_max) else {
            return Ok(());
        };
        let leaf = tree.leaf(self.supervisor)?;
        leaf.limit_processors(processors)
            .map_err(|error| leaf.failed("bounding its processors", &error))?;
        self.leaf = Some(leaf);
        Ok(())
    }
}

impl Leaf {
    fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        let bytes = bytes.to_string();
        match self.version {
            Version::One => {
                self.write("memory.limit_in_bytes", &bytes)?;
                // Together with swap, where the kernel counts that at all.
                self.write_if_there("memory.memsw.limit_in_bytes", &bytes)
            }
            Version::Two => {
                self.write("memory.max", &bytes)?;
                self.write_if_there("memory.swap.max", "0")?;
                // A command that lost a part of itself is of no use.
                self.write("memory.oom.group", "1")
            }
        }
    }

    fn limit_processors(&self, processors: u32) -> io::Result<()> {
        const PERIOD_US: u64 = 100_000;
        let quota_us = u64::from(processors) * PERIOD_US;
        match self.version {
            Version::One => {
                self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota_us.to_string())
            }
            Version::Two => self.write("cpu.max", &format!("{quota_us} {PERIOD_US}")),
        }
    }

    fn take_in(&self, pid: libc::pid_t) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
            .map_err(|error| self.failed("moving a process there", &error))
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        fs::write(self.path.join(file), value)
    }

    fn write_if_there(&self, file: &str, value: &str) -> io::Result<()> {
        match self.path.join(file).exists() {
            true => self.write(file, value),
            false => Ok(()),
        }
    }

    /// Empty if it cannot be read: then nothing is known.
    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap_or_default()
    }

    fn failed(&self, what: &str, error: &io::Error) -> SetupError {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        SetupError::new(format!("control group {}: {what}", self.path.display()), errno)
    }
}

/// The number behind a name, in a file of one such pair a line.
fn keyed(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let value = lines
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim().parse());
    value.and_then(std::result::Result::ok).unwrap_or(0)
}

/// Groups of runners whose process is no more.
fn remove_those_of_the_dead(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten().take(CGROUPS_LEFT_MAX) {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove_tree(&entry.path());
        }
    }
}

/// A group and those in it, as far as nothing lives there.
fn remove_tree(path: &Path) {
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
            // One with processes in it stays, and so does what it lies in; the next runner tries again.
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_name() {
        let text = "low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\n";
        assert_eq!((keyed(text, "oom_kill"), keyed(text, "max")), (3, 7));
        assert_eq!((keyed(text, "oom_group_kill"), keyed("", "max")), (0, 0));
    }

    /// A folder is no control group, but takes what one is told.
    #[test]
    fn a_group_of_version_two_is_told_what_the_kernel_documents() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = Tree {
            version: Version::Two,
            path: scratch.path().to_owned(),
        };
        let cgroups = Cgroups {
            memory: Some(tree.clone()),
            processes: Some(tree.clone()),
            processors: Some(tree),
        };
        let mut group = cgroups.group(7).unwrap();
        let path = scratch.path().join("7");
        fs::write(path.join("memory.swap.max"), "max").unwrap();
        group.take_in(42).unwrap();
        let limits = Limits {
            memory_bytes_max: Some(1 << 20),
            processes_max: Some(100),
            processors_max: Some(2),
        };
        group.limit(limits).unwrap();
        for (file, expected) in [
            ("cgroup.procs", "42"),
            ("memory.max", "1048576"),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "1"),
            ("pids.max", "101"),
            ("cpu.max", "200000 100000"),
        ] {
            assert_eq!(fs::read_to_string(path.join(file)).unwrap(), expected, "{file}");
        }
        assert_eq!(group.counts(), Counts::default());
        fs::write(path.join("memory.peak"), "4096\n").unwrap();
        fs::write(path.join("memory.events"), "oom 1\noom_kill 2\n").unwrap();
        fs::write(path.join("pids.events"), "max 3\n").unwrap();
        let expected = Counts {
            memory_peak_bytes: 4096,
            killed_for_memory: 2,
            refused_processes: 3,
        };
        assert_eq!(group.counts(), expected);
        assert!(!cgroups.remove_of(7), "it is not empty");
        assert!(cgroups.remove_of(8), "there is none");
    }
}
