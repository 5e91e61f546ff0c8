//! `farrier daemon scan`: what compilers would read, for reclient's reproxy, which asks that of a program of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use clap::Args;
use daemon::Dependencies;
use reclient::address::Address;
use reproxy::scandeps::{Found, Scan, Scanner, routes};
use tokio::sync::Notify;

use super::reproxy::parse_address;
use crate::data_directory::DataDirectory;
use crate::wire::signals::EndSignals;

/// Where, and what outlives it.
#[derive(Args, Debug)]
pub(crate) struct ScanOptions {
    /// Where to listen: unix:///PATH or HOST:PORT.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    address: Address,
    /// Remember what was found in this directory; for one program at a time.
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

/// How long those who still ask may take when it ends.
const GOODBYE: Duration = Duration::from_secs(5);
/// In the cache directory.
const MEMORY: &str = "dependencies";

/// Serves until somebody ends it.
pub(super) async fn scan(options: ScanOptions) -> Result<ExitCode> {
    let mut signals = EndSignals::listen()?;
    let directory = options
        .cache_dir
        .as_deref()
        .map(DataDirectory::open)
        .transpose()?;
    let memory = directory.as_ref().map(|directory| directory.path().join(MEMORY));
    let opened = Dependencies::open(memory.as_deref());
    let dependencies = Arc::new(opened.context("opening what was found before")?);
    let stop = Arc::new(Notify::new());
    let scanner = Arc::new(InFarrier {
        dependencies: dependencies.clone(),
    });
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let routes = routes(scanner, processors, stop.clone());
    let told = Arc::new(Notify::new());
    let tells = told.clone();
    let stopped = Box::pin(async move {
        tokio::select! {
            () = stop.notified() => {}
            _signal = signals.next() => {}
        }
        tells.notify_one();
    });
    let goodbye = async {
        told.notified().await;
        tokio::time::sleep(GOODBYE).await;
    };
    tokio::select! {
        served = reproxy::serving::serve(&options.address, routes, stopped) => {
            served.with_context(|| format!("serving at {}", options.address))?;
        }
        // Somebody keeps his connection, and nothing is due to him any more.
        () = goodbye => {}
    }
    dependencies.flush();
    Ok(ExitCode::SUCCESS)
}

struct InFarrier {
    dependencies: Arc<Dependencies>,
}

#[async_trait]
impl Scanner for InFarrier {
    async fn scan(&self, scan: Scan) -> Result<Found, String> {
        let dependencies = self.dependencies.clone();
        let looking = tokio::task::spawn_blocking(move || {
            dependencies.find(scan.arguments, scan.directory, scan.environment)
        });
        let found = looking.await.map_err(|panic| panic.to_string())??;
        Ok(Found {
            files: found.files,
            was_known: found.was_known,
        })
    }
}
