//! Waiting for a program, but not for ever: one that hangs is shown with all it started, and ended.

use std::collections::HashSet;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How often a program is asked whether it has ended.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Every process, as people and [`below`] read it: number, parent's number, and what it waits for.
const LIST: [&str; 2] = ["-eo", "pid=,ppid=,stat=,wchan:24=,etime=,args="];

/// The program's end. After `at_most` it and all below it are killed, and the error lists what they were at.
pub(super) fn end_of(command: &mut Command, at_most: Duration) -> Result<ExitStatus> {
    let mut child = command.spawn()?;
    let deadline = Instant::now() + at_most;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        sleep(LOOK_AGAIN_AFTER);
    }
    let listed = end(&mut child)?;
    bail!("still ran after {} s:\n{listed}", at_most.as_secs())
}

/// Kills a program and all below it; what these were.
fn end(child: &mut Child) -> Result<String> {
    let listed = Command::new("ps")
        .args(LIST)
        .output()
        .context("ps does not start")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let tree = below(&listed, child.id());
    let mut kill = Command::new("kill");
    kill.arg("-KILL");
    for (number, _) in &tree {
        kill.arg(number.to_string());
    }
    // Some have ended by now, of which it complains.
    kill.output().context("kill does not start")?;
    child.wait()?;
    let lines: Vec<&str> = tree.iter().map(|(_, line)| *line).collect();
    Ok(lines.join("\n"))
}

/// The lines of a process and of those below it. A list has parents before their children only mostly: it is read until
/// nothing more is found, which is at most once for each of its lines.
fn below(listed: &str, root: u32) -> Vec<(u32, &str)> {
    let lines: Vec<(u32, u32, &str)> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, line))
        })
        .collect();
    let mut tree = HashSet::from([root]);
    loop {
        let before = tree.len();
        for (number, parent, _) in &lines {
            if tree.contains(parent) {
                tree.insert(*number);
            }
        }
        if tree.len() == before {
            break;
        }
    }
    let of_tree = lines.iter().filter(|(number, ..)| tree.contains(number));
    of_tree.map(|(number, _, line)| (*number, *line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_hangs_is_shown_with_what_it_started_and_ended() {
        let started = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 3601; true"]);
        let error = end_of(&mut command, Duration::from_millis(500)).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("sleep 3601; true") && said.ends_with("sleep 3601"),
            "{said}"
        );
        assert!(started.elapsed() < Duration::from_secs(600));
        let sleeper = said.lines().last().unwrap().split_whitespace().next().unwrap();
        let words = std::fs::read_to_string(format!("/proc/{sleeper}/cmdline"));
        assert_eq!(words.unwrap_or_default(), "", "it still runs");
    }

    #[test]
    fn a_program_that_ends_is_waited_for() {
        let status = end_of(
            Command::new("sh").args(["-c", "exit 3"]),
            Duration::from_secs(600),
        );
        assert_eq!(status.unwrap().code(), Some(3));
    }

    #[test]
    fn a_tree_is_found_in_any_order() {
        let listed = " 9 7 S wait 01 a b\n 5 1 S - 02 c\n 7 5 R - 03 d\n 6 1 S - 04 e\n\n";
        let found: Vec<u32> = below(listed, 5).into_iter().map(|(number, _)| number).collect();
        assert_eq!(found, [9, 5, 7]);
    }
}
