//! Processes that outlive the action they were started for, and serve those like it: Bazel's persistent workers.
//!
//! What a process may be used for is decided by its [`Key`]: the same tool files, command line, environment, instance
//! and key of the client. Read `plan.rs` first (which actions are fit for it), then `pool.rs` (which process serves
//! one), `process.rs` (one process and the talk with it) and `codec.rs` (its two languages). The journey of an action
//! is in `executor/in_process.rs`.
//!
//! A process keeps, by its nature, its memory, its own children, its `/tmp` and its sockets from one action to the next;
//! it does not keep files in its build directory (`build_directory/lent.rs`).

mod codec;
mod command_line;
mod flag_files;
mod message;
mod plan;
mod pool;
mod process;
mod wish;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tasks::{CancellationToken, Group};
use tokio::sync::OnceCell;
use tokio_util::sync::DropGuard;

pub(crate) use flag_files::expand;
pub(crate) use message::{WorkRequest, WorkResponse};
pub(crate) use plan::{Key, Plan};
pub(crate) use pool::{Refusal, Verdict};
pub(crate) use process::{Broken, Place, Process, Start};

use crate::limits::{IDLE_CHECK, IDLE_PATIENCE, MULTIPLEX_REQUESTS_MAX};
use pool::Pool;

/// All persistent processes of a worker.
pub(crate) struct Persistent {
    pool: Arc<Mutex<Processes>>,
    group: Group,
    stop: CancellationToken,
    /// They all end with this.
    _ends: DropGuard,
}

type Processes = Pool<Key, Arc<OnceCell<Process>>>;

impl Persistent {
    /// At most `processes_max` processes, in `group`.
    pub(crate) fn new(processes_max: usize, group: Group) -> Self {
        let stop = group.stopping().child_token();
        let pool = Arc::new(Mutex::new(Pool::new(processes_max)));
        group.spawn("end of idle processes", watch_idle(pool.clone(), stop.clone()));
        Persistent {
            pool,
            group,
            _ends: stop.clone().drop_guard(),
            stop,
        }
    }

    /// A place in a process that may serve `key`, there already or yet to be started; or why there is none.
    pub(crate) fn admit(&self, key: &Arc<Key>) -> Result<Seat, Refusal> {
        let requests_max = match key.wish.multiplex {
            true => MULTIPLEX_REQUESTS_MAX,
            false => 1,
        };
        // Ends: each round but the last removes a process that has ended by itself while it was idle.
        loop {
            let admitted = self
                .pool
                .lock()
                .admit(key, requests_max, Instant::now(), Arc::default)?;
            let seat = Seat {
                pool: self.pool.clone(),
                id: admitted.id,
                cell: admitted.item,
                makes_room: admitted.ended,
                is_released: false,
            };
            match seat.cell.get().is_some_and(Process::has_ended) {
                true => seat.release(Verdict::Ended),
                false => return Ok(seat),
            }
        }
    }

    /// Ends those that only wait; says how many, when they are dead.
    pub(crate) async fn end_idle(&self) -> usize {
        let ended = self.pool.lock().expire(Instant::now(), Duration::ZERO);
        let processes = || ended.iter().filter_map(|cell| cell.get());
        processes().for_each(Process::end);
        for process in processes() {
            process.ended().await;
        }
        processes().count()
    }

    /// Where processes live, and what ends them all.
    pub(crate) fn home(&self) -> (&Group, CancellationToken) {
        (&self.group, self.stop.child_token())
    }
}

/// Ends what has waited too long, until `stop`.
async fn watch_idle(pool: Arc<Mutex<Processes>>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(IDLE_CHECK) => {}
        }
        let ended = pool.lock().expire(Instant::now(), IDLE_PATIENCE);
        ended.iter().filter_map(|cell| cell.get()).for_each(Process::end);
    }
}

/// A request's place in a process. Dropped without a verdict, it ends the process: what it works on is not known.
pub(crate) struct Seat {
    pool: Arc<Mutex<Processes>>,
    id: u64,
    cell: Arc<OnceCell<Process>>,
    /// A process that was idle and has to end before another may start.
    makes_room: Option<Arc<OnceCell<Process>>>,
    is_released: bool,
}

impl Seat {
    /// The process; started with `start` by whoever comes first, while the others wait.
    pub(crate) async fn process<E>(
        &mut self,
        start: impl AsyncFnOnce() -> Result<Process, E>,
    ) -> Result<&Process, E> {
        if let Some(process) = self.makes_room.take().as_ref().and_then(|cell| cell.get()) {
            process.end();
            process.ended().await;
        }
        self.cell.get_or_try_init(|| start()).await
    }

    /// How the request ended.
    pub(crate) fn release(mut self, verdict: Verdict) {
        self.end(verdict);
    }

    fn end(&mut self, verdict: Verdict) {
        if std::mem::replace(&mut self.is_released, true) {
            return;
        }
        let removed = self.pool.lock().release(self.id, verdict, Instant::now());
        if let Some(process) = removed.as_ref().and_then(|cell| cell.get()) {
            process.end();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.end(Verdict::Ended);
    }
}
