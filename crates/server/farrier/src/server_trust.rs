//! Whose certificates are good for a server that clients reach over TLS, as an option.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use cas_remote::RemoteTls;
use clap::Args;
use tokio::sync::watch;

use crate::bad_options::BadOptions;

/// The option.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerTrust {
    /// Who signs the server's certificate, as PEM; only of use with https:// or grpcs:// [default: whom this machine
    /// trusts].
    #[arg(long, env = "FARRIER_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
}

impl ServerTrust {
    /// The option as it was given, for another program of ours.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let words = self
            .tls_ca
            .iter()
            .flat_map(|path| ["--tls-ca".into(), path.clone().into_os_string()]);
        words.collect()
    }

    /// TLS, where the endpoint asks for it.
    pub(crate) fn for_endpoint(&self, endpoint: &str) -> Result<Option<RemoteTls>> {
        let asks = ["https://", "grpcs://"]
            .iter()
            .any(|scheme| endpoint.starts_with(scheme));
        if !asks {
            return Ok(None);
        }
        let authorities = match &self.tls_ca {
            Some(path) => fs::read_to_string(path)
                .map_err(anyhow::Error::from)
                .and_then(|text| Ok(trust::certificates(&text)?))
                .with_context(|| format!("--tls-ca {}", path.display()))
                .map_err(BadOptions::mark)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let config = trust::client(authorities)
            .context("nobody is trusted on this machine; name an authority with --tls-ca")
            .map_err(BadOptions::mark)?;
        // Nothing changes it.
        let (_, config) = watch::channel(Arc::new(config));
        Ok(Some(RemoteTls {
            config,
            server_name: None,
        }))
    }
}
