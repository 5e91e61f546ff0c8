//! A result, shown to the wrapper as if the command had run there.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, bail};
use blob::{Blob, Digest};
use bytes::Bytes;
use cas::BlobStore;
use cas::tree::read_all;
use daemon_api::{Answer, PIECE_BYTES_MAX};
use futures::{StreamExt, TryStreamExt};
use prost_types::Any;
use reapi::execution::{self as proto, ActionResult};
use tokio::time::timeout;

use super::kept::{INLINE_BYTES_MAX, Whole, kept};
use crate::failures::Failure;
use crate::filled::Filled;
use crate::limits::{FETCH_BYTES_PER_SECOND_MIN, FETCH_WITHIN};
use crate::link::Link;
use crate::manner::Manner;
use crate::outputs::directory::{ToMake, Within, decoded};
use crate::outputs::{self, Made, Places, ToWrite};
use crate::plan::{Moved, PlannedOutput, Subject};
use crate::service::FUNCTION;
use crate::volume::Volume;

/// The largest output that is fetched into memory, and all that is in output directories together.
const FETCHED_BYTES_MAX: u64 = 1 << 30;
/// The slowest network that is waited for, by files of directories.
const FETCHED_FILES_PER_SECOND_MIN: u64 = 100;
/// Files of a directory that are fetched at once.
const FETCHED_AT_ONCE: usize = 64;

/// A result with everything that it refers to, here.
pub(crate) struct Fetched {
    files: Vec<File>,
    directories: Vec<Directory>,
    output: Bytes,
    error_output: Bytes,
    /// The tree that its texts are to name instead of the placeholder, if they do.
    moved: Option<Moved>,
    /// The command's own.
    pub(crate) exit_code: i32,
    /// How long it took whoever ran it.
    pub(crate) ran: Duration,
    /// What servers and workers have added to the result, for whoever knows how to read it.
    pub(crate) added: Vec<Any>,
    /// What of it was not in the result itself.
    pub(crate) fetched_bytes: u64,
}

impl From<Failure> for Fetched {
    fn from(failure: Failure) -> Self {
        Fetched {
            files: Vec::new(),
            directories: Vec::new(),
            output: failure.output.into(),
            error_output: failure.error_output.into(),
            exit_code: failure.exit_code,
            // Not remembered: a probe takes no time to speak of.
            ran: Duration::ZERO,
            added: Vec::new(),
            fetched_bytes: 0,
            moved: None,
        }
    }
}

/// An output.
struct File {
    output: PlannedOutput,
    bytes: Bytes,
    digest: String,
    is_executable: bool,
}

/// An output that is a directory.
struct Directory {
    name: String,
    tree: Blob,
    to_make: ToMake,
    files: Vec<ToWrite>,
}

/// What compilers and linkers say of a file that is not there.
const ABSENT: [&[u8]; 3] = [b"No such file or directory", b"file not found", b"cannot find"];

impl Fetched {
    /// Everything that the result refers to, for another store.
    pub(crate) fn blobs(&self) -> Vec<Blob> {
        let files = self.files.iter().map(|file| &file.bytes);
        let within = self.directories.iter().flat_map(|directory| &directory.files);
        let within = within.map(|file| &file.bytes);
        let texts = [&self.output, &self.error_output];
        let large = texts.into_iter().filter(|text| text.len() > INLINE_BYTES_MAX);
        let all = files.chain(within).chain(large);
        let trees = self.directories.iter();
        let trees = trees.filter_map(|directory| directory.tree.try_clone());
        all.map(|bytes| Blob::from_bytes(FUNCTION, bytes.clone()))
            .chain(trees)
            .collect()
    }

    /// A success, or a failure that others would have as well.
    pub(crate) fn may_be_taken(&self) -> bool {
        let failure = || Failure {
            exit_code: self.exit_code,
            output: self.output.to_vec(),
            error_output: self.error_output.to_vec(),
        };
        self.exit_code == 0 || failure().follows_from_inputs()
    }

    /// How much it is.
    pub(crate) fn volume(&self) -> Volume {
        let files = self.files.iter();
        let within = self.directories.iter().flat_map(|directory| &directory.files);
        let bytes = files.clone().map(|file| file.bytes.len());
        let bytes = bytes.chain(within.map(|file| file.bytes.len())).sum::<usize>();
        let printed = |text: &Bytes| (!text.is_empty()).then(|| Digest::of(FUNCTION, text).to_string());
        let named = |file: &File| {
            let facts = (file.digest.clone(), file.is_executable);
            (file.output.name.clone(), facts)
        };
        let made = |made: &Directory| (made.name.clone(), made.tree.digest().to_string());
        Volume {
            output_files: files.map(named).collect(),
            output_directories: self.directories.iter().map(made).collect(),
            output_bytes: (bytes + self.output.len() + self.error_output.len()) as u64,
            output: printed(&self.output),
            error_output: printed(&self.error_output),
            downloaded_bytes: self.fetched_bytes,
            ..Volume::default()
        }
    }

