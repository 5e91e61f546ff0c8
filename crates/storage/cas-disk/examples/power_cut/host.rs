//! Outside: boots the machine, notes what it says, and cuts it off.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};

use super::{ACKNOWLEDGED, CARELESS, FILE_SYSTEM, PREFIX, ROUND, SCRATCH};

const ROUNDS: u64 = 20;
/// The careless store has so many chances to lose something.
const CARELESS_ROUNDS: u64 = 4;
const DISK_BYTES: u64 = 512 << 20;
const MEMORY: &str = "mem=384M";
/// Acknowledgements before a cut, at most.
const PATIENCE_MAX: u64 = 120;
/// And a little more time, in microseconds at most.
const MORE_MAX: u64 = 200_000;
/// A machine that says nothing for so long has failed.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What came of several cuts.
#[derive(Debug, Default)]
struct Outcome {
    acknowledged: HashSet<String>,
    lost: Vec<String>,
    lied: Vec<String>,
    present: u64,
}

pub(crate) fn run() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let file_system = arguments.next().unwrap_or_else(|| "ext4".to_owned());
    let rounds = match arguments.next() {
        None => ROUNDS,
        Some(text) => text
            .parse()
            .map_err(|error| format!("{text} is no number of rounds: {error}"))?,
    };
    if !rustix::process::getuid().is_root() {
        return Err("start it as root: the machine has the host's files as its own".to_owned());
    }
    let careless = several(&file_system, CARELESS_ROUNDS, true)?;
    println!(
        "without waiting for the disk: {} of {} acknowledged blobs lost in {CARELESS_ROUNDS} cuts",
        careless.lost.len(),
        careless.acknowledged.len()
    );
    if careless.lost.is_empty() {
        return Err(
            "the store that does not wait for the disk lost nothing: this rig proves nothing".to_owned(),
        );
    }
    let careful = several(&file_system, rounds, false)?;
    println!(
        "waiting for the disk, on {file_system}: {} of {} acknowledged blobs lost in {rounds} cuts, {} of {} present ones unreadable",
        careful.lost.len(),
        careful.acknowledged.len(),
        careful.lied.len(),
        careful.present,
    );
    let wrong: Vec<&String> = careful.lost.iter().chain(&careful.lied).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(format!("{wrong:#?}")),
    }
}

fn several(file_system: &str, rounds: u64, careless: bool) -> Result<Outcome, String> {
    let failed = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let scratch = tempfile::tempdir().map_err(|error| failed("a scratch directory", error))?;
    let image = scratch.path().join("image");
    let file = fs::File::create(&image).map_err(|error| failed("the image", error))?;
    file.set_len(DISK_BYTES)
        .map_err(|error| failed("the image", error))?;
    fs::create_dir(scratch.path().join("disk")).map_err(|error| failed("the mount point", error))?;
    let made = Command::new(format!("mkfs.{file_system}"))
        .arg(if file_system == "ext4" { "-q" } else { "-f" })
        .arg(&image)
        .stdout(Stdio::null())
        .status()
        .map_err(|error| failed(&format!("mkfs.{file_system} (is it installed?)"), error))?;
    if !made.success() {
        return Err(format!("mkfs.{file_system}: {made}"));
    }
    let mut outcome = Outcome::default();
    // One more boot than cuts, to look at what the last one left.
    for round in 0..=rounds {
        let lines: Vec<&str> = outcome.acknowledged.iter().map(String::as_str).collect();
        fs::write(scratch.path().join(ACKNOWLEDGED), lines.join("\n"))
            .map_err(|error| failed("the list of what was acknowledged", error))?;
        cut(
            scratch.path(),
            file_system,
            round,
            careless,
            round == rounds,
            &mut outcome,
        )?;
    }
    Ok(outcome)
}

/// One life of the machine, from boot to cut.
fn cut(
    scratch: &Path,
    file_system: &str,
    round: u64,
    careless: bool,
    last: bool,
    outcome: &mut Outcome,
) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("this program's own file: {error}"))?;
    let mut machine = Command::new("linux.uml");
    machine
        .args([
            MEMORY,
            "root=/dev/root",
            "rootfstype=hostfs",
            "rootflags=/",
            "rw",
            "quiet",
        ])
        .args(["con=null", "con0=fd:0,fd:1"])
        .arg(format!("ubd0={}", scratch.join("image").display()))
        .arg(format!("init={}", program.display()))
        .arg(format!("{SCRATCH}={}", scratch.display()))
        .arg(format!("{FILE_SYSTEM}={file_system}"))
        .arg(format!("{ROUND}={round}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    if careless {
        machine.arg(format!("{CARELESS}=1"));
    }
    let mut child = machine
        .spawn()
        .map_err(|error| format!("linux.uml (Debian's user-mode-linux): {error}"))?;
    let group = Pid::from_raw(child.id().cast_signed()).ok_or("a process without a number")?;
    let said = child.stdout.take().ok_or("the machine has no console")?;
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if let Some((_, said)) = line.trim_end().split_once(PREFIX) {
                // Nobody listens any more once the round is over.
                let _ = sender.send(said.to_owned());
            }
        }
    });
    let lived = listen(&lines, last, outcome);
    let killed = kill_process_group(group, Signal::KILL);
    let reaped = child.wait();
    let joined = reader.join();
    // What it said before the cut reached it counts too.
    for line in lines.try_iter() {
        note(&line, outcome);
    }
    lived?;
    killed.map_err(|error| format!("killing the machine: {error}"))?;
    reaped.map_err(|error| format!("waiting for the machine: {error}"))?;
    joined.map_err(|_| "reading the console panicked".to_owned())?;
    print!(".");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    if last {
        println!();
    }
    Ok(())
}

/// Hears the machine out until it is time for the cut.
fn listen(lines: &mpsc::Receiver<String>, last: bool, outcome: &mut Outcome) -> Result<(), String> {
    let before = outcome.acknowledged.len();
    let chance = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| u64::from(now.subsec_nanos()));
    let patience = 1 + chance % PATIENCE_MAX;
    let mut checked = false;
    let began = Instant::now();
    while !checked || (!last && ((outcome.acknowledged.len() - before) as u64) < patience) {
        let line = lines.recv_timeout(SILENCE_MAX).map_err(|error| {
            format!(
                "the machine said nothing more after {:.1?}: {error}",
                began.elapsed()
            )
        })?;
        if let Some(failure) = line.strip_prefix("failed ") {
            return Err(format!("in the machine: {failure}"));
        }
        checked |= line.starts_with("checked ");
        note(&line, outcome);
    }
    if !last {
        std::thread::sleep(Duration::from_micros(chance / 1_000 % MORE_MAX));
    }
    Ok(())
}

fn note(line: &str, outcome: &mut Outcome) {
    match line.split_once(' ') {
        Some(("kept", seed)) => drop(outcome.acknowledged.insert(seed.to_owned())),
        // A careless store loses the same again and again.
        Some(("lost", what)) if !outcome.lost.iter().any(|lost| lost == what) => {
            outcome.lost.push(what.to_owned())
        }
        Some(("lied", what)) => outcome.lied.push(what.to_owned()),
        Some(("checked", counts)) => {
            let present = counts
                .split_once(' ')
                .and_then(|(_, present)| present.parse::<u64>().ok());
            outcome.present += present.unwrap_or(0);
        }
        _ => {}
    }
}
