//! What the daemon can tell: `farrier status` and `farrier steps`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::ask::ask;
use super::state::State;
use super::trace::{chosen, events};
use crate::commands::output::print;

#[derive(Args, Debug)]
pub(crate) struct ReportOptions {
    /// As JSON, for programs.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StepsOptions {
    /// As a trace that Chrome's and Perfetto's viewers show; the same as `farrier trace`.
    #[arg(long)]
    trace: bool,
    /// As JSON, for programs.
    #[arg(long, conflicts_with = "trace")]
    json: bool,
    /// Only steps whose name has this in it.
    #[arg(value_name = "TEXT")]
    text: Option<String>,
}

/// Runs `farrier status`.
pub(crate) fn status(options: &ReportOptions) -> Result<ExitCode> {
    let status = asked("status", None)?;
    if options.json {
        print(&format!("{status}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&table(&status))?;
    Ok(ExitCode::SUCCESS)
}

/// The daemon, its server, and what is under way, a line for each command.
fn table(status: &Value) -> String {
    let server = match (status["is_up"].as_bool(), status["last_failure"].as_str()) {
        (Some(true), _) => "up".to_owned(),
        (_, Some(failure)) => format!("down: {failure}"),
        (_, None) => "down".to_owned(),
    };
    let mut lines = vec![
        format!(
            "daemon      process {}, version {}",
            status["process"],
            text(&status["version"])
        ),
        format!("server      {} ({server})", text(&status["endpoint"])),
    ];
    let workers = status["workers_failure"].as_str();
    lines.extend(workers.map(|failure| format!("workers     not asked: {failure}")));
    lines.push(format!("files       {} known", status["files_known"]));
    lines.push(format!("under way   {}", status["under_way"]));
    let running = status["running"].as_array().map_or(&[][..], Vec::as_slice);
    lines.extend(running.iter().map(running_line));
    let told = running.len() as u64;
    let more = status["under_way"]
        .as_u64()
        .unwrap_or_default()
        .saturating_sub(told);
    if more > 0 && told > 0 {
        lines.push(format!("and {more} more, which have begun later"));
    }
    lines.join("\n") + "\n"
}

/// How long, where, what it waits for, and what it is.
fn running_line(command: &Value) -> String {
    let seconds = command["took_ms"].as_u64().unwrap_or_default() as f64 / 1e3;
    format!(
        "{seconds:>9.1} s   {:<6}  {:<9}  {}",
        text(&command["where"]),
        text(&command["phase"]),
        text(&command["name"])
    )
}

/// Runs `farrier steps`: those of the last build, in the order of their ends.
pub(crate) fn steps(options: &StepsOptions) -> Result<ExitCode> {
    let steps = asked("steps", None)?;
    let steps = chosen(&steps, options.text.as_deref());
    let shown = match (options.trace, options.json) {
        (true, _) => format!("{}\n", events(&steps)),
        (_, true) => format!("{}\n", json!(steps)),
        _ => steps.iter().map(|step| line(step)).collect(),
    };
    print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn asked(question: &str, about: Option<&str>) -> Result<Value> {
    let state = State::open()?;
    match ask(&state.socket(), question, about)? {
        Some(answer) => Ok(answer),
        None => bail!(
            "no daemon is there; `farrier run` starts one (its things are in {})",
            state.path().display()
        ),
    }
}

fn line(step: &Value) -> String {
    let milliseconds = |name: &str| step[name].as_u64().unwrap_or_default() as f64 / 1e3;
    let mut line = format!(
        "{:>9.1} ms  {:<15}  {}",
        milliseconds("took_us"),
        text(&step["how"]),
        text(&step["name"])
    );
    for why in ["why", "fallback"].iter().filter_map(|name| step[name].as_str()) {
        line.push_str(&format!("  ({why})"));
    }
    line.push('\n');
    line
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line() {
        let step = json!({ "name": "a.o", "how": "real tool", "why": "kind: Link", "took_us": 1500 });
        assert_eq!(line(&step), "      1.5 ms  real tool        a.o  (kind: Link)\n");
    }

    #[test]
    fn what_is_under_way_is_told_line_by_line() {
        let command = |name: &str, place: &str, phase: &str, took_ms: u64| json!({ "name": name, "where": place, "phase": phase, "took_ms": took_ms });
        let mut status = json!({
            "process": 7, "version": "1.0", "endpoint": "http://s:1", "is_up": true, "last_failure": "long ago",
            "workers_failure": null, "files_known": 3, "under_way": 4,
            "running": [command("a.o", "remote", "worker", 12_345), command("gcc -c b.c", "local", "planning", 1)],
        });
        assert_eq!(
            table(&status),
            "daemon      process 7, version 1.0\n\
             server      http://s:1 (up)\n\
             files       3 known\n\
             under way   4\n     \
             12.3 s   remote  worker     a.o\n      \
             0.0 s   local   planning   gcc -c b.c\n\
             and 2 more, which have begun later\n"
        );
        status["is_up"] = false.into();
        status["workers_failure"] = "none is there".into();
        status["running"] = json!([]);
        assert_eq!(
            table(&status),
            "daemon      process 7, version 1.0\n\
             server      http://s:1 (down: long ago)\n\
             workers     not asked: none is there\n\
             files       3 known\n\
             under way   4\n"
        );
    }
}
