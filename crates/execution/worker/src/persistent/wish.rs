//! What a client says in an action's platform about persistent processes.

use action::Platform;

/// That the command may run in one, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The client's own name for what two commands must have in common: opaque.
    pub(crate) key: String,
    /// The language that the process speaks.
    pub(crate) protocol: Protocol,
    /// Whether it takes several requests at once, each in a directory of its own.
    pub(crate) multiplex: bool,
}

/// How requests and answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Each with its length before it.
    Proto,
    /// One object after the other.
    Json,
}

/// Set by Bazel with `--experimental_remote_mark_tool_inputs`.
const KEY: &str = "persistentWorkerKey";
/// Set by Bazel from the tool's `requires-worker-protocol`.
const PROTOCOL: &str = "persistentWorkerProtocol";
/// Ours: no client says it by itself, but any `exec_properties` can.
const MULTIPLEX: &str = "persistentWorkerMultiplex";

impl Wish {
    /// `None`: the client has none. An error says what is wrong with it.
    pub(crate) fn of(platform: &Platform) -> Option<Result<Wish, String>> {
        let value = |name| platform.values(name).next();
        let key = value(KEY).filter(|key| !key.is_empty())?;
        let protocol = match value(PROTOCOL) {
            None | Some("" | "proto") => Protocol::Proto,
            Some("json") => Protocol::Json,
            Some(other) => return Some(Err(format!("{PROTOCOL} is `{other}`, neither proto nor json"))),
        };
        let multiplex = match value(MULTIPLEX) {
            None | Some("" | "false") => false,
            Some("true") => true,
            Some(other) => return Some(Err(format!("{MULTIPLEX} is `{other}`, neither true nor false"))),
        };
        Some(Ok(Wish {
            key: key.to_owned(),
            protocol,
            multiplex,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(properties: &[(&str, &str)], expected: Option<Result<(Protocol, bool), &str>>) {
        let owned = properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let wish = Wish::of(&Platform::new(owned).unwrap());
        let found = wish.as_ref().map(|wish| match wish {
            Ok(wish) => Ok((wish.protocol, wish.multiplex)),
            Err(why) => Err(why.as_str()),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn only_a_key_is_a_wish_and_what_is_not_understood_is_an_error() {
        check(&[("OSFamily", "linux")], None);
        check(&[(PROTOCOL, "json")], None);
        check(&[(KEY, "k")], Some(Ok((Protocol::Proto, false))));
        check(
            &[(KEY, "k"), (PROTOCOL, "json")],
            Some(Ok((Protocol::Json, false))),
        );
        check(
            &[(KEY, "k"), (MULTIPLEX, "true"), (PROTOCOL, "proto")],
            Some(Ok((Protocol::Proto, true))),
        );
        check(
            &[(KEY, "k"), (PROTOCOL, "xml")],
            Some(Err("persistentWorkerProtocol is `xml`, neither proto nor json")),
        );
        check(
            &[(KEY, "k"), (MULTIPLEX, "maybe")],
            Some(Err(
                "persistentWorkerMultiplex is `maybe`, neither true nor false",
            )),
        );
    }
}
