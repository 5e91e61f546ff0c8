//! The dialect of reclient.

pub mod flags;
