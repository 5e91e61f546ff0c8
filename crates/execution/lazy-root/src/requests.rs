//! Answers that may take a while, given without holding up others.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use fuser::Errno;
use futures::FutureExt;
use parking_lot::Mutex;
use tasks::{CancellationToken, Group};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::attributes::Owners;
use crate::limits::{FETCHES_IN_FLIGHT_MAX, OPEN_FILES_MAX};
use crate::nodes::Nodes;
use crate::observed::Recorder;
use crate::waits::Waits;
use crate::{Contents, RootOptions};

/// What one mount knows, shared by the threads that answer the kernel and the tasks that fetch.
pub(crate) struct Requests<C: Contents> {
    pub(crate) contents: C,
    pub(crate) owners: Owners,
    pub(crate) nodes: Mutex<Nodes>,
    pub(crate) recorder: Recorder,
    pub(crate) waits: Arc<Waits>,
    open: Mutex<Open>,
    /// The first of them.
    failure: Mutex<Option<C::Error>>,
    failed: CancellationToken,
    given_up: CancellationToken,
    in_flight: Arc<Semaphore>,
    runtime: Handle,
    group: Group,
}

/// Files that are open, by the number that the kernel knows them by.
#[derive(Default)]
struct Open {
    files: HashMap<u64, Arc<OwnedFd>>,
    last: u64,
}

impl<C: Contents> Requests<C> {
    /// Fetches run in `group`, on the runtime that this is called on.
    pub(crate) fn new(contents: C, options: RootOptions, group: &Group) -> Arc<Self> {
        let RootOptions { root, owners } = options;
        Arc::new(Requests {
            contents,
            owners,
            nodes: Mutex::new(Nodes::new(root)),
            recorder: Recorder::default(),
            waits: Waits::new(),
            open: Mutex::default(),
            failure: Mutex::new(None),
            failed: CancellationToken::new(),
            given_up: CancellationToken::new(),
            in_flight: Arc::new(Semaphore::new(FETCHES_IN_FLIGHT_MAX)),
            runtime: Handle::current(),
            group: group.clone(),
        })
    }

    /// Gives `answer` what is `wanted` for `path`: at once if it is at hand, else from a task, while the waits say that
    /// somebody waits. Whatever happens, it is answered: before the waits have taken too long, or when this is given up.
    /// A command that is killed cannot die before.
    pub(crate) fn settle<T: Send + 'static>(
        self: &Arc<Self>,
        path: Arc<str>,
        wanted: impl Future<Output = Result<T, C::Error>> + Send + 'static,
        answer: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        let _entered = self.runtime.enter();
        let mut wanted = Box::pin(wanted);
        // What is begun is gone on with: it may hold what others wait for. So nothing is begun without a permit.
        let permit = self.in_flight.clone().try_acquire_owned().ok();
        if permit.is_some()
            && let Some(done) = wanted.as_mut().now_or_never()
        {
            return answer(self.noting(done));
        }
        let now = Instant::now();
        let wait = self.waits.begin(now);
        let patience = self.waits.left(now);
        let this = self.clone();
        self.group.spawn("input fetch", async move {
            let fetch = async {
                let _permit = match permit {
                    Some(permit) => permit,
                    None => {
                        let permit = this.in_flight.clone().acquire_owned().await;
                        permit.expect("the semaphore is never closed")
                    }
                };
                wanted.await
            };
            let done = tokio::select! {
                biased;
                () = this.given_up.cancelled() => Err(Errno::EIO),
                done = tokio::time::timeout(patience, fetch) => match done {
                    Ok(done) => this.noting(done),
                    Err(_too_slow) => this.noting(Err(this.contents.too_slow(&path))),
                },
            };
            drop(wait);
            answer(done);
        });
    }

    /// Keeps an error for whoever runs the command; the kernel only hears that there is one.
    pub(crate) fn noting<T>(&self, done: Result<T, C::Error>) -> Result<T, Errno> {
        done.map_err(|error| {
            self.failure.lock().get_or_insert(error);
            self.failed.cancel();
            Errno::EIO
        })
    }

    /// The number of an opened file; refuses too many.
    pub(crate) fn opened(&self, path: &str, file: OwnedFd) -> Result<u64, Errno> {
        let mut open = self.open.lock();
        if open.files.len() >= OPEN_FILES_MAX {
            drop(open);
            let error = io::Error::other(format!(
                "{OPEN_FILES_MAX} input files are open, which is the most"
            ));
            return self.noting(Err(self.contents.broken(path, error)));
        }
        open.last += 1;
        let number = open.last;
        open.files.insert(number, Arc::new(file));
        Ok(number)
    }

    pub(crate) fn file(&self, number: u64) -> Option<Arc<OwnedFd>> {
        self.open.lock().files.get(&number).cloned()
    }

    pub(crate) fn closed(&self, number: u64) {
        self.open.lock().files.remove(&number);
    }

    pub(crate) fn give_up(&self) {
        self.given_up.cancel();
    }

    pub(crate) fn failed(&self) -> CancellationToken {
        self.failed.clone()
    }

    pub(crate) fn take_failure(&self) -> Option<C::Error> {
        self.failure.lock().take()
    }
}
