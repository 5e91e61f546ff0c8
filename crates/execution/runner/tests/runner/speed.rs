//! How long a command that does nothing takes, confined and not. Run it with
//! `cargo test --release -p runner --test runner speed -- --ignored --nocapture`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runner_api::{Outcome, RunRequest, Runner};
use tokio_util::sync::CancellationToken;

use crate::host::{Host, modes, request};

const RUNS: u32 = 500;

/// Between two runs, so that the runner gets ready for the next: real commands give it the time while they run.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::test]
#[ignore = "a measurement, not a check"]
async fn a_command_that_does_nothing() {
    let start = Instant::now();
    for _ in 0..RUNS {
        let status = Command::new("/bin/true")
            .env_clear()
            .stdin(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }
    println!("plain spawn and wait: {:?} a run", start.elapsed() / RUNS);
    for mode in modes() {
        for sandbox in ["require", "off"] {
            let host = Host::start_with(*mode, &["--sandbox", sandbox]).await;
            for pause in [Duration::ZERO, PAUSE] {
                let mut times = measure(&host, pause).await;
                times.sort_unstable();
                let mean = times.iter().sum::<Duration>() / RUNS;
                let (median, worst) = (times[times.len() / 2], times[times.len() * 99 / 100]);
                println!(
                    "{mode:?}, sandbox {sandbox}, {pause:?} between: \
                     mean {mean:?}, median {median:?}, 99th {worst:?} a run"
                );
            }
        }
    }
}

async fn measure(host: &Host, pause: Duration) -> Vec<Duration> {
    let build = host.build().await;
    let never = CancellationToken::new();
    let mut times = Vec::new();
    for number in 0..RUNS {
        tokio::time::sleep(pause).await;
        let mut request: RunRequest = request(&build, &["/bin/true"]);
        request.stdout_path.set_extension(number.to_string());
        request.stderr_path.set_extension(number.to_string());
        let start = Instant::now();
        let response = host.runner.run(request, &never).await.unwrap();
        times.push(start.elapsed());
        assert_eq!(response.outcome, Outcome::Exited(0));
    }
    times
}
