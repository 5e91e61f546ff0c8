//! Recipes that nobody has thought of.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::both::{is_dash, ours, theirs};

/// Commands that end in every way, and leave something behind.
fn commands() -> impl Strategy<Value = String> {
    let command = prop::sample::select(vec![
        "true",
        "false",
        ":",
        "echo a",
        "echo $?",
        "exit 5",
        "exit",
        "sh -c 'exit 3'",
        "rm -f a",
        "rm b",
        "cat a b",
        "cat none",
        "mkdir -p x/y",
        "mkdir d",
        "X=1",
        "X=$WORDS",
        "echo $X",
        "echo \"$X\"",
        "test -f a",
        "[ -f none ]",
        "set -e",
        "trap 'echo bye' EXIT",
        "trap 'rm -f a; echo caught' HUP",
        "{ sh -c 'kill -HUP $PPID'; }",
        "cd d",
        "printf '%s,' 1 2 | xargs echo",
        "printenv PWD",
        "WORDS=w",
        "WORDS=v printenv WORDS",
        "no-such-command",
        "! true",
        "echo e >&2",
    ]);
    let redirected = (
        command,
        prop::sample::select(vec![
            "",
            "",
            "",
            " >f",
            " >>f",
            " 2>&1",
            " 2>g",
            " </dev/null",
            " >none/x",
        ]),
    );
    let simple = redirected.prop_map(|(command, redirection)| format!("{command}{redirection}"));
    simple.prop_recursive(3, 16, 4, |inner| {
        let joint = prop::sample::select(vec!["; ", "; ", " && ", " || ", "\n"]);
        prop_oneof![
            3 => prop::collection::vec((inner.clone(), joint), 1..4).prop_map(|parts| {
                let last = parts.len() - 1;
                let text = |(at, (command, joint)): (usize, &(String, &str))| match at == last {
                    true => command.clone(),
                    false => format!("{command}{joint}"),
                };
                parts.iter().enumerate().map(text).collect()
            }),
            1 => inner.clone().prop_map(|command| format!("({command})")),
            1 => inner.clone().prop_map(|command| format!("{{ {command}; }} >h")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(asked, yes, no)| format!("if {asked}; then {yes}; else {no}; fi")),
        ]
    })
}

proptest! {
    #![proptest_config(config(1))]

    #[test]
    fn any_commands_in_any_order(recipe in commands()) {
        // A subshell that is no process of its own cannot be killed by itself.
        let is_kill_below = recipe.contains('(') && recipe.contains("PPID");
        if is_dash() && !is_kill_below && recipe_shell::is_ours(recipe.as_bytes()).is_ok() {
            prop_assert_eq!(ours("-c", &recipe), theirs("-c", &recipe), "{}", recipe);
        }
    }
}

proptest! {
    #![proptest_config(config(20))]

    /// Whatever text comes is refused, or means what it means to the shell.
    #[test]
    fn any_text_is_refused_or_understood(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..16)) {
        let recipe = pieces.concat();
        // Process numbers differ.
        if is_dash() && !recipe.contains("$$") && recipe_shell::is_ours(recipe.as_bytes()).is_ok() {
            prop_assert_eq!(ours("-c", &recipe), theirs("-c", &recipe), "{:?}", recipe);
        }
    }
}

/// What the language is made of.
const PIECES: [&str; 45] = [
    "true", "false", " X=", "$X", "${X}", "cat ", "a", "1", " ", "\t", "\n", "'", "\"", "\\", "$", "{", "}",
    "(", ")", ";", "&", "|", "<", ">", "#", "!", "=", "*", "~", "`", "if ", "then ", "fi ", "else ", "trap ",
    "set -e", "echo ", "printf ", "%s", "[ ", " ]", "$?", "\\\n", "é", "2>&1",
];

/// The same ones each time. With `PROPTEST_CASES`, that many others.
fn config(times: u32) -> ProptestConfig {
    let more = std::env::var("PROPTEST_CASES").ok();
    let more = more.and_then(|cases| cases.parse::<u32>().ok());
    ProptestConfig {
        cases: times * more.unwrap_or(150),
        failure_persistence: None,
        rng_seed: more.map_or(RngSeed::Fixed(1), |_| RngSeed::Random),
        ..ProptestConfig::default()
    }
}
