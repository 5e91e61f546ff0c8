//! `farrier action`: what an action was, and what came of it.

use std::fmt::Write;
use std::process::ExitCode;

use ::action::{Action, ActionDigest, Command, Platform};
use ::cas::tree::{fetch_input_tree, read_all};
use anyhow::{Context, Result, anyhow};
use blob::Digest;
use bytes::Bytes;
use clap::{Args, Subcommand};
use merkle::{Entry, InputTree};
use reapi::execution::{self as proto, ActionResult};

use super::connection::ServerOptions;
use super::digest_argument::DigestArgument;
use super::exec::{made, symlinks};
use super::output::{explained, print};
use super::{shell, timings};
use remote_action::Server;

/// What `farrier action` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum ActionCommand {
    /// Show an action: its command, its inputs, and its result if one is cached.
    Show(ShowOptions),
}

#[derive(Args, Debug)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    server: ServerOptions,
    /// The digest of the Action.
    digest: DigestArgument,
}

/// Largest Action or Command that is shown.
const MESSAGE_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// How much of stdout and stderr is shown.
const HEAD_BYTES_MAX: usize = 2000;
/// Outputs that are listed.
const OUTPUTS_LISTED_MAX: usize = 1000;

/// Runs `farrier action`.
pub(crate) async fn run(command: ActionCommand) -> Result<ExitCode> {
    let ActionCommand::Show(options) = command;
    let shown = shown_by(&options)
        .await
        .map_err(|error| anyhow!(explained(&error)))?;
    print(&shown)?;
    Ok(ExitCode::SUCCESS)
}

async fn shown_by(options: &ShowOptions) -> Result<String> {
    let server = options.server.connect().await?;
    show(&server, options.digest.resolve(server.function)?).await
}

/// Everything that can be found out. What is missing is said in its place; only without the Action itself, and
/// without a result, there is nothing to show.
async fn show(server: &Server, digest: Digest) -> Result<String> {
    let cache = server.remote.action_cache(server.instance.clone());
    let result = cache
        .get(&ActionDigest::new(digest))
        .await
        .context("looking for the result")?;
    let mut text = String::new();
    match message(server, digest).await? {
        Some(bytes) => {
            let action = Action::decode(digest.function(), &bytes)
                .with_context(|| format!("blob {digest} is not an Action"))?;
            let command = message(server, action.command_digest()).await?;
            let command = command.map(|bytes| Command::decode(&bytes));
            describe_action(
                &mut text,
                digest,
                &action,
                command.as_ref().and_then(|command| command.as_ref().ok()),
            )?;
            match command {
                Some(Ok(command)) => describe_command(&mut text, action.command_digest(), &command)?,
                Some(Err(error)) => {
                    writeln!(
                        text,
                        "\nCommand {}\n  is not a Command: {error}",
                        action.command_digest()
                    )?;
                }
                None => writeln!(
                    text,
                    "\nCommand {}\n  is not on the server",
                    action.command_digest()
                )?,
            }
            describe_input_root(&mut text, server, action.input_root_digest()).await?;
        }
        None if result.is_some() => writeln!(text, "Action {digest}\n  is not on the server; its result is")?,
        None => {
            return Err(anyhow!(
                "neither the Action {digest} nor a result of it is in instance `{}`; is the digest that of the \
                 Action, and the function {}?",
                server.instance,
                digest.function().name()
            ));
        }
    }
    match result {
        Some(result) => describe_result(&mut text, server, &result).await?,
        None => writeln!(text, "\nResult\n  none in the action cache")?,
    }
    Ok(text)
}

async fn message(server: &Server, digest: Digest) -> Result<Option<Bytes>> {
    Ok(read_all(&*server.store, &digest, MESSAGE_BYTES_MAX).await?)
}

fn describe_action(
    text: &mut String,
    digest: Digest,
    action: &Action,
    command: Option<&Command>,
) -> Result<()> {
    writeln!(text, "Action {digest}")?;
    match action.timeout() {
        Some(timeout) => writeln!(text, "  timeout         {}", timings::seconds(timeout))?,
        None => writeln!(text, "  timeout         the server's default")?,
    }
    let cached = if action.do_not_cache() {
        "no (do_not_cache)"
    } else {
        "yes"
    };
    writeln!(text, "  cacheable       {cached}")?;
    if !action.salt().is_empty() {
        writeln!(text, "  salt            {} bytes", action.salt().len())?;
    }
    // The action's own, or the command's (checklist E34).
    let platform = match command {
        Some(command) => Some(Platform::of(action, command)),
        None => action.platform().cloned(),
    };
    let properties: Vec<_> = platform
        .iter()
        .flat_map(Platform::iter)
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let properties = if properties.is_empty() {
        "any".to_owned()
    } else {
        properties.join(" ")
    };
    writeln!(text, "  platform        {properties}")?;
    Ok(())
}

fn describe_command(text: &mut String, digest: Digest, command: &Command) -> Result<()> {
    writeln!(text, "\nCommand {digest}")?;
    writeln!(text, "  $ {}", shell::joined(command.arguments()))?;
    if !command.working_directory().is_root() {
        writeln!(text, "  in              {}", command.working_directory())?;
    }
    let variables: Vec<_> = command.environment().iter().collect();
    list(
        text,
        "environment",
        variables.len(),
        variables
            .iter()
            .map(|(name, value)| format!("{name}={}", shell::quoted(value))),
    )?;
    let outputs: Vec<_> = command.outputs().iter().collect();
    list(
        text,
        "outputs",
        outputs.len(),
        outputs.iter().map(|output| match output.text.as_str() {
            "" => ".".to_owned(),
            path => path.to_owned(),
        }),
    )
}

