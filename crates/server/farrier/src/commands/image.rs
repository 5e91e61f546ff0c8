//! `farrier image`: root file systems for actions, from images as others make them.
//!
//! An image's layers become one tree in the storage, and the tree the result of an action that stands for the image
//! (`action::ContainerImage`), found by the digests that people know the image by. It is kept as every result is.

mod challenge;
mod flatten;
mod keep;
mod layout;
mod reference;
mod registry;
mod resolve;
mod spool;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use image::Platform;

use super::connection::ServerOptions;
use super::output::print;
use flatten::flatten;
use keep::{Kept, keep};
use layout::Layout;
use reference::Reference;
use registry::Registry;
use resolve::{Pieces, Top, resolve};
use spool::Spool;

/// What can be done with images.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Upload an image for actions to run in; prints the platform property that asks for it.
    Load(LoadOptions),
    /// The same for an image of a registry.
    Pull(PullOptions),
}

#[derive(Args, Debug)]
pub(crate) struct LoadOptions {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    choice: Choice,
    /// An OCI image layout (a directory or a tar of one), or a tar as `docker save` and `podman save` write it.
    path: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct PullOptions {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    choice: Choice,
    /// Speak http to the registry. To this machine it is spoken anyway.
    #[arg(long)]
    plain_http: bool,
    /// What a registry wants to see as a bearer token, if it does not give tokens to everybody.
    #[arg(
        long,
        env = "FARRIER_REGISTRY_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
    /// HOST/NAME:TAG or HOST/NAME@sha256:DIGEST; without a host, from docker.io.
    reference: Reference,
}

#[derive(Args, Debug)]
struct Choice {
    /// Which image of those for several kinds of machines [default: linux and this machine's architecture].
    #[arg(long, value_name = "OS/ARCHITECTURE", value_parser = parse_platform)]
    platform: Option<Platform>,
}

/// Runs one of them.
pub(crate) async fn run(command: ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Load(options) => {
            let spool = Spool::new()?;
            let path = options.path.clone();
            let layout = tokio::task::spawn_blocking(move || Layout::open(&path, spool))
                .await
                .context("reading an image")?
                .with_context(|| format!("cannot load {}", options.path.display()))?;
            let (pieces, top) = layout.into_parts();
            store(options.server, options.choice, pieces, top).await
        }
        ImageCommand::Pull(options) => {
            let PullOptions {
                server,
                choice,
                plain_http,
                token,
                reference,
            } = options;
            let mut registry = Registry::new(reference, plain_http, token, Spool::new()?)?;
            let top = registry.top().await?;
            store(server, choice, Box::new(registry), top).await
        }
    }
}

/// From documents and layers to what actions can ask for.
async fn store(server: ServerOptions, choice: Choice, mut pieces: Box<dyn Pieces>, top: Top) -> Result<()> {
    let platform = choice.platform.unwrap_or_else(own_platform);
    let found = resolve(&mut *pieces, top, &platform).await?;
    let server = server.connect().await?;
    let function = server.function;
    let spool = Spool::new()?;
    let flattening = tokio::task::spawn_blocking(move || {
        let flat = flatten(&found.layers, function, spool)?;
        Ok::<_, anyhow::Error>((found.names, found.config, flat))
    });
    let (names, config, flat) = flattening.await.context("unpacking an image")??;
    // What it was read from is needed no more.
    drop(pieces);
    let Kept {
        tree,
        paths,
        sent,
        skipped,
        names,
    } = keep(&server, names, config, flat).await?;
    eprintln!(
        "{paths} files, directories and symlinks in tree {tree}; {} blobs, {} bytes sent",
        sent.blobs, sent.bytes
    );
    if skipped > 0 {
        eprintln!("{skipped} devices and pipes were left out");
    }
    let mut names = names.iter();
    let first = names.next().context("an image without a name")?;
    for other in names {
        eprintln!("also {}={other}", ::action::ContainerImage::PROPERTY);
    }
    print(&format!("{}={first}\n", ::action::ContainerImage::PROPERTY))
}

fn own_platform() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    };
    Platform {
        os: "linux".to_owned(),
        architecture: architecture.to_owned(),
    }
}

fn parse_platform(text: &str) -> Result<Platform, String> {
    match text.split_once('/') {
        Some((os, architecture)) if !os.is_empty() && !architecture.is_empty() => Ok(Platform {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
        }),
        _ => Err(format!(
            "`{text}` is not OS/ARCHITECTURE, for example linux/arm64"
        )),
    }
}

#[cfg(test)]
mod tests;
