//! Tokens that other servers want to see, from files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::bad_options::BadOptions;

/// A token is a line, not a file of any size.
const TOKEN_BYTES_MAX: u64 = 64 << 10;

/// The token in a file, without what surrounds it.
pub(crate) fn read(path: &Path) -> Result<String> {
    let read = || {
        let bytes = fs::metadata(path)?.len();
        if bytes > TOKEN_BYTES_MAX {
            bail!("{bytes} bytes are no token");
        }
        Ok(fs::read_to_string(path)?.trim().to_owned())
    };
    read()
        .with_context(|| format!("cannot read the token in {}", path.display()))
        .map_err(BadOptions::mark)
}
