//! Whose certificates are good for a server that clients reach over TLS, as an option.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use cas_remote::RemoteTls;
use clap::Args;
use rustls::pki_types::ServerName;
use tokio::sync::watch;

use crate::bad_options::BadOptions;

/// The option.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServerTrust {
    /// Who signs the server's certificate, as PEM; only of use with https:// or grpcs:// [default: whom this machine
    /// trusts].
    #[arg(long, env = "FARRIER_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// The name that the server's certificate must have [default: the host of the endpoint].
    #[arg(long, env = "FARRIER_TLS_SERVER_NAME", value_name = "NAME")]
    tls_server_name: Option<String>,
    /// The certificate by which the server knows the client, as PEM.
    #[arg(
        long,
        env = "FARRIER_TLS_CERTIFICATE",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_certificate: Option<PathBuf>,
    /// Its key, as PEM.
    #[arg(
        long,
        env = "FARRIER_TLS_KEY",
        value_name = "FILE",
        requires = "tls_certificate"
    )]
    tls_key: Option<PathBuf>,
}

impl ServerTrust {
    /// Trusts whom this authority has signed for, or whom the machine trusts.
    pub(crate) fn signed_by(tls_ca: Option<PathBuf>) -> Self {
        ServerTrust {
            tls_ca,
            ..ServerTrust::default()
        }
    }

    /// The option as it was given, for another program of ours.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let path = |path: &Option<PathBuf>| path.clone().map(PathBuf::into_os_string);
        let words = [
            ("--tls-ca", path(&self.tls_ca)),
            (
                "--tls-server-name",
                self.tls_server_name.clone().map(OsString::from),
            ),
            ("--tls-certificate", path(&self.tls_certificate)),
            ("--tls-key", path(&self.tls_key)),
        ];
        let words = words
            .into_iter()
            .filter_map(|(option, value)| Some([option.into(), value?]));
        words.flatten().collect()
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
        let config = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (read(certificate)?, read(key)?);
                trust::client_showing(authorities, &certificate, &key)
                    .context("--tls-certificate with --tls-key")
            }
            _ => trust::client(authorities)
                .context("nobody is trusted on this machine; name an authority with --tls-ca"),
        };
        let config = config.map_err(BadOptions::mark)?;
        // Nothing changes it.
        let (_, config) = watch::channel(Arc::new(config));
        let server_name = self.tls_server_name.as_deref().map(server_name).transpose()?;
        Ok(Some(RemoteTls { config, server_name }))
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned())
        .with_context(|| format!("--tls-server-name {name}: it cannot be in a certificate"))
        .map_err(BadOptions::mark)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(BadOptions::mark)
}
