//! Commands that are killed and do not die. What does so here is a process in a frozen control group of version 1, which
//! no signal reaches until it is thawed: as if it hung on a file system that does not answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use runner_api::{RunError, RunRequest};
use tokio_util::sync::CancellationToken;

use crate::host::{Host, eventually, first_marked, groups_of, mark, modes, processes_marked, shell};

/// Where freezers are made, on machines that have them.
const FREEZERS: &str = "/sys/fs/cgroup/freezer";

/// Freezes one process for as long as this lives.
struct Frozen(PathBuf);

impl Frozen {
    /// `None` where that cannot be done, which it says.
    fn place(name: &str) -> Option<Frozen> {
        let group = Path::new(FREEZERS).join(format!("farrier-test-{name}"));
        match fs::create_dir(&group) {
            Ok(()) => Some(Frozen(group)),
            Err(error) => {
                println!(
                    "not tried: no process can be made unkillable here: {}: {error}",
                    group.display()
                );
                None
            }
        }
    }

    fn freeze(&self, pid: i32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").unwrap();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.thaw();
        // What was in it may take a moment to die.
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Runs a command that has to be killed, freezes it, and returns what the runner says of it.
async fn undead(host: &Host, frozen: &Frozen, mark: &str, is_cancelled: bool) -> RunError {
    let build = host.build().await;
    let cancel = CancellationToken::new();
    let freeze = async {
        frozen.freeze(first_marked(mark).await);
        if is_cancelled {
            cancel.cancel();
        }
    };
    let request = RunRequest {
        timeout: (!is_cancelled).then_some(Duration::from_secs(1)),
        ..shell(&build, &format!("exec sleep {mark}"))
    };
    let (result, ()) = tokio::join!(host.try_run(request, &cancel), freeze);
    result.unwrap_err()
}

#[tokio::test]
async fn what_cannot_die_is_said_so_and_holds_up_nobody_else() {
    for (number, mode) in modes().iter().enumerate() {
        for is_cancelled in [false, true] {
            let mark = mark(70 + u32::try_from(number).unwrap() * 2 + u32::from(is_cancelled));
            let Some(frozen) = Frozen::place(&mark) else {
                return;
            };
            let host = Host::start_with(*mode, &["--sandbox", "require", "--death-timeout", "1"]).await;
            let error = undead(&host, &frozen, &mark, is_cancelled).await;
            let RunError::Undead { message, remains } = error else {
                panic!("{mode:?}: {error:?}");
            };
            assert!(message.contains("did not die in 1s"), "{message}");
            assert_eq!(processes_marked(&mark).len(), 1);
            assert_eq!(host.shell("echo on").await.ok(), "on\n");

            let mut gone = std::pin::pin!(remains.gone());
            let early = tokio::time::timeout(Duration::from_millis(50), &mut gone).await;
            assert!(early.is_err(), "it is not dead yet");
            frozen.thaw();
            gone.await;
            assert_eq!(processes_marked(&mark), []);
            let spares = host.spares(1..=8).await;
            let groups = groups_of(host.pid());
            let left = || {
                groups
                    .iter()
                    .flat_map(|group| fs::read_dir(group).unwrap())
                    .flatten()
            };
            eventually("its control group is removed", || {
                left()
                    .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
                    .all(|supervisor| spares.contains(&supervisor))
            })
            .await;
        }
    }
}
