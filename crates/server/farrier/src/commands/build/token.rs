//! Who says the token that the daemon shows to its server, as options.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use daemon::TokenSource;

use crate::bad_options::BadOptions;

/// The options.
#[derive(Args, Debug, Default)]
pub(super) struct TokenOptions {
    /// A file with a token to show to the server.
    #[arg(long, env = "FARRIER_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A program that prints a token as JSON, as reclient's and Bazel's credential helpers do.
    #[arg(long, value_name = "PROGRAM", conflicts_with = "token_file")]
    credentials_helper: Option<PathBuf>,
    /// What it is called with; repeat for several words.
    #[arg(
        long,
        value_name = "WORD",
        requires = "credentials_helper",
        allow_hyphen_values = true
    )]
    credentials_helper_argument: Vec<OsString>,
}

impl TokenOptions {
    /// The source for a server. Nobody is shown a token who may be somebody else.
    pub(super) fn source(self, endpoint: &str) -> Result<Option<TokenSource>> {
        let source = match (self.token_file, self.credentials_helper) {
            (Some(path), _) => TokenSource::File(path),
            (None, Some(path)) => TokenSource::Program {
                path,
                arguments: self.credentials_helper_argument,
            },
            (None, None) => return Ok(None),
        };
        let is_encrypted = ["https://", "grpcs://"]
            .iter()
            .any(|scheme| endpoint.starts_with(scheme));
        if !is_encrypted {
            let error =
                anyhow!("a token is shown over TLS only, and {endpoint} is neither https:// nor grpcs://");
            return Err(BadOptions::mark(error));
        }
        Ok(Some(source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_only() {
        let options = |file: Option<&str>, helper: Option<&str>| TokenOptions {
            token_file: file.map(PathBuf::from),
            credentials_helper: helper.map(PathBuf::from),
            credentials_helper_argument: vec!["x".into()],
        };
        let of = |file, helper, endpoint| options(file, helper).source(endpoint);
        assert!(of(None, None, "grpc://s:1").unwrap().is_none());
        assert!(matches!(
            of(Some("t"), None, "grpcs://s:1"),
            Ok(Some(TokenSource::File(path))) if path.as_os_str() == "t"
        ));
        assert!(matches!(
            of(None, Some("h"), "https://s:1"),
            Ok(Some(TokenSource::Program { path, arguments })) if path.as_os_str() == "h" && arguments == ["x"]
        ));
        for endpoint in ["grpc://s:1", "http://s:1", "s:1"] {
            let error = of(Some("t"), None, endpoint).unwrap_err();
            assert!(error.to_string().contains("over TLS only"), "{error}");
        }
    }
}
