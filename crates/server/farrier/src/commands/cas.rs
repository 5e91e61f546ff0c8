//! `farrier cas`: a look into the content-addressable storage, and a way to put something there.

mod disks;
mod export;
mod get;
mod import;
mod ls;
mod migrate;
mod put;
mod verify;
mod whose;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};

use super::connection::ServerOptions;
use super::digest_argument::DigestArgument;
use super::output::explained;

/// What `farrier cas` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum CasCommand {
    /// Upload files, directories or standard input; prints the digest of each.
    Put(PutOptions),
    /// Download a blob, or restore a tree.
    Get(GetOptions),
    /// List a Directory or a Tree with everything below it.
    Ls(LsOptions),
    /// Read blobs from a server and compare them with their digests.
    Verify(verify::VerifyOptions),
    /// Write blobs, and all below trees, to a directory of plain files.
    Export(export::ExportOptions),
    /// Upload what `export` has written.
    Import(import::ImportOptions),
    /// Copy blobs, and the results of actions with all they refer to, from one server to another.
    Migrate(migrate::MigrateOptions),
    /// Show how full a farrier's disks are, what is promised to whom, and what goes next.
    Stat(disks::StatOptions),
    /// Show what is on a farrier's disks by kind, age and instance.
    Du(disks::DuOptions),
    /// Read everything on a farrier's disks, compare it with its digests, and drop what is damaged.
    Scrub(disks::ScrubOptions),
}

#[derive(Args, Debug)]
pub(crate) struct PutOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// A file, a directory (uploaded as a tree; the digest of its root is printed), or `-` for standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct GetOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// HASH/SIZE, FUNCTION/HASH/SIZE, HASH:SIZE or a name with `blobs/` in it.
    digest: DigestArgument,
    /// Where to put it [default: standard output].
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The digest is that of a Directory or a Tree: restore it below this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    tree: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct LsOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// The digest of a Directory or a Tree.
    digest: DigestArgument,
}

/// Runs `farrier cas`.
pub(crate) async fn run(command: CasCommand) -> Result<ExitCode> {
    let done = match command {
        CasCommand::Put(options) => put::put(options).await,
        CasCommand::Get(options) => get::get(options).await,
        CasCommand::Ls(options) => ls::ls(options).await,
        CasCommand::Verify(options) => verify::verify(options).await,
        CasCommand::Export(options) => export::export(options).await,
        CasCommand::Import(options) => import::import(options).await,
        CasCommand::Migrate(options) => migrate::migrate(options).await,
        CasCommand::Stat(options) => disks::stat(options).await,
        CasCommand::Du(options) => disks::du(options).await,
        CasCommand::Scrub(options) => disks::scrub(options).await,
    };
    done.map_err(|error| anyhow!(explained(&error)))?;
    Ok(ExitCode::SUCCESS)
}
