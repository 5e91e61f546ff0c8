//! Who runs what, when: a pure state machine. Events go in, effects come out, time is an argument.
//!
//! It never opens a socket or a file, never reads a clock, never rolls dice and never waits: the same events give
//! the same effects, so a test can replay any day of a farm in milliseconds. The shell around it (one actor of the
//! server) turns RPCs into [`Event`]s, carries out [`Effect`]s, and sends [`Event::Tick`] when
//! [`Scheduler::next_wakeup`] says so.
//!
//! The words: a client's Execute is an *operation*; operations that ask for the same cacheable action share one
//! *task*; a task waits in the *queue* of its platform until a *worker* with a free slot matches; it then runs
//! under a *lease*, which the worker renews with each message and which is never given out twice. Workers that
//! announce the same properties form a *pool*. Builds whose tasks wait together are served in *turns*. A task takes as
//! many slots and as much memory of its worker as commands like it have needed before; its *shape* says which are.
//!
//! What has to outlive the process comes out as [`Entry`]s, and a scheduler is [restored](Scheduler::restored) from
//! them.
//!
//! Read `event.rs` and `effect.rs` first, then `scheduler.rs`, then follow an operation: `operation.rs`,
//! `task.rs`, `turns.rs`, `quota.rs`, `size.rs`, `dispatch.rs`, `lease.rs`, `leave.rs`, `hedge.rs`, `retry.rs`,
//! `learned.rs`; then `entry.rs` and `restore.rs`.

mod ahead;
mod deadline;
mod dispatch;
mod drain;
mod effect;
mod entry;
mod event;
mod hedge;
mod holder;
mod ids;
mod joinable;
mod learned;
mod lease;
mod leave;
mod name;
mod operation;
mod options;
mod platform;
mod pool;
mod queue;
mod quota;
mod response;
mod restore;
mod retry;
mod scheduler;
mod size;
mod task;
mod time;
mod turns;
mod view;
mod waiters;
mod waiting;
mod worker;

#[cfg(test)]
mod tests;

pub use effect::{Desired, Effect};
pub use entry::{Entry, Grant};
pub use event::{Event, LeaseState, Phase, Request, Work, WorkerReport};
pub use learned::{Expected, Shape, Usage};
pub use name::{LeaseId, OperationName, TaskId, WorkerId};
pub use options::SchedulerOptions;
pub use scheduler::Scheduler;
pub use time::Time;
pub use view::{LeaseView, OperationView, PlatformView, Position, QueueView, Stage, Totals, WorkerView};
