//! Two hosts with a cable each to the server: network namespaces of this machine, so it needs root.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::bazel::Bazel;
use e2e::farrier::Farrier;
use e2e::joined::Joined;
use e2e::waiting;

/// A network namespace, and the cable to it.
struct Host {
    name: String,
    /// This machine's end.
    cable: String,
    /// This machine's address there.
    address: String,
}

impl Host {
    fn new(number: u8) -> Result<Self> {
        let host = Host {
            name: format!("farrier-e2e-{}-{number}", std::process::id()),
            cable: format!("fe2e{number}"),
            address: format!("10.97.{number}.1"),
        };
        let (name, cable, there) = (&host.name, &host.cable, format!("10.97.{number}.2/24"));
        // One that an earlier run left, which was killed.
        let _ = ip(&["link", "delete", cable]);
        ip(&["netns", "add", name])?;
        ip(&[
            "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name,
        ])?;
        ip(&["address", "add", &format!("{}/24", host.address), "dev", cable])?;
        ip(&["link", "set", cable, "up"])?;
        ip(&["-n", name, "address", "add", &there, "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        Ok(host)
    }

    fn join(&self, farrier: &Farrier) -> Result<Joined> {
        let url = format!("http://{}:{}", self.address, farrier.address().port());
        let before = ["ip", "netns", "exec", &self.name];
        Joined::start_on(&before, &url, farrier, &self.name, 1)
    }

    fn pull_cable(&self) -> Result<()> {
        ip(&["link", "set", &self.cable, "down"])
    }

    fn put_cable_back(&self) -> Result<()> {
        ip(&["link", "set", &self.cable, "up"])
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The cable goes with the namespace, when the last process there is gone.
        let _ = ip(&["netns", "delete", &self.name]);
        let _ = ip(&["link", "delete", &self.cable]);
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(words)
        .output()
        .context("ip (Debian's iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn a_pulled_cable_harms_no_build() -> Result<()> {
    let hosts = [Host::new(1)?, Host::new(2)?];
    let port = waiting::free_address()?.port();
    let farrier = Farrier::start_at(([0, 0, 0, 0], port).into(), &[], &["--slots", "0"])?;
    let workers = [hosts[0].join(&farrier)?, hosts[1].join(&farrier)?];
    let bazel = Bazel::remote(&format!("grpc://127.0.0.1:{port}"))?;
    let build = |round: &str| {
        let environment = format!("--action_env=ROUND={round}");
        bazel.start("build", &["--remote_retries=20", &environment, "//slow:slow"])
    };
    let until_both_work = |begun: [usize; 2]| {
        waiting::until("both hosts work", Duration::from_secs(60), || {
            let work = workers
                .iter()
                .zip(begun)
                .all(|(worker, begun)| worker.actions_begun() > begun);
            Ok(work.then_some(()))
        })
    };
    let begun = || [workers[0].actions_begun(), workers[1].actions_begun()];

    // Back before anybody gives up: what runs there is finished there.
    let before = begun();
    let running = build("short")?;
    until_both_work(before)?;
    hosts[0].pull_cable()?;
    std::thread::sleep(Duration::from_secs(4));
    hosts[0].put_cable_back()?;
    running.finish()?.assert_success().assert_all_spawns("remote", 7);
    let done: usize = begun().iter().sum::<usize>() - before.iter().sum::<usize>();
    ensure!(done == 7, "{done} actions were begun for 7");

    // Longer than a lease: the other host does it all.
    let before = begun();
    let running = build("long")?;
    until_both_work(before)?;
    hosts[0].pull_cable()?;
    running.finish()?.assert_success().assert_all_spawns("remote", 7);
    hosts[0].put_cable_back()?;

    // And the first works again when its cable is back.
    waiting::until("the host is back", Duration::from_secs(60), || {
        let before = begun();
        let running = build(&format!("after {before:?}"))?;
        running.finish()?.assert_success();
        Ok((workers[0].actions_begun() > before[0]).then_some(()))
    })
}
