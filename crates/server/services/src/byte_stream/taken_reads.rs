//! Reads whose clients have stopped taking: ended after a while, so that what stands behind them is free again.
//!
//! A client that stops reading is not heard of: nobody asks for the next piece, so nothing that waits within the read
//! would notice. So every read is known here, and one task looks through them. What a read holds is the store's stream:
//! an open file, a compressor, a call to an upstream with all that is under way on it. The pieces that the connection has
//! got already stay there until the client takes them, or resets the call, or goes.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, Stream};
use parking_lot::Mutex;
use tasks::{CancellationToken, Group};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::limits::READS_SWEPT_TIMES;
use crate::status;

type Data = BoxStream<'static, Result<Bytes, Status>>;

/// All reads of a server that are going on. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(super) struct TakenReads {
    shared: Arc<Shared>,
}

struct Shared {
    idle_max: Duration,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    reads: HashMap<u64, Weak<Mutex<Read>>>,
}

struct Read {
    /// `None` once it is over.
    data: Option<Data>,
    /// Since when the client has not asked for more; `None` while it waits for the store.
    untaken_since: Option<Instant>,
    /// It was ended here, and its client is still to be told.
    gave_up: bool,
}

impl TakenReads {
    /// None yet. `group` gets the task that ends those whose client takes nothing for `idle_max`.
    pub(super) fn start(group: &Group, idle_max: Duration) -> Self {
        let reads = TakenReads {
            shared: Arc::new(Shared {
                idle_max,
                table: Mutex::default(),
            }),
        };
        let (watched, stopping) = (reads.clone(), group.stopping());
        group.spawn("reads", async move { watched.sweep(stopping).await });
        reads
    }

    /// The same data, which end with DEADLINE_EXCEEDED when nobody takes them.
    pub(super) fn watched(&self, data: Data) -> Watched {
        let read = Arc::new(Mutex::new(Read {
            data: Some(data),
            untaken_since: Some(Instant::now()),
            gave_up: false,
        }));
        let mut table = self.shared.table.lock();
        table.last_id += 1;
        let id = table.last_id;
        table.reads.insert(id, Arc::downgrade(&read));
        Watched {
            read,
            id,
            reads: self.clone(),
        }
    }

    async fn sweep(self, stopping: CancellationToken) {
        let every = (self.shared.idle_max / READS_SWEPT_TIMES).max(Duration::from_millis(1));
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            let ended = self.end_untaken(Instant::now());
            if !ended.is_empty() {
                let idle_s = self.shared.idle_max.as_secs();
                tracing::info!(
                    reads = ended.len(),
                    idle_s,
                    "clients have stopped reading; their reads have been ended"
                );
            }
            // Outside the locks: a store may have something to clean up.
            drop(ended);
        }
    }

    fn end_untaken(&self, now: Instant) -> Vec<Data> {
        let is_old = |since: Instant| now.saturating_duration_since(since) >= self.shared.idle_max;
        let table = self.shared.table.lock();
        let reads = table.reads.values().filter_map(Weak::upgrade);
        let ended = reads.filter_map(|read| {
            // One that is locked is being asked for more.
            let mut read = read.try_lock()?;
            if !read.untaken_since.is_some_and(is_old) {
                return None;
            }
            read.untaken_since = None;
            read.gave_up = read.data.is_some();
            read.data.take()
        });
        ended.collect()
    }

    fn too_slow(&self) -> Status {
        let idle_s = self.shared.idle_max.as_secs();
        status::status(
            Code::DeadlineExceeded,
            format!("ByteStream.Read: nothing was taken for {idle_s} s; read on from where you are"),
        )
    }
}

/// One read.
pub(super) struct Watched {
    read: Arc<Mutex<Read>>,
    id: u64,
    reads: TakenReads,
}

impl Stream for Watched {
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut read = self.read.lock();
        read.untaken_since = None;
        let Some(data) = &mut read.data else {
            let is_news = std::mem::take(&mut read.gave_up);
            return Poll::Ready(is_news.then(|| Err(self.reads.too_slow())));
        };
        let polled = data.as_mut().poll_next(context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(_)) => read.untaken_since = Some(Instant::now()),
            Poll::Ready(None) => read.data = None,
        }
        polled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.reads.shared.table.lock().reads.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream::{self, StreamExt};
    use tokio::time::{advance, sleep};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    fn started() -> (Group, TakenReads) {
        let group = Group::new("test");
        let reads = TakenReads::start(&group, IDLE);
        (group, reads)
    }

    /// Data of `pieces`, each there after `wait`, and what tells whether they are still held.
    fn data(pieces: usize, wait: Duration) -> (Data, Weak<()>) {
        let held = Arc::new(());
        let watch = Arc::downgrade(&held);
        let pieces = stream::iter(0..pieces).then(move |_| {
            let held = held.clone();
            async move {
                sleep(wait).await;
                drop(held);
                Ok(Bytes::from_static(b"piece"))
            }
        });
        (pieces.boxed(), watch)
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_nobody_takes_is_ended_and_its_client_is_told_when_it_is_back() {
        let (_group, reads) = started();
        let (data, held) = data(10, Duration::ZERO);
        let mut read = reads.watched(data);
        assert!(read.next().await.unwrap().is_ok());
        sleep(IDLE - Duration::from_secs(1)).await;
        assert!(held.upgrade().is_some(), "not yet");
        sleep(IDLE / 2).await;
        assert!(held.upgrade().is_none(), "what was behind it is free");
        let status = read.next().await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(read.next().await.is_none());
        drop(read);
        assert!(reads.shared.table.lock().reads.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_never_begun_is_ended_too() {
        let (_group, reads) = started();
        let (data, held) = data(10, Duration::ZERO);
        let _read = reads.watched(data);
        sleep(IDLE * 2).await;
        assert!(held.upgrade().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_clients_and_slow_stores_are_left_in_peace() {
        for (store, client) in [(IDLE * 3, Duration::ZERO), (Duration::ZERO, IDLE * 9 / 10)] {
            let (_group, reads) = started();
            let (data, _) = data(10, store);
            let mut read = reads.watched(data);
            let mut pieces = 0;
            while let Some(piece) = read.next().await {
                piece.unwrap();
                pieces += 1;
                sleep(client).await;
            }
            assert_eq!(pieces, 10);
            advance(IDLE * 2).await;
            assert!(read.next().await.is_none(), "over is over");
        }
    }
}
