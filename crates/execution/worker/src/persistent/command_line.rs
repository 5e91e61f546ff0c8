//! A command line, taken apart: what starts a process, and what is asked of it.

/// What tells a tool to read requests instead of its command line.
const PERSISTENT: &str = "--persistent_worker";

/// A command line whose last word is yet to be said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    /// Starts the process; `--persistent_worker` included.
    pub(crate) startup: Vec<String>,
    /// Those that stand for a request, not yet expanded; at least one.
    pub(crate) request: Vec<String>,
}

impl CommandLine {
    /// `None` if nothing is left to start, or nothing to ask.
    pub(crate) fn of(arguments: &[String]) -> Option<CommandLine> {
        let (request, mut startup): (Vec<String>, Vec<String>) = arguments
            .iter()
            .cloned()
            .partition(|argument| is_of_request(argument));
        if request.is_empty() || startup.is_empty() {
            return None;
        }
        startup.push(PERSISTENT.to_owned());
        Some(CommandLine { startup, request })
    }
}

/// As Bazel tells them apart: a prefix and something after it.
fn is_of_request(argument: &str) -> bool {
    ["@", "-flagfile=", "--flagfile="]
        .iter()
        .any(|prefix| argument.len() > prefix.len() && argument.starts_with(prefix))
}

/// The file whose lines stand for this argument. `@@…` is a literal, and a label of another repository is not a file; a
/// `--flagfile=` stays as it is, because the tool reads it itself.
pub(crate) fn file_of(argument: &str) -> Option<&str> {
    let file = argument.strip_prefix('@')?;
    (!file.is_empty() && !file.starts_with('@') && !file.contains("//")).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &str, expected: Option<(&str, &str)>) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let found = CommandLine::of(&words(arguments));
        let expected = expected.map(|(startup, request)| CommandLine {
            startup: words(startup),
            request: words(request),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn flag_files_are_the_request_and_the_rest_starts_the_process() {
        check(
            "java -jar b.jar @out/a.params",
            Some(("java -jar b.jar --persistent_worker", "@out/a.params")),
        );
        check(
            "tool --flagfile=x -v -flagfile=y @z",
            Some(("tool -v --persistent_worker", "--flagfile=x -flagfile=y @z")),
        );
        check("tool -v", None);
        check("@only", None);
        check("tool @", None);
        check("tool --flagfile=", None);
        check("tool --flagfile x", None);
    }

    #[test]
    fn which_arguments_name_a_file_to_be_read() {
        for (argument, file) in [
            ("@out/a.params", Some("out/a.params")),
            ("@@literal", None),
            ("@repo//a:b", None),
            ("@", None),
            ("--flagfile=x", None),
            ("plain", None),
        ] {
            assert_eq!(file_of(argument), file, "{argument}");
        }
    }
}