    /// What the command printed.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// The result of a worker as it is kept; or why it cannot be.
    pub(super) fn kept(
        &self,
        subject: &Subject,
        result: &ActionResult,
    ) -> Result<(ActionResult, Vec<Blob>), &'static str> {
        let files = self.files.iter().map(|file| Made {
            name: file.output.name.clone(),
            bytes: file.bytes.clone(),
            is_executable: file.is_executable,
        });
        if !self.directories.is_empty() {
            return Err("it makes a directory");
        }
        let whole = Whole {
            files: files.collect(),
            directories: Vec::new(),
            output: self.output.clone(),
            error_output: self.error_output.clone(),
            exit_code: self.exit_code,
            execution_metadata: result.execution_metadata.clone(),
        };
        kept(subject, whole)
    }

    /// The command failed, and says that something was not there. It may be here: what a command reads is foretold, and
    /// whoever runs it again where everything is knows better.
    pub(crate) fn complains_of_absent_files(&self) -> bool {
        let says = |words: &[u8]| {
            self.error_output
                .windows(words.len())
                .any(|window| window == words)
        };
        self.exit_code != 0 && ABSENT.iter().any(|words| says(words))
    }
}

/// Fetches whatever a kept result refers to. Nothing is written yet, so that nothing is half done when it fails. `Ok(None)`
/// if the result is not one that this command could have.
pub(crate) async fn fetch(
    store: &dyn BlobStore,
    subject: &Subject,
    result: ActionResult,
) -> Result<Option<Fetched>> {
    let fetched = fetch_made(store, subject, result).await?;
    Ok(fetched.map(|fetched| Fetched {
        moved: subject.moved.clone(),
        ..fetched
    }))
}

/// The same for a result as it was made, in this very directory.
pub(super) async fn fetch_made(
    store: &dyn BlobStore,
    subject: &Subject,
    result: ActionResult,
) -> Result<Option<Fetched>> {
    let ran = ran(&result).unwrap_or_default();
    let metadata = result.execution_metadata.as_ref();
    let added = metadata.map_or_else(Vec::new, |metadata| metadata.auxiliary_metadata.clone());
    let failed = result.exit_code != 0;
    // A command that failed need not have made anything.
    let places = match Places::of(&result, &subject.outputs) {
        Some(places) => places,
        None if failed => Places::default(),
        None => return Ok(None),
    };
    let directories = places.directories.into_iter();
    let trees = directories.map(|(directory, place)| tree(store, directory.tree_digest.as_ref(), place));
    let trees = timeout(FETCH_WITHIN, futures::future::try_join_all(trees)).await;
    // What stands still is noticed by whoever waits for this; a network that many share is slow, and no outage.
    let trees = trees.map_err(|_elapsed| anyhow!("no directories within {FETCH_WITHIN:?}"))??;
    let within = trees.iter().flat_map(|made| &made.files);
    let within = within.map(|file| file.digest.size_bytes()).sum::<u64>();
    if within > FETCHED_BYTES_MAX {
        bail!("output directories of {within} bytes are too large");
    }
    let bytes = places.files.iter().map(|(file, _)| size(file.digest.as_ref()));
    let bytes = bytes.sum::<u64>() + within;
    let files = trees.iter().map(|made| made.files.len() as u64).sum::<u64>();
    let patience = FETCH_WITHIN
        + Duration::from_secs(bytes / FETCH_BYTES_PER_SECOND_MIN + files / FETCHED_FILES_PER_SECOND_MIN);
    let apart = places.files.iter().filter(|(file, _)| file.contents.is_empty());
    let apart = apart.map(|(file, _)| size(file.digest.as_ref())).sum::<u64>();
    let printed = [
        (&result.stdout_raw, &result.stdout_digest),
        (&result.stderr_raw, &result.stderr_digest),
    ];
    let printed = printed.iter().filter(|(raw, _)| raw.is_empty());
    let printed = printed.map(|(_, digest)| size(digest.as_ref())).sum::<u64>();
    let encoded = trees
        .iter()
        .map(|made| made.tree.digest().size_bytes())
        .sum::<u64>();
    let fetching = async {
        let files = places.files.into_iter().map(|(file, place)| {
            let (output, is_executable) = (place.clone(), file.is_executable);
            let (contents, digest) = (file.contents.clone(), file.digest.clone());
            async move {
                let bytes = match contents.is_empty() {
                    true => blob(store, digest.as_ref()).await?,
                    false => contents,
                };
                anyhow::Ok(File {
                    output,
                    bytes,
                    digest: digest.as_ref().map_or_else(String::new, written),
                    is_executable,
                })
            }
        });
        let files: Vec<_> = files.collect();
        let files = futures::future::try_join_all(files);
        let output = stream(store, &result.stdout_raw, result.stdout_digest.as_ref());
        let error_output = stream(store, &result.stderr_raw, result.stderr_digest.as_ref());
        let directories = futures::future::try_join_all(trees.into_iter().map(|made| filled(store, made)));
        futures::try_join!(files, directories, output, error_output)
    };
    let fetched = timeout(patience, fetching).await;
    let (files, directories, output, error_output) =
        fetched.map_err(|_elapsed| anyhow!("no outputs within {patience:?}"))??;
    Ok(Some(Fetched {
        files,
        directories,
        output,
        error_output,
        moved: None,
        exit_code: result.exit_code,
        ran,
        added,
        fetched_bytes: apart + printed + encoded + within,
    }))
}

