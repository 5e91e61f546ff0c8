//! `farrier trace`: the last build as trace viewers show it, every step with what it waited for.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::report::asked;
use crate::commands::output::print;

#[derive(Args, Debug)]
pub(crate) struct TraceOptions {
    /// Only steps whose name has this in it.
    #[arg(value_name = "TEXT")]
    text: Option<String>,
}

/// Runs `farrier trace`.
pub(crate) fn trace(options: &TraceOptions) -> Result<ExitCode> {
    let steps = asked("steps", None)?;
    let steps = chosen(&steps, options.text.as_deref());
    print(&format!("{}\n", events(&steps)))?;
    Ok(ExitCode::SUCCESS)
}

/// Those with this in their name.
pub(super) fn chosen<'a>(steps: &'a Value, text: Option<&str>) -> Vec<&'a Value> {
    let is_chosen = |step: &&Value| {
        let name = step["name"].as_str().unwrap_or_default();
        text.is_none_or(|text| name.contains(text))
    };
    steps.as_array().into_iter().flatten().filter(is_chosen).collect()
}

/// The format of Chrome's `about:tracing`: complete events, on as many rows as there were at once. What a step waited for lies
/// within it on the same row, which viewers show below it.
pub(super) fn events(steps: &[&Value]) -> Value {
    let time = |step: &Value, name: &str| step[name].as_u64().unwrap_or_default();
    let mut steps = steps.to_vec();
    steps.sort_by_key(|step| time(step, "begun_us"));
    let mut rows: Vec<u64> = Vec::new();
    let mut events = Vec::new();
    for step in steps {
        let (begun, took) = (time(step, "begun_us"), time(step, "took_us"));
        let free = rows.iter().position(|until| *until <= begun);
        let row = free.unwrap_or_else(|| {
            rows.push(0);
            rows.len() - 1
        });
        rows[row] = begun + took;
        events.push(json!({
            "name": step["name"], "cat": step["how"], "ph": "X", "ts": begun, "dur": took, "pid": 1, "tid": row,
            "args": { "why": step["why"], "fallback": step["fallback"], "action": step["action"] },
        }));
        for phase in step["phases"].as_array().into_iter().flatten() {
            // Viewers take what is not within a step for something else.
            let from = time(phase, "begun_us").min(took);
            let within = time(phase, "took_us").min(took - from);
            events.push(json!({
                "name": phase["name"], "cat": "phase", "ph": "X", "ts": begun + from, "dur": within, "pid": 1, "tid": row,
            }));
        }
    }
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
        let trace = events(&steps.iter().collect::<Vec<_>>());
        let rows: Vec<_> = trace["traceEvents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["tid"])
            .collect();
        assert_eq!(rows, [0, 1, 0]);
    }

    #[test]
    fn what_a_step_waits_for_lies_within_it() {
        let phase =
            |name: &str, begun: u64, took: u64| json!({ "name": name, "begun_us": begun, "took_us": took });
        let step = json!({
            "name": "a.o", "how": "remote", "begun_us": 100, "took_us": 50,
            "phases": [phase("planning", 0, 10), phase("worker", 10, 50)],
        });
        let trace = events(&[&step]);
        let told = trace["traceEvents"].as_array().unwrap().iter();
        let told: Vec<_> = told
            .map(|event| {
                let number = |name: &str| event[name].as_u64().unwrap();
                let name = event["name"].as_str().unwrap();
                (name, number("ts"), number("dur"), number("tid"))
            })
            .collect();
        assert_eq!(
            told,
            [
                ("a.o", 100, 50, 0),
                ("planning", 100, 10, 0),
                ("worker", 110, 40, 0)
            ]
        );
    }

    #[test]
    fn steps_are_chosen_by_a_part_of_their_names() {
        let steps = json!([{ "name": "src/a.o" }, { "name": "src/b.o" }]);
        let names = |text| -> Vec<_> { chosen(&steps, text).iter().map(|step| &step["name"]).collect() };
        assert_eq!(names(None).len(), 2);
        assert_eq!(names(Some("b.")), ["src/b.o"]);
    }
}
