//! The token by which the server knows who asks: from a file, or from a program as reclient and Bazel have them.
//!
//! It is asked for before the first connection, and again when the server has failed: one that is no longer good is a
//! failure like any other, after which the build goes on here until the next probe.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::limits::{TOKEN_BYTES_MAX, TOKEN_WITHIN};

/// Who has the token.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A file: all of its text, but for white space around it.
    File(PathBuf),
    /// A program that prints JSON: `token`, or `headers` with `Authorization` among them.
    Program {
        /// The program.
        path: PathBuf,
        /// What it is called with.
        arguments: Vec<OsString>,
    },
}

/// The token as it was last said.
pub(crate) struct Token {
    source: Option<TokenSource>,
    /// Held while somebody asks, so that others wait for the same answer.
    known: Mutex<Option<String>>,
    is_stale: AtomicBool,
}

impl Token {
    pub(crate) fn of(source: Option<TokenSource>) -> Self {
        Token {
            source,
            known: Mutex::default(),
            is_stale: AtomicBool::new(false),
        }
    }

    /// The token; `None` where nobody has one.
    pub(crate) async fn get(&self) -> Result<Option<String>> {
        let Some(source) = &self.source else {
            return Ok(None);
        };
        let mut known = self.known.lock().await;
        if self.is_stale.swap(false, Ordering::Relaxed) {
            *known = None;
        }
        if known.is_none() {
            *known = Some(source.ask().await?);
        }
        Ok(known.clone())
    }

    /// Has it asked for again when it is next needed.
    pub(crate) fn forget(&self) {
        self.is_stale.store(true, Ordering::Relaxed);
    }
}

impl TokenSource {
    async fn ask(&self) -> Result<String> {
        match self {
            TokenSource::File(path) => {
                let read = async {
                    let text = limited(tokio::fs::File::open(path).await?).await?;
                    match text.trim() {
                        "" => bail!("there is none in it"),
                        token => Ok(token.to_owned()),
                    }
                };
                read.await
                    .with_context(|| format!("no token from {}", path.display()))
            }
            TokenSource::Program { path, arguments } => {
                let said = async {
                    let mut child = Command::new(path)
                        .args(arguments)
                        .stdin(Stdio::null())
                        .stdout(Stdio::piped())
                        .kill_on_drop(true)
                        .spawn()?;
                    let output = child.stdout.take().context("it has no output")?;
                    let text = limited(output).await?;
                    let status = child.wait().await?;
                    if !status.success() {
                        bail!("it ended with {status}");
                    }
                    token_of(&text)
                };
                timeout(TOKEN_WITHIN, said)
                    .await
                    .unwrap_or_else(|_elapsed| bail!("it says nothing within {TOKEN_WITHIN:?}"))
                    .with_context(|| format!("no token from {}", path.display()))
            }
        }
    }
}

async fn limited(from: impl AsyncRead + Unpin) -> Result<String> {
    let mut text = String::new();
    from.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text).await?;
    if text.len() as u64 > TOKEN_BYTES_MAX {
        bail!("more than {TOKEN_BYTES_MAX} bytes are no token");
    }
    Ok(text)
}

/// What a program has printed: `{"token": …}` as reclient's helpers, or `{"headers": {"Authorization": …}}` as Bazel's,
/// where each header is a text or a list of one.
fn token_of(text: &str) -> Result<String> {
    let answer: Value = serde_json::from_str(text).context("what it prints is no JSON")?;
    if let Some(token) = answer["token"].as_str().filter(|token| !token.is_empty()) {
        return Ok(token.to_owned());
    }
    let headers = answer["headers"].as_object();
    let headers = headers.context("it prints neither `token` nor `headers`")?;
    let mut token = None;
    for (name, value) in headers {
        let value = value.as_str().or_else(|| value[0].as_str()).unwrap_or_default();
        match value.split_once(' ') {
            Some((scheme, rest))
                if name.eq_ignore_ascii_case("authorization") && scheme.eq_ignore_ascii_case("bearer") =>
            {
                token = Some(rest.trim().to_owned());
            }
            _ => bail!("only `Authorization: Bearer` is passed on, and it prints the header `{name}`"),
        }
    }
    token.context("its headers are empty")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_programs_print() {
        let cases = [
            (
                r#"{"token":"t","headers":{},"expiry":"Mon Jan 2 15:04:05 UTC 2040"}"#,
                Ok("t"),
            ),
            (
                r#"{"headers":{"Authorization":["Bearer t"]},"expires":"2040-01-02T15:04:05Z"}"#,
                Ok("t"),
            ),
            (r#"{"token":"","headers":{"authorization":"bearer t"}}"#, Ok("t")),
            ("nonsense", Err("no JSON")),
            ("{}", Err("neither")),
            (r#"{"headers":{}}"#, Err("empty")),
            (
                r#"{"headers":{"Authorization":["Basic x"]}}"#,
                Err("only `Authorization: Bearer`"),
            ),
            (r#"{"headers":{"x-api-key":["k"]}}"#, Err("`x-api-key`")),
        ];
        for (text, expected) in cases {
            match (token_of(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(expected)) => assert!(format!("{error:#}").contains(expected), "{error:#}"),
                (found, expected) => panic!("{text}: {found:?} and not {expected:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_file_is_read_again_when_the_token_is_no_longer_good() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let token = Token::of(Some(TokenSource::File(path.clone())));
        let absent = token.get().await.unwrap_err();
        assert!(format!("{absent:#}").contains("no token from "), "{absent:#}");
        for (text, expected) in [
            (&b"\n"[..], "none in it"),
            (b"\xff", "utf-8"),
            (&[b'x'; 70_000], "are no token"),
        ] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", token.get().await.unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
        fs::write(&path, " first\n").unwrap();
        assert_eq!(token.get().await.unwrap().as_deref(), Some("first"));
        fs::write(&path, "second").unwrap();
        assert_eq!(token.get().await.unwrap().as_deref(), Some("first"));
        token.forget();
        assert_eq!(token.get().await.unwrap().as_deref(), Some("second"));
        assert_eq!(Token::of(None).get().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_program_is_asked() {
        let check = async |script: &str, expected: Result<&str, &str>| {
            let token = Token::of(Some(TokenSource::Program {
                path: "/bin/sh".into(),
                arguments: vec!["-c".into(), script.into()],
            }));
            match (token.get().await, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_deref(), Some(expected), "{script}"),
                (Err(error), Err(expected)) => assert!(format!("{error:#}").contains(expected), "{error:#}"),
                (found, expected) => panic!("{script}: {found:?} and not {expected:?}"),
            }
        };
        check(r#"echo '{"token":"t"}'"#, Ok("t")).await;
        check("exit 3", Err("ended with exit status: 3")).await;
        check("yes", Err("are no token")).await;
    }
}
