//! A build in numbers: what `rbe_metrics` holds, and the lines about it that people read.
//!
//! Read `aggregate.rs` first: every number of a log record becomes one statistic, and one for its labels.

mod aggregate;
mod samples;
mod summary;
mod write;

pub use aggregate::Aggregate;
pub use summary::{completed, stats_line};
pub use write::{machine, write_metrics};
