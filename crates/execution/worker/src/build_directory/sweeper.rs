//! Removing build directories while nobody waits.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use lazy_root::Mounted;
use tasks::Group;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::blocking::blocking;
use crate::limits::{
    DISK_PATIENCE, REMOVAL_ATTEMPTS_MAX, REMOVAL_PAUSE, REMOVALS_IN_FLIGHT_MAX, REMOVALS_PENDING_MAX,
};
use crate::removal::remove_tree;

/// Removes what it is told to, in the background.
pub(crate) struct Sweeper {
    /// One for each build directory there may be, in use or waiting for removal: it bounds the queue below.
    rooms: Arc<Semaphore>,
    doomed: mpsc::UnboundedSender<Doomed>,
    progress: watch::Sender<Progress>,
}

/// Directories that were to be removed so far, and those that are done with.
#[derive(Clone, Copy, Default)]
struct Progress {
    doomed: u64,
    done: u64,
}

/// The right to have one build directory.
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// Has the directory removed when dropped.
pub(crate) struct Swept {
    doomed: Option<Doomed>,
    to: mpsc::UnboundedSender<Doomed>,
    progress: watch::Sender<Progress>,
}

struct Doomed {
    name: CString,
    /// What is mounted in it, in the order in which it has to go.
    mounts: Vec<Mounted>,
    _room: Room,
}

impl Sweeper {
    /// Removes below `directory`, whose path is only for messages.
    pub(crate) fn start(directory: Arc<OwnedFd>, path: &Path, in_use_max: usize, group: &Group) -> Self {
        let (doomed, queue) = mpsc::unbounded_channel();
        let stopping = group.stopping();
        let path = path.to_owned();
        let progress = watch::Sender::default();
        let told = progress.clone();
        group.spawn("build directory sweeper", async move {
            sweep(directory, path, queue, told, stopping).await;
        });
        Sweeper {
            rooms: Arc::new(Semaphore::new(in_use_max + REMOVALS_PENDING_MAX)),
            doomed,
            progress,
        }
    }

    /// Waits until what was to be removed by now is, for [`DISK_PATIENCE`] at most.
    pub(crate) async fn caught_up(&self) {
        let doomed = self.progress.borrow().doomed;
        let mut progress = self.progress.subscribe();
        let caught_up = progress.wait_for(|progress| progress.done >= doomed);
        // Late or not, whoever waits goes on: the sender lives as long as this.
        let _in_time = timeout(DISK_PATIENCE, caught_up).await;
    }

    /// Waits while too many directories are there.
    pub(crate) async fn room(&self) -> Room {
        let _permit = self
            .rooms
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        Room { _permit }
    }

    /// The directory `name` is removed when the answer is dropped; its room is free after that.
    pub(crate) fn sweeps(&self, name: &str, room: Room) -> Swept {
        let name = CString::new(name).expect("names of build directories are made here, without NUL");
        Swept {
            doomed: Some(Doomed {
                name,
                mounts: Vec::new(),
                _room: room,
            }),
            to: self.doomed.clone(),
            progress: self.progress.clone(),
        }
    }
}

impl Swept {
    /// These go before the directory does.
    pub(super) fn unmounts(&mut self, mounts: Vec<Mounted>) {
        if let Some(doomed) = &mut self.doomed {
            doomed.mounts.extend(mounts);
        }
    }
}

impl Drop for Swept {
    fn drop(&mut self) {
        self.progress.send_modify(|progress| progress.doomed += 1);
        // Nobody there to take it: the worker has stopped, and the next one cleans up at its start.
        let _stopped = self.doomed.take().map(|doomed| self.to.send(doomed));
    }
}

async fn sweep(
    directory: Arc<OwnedFd>,
    path: PathBuf,
    queue: mpsc::UnboundedReceiver<Doomed>,
    progress: watch::Sender<Progress>,
    stopping: tasks::CancellationToken,
) {
    let doomed = stream::unfold((queue, stopping), |(mut queue, stopping)| async move {
        let doomed = tokio::select! {
            biased;
            doomed = queue.recv() => doomed,
            // What is in the queue by now is still removed, above.
            () = stopping.cancelled() => None,
        };
        Some((doomed?, (queue, stopping)))
    });
    doomed
        .for_each_concurrent(REMOVALS_IN_FLIGHT_MAX, |doomed| async {
            remove(&directory, &path, doomed).await;
            progress.send_modify(|progress| progress.done += 1);
        })
        .await;
}

/// Tries several times: processes that are being killed just now may still write a last file.
async fn remove(directory: &Arc<OwnedFd>, path: &Path, mut doomed: Doomed) {
    let mounts = std::mem::take(&mut doomed.mounts);
    blocking(move || drop(mounts)).await;
    for attempt in 1..=REMOVAL_ATTEMPTS_MAX {
        let (directory, name) = (directory.clone(), doomed.name.clone());
        match blocking(move || remove_tree(directory.as_fd(), &name)).await {
            Ok(()) => return,
            Err(error) if attempt == REMOVAL_ATTEMPTS_MAX => {
                let name = &doomed.name;
                tracing::warn!(directory = %path.display(), ?name, %error, "a build directory stays until the next start");
            }
            Err(_) => tokio::time::sleep(REMOVAL_PAUSE).await,
        }
    }
}
