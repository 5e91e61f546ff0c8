//! The scheduler by situation, and against random histories. Every event of every test is followed by a check of
//! all invariants; see `farm.rs`.

mod bounds;
mod drains;
mod estimates;
mod farm;
mod hedges;
mod histories;
mod leases;
mod leaving;
mod merging;
mod operations;
mod packing;
mod platforms;
mod queueing;
mod quotas;
mod restarts;
mod retries;
mod turns;
