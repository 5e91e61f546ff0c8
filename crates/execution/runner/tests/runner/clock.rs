//! A command's time stands still while its client says so.

use std::time::Duration;

use runner_api::{Outcome, RunRequest, Runner};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::host::{Host, modes, shell};

const TIMEOUT: Option<Duration> = Some(Duration::from_millis(1000));

#[tokio::test]
async fn a_command_lives_past_its_timeout_while_its_clock_stands_still() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let request = RunRequest {
            timeout: TIMEOUT,
            ..shell(&build, "sleep 2; echo done")
        };
        let (_clock, stands_still) = watch::channel(true);
        let cancel = CancellationToken::new();
        let response = host
            .runner
            .run_by_clock(request, stands_still, &cancel)
            .await
            .unwrap();
        assert_eq!(response.outcome, Outcome::Exited(0));
        let stopped = Duration::from_nanos(response.clock_stopped_ns);
        assert!(stopped >= Duration::from_millis(1900), "{stopped:?}");
        assert!(
            response.time_counted() < Duration::from_millis(500),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn it_is_killed_when_its_clock_goes_on_and_its_time_is_over() {
    for mode in modes() {
        let host = Host::start(*mode).await;
        let build = host.build().await;
        let request = RunRequest {
            timeout: TIMEOUT,
            ..shell(&build, "echo begun; while :; do sleep 0.01; done")
        };
        let (clock, stands_still) = watch::channel(true);
        let cancel = CancellationToken::new();
        let run = host.runner.run_by_clock(request, stands_still, &cancel);
        let goes_on = async {
            while std::fs::read_to_string(&build.stdout).is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            clock.send(false).unwrap();
        };
        let (response, ()) = tokio::join!(run, goes_on);
        let response = response.unwrap();
        assert_eq!(response.outcome, Outcome::TimedOut);
        // By two clocks of the host.
        let counted = response.time_counted();
        assert!(counted >= Duration::from_millis(990), "{counted:?}");
    }
}
