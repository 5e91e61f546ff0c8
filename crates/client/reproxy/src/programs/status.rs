//! `reproxystatus`: how it is going.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use reclient::address::Address;
use reclient::flags::tables::{LOGGING, REPROXYSTATUS};
use reclient::stats::completed;
use reclient_api::proxy::GetStatusSummaryResponse;

use crate::client::Reproxy;
use crate::programs::flag_words::Call;
use crate::programs::runtime::block_on;
use crate::programs::sockets;

const CALL: Call = Call {
    name: "reproxystatus",
    usage: "reproxystatus [-flags]",
    tables: &[LOGGING, REPROXYSTATUS],
};
/// How long all reproxies together have to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Everything that reproxystatus does. `words` are those after the program's name.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let flags = match CALL.read(words) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let is_coloured = match flags.text("color").as_str() {
        "on" => true,
        "off" => false,
        "auto" => std::io::stdout().is_terminal(),
        other => return CALL.wrong(&format!("color {other:?} is none of off, on, auto")),
    };
    let address = match flags.text("server_address") {
        text if text.is_empty() => None,
        text => match Address::parse(&text) {
            Ok(address) => Some(address),
            Err(error) => return CALL.wrong(&format!("server_address: {error}")),
        },
    };
    let interval = Some(flags.duration("watch")).filter(|interval| !interval.is_zero());
    let done = block_on(async {
        loop {
            print!("{}", look(address.as_ref(), is_coloured).await);
            match interval {
                Some(interval) => tokio::time::sleep(interval).await,
                None => return,
            }
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => CALL.wrong(&format!("cannot wait for anything: {error}")),
    }
}

async fn look(address: Option<&Address>, is_coloured: bool) -> String {
    let addresses: Vec<Address> = match address {
        Some(address) => vec![address.clone()],
        None => sockets::find().into_iter().map(Address::Unix).collect(),
    };
    if addresses.is_empty() {
        return "Reproxy is not running\n".to_owned();
    }
    let mut text = String::new();
    let deadline = tokio::time::Instant::now() + ANSWER_MAX;
    for address in addresses {
        let answer = tokio::time::timeout_at(deadline, ask(&address)).await;
        let answer = answer.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        text.push_str(&describe(&address, &answer, is_coloured));
    }
    text
}

async fn ask(address: &Address) -> Result<GetStatusSummaryResponse, String> {
    let reproxy = Reproxy::connect(address, ANSWER_MAX)
        .await
        .map_err(|error| chain(&error))?;
    reproxy
        .summary()
        .await
        .map_err(|status| status.message().to_owned())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// What people read about one reproxy.
fn describe(
    address: &Address,
    answer: &Result<GetStatusSummaryResponse, String>,
    is_coloured: bool,
) -> String {
    let summary = match answer {
        Err(why) => return format!("Reproxy({address}) was not reachable: {why}\n\n"),
        Ok(summary) => summary,
    };
    let has = |names: &[&str]| {
        names.iter().any(|name| {
            let count = summary.completed_action_stats.get(&format!("STATUS_{name}"));
            count.is_some_and(|count| *count > 0)
        })
    };
    let states = [
        (
            &[
                "REMOTE_FAILURE",
                "LOCAL_FAILURE",
                "TIMEOUT",
                "INTERRUPTED",
                "UNKNOWN",
            ][..],
            "had errors",
        ),
        (&["NON_ZERO_EXIT"][..], "had failed actions"),
        (&["LOCAL_FALLBACK"][..], "had local fallbacks"),
    ];
    let states: Vec<_> = states
        .iter()
        .filter(|(names, _)| has(names))
        .map(|(_, state)| *state)
        .collect();
    let (colour, state) = match states.as_slice() {
        [] => (GREEN, "is OK".to_owned()),
        states => (RED, states.join(", ")),
    };
    let state = match is_coloured {
        true => format!("{colour}{state}{PLAIN}"),
        false => state,
    };
    let counts: BTreeMap<String, i64> = summary
        .completed_action_stats
        .iter()
        .map(|(name, count)| (name.clone(), i64::from(*count)))
        .collect();
    let total: i64 = counts.values().sum();
    let details = match completed(&counts) {
        none if none.is_empty() => none,
        some => format!(" ({some})"),
    };
    format!(
        "Reproxy({address}) {state}\nActions completed: {total}{details}\nActions in progress: {}\nQPS: {}\n\n",
        summary.running_actions, summary.qps
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: &[(&str, i32)], is_coloured: bool, expected: &str) {
        let summary = GetStatusSummaryResponse {
            completed_action_stats: counts
                .iter()
                .map(|(name, count)| ((*name).to_owned(), *count))
                .collect(),
            running_actions: 4,
            qps: 7,
        };
        let address = Address::parse("unix:///r").unwrap();
        assert_eq!(describe(&address, &Ok(summary), is_coloured), expected);
    }

    #[test]
    fn a_reproxy_is_described() {
        check(
            &[],
            false,
            "Reproxy(unix:///r) is OK\nActions completed: 0\nActions in progress: 4\nQPS: 7\n\n",
        );
        check(
            &[("STATUS_CACHE_HIT", 2), ("STATUS_REMOTE_EXECUTION", 1)],
            true,
            "Reproxy(unix:///r) \x1b[32mis OK\x1b[0m\nActions completed: 3 (2 cache hits, 1 remote execution)\nActions in \
             progress: 4\nQPS: 7\n\n",
        );
        check(
            &[
                ("STATUS_LOCAL_FALLBACK", 1),
                ("STATUS_NON_ZERO_EXIT", 1),
                ("STATUS_TIMEOUT", 1),
            ],
            false,
            "Reproxy(unix:///r) had errors, had failed actions, had local fallbacks\nActions completed: 3 (1 local \
             fallback, 1 non zero exit, 1 timeout)\nActions in progress: 4\nQPS: 7\n\n",
        );
        let address = Address::parse("h:1").unwrap();
        let gone = Err("refused".to_owned());
        assert_eq!(
            describe(&address, &gone, true),
            "Reproxy(h:1) was not reachable: refused\n\n"
        );
    }

    #[tokio::test]
    async fn nobody_is_not_reachable() {
        let directory = tempfile::tempdir().unwrap();
        let address = Address::Unix(directory.path().join("r.sock"));
        let text = look(Some(&address), false).await;
        assert!(text.contains("was not reachable: "), "{text}");
    }
}
