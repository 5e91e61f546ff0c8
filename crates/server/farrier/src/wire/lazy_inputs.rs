//! When actions get their inputs, as options of whoever starts a worker.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use worker::{LazyInputs, LazyOptions};

/// The options.
#[derive(Args, Clone, Debug)]
pub(super) struct LazyArguments {
    /// When an action's input files are fetched as its command opens them, instead of all before it starts: never; when
    /// its platform has `lazy-inputs` = `true`; or unless that is `false`. It takes root and FUSE; without them, the last
    /// refuses to start, and the others fetch everything first.
    #[arg(long, value_enum, default_value_t = When::OnRequest, value_name = "WHEN")]
    lazy_inputs: When,
    /// Tell with the result of every action which of its inputs it has read, as is done for those whose platform has
    /// `observe-inputs` = `true`.
    #[arg(long)]
    observe_inputs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Never,
    OnRequest,
    Always,
}

impl LazyArguments {
    /// The same for the command line of a worker.
    pub(super) fn to_arguments(&self) -> Vec<OsString> {
        let when = match self.lazy_inputs {
            When::Never => "never",
            When::OnRequest => "on-request",
            When::Always => "always",
        };
        let mut arguments = vec![OsString::from(format!("--lazy-inputs={when}"))];
        if self.observe_inputs {
            arguments.push("--observe-inputs".into());
        }
        arguments
    }

    /// For the worker.
    pub(super) fn to_options(&self) -> LazyOptions {
        LazyOptions {
            when: match self.lazy_inputs {
                When::Never => LazyInputs::Never,
                When::OnRequest => LazyInputs::OnRequest,
                When::Always => LazyInputs::Always,
            },
            observe: self.observe_inputs,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        lazy: LazyArguments,
    }

    fn check(words: &[&str], expected: (LazyInputs, bool)) {
        let parse = |words: Vec<OsString>| Program::parse_from([vec!["farrier".into()], words].concat()).lazy;
        let options = parse(words.iter().map(OsString::from).collect());
        let LazyOptions { when, observe } = options.to_options();
        assert_eq!((when, observe), expected, "{words:?}");
        assert_eq!(
            parse(options.to_arguments()).to_options(),
            options.to_options(),
            "{words:?}"
        );
    }

    #[test]
    fn a_worker_process_hears_what_was_said() {
        check(&[], (LazyInputs::OnRequest, false));
        check(&["--lazy-inputs", "never"], (LazyInputs::Never, false));
        check(
            &["--lazy-inputs", "always", "--observe-inputs"],
            (LazyInputs::Always, true),
        );
    }
}