/// Writes the outputs and tells the wrapper everything but the end. The inner error says what could not be written:
/// nothing has been said then.
pub(crate) async fn show(
    link: &mut Link,
    fetched: Fetched,
    manner: Manner,
    filled: &Arc<Filled>,
) -> io::Result<io::Result<()>> {
    let Fetched {
        files,
        directories,
        output,
        error_output,
        moved,
        ..
    } = fetched;
    let text = |kept: Bytes| match &moved {
        Some(moved) => moved.show(&kept).into(),
        None => kept,
    };
    let files = files.into_iter().map(|file| ToWrite {
        bytes: match file.output.is_rule {
            true => text(file.bytes),
            false => file.bytes,
        },
        is_rule: file.output.is_rule,
        path: file.output.path,
        is_executable: file.is_executable,
    });
    let mut files: Vec<_> = files.collect();
    let mut to_make = Vec::new();
    for directory in directories {
        to_make.push(directory.to_make);
        files.extend(directory.files);
    }
    let (output, error_output) = (text(output), text(error_output));
    // Whoever fills one of these directories at the same time learns of it.
    let written = files.iter().map(|file| filled.begin(&file.path, false));
    let made = to_make
        .iter()
        .map(|directory| filled.begin(directory.path(), true));
    let filling: Vec<_> = written.chain(made).collect();
    let process = link.process();
    let writing =
        tokio::task::spawn_blocking(move || manner.write(&to_make, files, outputs::mask_of(process)));
    if let Err(error) = link.meanwhile(writing).await?? {
        return Ok(Err(error));
    }
    drop(filling);
    print(link, &output, &error_output).await.map(Ok)
}

/// Has the wrapper print what a command has printed without anybody seeing it.
pub(crate) async fn print(link: &mut Link, output: &[u8], error_output: &[u8]) -> io::Result<()> {
    for piece in output.chunks(PIECE_BYTES_MAX) {
        link.say(&Answer::Output(piece.to_vec())).await?;
    }
    for piece in error_output.chunks(PIECE_BYTES_MAX) {
        link.say(&Answer::ErrorOutput(piece.to_vec())).await?;
    }
    Ok(())
}

/// An output directory as its Tree describes it.
struct Described {
    name: String,
    tree: Blob,
    to_make: ToMake,
    files: Vec<Within>,
}

/// What an output directory has in it, the contents of its files not.
async fn tree(
    store: &dyn BlobStore,
    digest: Option<&proto::Digest>,
    place: &PlannedOutput,
) -> Result<Described> {
    let encoded = blob(store, digest).await?;
    let (to_make, files) = ToMake::of(&place.path, &decoded(encoded.clone())?)?;
    Ok(Described {
        name: place.name.clone(),
        tree: Blob::from_bytes(FUNCTION, encoded),
        to_make,
        files,
    })
}

/// The same with the contents.
async fn filled(store: &dyn BlobStore, described: Described) -> Result<Directory> {
    let Described {
        name,
        tree,
        to_make,
        files,
    } = described;
    let files = futures::stream::iter(files).map(|file| async move {
        anyhow::Ok(ToWrite {
            bytes: blob(store, Some(&file.digest.to_proto())).await?,
            path: file.path,
            is_executable: file.is_executable,
            is_rule: false,
        })
    });
    Ok(Directory {
        name,
        tree,
        to_make,
        files: files.buffered(FETCHED_AT_ONCE).try_collect().await?,
    })
}

/// How long a command ran, as far as its result says.
fn ran(result: &ActionResult) -> Option<Duration> {
    let metadata = result.execution_metadata.as_ref()?;
    let begun = SystemTime::try_from(metadata.execution_start_timestamp?).ok()?;
    let ended = SystemTime::try_from(metadata.execution_completed_timestamp?).ok()?;
    ended.duration_since(begun).ok()
}

fn size(digest: Option<&proto::Digest>) -> u64 {
    digest
        .and_then(|digest| u64::try_from(digest.size_bytes).ok())
        .unwrap_or_default()
}

fn written(digest: &proto::Digest) -> String {
    format!("{}/{}", digest.hash, digest.size_bytes)
}

async fn stream(store: &dyn BlobStore, raw: &Bytes, digest: Option<&proto::Digest>) -> Result<Bytes> {
    match digest {
        Some(_) if raw.is_empty() => blob(store, digest).await,
        _ => Ok(raw.clone()),
    }
}

async fn blob(store: &dyn BlobStore, digest: Option<&proto::Digest>) -> Result<Bytes> {
    let digest = Digest::required(FUNCTION, digest, "digest of an output")?;
    if digest.size_bytes() > FETCHED_BYTES_MAX {
        bail!("an output of {} bytes is too large", digest.size_bytes());
    }
    let bytes = read_all(store, &digest, FETCHED_BYTES_MAX).await?;
    bytes.ok_or_else(|| anyhow!("blob {digest} is not there"))
}
