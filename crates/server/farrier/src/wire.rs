//! Where the parts are put together, in the order a reader meets them. Nothing else knows both options and objects.

mod action_limits;
mod action_surroundings;
mod bucket;
pub(crate) mod join;
mod lazy_inputs;
mod runner_process;
mod scheduling;
mod server;
mod signals;
mod storage;
mod storage_admin;
pub(crate) mod up;
mod worker_process;
