//! Standard output and standard error of a command.

use std::io::{self, Write};

use anyhow::{Context, Result};
use blob::BlobStream;
use futures::StreamExt;

/// Writes text to standard output. A reader that has gone away, as `head` does, has seen enough.
pub(crate) fn print(text: &str) -> Result<()> {
    write(&mut io::stdout().lock(), text.as_bytes()).context("cannot write to standard output")
}

/// Writes bytes verbatim to standard output.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    write(&mut io::stdout().lock(), bytes).context("cannot write to standard output")
}

/// Writes bytes verbatim to standard error.
pub(crate) fn print_error_bytes(bytes: &[u8]) -> Result<()> {
    write(&mut io::stderr().lock(), bytes).context("cannot write to standard error")
}

/// Writes a blob to standard output or standard error as it comes.
pub(crate) async fn print_stream(mut stream: BlobStream, print: impl Fn(&[u8]) -> Result<()>) -> Result<()> {
    while let Some(piece) = stream.next().await {
        print(&piece?)?;
    }
    Ok(())
}

/// What went wrong, each cause once: many errors repeat their source in their own message.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn write(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let inner = io::Error::other("no disk");
        let store = ::cas::StoreError::io("reading", inner);
        let error = anyhow::Error::from(store).context("fetching outputs");
        assert_eq!(
            explained(&error),
            "fetching outputs: storage failed: reading: no disk"
        );
    }

    #[test]
    fn a_reader_that_is_gone_has_seen_enough() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(super::write(&mut Gone, b"x").is_ok());
    }
}
