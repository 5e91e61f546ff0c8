//! Which processes there are, who started them, and their end: what `/proc` tells.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// One running process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// The number of the process that started it, or of the one that took it over.
    pub parent: i32,
    /// The words of its command line; empty for zombies.
    pub arguments: Vec<String>,
}

/// Every process of this machine that can be read; those that end meanwhile are left out.
pub fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(process)
        .collect()
}

/// The processes that `root` started, and those that they did, and so on; without `root` itself.
pub fn descendants(root: i32) -> Vec<Process> {
    let mut by_parent: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in processes() {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        // Removing each parent's children bounds the walk even if numbers are reused while it looks.
        for child in by_parent.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            found.push(child);
        }
    }
    found
}

/// Whether the process runs; a zombie does not.
pub fn is_running(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| state(&stat) != Some('Z'))
}

/// Whether it is still the same process, and runs: numbers are used again.
pub fn still_runs(process: &Process) -> bool {
    is_running(process.pid)
        && self::process(process.pid).is_some_and(|now| now.arguments == process.arguments)
}

/// SIGKILL. That the process is gone already is fine.
pub fn kill(pid: i32) {
    signal(pid, Signal::KILL);
}

/// Any signal. That the process is gone already is fine.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // The only errors are "no such process" and "not yours", and only our own processes are ever named here.
        let _ = kill_process(pid, signal);
    }
}

/// A signal for a process and everything below it.
pub fn signal_tree(root: i32, what: Signal) {
    for process in descendants(root) {
        signal(process.pid, what);
    }
    signal(root, what);
}

/// SIGKILL for a process and everything below it.
pub fn kill_tree(root: i32) {
    let below = descendants(root);
    kill(root);
    for process in below.iter().filter(|process| still_runs(process)) {
        kill(process.pid);
    }
}

fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold spaces and parentheses; fields count from behind it.
    let parent = stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .nth(1)?
        .parse()
        .ok()?;
    let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let arguments = command_line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    Some(Process {
        pid,
        parent,
        arguments,
    })
}

fn state(stat: &str) -> Option<char> {
    stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .next()?
        .chars()
        .next()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn finds_and_kills_a_grandchild() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000; true"])
            .spawn()
            .unwrap();
        let root = i32::try_from(shell.id()).unwrap();
        let found = crate::waiting::until("the shell has a child", std::time::Duration::from_secs(5), || {
            Ok(descendants(root)
                .into_iter()
                .find(|process| process.arguments == ["sleep", "1000"]))
        })
        .unwrap();
        assert_eq!(found.parent, root);
        assert!(still_runs(&found));
        kill_tree(root);
        shell.wait().unwrap();
        crate::waiting::until(
            "the grandchild is gone",
            std::time::Duration::from_secs(5),
            || Ok((!still_runs(&found)).then_some(())),
        )
        .unwrap();
    }

    #[test]
    fn names_with_spaces_and_parentheses_do_not_confuse() {
        assert_eq!(state("42 (a) b (c)) S 7 42"), Some('S'));
    }
}
