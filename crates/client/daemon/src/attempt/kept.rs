//! A result as it is kept: where a step is the same in every directory, its texts name no directory (`plan/moved.rs`).

use blob::Blob;
use bytes::Bytes;
use reapi::execution::{ActionResult, ExecutedActionMetadata, OutputDirectory, OutputFile};

use crate::failures::Failure;
use crate::outputs::Made;
use crate::outputs::directory::MadeDirectory;
use crate::plan::Subject;
use crate::service::FUNCTION;

/// What a command prints stays in its result as long as it is small.
pub(crate) const INLINE_BYTES_MAX: usize = 16 << 10;

/// What a command has made and printed.
pub(crate) struct Whole {
    /// In the order of their names.
    pub(crate) files: Vec<Made>,
    pub(crate) directories: Vec<MadeDirectory>,
    pub(crate) output: Bytes,
    pub(crate) error_output: Bytes,
    /// 0, unless failures are to be kept.
    pub(crate) exit_code: i32,
    pub(crate) execution_metadata: Option<ExecutedActionMetadata>,
}

impl Whole {
    /// No more than a text.
    pub(crate) fn printed(text: Vec<u8>) -> Self {
        Whole {
            files: Vec::new(),
            directories: Vec::new(),
            output: text.into(),
            error_output: Bytes::new(),
            exit_code: 0,
            execution_metadata: None,
        }
    }

    /// What a command that failed has printed.
    pub(crate) fn failed(failure: &Failure) -> Self {
        Whole {
            error_output: failure.error_output.clone().into(),
            exit_code: failure.exit_code,
            ..Whole::printed(failure.output.clone())
        }
    }
}

/// The result and what it refers to; or why it cannot be kept.
pub(crate) fn kept(subject: &Subject, whole: Whole) -> Result<(ActionResult, Vec<Blob>), &'static str> {
    let mut blobs = Vec::new();
    if subject.moved.is_some() && !whole.directories.is_empty() {
        return Err("what is in a directory may name its tree");
    }
    let mut output_directories = Vec::new();
    for made in whole.directories {
        let tree = made.tree.blob();
        output_directories.push(OutputDirectory {
            path: made.name,
            tree_digest: Some(tree.digest().to_proto()),
            is_topologically_sorted: true,
            ..OutputDirectory::default()
        });
        blobs.push(tree);
        blobs.extend(made.blobs);
    }
    let mut refer = |bytes: Bytes| {
        let blob = Blob::from_bytes(FUNCTION, bytes);
        let digest = blob.digest().to_proto();
        blobs.push(blob);
        digest
    };
    let mut output_files = Vec::new();
    for made in whole.files {
        let is_rule = subject
            .outputs
            .iter()
            .any(|output| output.name == made.name && output.is_rule);
        let bytes = match is_rule {
            true => text(subject, made.bytes)?,
            false => product(subject, made.bytes)?,
        };
        output_files.push(OutputFile {
            path: made.name,
            digest: Some(refer(bytes)),
            is_executable: made.is_executable,
            ..OutputFile::default()
        });
    }
    let mut result = ActionResult {
        output_files,
        output_directories,
        exit_code: whole.exit_code,
        stdout_raw: text(subject, whole.output)?,
        stderr_raw: text(subject, whole.error_output)?,
        execution_metadata: whole.execution_metadata,
        ..ActionResult::default()
    };
    let mut apart = |raw: &mut Bytes| (raw.len() > INLINE_BYTES_MAX).then(|| refer(std::mem::take(raw)));
    result.stdout_digest = apart(&mut result.stdout_raw);
    result.stderr_digest = apart(&mut result.stderr_raw);
    Ok((result, blobs))
}

fn text(subject: &Subject, text: Bytes) -> Result<Bytes, &'static str> {
    match &subject.moved {
        Some(moved) => moved.keep(&text).map(Bytes::from),
        None => Ok(text),
    }
}

fn product(subject: &Subject, product: Bytes) -> Result<Bytes, &'static str> {
    match &subject.moved {
        Some(moved) => moved.check(&product).map(|()| product),
        None => Ok(product),
    }
}
