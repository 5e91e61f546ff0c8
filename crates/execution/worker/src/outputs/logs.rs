//! What a command printed.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use blob::DigestFunction;
use bytes::Bytes;
use reapi::execution as proto;

use super::file::note;
use super::upload::{Source, Uploads};
use crate::limits::LOG_INLINE_BYTES_MAX;

/// One stream, as an ActionResult carries it. Nothing printed is nothing set.
#[derive(Default)]
pub(crate) struct Log {
    /// All of it, if it is small.
    pub(crate) raw: Bytes,
    /// Always set unless there is nothing.
    pub(crate) digest: Option<proto::Digest>,
}

/// Reads the log at `path`, to which `line` is added. No file is an empty log: the command never started. Blocking.
pub(crate) fn read_log(
    path: &Path,
    line: Option<&str>,
    function: DigestFunction,
    uploads: &mut Uploads,
) -> io::Result<Log> {
    let opened = File::options()
        .read(true)
        .append(line.is_some())
        .create(line.is_some())
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Log::default()),
        Err(error) => return Err(error),
    };
    if let Some(line) = line {
        io::Write::write_all(&mut file, line.as_bytes())?;
        file.seek(SeekFrom::Start(0))?;
    }
    let size_bytes = file.metadata()?.len();
    if size_bytes == 0 {
        return Ok(Log::default());
    }
    let mut raw = Vec::new();
    if size_bytes <= LOG_INLINE_BYTES_MAX {
        io::Read::read_to_end(&mut file, &mut raw)?;
        file.seek(SeekFrom::Start(0))?;
    }
    let digest = note(uploads, function, file, size_bytes, || {
        Source::Path(path.to_owned())
    })?;
    Ok(Log {
        raw: raw.into(),
        digest: Some(digest.to_proto()),
    })
}
