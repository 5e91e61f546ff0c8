//! How this server shows itself to the servers behind it, and whom it trusts there.

use std::path::PathBuf;

use anyhow::Result;
use cas_remote::RemoteOptions;
use clap::Args;

use crate::server_trust::ServerTrust;
use crate::token_file;

/// The options, for `--upstream` and `--shard` alike.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct PeerArguments {
    /// Who signs the certificates of the servers behind this one, as PEM; only of use with https:// or grpcs:// [default:
    /// whom this machine trusts].
    #[arg(long, value_name = "FILE")]
    peer_tls_ca: Option<PathBuf>,
    /// A file with the token that the servers behind this one want to see (`authorization: Bearer`).
    #[arg(long, value_name = "FILE")]
    peer_token_file: Option<PathBuf>,
}

impl PeerArguments {
    /// Whether anything is said.
    pub(crate) fn is_given(&self) -> bool {
        self.peer_tls_ca.is_some() || self.peer_token_file.is_some()
    }

    /// For a server at `url`.
    pub(crate) fn options(&self, url: &str) -> Result<RemoteOptions> {
        Ok(RemoteOptions {
            tls: ServerTrust::signed_by(self.peer_tls_ca.clone()).for_endpoint(url)?,
            token: self
                .peer_token_file
                .as_deref()
                .map(token_file::read)
                .transpose()?,
            ..RemoteOptions::new(url)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_without_its_line_end_and_a_missing_file_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "secret\n").unwrap();
        let peers = |path: PathBuf| PeerArguments {
            peer_token_file: Some(path),
            ..PeerArguments::default()
        };
        let options = peers(path.clone()).options("grpc://a:1").unwrap();
        assert_eq!(options.token.as_deref(), Some("secret"));
        assert!(options.tls.is_none());
        let error = peers(directory.path().join("none"))
            .options("grpc://a:1")
            .unwrap_err();
        assert!(format!("{error:#}").contains("none"), "{error:#}");
    }
}
