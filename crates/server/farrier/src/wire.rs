//! Where the parts are put together, in the order a reader meets them. Nothing else knows both options and objects.

mod action_limits;
mod action_surroundings;
mod bucket;
mod door_options;
mod found_runner;
pub(crate) mod join;
mod lazy_inputs;
pub(crate) mod membership;
mod peers;
mod runner_process;
mod scheduling;
mod server;
mod shards;
pub(crate) mod signals;
mod spot_notice;
mod storage;
mod storage_admin;
mod storage_arguments;
pub(crate) mod up;
mod worker_process;
