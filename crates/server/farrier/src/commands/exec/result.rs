//! What came out: exit, output, files.

use std::collections::HashMap;
use std::path::Path;

use ::action::{InputPath, check_action_result};
use ::cas::BlobStore;
use anyhow::{Context, Result, bail};
use blob::{BlobStream, Digest, DigestFunction};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use reapi::execution::{ActionResult, ExecuteResponse, OutputDirectory};
use reapi::{execution as proto, rpc};

use super::describe;
use super::live::Shown;
use super::prepare::Prepared;
use crate::commands::destination::{Destination, FileToWrite, Writing, fetch};
use crate::commands::output::{print_bytes, print_error_bytes, print_stream};
use crate::commands::trees;
use remote_action::Server;

/// How the command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself; the result has its exit code.
    Exited,
    /// Killed because its time was over; the result has what it printed.
    TimedOut { message: String },
}

impl End {
    /// An error if the command did not run.
    pub(super) fn of(response: &ExecuteResponse) -> Result<Self> {
        let status = response.status.clone().unwrap_or_default();
        if status.code == rpc::Code::Ok as i32 {
            if response.result.is_none() {
                bail!("the server reports success without a result");
            }
            return Ok(End::Exited);
        }
        if status.code == rpc::Code::DeadlineExceeded as i32 {
            return Ok(End::TimedOut {
                message: status.message,
            });
        }
        let mut why = describe(status.code, &status.message);
        for (name, log) in &response.server_logs {
            let digest = log.digest.clone().unwrap_or_default();
            why.push_str(&format!(
                "\n  log `{name}`: farrier cas get {}/{}",
                digest.hash, digest.size_bytes
            ));
        }
        bail!("the command was not executed: {why}")
    }
}

/// Prints what the command printed, byte for byte, without what was `shown` already.
pub(super) async fn replay(server: &Server, result: &ActionResult, shown: [Shown; 2]) -> Result<()> {
    let ActionResult {
        stdout_raw,
        stdout_digest,
        stderr_raw,
        stderr_digest,
        ..
    } = result;
    let [stdout, stderr] = shown;
    print_rest(server, "stdout", stdout_raw, stdout_digest, stdout, print_bytes).await?;
    print_rest(
        server,
        "stderr",
        stderr_raw,
        stderr_digest,
        stderr,
        print_error_bytes,
    )
    .await
}

async fn print_rest(
    server: &Server,
    name: &str,
    raw: &Bytes,
    digest: &Option<proto::Digest>,
    shown: Shown,
    print: fn(&[u8]) -> Result<()>,
) -> Result<()> {
    let opened = async || -> Result<BlobStream> {
        match digest {
            // Inlined, or the server keeps no digest of it.
            Some(digest) if raw.is_empty() => {
                let digest = Digest::from_proto(server.function, digest)
                    .with_context(|| format!("the command's {name}"))?;
                let blob = fetch(&*server.store, digest)
                    .await
                    .with_context(|| format!("fetching the command's {name}"))?;
                Ok(blob.into_stream())
            }
            _ => Ok(stream::iter([Ok(raw.clone())]).boxed()),
        }
    };
    if shown.size_bytes() == 0 {
        return print_stream(opened().await?, print).await;
    }
    let known = digest
        .as_ref()
        .map(|digest| Digest::from_proto(server.function, digest));
    if let Some(Ok(digest)) = known
        && shown.is_blob(&digest)
    {
        return Ok(());
    }
    let mut comparison = shown.compare();
    let mut pieces = opened().await?;
    let mut is_the_same = true;
    while let Some(piece) = pieces.next().await {
        is_the_same = comparison.next(&piece?)?;
        if !is_the_same {
            break;
        }
    }
    if is_the_same && comparison.is_the_same() {
        return Ok(());
    }
    eprintln!("farrier: the command was started again; this is all of its {name}:");
    print_stream(opened().await?, print).await
}

/// Downloads every output to where it is in the tree, below `to`. Outputs that the command did not make are named.
pub(super) async fn download(
    server: &Server,
    prepared: &Prepared,
    result: &ActionResult,
    to: &Path,
) -> Result<()> {
    let writing = plan(
        &*server.store,
        server.function,
        prepared.command.working_directory(),
        result,
    )
    .await?;
    let made = made(result);
    for output in prepared.command.outputs().iter() {
        if !made.contains_key(output.text.as_str()) {
            eprintln!("farrier: the command did not make `{}`", output.text);
        }
    }
    if writing.directories.is_empty() && writing.files.is_empty() && writing.symlinks.is_empty() {
        return Ok(());
    }
    let destination = Destination::open(to)?;
    destination
        .write(&*server.store, writing)
        .await
        .context("downloading outputs")
}

/// The outputs of a result by their paths, with one word for what they are.
pub(crate) fn made(result: &ActionResult) -> HashMap<&str, &'static str> {
    let files = result
        .output_files
        .iter()
        .map(|file| (file.path.as_str(), "file"));
    let directories = result
        .output_directories
        .iter()
        .map(|directory| (directory.path.as_str(), "directory"));
    let symlinks = symlinks(result).map(|symlink| (symlink.path.as_str(), "symlink"));
    files.chain(directories).chain(symlinks).collect()
}

