//! Keeping promises for work that makes no requests meanwhile.

use std::any::Any;
use std::sync::Arc;

use crate::Invocation;

/// Something that keeps what it promised to a build while the build is not asking: an action that waits in a queue
/// or runs for an hour holds its inputs this way.
pub trait Leases: Send + Sync + 'static {
    /// Until the hold is dropped, the build does not count as quiet. `None` holds nothing: promises to nobody in
    /// particular have a fixed time.
    fn hold(&self, invocation: Option<&Invocation>) -> Hold;
}

/// Given back when dropped.
#[must_use = "what is held is let go when this is dropped"]
pub struct Hold(#[allow(dead_code, reason = "kept for its Drop")] Option<Box<dyn Any + Send + Sync>>);

impl Hold {
    /// Holds nothing.
    pub fn nothing() -> Self {
        Hold(None)
    }

    /// Holds until `guard` is dropped.
    pub fn of(guard: impl Any + Send + Sync) -> Self {
        Hold(Some(Box::new(guard)))
    }
}

/// For stores that promise nothing beyond what they keep anyway: holds nothing.
pub fn no_leases() -> Arc<dyn Leases> {
    struct NoLeases;

    impl Leases for NoLeases {
        fn hold(&self, _: Option<&Invocation>) -> Hold {
            Hold::nothing()
        }
    }

    Arc::new(NoLeases)
}
