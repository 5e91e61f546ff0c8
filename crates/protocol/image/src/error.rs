//! Why an image cannot be had.

use std::io;

use thiserror::Error;

use crate::tar::TarError;

/// What is wrong with an image, or with reading it.
#[derive(Debug, Error)]
pub enum ImageError {
    /// A document is not what it should be.
    #[error("the image's {what}: {reason}")]
    Document {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer's tar is broken.
    #[error("a layer: {0}")]
    Tar(#[from] TarError),
    /// An entry of a layer cannot be a part of a directory tree.
    #[error("a layer's entry `{path}`: {reason}")]
    Entry {
        /// Its name, as far as it can be shown.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many, too long, too much.
    #[error("the image has more {what} than the {max} that are taken")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// Reading the image, or storing its content, failed.
    #[error("reading a layer: {0}")]
    Io(#[from] io::Error),
}

impl ImageError {
    pub(crate) fn entry(path: &str, reason: impl Into<String>) -> Self {
        ImageError::Entry {
            path: path.chars().take(200).collect(),
            reason: reason.into(),
        }
    }
}
