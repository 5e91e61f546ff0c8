//! What a command prints, sent on while it runs, where the server says that somebody reads it.
//!
//! Level-triggered like all else: which outputs are wanted, and from where, is in every desired state, and how far the
//! server has come is its own to say. Nothing is owed: the result has the whole output, so what is cut off at the end is
//! not missing anywhere.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{AbortHandle, Abortable, BoxFuture, FutureExt};
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use reapi::bytestream::byte_stream_client::ByteStreamClient;
use reapi::bytestream::{QueryWriteStatusRequest, WriteRequest};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::transport::Channel;
use tonic::{Code, Status};
use worker_api::v1::FollowedOutput;
use worker_api::v1::followed_output::Output;

use crate::limits::{
    FOLLOWED_LOOK_PAUSE, FOLLOWED_OUTPUTS_MAX, FOLLOWED_PIECE_BYTES_MAX, FOLLOWED_RETRY_PAUSE,
};

/// What of an action's output is wanted just now; the sender goes with the lease.
pub(crate) type Followed = watch::Receiver<Vec<FollowedOutput>>;

/// Sends on what commands print.
pub(crate) struct LiveOutput {
    channel: Channel,
}

/// Where a command's output is collected. The files come with the first byte.
pub(crate) struct Logs {
    pub(crate) stdout: PathBuf,
    pub(crate) stderr: PathBuf,
}

impl LiveOutput {
    /// Over this connection, to the server that gives the work.
    pub(crate) fn new(channel: Channel) -> Self {
        LiveOutput { channel }
    }

    /// Does `work`, and meanwhile what is wanted of the output. It ends when the work does, whatever has been sent.
    pub(super) async fn beside<T>(
        &self,
        mut followed: Followed,
        logs: &Logs,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = std::pin::pin!(work);
        let mut tails = Tails::default();
        followed.mark_changed();
        let mut is_held = true;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                changed = followed.changed(), if is_held => {
                    is_held = changed.is_ok();
                    let wanted = match is_held {
                        true => followed.borrow_and_update().clone(),
                        false => Vec::new(),
                    };
                    self.follow(&mut tails, wanted, logs);
                }
                Some(_ended) = tails.running.next(), if !tails.running.is_empty() => {}
            }
        }
    }

    /// Begins what is new and stops what is no longer wanted. What has ended is not begun again.
    fn follow(&self, tails: &mut Tails, wanted: Vec<FollowedOutput>, logs: &Logs) {
        tails.begun.retain(|name, tail| {
            let keep = wanted.iter().any(|wanted| wanted.write_resource_name == *name);
            if !keep {
                tail.abort();
            }
            keep
        });
        for wanted in wanted {
            if tails.begun.contains_key(&wanted.write_resource_name)
                || tails.begun.len() >= FOLLOWED_OUTPUTS_MAX
            {
                continue;
            }
            let path = match wanted.output() {
                Output::Stdout => &logs.stdout,
                Output::Stderr => &logs.stderr,
                // Of a newer server.
                Output::Unspecified => continue,
            };
            let tail = Tail {
                client: ByteStreamClient::new(self.channel.clone()),
                write_resource_name: wanted.write_resource_name.clone(),
                path: path.clone(),
            };
            let (handle, registration) = AbortHandle::new_pair();
            tails.begun.insert(wanted.write_resource_name, handle);
            let running = Abortable::new(tail.send_on(wanted.offset).boxed(), registration);
            tails.running.push(running);
        }
    }
}

#[derive(Default)]
struct Tails {
    begun: HashMap<String, AbortHandle>,
    running: FuturesUnordered<Abortable<BoxFuture<'static, ()>>>,
}

/// One output on its way to one log stream.
struct Tail {
    client: ByteStreamClient<Channel>,
    write_resource_name: String,
    path: PathBuf,
}

impl Tail {
    /// From `offset` on, until the server does not want it any more; whoever started it also ends it with the action.
    async fn send_on(mut self, mut offset: u64) {
        loop {
            let messages = messages(self.write_resource_name.clone(), self.path.clone(), offset);
            match self.client.write(messages).await {
                // The file cannot be read: the log of this worker says why.
                Ok(_) => return,
                Err(status) if !may_pass(&status) => return self.ended(&status),
                Err(status) => tracing::debug!(%status, "sending on what a command prints was interrupted"),
            }
            offset = loop {
                sleep(FOLLOWED_RETRY_PAUSE).await;
                let request = QueryWriteStatusRequest {
                    resource_name: self.write_resource_name.clone(),
                };
                match self
                    .client
                    .query_write_status(request)
                    .await
                    .map(|answer| answer.into_inner())
                {
                    Ok(answer) if answer.complete => return,
                    Ok(answer) => break answer.committed_size.max(0) as u64,
                    Err(status) if !may_pass(&status) => return self.ended(&status),
                    Err(_) => {}
                }
            };
        }
    }

    fn ended(&self, status: &Status) {
        // The usual end: nobody reads it any more.
        tracing::debug!(%status, path = %self.path.display(), "not sent on any more");
    }
}

/// Whether it may be worth while to ask how far the server has come.
fn may_pass(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
    )
}

/// The file from `offset` on, as it grows. The first message has no bytes: it lets the server know that somebody is there.
/// A piece is read when the connection has room for it.
fn messages(name: String, path: PathBuf, offset: u64) -> impl Stream<Item = WriteRequest> + Send + 'static {
    let hello = WriteRequest {
        resource_name: name,
        write_offset: offset as i64,
        ..Default::default()
    };
    let growing = stream::unfold((path, None, offset), |(path, mut file, offset)| async move {
        loop {
            let known = file.clone();
            let path_read = path.clone();
            let read = tokio::task::spawn_blocking(move || piece(&path_read, known, offset)).await;
            let data = match read {
                Ok(Ok((opened, data))) => {
                    file = opened;
                    data
                }
                Ok(Err(error)) => {
                    tracing::warn!(path = %path.display(), %error, "what a command prints cannot be sent on");
                    return None;
                }
                Err(ended) => {
                    tracing::error!(path = %path.display(), %ended, "reading what a command prints panicked");
                    return None;
                }
            };
            if data.is_empty() {
                sleep(FOLLOWED_LOOK_PAUSE).await;
                continue;
            }
            let request = WriteRequest {
                write_offset: offset as i64,
                data: data.clone(),
                ..Default::default()
            };
            let offset = offset + data.len() as u64;
            return Some((request, (path, file, offset)));
        }
    });
    stream::iter([hello]).chain(growing)
}

type Piece = (Option<Arc<File>>, Bytes);

/// What follows `offset`, or nothing if there is nothing yet. Blocking.
fn piece(path: &Path, file: Option<Arc<File>>, offset: u64) -> io::Result<Piece> {
    let file = match file {
        Some(file) => file,
        None => match File::open(path) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, Bytes::new())),
            Err(error) => return Err(error),
        },
    };
    let there = file.metadata()?.len().saturating_sub(offset);
    let mut data = vec![0; there.min(FOLLOWED_PIECE_BYTES_MAX) as usize];
    let read = file.read_at(&mut data, offset)?;
    data.truncate(read);
    Ok((Some(file), data.into()))
}

#[cfg(test)]
mod tests;
