//! What the daemon can tell: `farrier status` and `farrier steps`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::ask::ask;
use super::state::State;
use crate::commands::output::print;

#[derive(Args, Debug)]
pub(crate) struct ReportOptions {
    /// As JSON, for programs.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct StepsOptions {
    /// As a trace that Chrome's and Perfetto's viewers show.
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
    let server = match (status["is_up"].as_bool(), status["last_failure"].as_str()) {
        (Some(true), _) => "up".to_owned(),
        (_, Some(failure)) => format!("down: {failure}"),
        (_, None) => "down".to_owned(),
    };
    print(&format!(
        "daemon      process {}, version {}\nserver      {} ({server})\nunder way   {}\nfiles       {} known\n",
        status["process"],
        text(&status["version"]),
        text(&status["endpoint"]),
        status["under_way"],
        status["files_known"],
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs `farrier steps`: those of the last build, in the order of their ends.
pub(crate) fn steps(options: &StepsOptions) -> Result<ExitCode> {
    let steps = asked("steps", None)?;
    let wanted = |step: &&Value| match &options.text {
        Some(part) => text(&step["name"]).contains(part.as_str()),
        None => true,
    };
    let steps: Vec<_> = steps.as_array().into_iter().flatten().filter(wanted).collect();
    let shown = match (options.trace, options.json) {
        (true, _) => format!("{}\n", trace(&steps)),
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

/// The format of Chrome's `about:tracing`: complete events, on as many rows as there were at once.
fn trace(steps: &[&Value]) -> Value {
    let time = |step: &Value, name: &str| step[name].as_u64().unwrap_or_default();
    let mut steps = steps.to_vec();
    steps.sort_by_key(|step| time(step, "begun_us"));
    let mut rows: Vec<u64> = Vec::new();
    let events = steps.iter().map(|step| {
        let (begun, took) = (time(step, "begun_us"), time(step, "took_us"));
        let free = rows.iter().position(|until| *until <= begun);
        let row = free.unwrap_or_else(|| {
            rows.push(0);
            rows.len() - 1
        });
        rows[row] = begun + took;
        json!({
            "name": step["name"], "cat": step["how"], "ph": "X", "ts": begun, "dur": took, "pid": 1, "tid": row,
            "args": { "why": step["why"], "fallback": step["fallback"], "action": step["action"] },
        })
    });
    let events: Vec<_> = events.collect();
    json!({ "traceEvents": events })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_overlap_are_on_different_rows() {
        let step =
            |begun: u64, took: u64| json!({ "name": "x", "how": "hit", "begun_us": begun, "took_us": took });
        let steps = [step(0, 10), step(5, 10), step(10, 1)];
        let trace = trace(&steps.iter().collect::<Vec<_>>());
        let rows: Vec<_> = trace["traceEvents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["tid"])
            .collect();
        assert_eq!(rows, [0, 1, 0]);
    }

    #[test]
    fn a_step_is_a_line() {
        let step = json!({ "name": "a.o", "how": "real tool", "why": "kind: Link", "took_us": 1500 });
        assert_eq!(line(&step), "      1.5 ms  real tool        a.o  (kind: Link)\n");
    }
}
