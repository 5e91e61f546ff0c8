//! What is left of a command that was killed and does not die.

use std::fmt;
use std::pin::Pin;

/// Processes that are stuck in the kernel: on a file system that does not answer, or a device. They run no instruction of
/// the command any more, but hold what they hold. Dropping this changes nothing about them.
pub struct Remains {
    gone: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Remains {
    /// They are dead when `gone` ends.
    pub fn new(gone: impl Future<Output = ()> + Send + Sync + 'static) -> Self {
        Remains { gone: Box::pin(gone) }
    }

    /// Returns when they are dead, or when the runner is, which could see it. That may take for ever.
    pub async fn gone(self) {
        self.gone.await;
    }
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remains")
    }
}
