//! A runtime for programs that wait for one thing after another.

use std::future::Future;
use std::io;

/// Runs it to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}