/// A heading and a line for each, up to a bound.
fn list(text: &mut String, heading: &str, count: usize, lines: impl Iterator<Item = String>) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    writeln!(text, "  {heading}")?;
    for line in lines.take(OUTPUTS_LISTED_MAX) {
        writeln!(text, "    {line}")?;
    }
    if count > OUTPUTS_LISTED_MAX {
        writeln!(text, "    … and {} more", count - OUTPUTS_LISTED_MAX)?;
    }
    Ok(())
}

async fn describe_input_root(text: &mut String, server: &Server, root: Digest) -> Result<()> {
    writeln!(text, "\nInput root {root}")?;
    match fetch_input_tree(&*server.store, root).await {
        Ok(tree) if tree.missing().contains(&root) => Ok(writeln!(text, "  is not on the server")?),
        Ok(tree) => {
            writeln!(text, "  {}", summary(&tree)?)?;
            list(
                text,
                "directories that are not on the server",
                tree.missing().len(),
                tree.missing().iter().map(Digest::to_string),
            )?;
            let missing = server
                .store
                .find_missing(tree.files())
                .await
                .context("looking for input files")?;
            list(
                text,
                "files that are not on the server",
                missing.len(),
                missing.iter().map(Digest::to_string),
            )
        }
        Err(error) => Ok(writeln!(text, "  cannot be read: {error}")?),
    }
}

/// Counts of a tree with every path written out.
fn summary(tree: &InputTree) -> Result<String> {
    let distinct = format!("{} distinct files, depth {}", tree.files().len(), tree.depth());
    let entries = match tree.entries() {
        Ok(entries) => entries,
        Err(error) => return Ok(format!("{distinct} ({error})")),
    };
    let (mut files, mut bytes, mut directories, mut symlinks) = (0u64, 0u64, 0u64, 0u64);
    for (_, entry) in entries {
        match entry {
            Entry::File(file) => {
                files += 1;
                bytes = bytes.saturating_add(file.digest.size_bytes());
            }
            Entry::Directory(_) => directories += 1,
            Entry::Symlink(_) => symlinks += 1,
        }
    }
    Ok(format!(
        "{files} files of {bytes} bytes, {directories} directories, {symlinks} symlinks; {distinct}"
    ))
}

async fn describe_result(text: &mut String, server: &Server, result: &ActionResult) -> Result<()> {
    writeln!(text, "\nResult\n  exit code       {}", result.exit_code)?;
    if let Some(metadata) = &result.execution_metadata {
        if !metadata.worker.is_empty() {
            writeln!(text, "  worker          {}", metadata.worker)?;
        }
        for (step, duration) in timings::steps(metadata) {
            writeln!(text, "  {step:<15} {}", timings::seconds(duration))?;
        }
    }
    let files = result.output_files.iter().map(|file| {
        let mode = if file.is_executable { "executable" } else { "file" };
        format!("{} ({mode} {})", file.path, shown(file.digest.as_ref()))
    });
    let directories = result.output_directories.iter().map(|directory| {
        let (form, digest) = match &directory.tree_digest {
            Some(tree) => ("Tree", Some(tree)),
            None => ("Directory", directory.root_directory_digest.as_ref()),
        };
        format!("{} ({form} {})", directory.path, shown(digest))
    });
    let links = symlinks(result).map(|symlink| format!("{} -> {}", symlink.path, symlink.target));
    list(
        text,
        "outputs",
        made(result).len(),
        files.chain(directories).chain(links),
    )?;
    describe_stream(
        text,
        server,
        "stdout",
        &result.stdout_raw,
        result.stdout_digest.as_ref(),
    )
    .await?;
    describe_stream(
        text,
        server,
        "stderr",
        &result.stderr_raw,
        result.stderr_digest.as_ref(),
    )
    .await
}

fn shown(digest: Option<&proto::Digest>) -> String {
    digest.map_or_else(
        || "without digest".to_owned(),
        |digest| format!("{}/{}", digest.hash, digest.size_bytes),
    )
}

/// The beginning of what the command printed.
async fn describe_stream(
    text: &mut String,
    server: &Server,
    name: &str,
    raw: &Bytes,
    digest: Option<&proto::Digest>,
) -> Result<()> {
    let digest = digest
        .map(|digest| Digest::from_proto(server.function, digest))
        .transpose()?;
    let (head, size_bytes) = match digest {
        _ if !raw.is_empty() => (Some(raw.slice(..raw.len().min(HEAD_BYTES_MAX))), raw.len() as u64),
        Some(digest) => (head(server, &digest).await?, digest.size_bytes()),
        None => (Some(Bytes::new()), 0),
    };
    let whose = digest.map_or_else(String::new, |digest| format!(" ({digest})"));
    match head {
        None => writeln!(text, "  {name}{whose} is not on the server")?,
        Some(head) if head.is_empty() => writeln!(text, "  {name} is empty")?,
        Some(head) => {
            writeln!(text, "  {name}{whose}")?;
            for line in String::from_utf8_lossy(&head).lines() {
                writeln!(
                    text,
                    "    | {}",
                    line.replace(|character: char| character.is_control(), "?")
                )?;
            }
            let more = size_bytes - head.len() as u64;
            if more > 0 {
                writeln!(text, "    … and {more} bytes more")?;
            }
        }
    }
    Ok(())
}

async fn head(server: &Server, digest: &Digest) -> Result<Option<Bytes>> {
    use futures::StreamExt;
    let range = blob::ByteRange {
        offset: 0,
        limit: Some(HEAD_BYTES_MAX as u64),
    };
    let Some(mut stream) = server.store.get(digest, range).await? else {
        return Ok(None);
    };
    let mut head = Vec::new();
    while let Some(piece) = stream.next().await {
        head.extend_from_slice(&piece?);
    }
    Ok(Some(head.into()))
}

#[cfg(test)]
mod tests;
