//! From options and local files to an Action, before anything is sent.

use ::action::{ActionDigest, Command, Platform};
use anyhow::{Context, Result, anyhow};
use blob::Blob;
use merkle::TreeBuilder;
use prost::Message;
use reapi::execution as proto;

use super::ExecOptions;
use super::observed::OBSERVE;
use crate::commands::local_files::{Input, collect};
use remote_action::Sources;

/// An action and everything it is made of.
pub(super) struct Prepared {
    pub(super) action_digest: ActionDigest,
    pub(super) command: Command,
    pub(super) sources: Sources,
}

pub(super) async fn prepare(options: &ExecOptions) -> Result<Prepared> {
    let function = options.server.digest_function;
    let mut sources = Sources::default();
    let command_proto = command(options)?;
    let command = Command::from_proto(&command_proto).context("this command cannot be executed")?;

    let mut tree = TreeBuilder::new();
    let inputs = options
        .inputs
        .iter()
        .map(|text| Input::parse(text))
        .collect::<Result<_>>()?;
    collect(inputs, function, &mut tree, &mut sources).await?;
    // It must exist in the input tree (checklist E19).
    tree.insert_directory(command.working_directory().as_str())
        .context("--workdir cannot be a directory")?;
    let tree = tree.build(function)?;
    for directory in tree.blobs() {
        sources.add(directory);
    }

    let action = proto::Action {
        command_digest: Some(
            sources
                .add(Blob::from_bytes(function, command_proto.encode_to_vec()))
                .to_proto(),
        ),
        input_root_digest: Some(tree.root.to_proto()),
        timeout: options.timeout.map(timeout).transpose()?,
        do_not_cache: options.no_cache,
        platform: platform(options)?,
        ..proto::Action::default()
    };
    let action_digest = sources.add(Blob::from_bytes(function, action.encode_to_vec()));
    Ok(Prepared {
        action_digest: ActionDigest::new(action_digest),
        command,
        sources,
    })
}

/// Lists are sorted as the protocol wants them, so that their order on the command line makes no other action.
fn command(options: &ExecOptions) -> Result<proto::Command> {
    let mut environment: Vec<_> = options
        .env
        .iter()
        .map(|(name, value)| proto::command::EnvironmentVariable {
            name: name.clone(),
            value: value.clone(),
        })
        .collect();
    environment.sort_by(|a, b| a.name.cmp(&b.name));
    let mut output_paths: Vec<_> = options.outputs.iter().map(|path| without_slash(path)).collect();
    output_paths.sort();
    output_paths.dedup();
    #[allow(
        deprecated,
        reason = "servers before 2.2 look for the platform here (checklist E34)"
    )]
    Ok(proto::Command {
        arguments: options.command.clone(),
        environment_variables: environment,
        output_paths,
        working_directory: without_slash(&options.workdir),
        platform: platform(options)?,
        ..proto::Command::default()
    })
}

/// Shells complete the names of directories with a slash, which the protocol does not want (checklist E20).
fn without_slash(path: &str) -> String {
    match path.strip_suffix('/') {
        None | Some("") => path.to_owned(),
        Some(path) => path.to_owned(),
    }
}

fn platform(options: &ExecOptions) -> Result<Option<proto::Platform>> {
    let mut properties = options.platform.clone();
    if options.observe {
        properties.retain(|(name, _)| name != OBSERVE);
        properties.push((OBSERVE.to_owned(), "true".to_owned()));
    }
    if properties.is_empty() {
        return Ok(None);
    }
    Ok(Some(Platform::new(properties).context("--platform")?.to_proto()))
}

fn timeout(timeout: std::time::Duration) -> Result<prost_types::Duration> {
    prost_types::Duration::try_from(timeout).map_err(|_| anyhow!("--timeout {timeout:?} is too long"))
}
