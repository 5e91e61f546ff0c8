//! How connections come in, as options of the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use clap::Args;
use services::Doors;
use trust::Authority;

use crate::bad_options::BadOptions;
use crate::durations;

/// The options.
#[derive(Args, Debug)]
pub(super) struct DoorOptions {
    /// A certificate for clients that come over TLS (grpcs://), with those that lead to its authority, as PEM. Clients on
    /// other machines then have to. Workers need none: they know the server by their token.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, as PEM.
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// How long the certificates are good that workers get when they join; at least 1s, at most a year. They renew them
    /// when two thirds of that have passed.
    #[arg(long, default_value = "168h", value_parser = parse_life, value_name = "DURATION")]
    worker_certificates: Duration,
}

/// Bounds of the life of a certificate.
const LIFE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(366 * 24 * 3600));

impl DoorOptions {
    /// The doors. Files that cannot be used are an error of the options.
    pub(super) fn open(&self, authority: &Authority) -> Result<Doors> {
        let front_door = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(
                trust::front_door(&read(certificate)?, &read(key)?)
                    .with_context(|| format!("{} with {}", certificate.display(), key.display()))
                    .map_err(BadOptions::mark)?,
            ),
            _ => None,
        };
        let plain_from_afar = front_door.is_none();
        let tls = trust::server_config(authority, front_door, SystemTime::now())?;
        Ok(Doors {
            tls: Arc::new(tls),
            plain_from_afar,
        })
    }

    /// How long a worker's certificate is good.
    pub(super) fn certificates_last(&self) -> Duration {
        self.worker_certificates
    }

    /// Whether clients come over TLS.
    pub(super) fn has_front_door(&self) -> bool {
        self.tls_cert.is_some()
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(BadOptions::mark)
}

fn parse_life(text: &str) -> Result<Duration, String> {
    let life = durations::parse(text)?;
    match (LIFE.0..=LIFE.1).contains(&life) {
        true => Ok(life),
        false => Err("a certificate is good for 1s to a year".to_owned()),
    }
}
