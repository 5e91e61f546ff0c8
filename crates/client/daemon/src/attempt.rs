//! How a command may be answered: one file for each way.

pub(crate) mod cached;
pub(crate) mod child;
pub(crate) mod compared;
pub(crate) mod here;
mod kept;
pub(crate) mod observed;
pub(crate) mod remote;
mod shown;

pub(crate) use kept::{Whole, kept};
pub(crate) use shown::{Fetched, fetch, print, show};
