//! `farrier cas migrate`: from one server to another, by reading through.

use std::io::BufRead;
use std::path::PathBuf;

use ::action::{ActionDigest, check_action_result};
use anyhow::{Context, Result, bail};
use blob::{Blob, ByteRange, Digest, DigestFunction, DigestSet, InstanceName};
use cas::BlobStore;
use cas_remote::{RemoteChannel, RemoteOptions};
use clap::Args;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::commands::digest_argument::DigestArgument;
use crate::commands::output::print;
use crate::commands::trees;
use crate::server_trust::ServerTrust;
use crate::token_file;

/// Blobs on their way at the same time.
const IN_FLIGHT_MAX: usize = 32;

#[derive(Args, Debug)]
pub(crate) struct MigrateOptions {
    /// The server to read from: any that speaks the Remote Execution API.
    #[arg(value_name = "FROM")]
    from: String,
    /// The server to write to.
    #[arg(value_name = "TO")]
    to: String,
    #[command(flatten)]
    trust: ServerTrust,
    /// A file with the token that FROM wants to see (`authorization: Bearer`).
    #[arg(long, value_name = "FILE")]
    from_token_file: Option<PathBuf>,
    /// A file with the token that TO wants to see.
    #[arg(long, value_name = "FILE")]
    to_token_file: Option<PathBuf>,
    /// The instance name at FROM; the unnamed one if left out.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = parse_instance)]
    from_instance: InstanceName,
    /// The instance name at TO; the unnamed one if left out.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME", value_parser = parse_instance)]
    to_instance: InstanceName,
    /// The hash function of digests that name none.
    #[arg(long, default_value = "sha256", value_name = "FUNCTION", value_parser = parse_function)]
    digest_function: DigestFunction,
    /// The digests are those of actions: copy their results with everything these refer to.
    #[arg(long, conflicts_with = "tree")]
    actions: bool,
    /// The digests are those of Directories or Trees: copy everything below them.
    #[arg(long)]
    tree: bool,
    /// What to copy; `-` reads digests from standard input, one a line. The protocol has no way to list what a server has.
    #[arg(required = true, value_name = "DIGEST")]
    digests: Vec<String>,
}

fn parse_instance(name: &str) -> Result<InstanceName, String> {
    InstanceName::new(name).map_err(|error| error.to_string())
}

fn parse_function(name: &str) -> Result<DigestFunction, String> {
    let known = DigestFunction::from_name(name);
    known.ok_or_else(|| {
        format!(
            "`{name}` is not a digest function; there are {}",
            DigestFunction::names()
        )
    })
}

/// What has been copied.
#[derive(Default)]
struct Copied {
    blobs: u64,
    bytes: u64,
    results: u64,
    missing: u64,
}

pub(super) async fn migrate(options: MigrateOptions) -> Result<()> {
    let digests = digests(&options)?;
    let connect = async |url: &str, token_file: &Option<PathBuf>| {
        let token = token_file.as_deref().map(token_file::read).transpose()?;
        let remote = RemoteOptions {
            tls: options.trust.for_endpoint(url)?,
            token,
            ..RemoteOptions::new(url)
        };
        anyhow::Ok(RemoteChannel::connect(remote).await?)
    };
    let from = connect(&options.from, &options.from_token_file)
        .await
        .context("FROM")?;
    let to = connect(&options.to, &options.to_token_file).await.context("TO")?;
    let (source, target) = (
        from.blob_store(options.from_instance.clone()),
        to.blob_store(options.to_instance.clone()),
    );
    let mut copied = Copied::default();
    if !options.actions {
        let wanted = trees::with_everything_below(&*source, digests, options.tree).await?;
        copy(&*source, &*target, wanted, &mut copied).await?;
    } else {
        let results = from.action_cache(options.from_instance.clone());
        let kept = to.action_cache(options.to_instance.clone());
        for digest in digests {
            let action = ActionDigest::new(digest);
            let Some(result) = results.get(&action).await? else {
                copied.missing += 1;
                continue;
            };
            let references = check_action_result(digest.function(), &result)
                .with_context(|| format!("the result of {action}"))?;
            let mut wanted: Vec<Digest> = references.direct().into_iter().collect();
            for tree in references.trees.iter().chain(&references.root_directories) {
                wanted.push(*tree);
                wanted.extend(trees::everything_below(&*source, *tree).await?);
            }
            // A server may want to know the action before it takes its result (checklist A3).
            wanted.extend(action_and_command(&*source, digest).await?);
            let before = copied.missing;
            copy(&*source, &*target, wanted, &mut copied).await?;
            if copied.missing == before {
                kept.put(&action, result).await?;
                copied.results += 1;
            }
        }
    }
    print(&format!(
        "{} blobs ({} bytes) and {} results copied; {} were not there\n",
        copied.blobs, copied.bytes, copied.results, copied.missing
    ))
}

fn digests(options: &MigrateOptions) -> Result<Vec<Digest>> {
    let mut lines: Vec<String> = Vec::new();
    for argument in &options.digests {
        match argument.as_str() {
            "-" => lines.extend(std::io::stdin().lock().lines().collect::<Result<Vec<_>, _>>()?),
            text => lines.push(text.to_owned()),
        }
    }
    let lines = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty());
    let digests: Vec<Digest> = lines
        .map(|line| {
            let argument: DigestArgument = line.parse().map_err(anyhow::Error::msg)?;
            argument.resolve(options.digest_function)
        })
        .collect::<Result<_>>()?;
    if digests.is_empty() {
        bail!("no digests were given");
    }
    Ok(digests)
}

/// An action's own blob and its command's, where they are still kept.
async fn action_and_command(source: &dyn BlobStore, action: Digest) -> Result<Vec<Digest>> {
    const ACTION_BYTES_MAX: u64 = 1 << 20;
    let Some(bytes) = cas::tree::read_all(source, &action, ACTION_BYTES_MAX).await? else {
        return Ok(Vec::new());
    };
    let proto: reapi::execution::Action =
        prost::Message::decode(bytes).context("an action cannot be read")?;
    let command = Digest::required(
        action.function(),
        proto.command_digest.as_ref(),
        "Action.command_digest",
    )?;
    Ok(vec![action, command])
}

/// Copies what the target lacks.
async fn copy(
    source: &dyn BlobStore,
    target: &dyn BlobStore,
    wanted: Vec<Digest>,
    copied: &mut Copied,
) -> Result<()> {
    let wanted: DigestSet = wanted.into_iter().filter(|digest| !digest.is_empty()).collect();
    let missing = target.find_missing(&wanted).await?;
    let mut copies = stream::iter(missing)
        .map(|digest| async move {
            let Some(stream) = source.get(&digest, ByteRange::FULL).await? else {
                return Ok(None);
            };
            target.put(Blob::checked(digest, stream)).await?;
            Ok::<_, cas::StoreError>(Some(digest.size_bytes()))
        })
        .buffer_unordered(IN_FLIGHT_MAX);
    while let Some(done) = copies.try_next().await? {
        match done {
            Some(bytes) => {
                copied.blobs += 1;
                copied.bytes += bytes;
            }
            None => copied.missing += 1,
        }
    }
    Ok(())
}
