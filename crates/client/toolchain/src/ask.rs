//! Puts the questions of a scan to the compiler: one run for all of them.

use std::ffi::OsString;

use include_scanner::{Answers, Question};

use crate::limits::QUESTIONS_MAX;
use crate::probe::{Probe, language_name};
use crate::run::{ProbeError, Run, run, words};

/// Asks `questions` and adds what the compiler says to `answers`. Whatever it gives no number for counts as refused: an
/// error, since a scan that meets it again would ask again.
pub fn ask(probe: &Probe<'_>, questions: &[Question], answers: &mut Answers) -> Result<(), ProbeError> {
    for some in questions.chunks(QUESTIONS_MAX) {
        let values = values(probe, some)?;
        for (question, value) in some.iter().zip(values) {
            answers.insert(question.clone(), value);
        }
    }
    Ok(())
}

fn values(probe: &Probe<'_>, questions: &[Question]) -> Result<Vec<i64>, ProbeError> {
    let mut source = String::new();
    for (index, question) in questions.iter().enumerate() {
        source.push_str(&format!(
            "farrier_answer {index} {}({})\n",
            question.operator, question.argument
        ));
    }
    let mut arguments: Vec<OsString> = probe.arguments.to_vec();
    arguments.extend(words(&[
        "-E",
        "-P",
        "-w",
        "-x",
        language_name(probe.language),
        "-",
    ]));
    let answer = run(&Run {
        driver: probe.driver,
        arguments: &arguments,
        cwd: probe.cwd,
        environment: probe.environment,
        stdin: source.as_bytes(),
    })?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let mut values = vec![None; questions.len()];
    // GCC writes several lines into one where they are short.
    for part in text.split("farrier_answer").skip(1) {
        let mut words = part.split_whitespace();
        let index = words.next().and_then(|word| word.parse::<usize>().ok());
        let value = words
            .next()
            .and_then(|word| word.trim_end_matches(['L', 'l', 'U', 'u']).parse::<i64>().ok());
        if let Some(slot) = index.and_then(|index| values.get_mut(index))
            && words.next().is_none()
        {
            *slot = value;
        }
    }
    values
        .into_iter()
        .collect::<Option<Vec<i64>>>()
        .ok_or(ProbeError::NotUnderstood {
            driver: probe.driver.to_owned(),
            missing: "the answer to a question about a feature",
        })
}
