//! What the command prints, shown while it runs.
//!
//! Only a preview: what the result says is what counts. Of what was shown a hash is kept, so that in the end just the rest
//! is printed, or all of it once more if it is something else: a command whose worker was lost has started again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use blob::{Digest, DigestFunction, DigestHasher};
use parking_lot::Mutex;
use reapi::bytestream::ReadRequest;
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::execution::ExecuteOperationMetadata;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::commands::output::{print_bytes, print_error_bytes};
use remote_action::Server;

/// A command that is over sooner is not looked at while it runs: nobody would see the difference.
const SHOWN_AFTER: Duration = Duration::from_millis(200);
/// How long the rest may take when the command is over; it is in the result anyway.
const REST_WITHIN: Duration = Duration::from_secs(2);

/// Shows output once the server has said where it is.
pub(super) struct LiveOutput {
    /// The names of both streams, when they are known.
    names: watch::Sender<Option<[String; 2]>>,
    /// Whether it is being shown.
    begun: AtomicBool,
    shown: [Mutex<Shown>; 2],
}

/// What was shown of one output.
#[derive(Clone)]
pub(super) struct Shown {
    hasher: DigestHasher,
    print: fn(&[u8]) -> Result<()>,
}

impl LiveOutput {
    pub(super) fn new() -> Self {
        LiveOutput {
            names: watch::channel(None).0,
            begun: AtomicBool::new(false),
            shown: [
                Mutex::new(Shown::nothing(print_bytes)),
                Mutex::new(Shown::nothing(print_error_bytes)),
            ],
        }
    }

    /// Takes the names from what the server says of an operation.
    pub(super) fn stage(&self, metadata: &ExecuteOperationMetadata) {
        let names = [&metadata.stdout_stream_name, &metadata.stderr_stream_name].map(Clone::clone);
        if names.iter().all(|name| !name.is_empty()) {
            self.names.send_if_modified(|known| {
                let is_first = known.is_none();
                known.get_or_insert(names);
                is_first
            });
        }
    }

    /// Does `work`, and shows meanwhile what is printed.
    pub(super) async fn beside<T>(&self, server: &Server, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut showing = std::pin::pin!(self.show(server));
        tokio::select! {
            biased;
            done = &mut work => {
                // The streams end with the command. What does not come in time is printed from the result.
                if self.begun.load(Ordering::Relaxed) {
                    let _in_time = timeout(REST_WITHIN, showing).await;
                }
                done
            }
            () = &mut showing => work.await,
        }
    }

    /// What was shown of standard output and standard error.
    pub(super) fn shown(&self) -> [Shown; 2] {
        [0, 1].map(|output| self.shown[output].lock().clone())
    }

    async fn show(&self, server: &Server) {
        let mut names = self.names.subscribe();
        // The sender lives as long as this does.
        let known = names.wait_for(Option::is_some).await;
        let Some([stdout, stderr]) = known.ok().and_then(|names| names.clone()) else {
            return;
        };
        sleep(SHOWN_AFTER).await;
        self.begun.store(true, Ordering::Relaxed);
        tokio::join!(self.tail(server, stdout, 0), self.tail(server, stderr, 1));
    }

    async fn tail(&self, server: &Server, name: String, output: usize) {
        if let Err(error) = self.tail_to_end(server, name, output).await {
            tracing::debug!(
                error = format!("{error:#}"),
                "the output cannot be shown any further while the command runs"
            );
        }
    }

    async fn tail_to_end(&self, server: &Server, resource_name: String, output: usize) -> Result<()> {
        let mut client = ByteStreamClient::with_interceptor(server.remote.channel(), server.remote.headers())
            .max_decoding_message_size(cas_remote::MESSAGE_BYTES_MAX);
        let request = ReadRequest {
            resource_name,
            ..ReadRequest::default()
        };
        let mut pieces = client.read(request).await?.into_inner();
        while let Some(piece) = pieces.message().await? {
            self.shown[output].lock().show(&piece.data)?;
        }
        Ok(())
    }
}

impl Shown {
    /// Nothing yet. `print` is how more is shown.
    pub(super) fn nothing(print: fn(&[u8]) -> Result<()>) -> Self {
        Shown {
            hasher: DigestHasher::new(DigestFunction::Sha256, 0),
            print,
        }
    }

    /// Prints and remembers.
    fn show(&mut self, bytes: &[u8]) -> Result<()> {
        (self.print)(bytes)?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// How much.
    pub(super) fn size_bytes(&self) -> u64 {
        self.hasher.size_bytes()
    }

    /// Whether it is just this blob.
    pub(super) fn is_blob(&self, digest: &Digest) -> bool {
        self.hasher.clone().finish() == *digest
    }

    /// Compares with the true output, of which the pieces come in order.
    pub(super) fn compare(&self) -> Comparison {
        Comparison {
            shown: self.hasher.clone().finish(),
            seen: DigestHasher::new(DigestFunction::Sha256, 0),
            print: self.print,
        }
    }
}

/// The true output, compared with what was shown of it.
pub(super) struct Comparison {
    shown: Digest,
    seen: DigestHasher,
    print: fn(&[u8]) -> Result<()>,
}

impl Comparison {
    /// Takes the next piece and prints what was not shown of it. `false` if something else was shown.
    pub(super) fn next(&mut self, piece: &[u8]) -> Result<bool> {
        let left = self.shown.size_bytes() - self.seen.size_bytes();
        let known = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        if left > 0 {
            self.seen.update(&piece[..known]);
            if self.seen.size_bytes() == self.shown.size_bytes() && !self.is_the_same() {
                return Ok(false);
            }
        }
        (self.print)(&piece[known..]).context("printing the rest of the output")?;
        Ok(true)
    }

    /// Whether all that was shown was part of the true output, when that has ended.
    pub(super) fn is_the_same(&self) -> bool {
        self.seen.clone().finish() == self.shown
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        static PRINTED: RefCell<String> = RefCell::default();
    }

    fn print(bytes: &[u8]) -> Result<()> {
        PRINTED.with_borrow_mut(|printed| printed.push_str(&String::from_utf8_lossy(bytes)));
        Ok(())
    }

    fn check(shown: &str, output: &[&str], is_the_same: bool, printed: &str) {
        let mut preview = Shown::nothing(print);
        preview.show(shown.as_bytes()).unwrap();
        PRINTED.take();
        let mut comparison = preview.compare();
        let goes_on = output
            .iter()
            .all(|piece| comparison.next(piece.as_bytes()).unwrap());
        assert_eq!(
            goes_on && comparison.is_the_same(),
            is_the_same,
            "{shown} {output:?}"
        );
        assert_eq!(PRINTED.take(), printed, "{shown} {output:?}");
    }

    #[test]
    fn what_was_shown_is_not_printed_again_and_something_else_is_noticed() {
        check("one", &["one"], true, "");
        check("one", &["o", "netwo", "three"], true, "twothree");
        check("one", &["one", "two"], true, "two");
        check("one", &["two"], false, "");
        check("one", &["tw", "o, three"], false, "");
        // Shorter than what was shown.
        check("one", &["on"], false, "");
        check("one", &[], false, "");
    }

    #[test]
    fn all_of_it_is_told_by_its_digest() {
        let mut shown = Shown::nothing(print);
        shown.show(b"one").unwrap();
        assert!(shown.is_blob(&Digest::of(DigestFunction::Sha256, b"one")));
        assert!(!shown.is_blob(&Digest::of(DigestFunction::Blake3, b"one")));
        assert_eq!(shown.size_bytes(), 3);
    }
}