/// Of both generations.
pub(crate) fn symlinks(result: &ActionResult) -> impl Iterator<Item = &proto::OutputSymlink> {
    #[allow(deprecated, reason = "servers of API 2.0 fill these fields")]
    let old = result
        .output_file_symlinks
        .iter()
        .chain(&result.output_directory_symlinks);
    let is_new = |path: &str| result.output_symlinks.iter().any(|symlink| symlink.path == path);
    result
        .output_symlinks
        .iter()
        .chain(old.filter(move |symlink| !is_new(&symlink.path)))
}

/// Checks the result and says what to write where. Paths are relative to the working directory and must stay inside
/// the tree.
async fn plan(
    store: &dyn BlobStore,
    function: DigestFunction,
    working_directory: &InputPath,
    result: &ActionResult,
) -> Result<Writing> {
    check_action_result(function, result).context("the server's result makes no sense")?;
    let place = |path: &str| {
        InputPath::resolve(working_directory, path)
            .context("the server's result names a path outside of the tree")
    };
    let mut writing = Writing::default();
    for file in &result.output_files {
        writing.files.push(FileToWrite {
            path: place(&file.path)?,
            digest: Digest::required(function, file.digest.as_ref(), "OutputFile.digest")?,
            is_executable: file.is_executable,
            contents: (!file.contents.is_empty()).then(|| file.contents.clone()),
        });
    }
    for directory in &result.output_directories {
        let tree = tree(store, function, directory)
            .await
            .with_context(|| format!("fetching output directory `{}`", directory.path))?;
        writing.add_tree(&place(&directory.path)?, &tree)?;
    }
    for symlink in symlinks(result) {
        writing
            .symlinks
            .push((place(&symlink.path)?, symlink.target.clone()));
    }
    Ok(writing)
}

async fn tree(
    store: &dyn BlobStore,
    function: DigestFunction,
    directory: &OutputDirectory,
) -> Result<merkle::InputTree> {
    if let Some(tree) = &directory.tree_digest {
        return trees::fetch_tree(store, Digest::from_proto(function, tree)?).await;
    }
    let root = Digest::required(
        function,
        directory.root_directory_digest.as_ref(),
        "root_directory_digest",
    )?;
    let (_, tree) = trees::fetch(store, root).await?;
    trees::complete(tree)
}

#[cfg(test)]
mod tests {
    use blob::Blob;
    use merkle::TreeBuilder;
    use reapi::execution::{OutputFile, OutputSymlink};

    use super::*;

    const F: DigestFunction = DigestFunction::Sha256;

    fn with_status(code: rpc::Code, message: &str) -> ExecuteResponse {
        let status = rpc::Status {
            code: code as i32,
            message: message.into(),
            details: Vec::new(),
        };
        ExecuteResponse {
            status: Some(status),
            ..Default::default()
        }
    }

    #[test]
    fn every_end_is_told_apart() {
        let success = ExecuteResponse {
            result: Some(ActionResult::default()),
            ..Default::default()
        };
        assert_eq!(End::of(&success).unwrap(), End::Exited);
        assert!(End::of(&ExecuteResponse::default()).is_err());
        let timed_out = End::of(&with_status(rpc::Code::DeadlineExceeded, "after 1 s")).unwrap();
        assert_eq!(
            timed_out,
            End::TimedOut {
                message: "after 1 s".into()
            }
        );
        let failed = End::of(&with_status(rpc::Code::Internal, "why"))
            .unwrap_err()
            .to_string();
        assert_eq!(failed, "the command was not executed: why (INTERNAL)");
    }

    #[tokio::test]
    async fn outputs_go_where_they_are_in_the_tree() {
        let store = ::cas::memory(1 << 20);
        let mut tree = TreeBuilder::new();
        tree.insert_file("below/x", Digest::of(F, b"x"), true).unwrap();
        let tree = tree.build(F).unwrap().into_tree();
        store.put(tree.blob()).await.unwrap();
        for directory in tree.directory_blobs() {
            store.put(directory).await.unwrap();
        }
        let file = Blob::from_bytes(F, "x").digest().to_proto();
        let symlink = |path: &str| OutputSymlink {
            path: path.into(),
            target: "t".into(),
            ..Default::default()
        };
        #[allow(deprecated, reason = "servers of API 2.0 fill these fields")]
        let result = ActionResult {
            output_files: vec![OutputFile {
                path: "../up".into(),
                digest: Some(file),
                ..Default::default()
            }],
            output_directories: vec![
                OutputDirectory {
                    path: "tree".into(),
                    tree_digest: Some(tree.blob().digest().to_proto()),
                    ..Default::default()
                },
                OutputDirectory {
                    path: "root".into(),
                    root_directory_digest: Some(tree.root_digest().to_proto()),
                    ..Default::default()
                },
            ],
            output_symlinks: vec![symlink("both")],
            output_file_symlinks: vec![symlink("both"), symlink("old")],
            ..Default::default()
        };
        let work = InputPath::new("work").unwrap();
        let writing = plan(&*store, F, &work, &result).await.unwrap();
        let paths: Vec<_> = writing.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["up", "work/tree/below/x", "work/root/below/x"]);
        let paths: Vec<_> = writing.symlinks.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["work/both", "work/old"]);
        let mut kinds: Vec<_> = made(&result).into_iter().collect();
        kinds.sort_unstable();
        assert_eq!(
            kinds,
            [
                ("../up", "file"),
                ("both", "symlink"),
                ("old", "symlink"),
                ("root", "directory"),
                ("tree", "directory")
            ]
        );
        let escaped = plan(&*store, F, &InputPath::root(), &result).await.unwrap_err();
        assert!(
            format!("{escaped:#}").contains("outside of the tree"),
            "{escaped:#}"
        );
    }
}
