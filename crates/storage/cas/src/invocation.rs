//! Which build a request belongs to.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// Longest id that is told apart from others; a client's id is usually a UUID.
const ID_BYTES_MAX: usize = 256;

/// A build, by the `tool_invocation_id` of its requests (checklist G11). What a store promises it promises to a
/// build, for as long as the build goes on asking.
///
/// It is ambient: whoever serves a request runs it inside [`scope`](Self::scope), and the store at the far end of a
/// stack of decorators asks for [`current`](Self::current). Where it got lost on the way, the promise is made to
/// nobody in particular and holds for a fixed time (ADR 0008).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Invocation(Arc<str>);

tokio::task_local! {
    static CURRENT: Option<Invocation>;
}

impl Invocation {
    /// The build with this id; none where the id is empty or too long to be one.
    pub fn new(id: &str) -> Option<Self> {
        (!id.is_empty() && id.len() <= ID_BYTES_MAX).then(|| Invocation(id.into()))
    }

    /// Its id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Runs `future` on behalf of `invocation`.
    pub async fn scope<F: Future>(invocation: Option<Self>, future: F) -> F::Output {
        CURRENT.scope(invocation, future).await
    }

    /// As [`scope`](Self::scope), for what is done at once: one poll of a stream, for example.
    pub fn scope_sync<T>(invocation: Option<Self>, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(invocation, work)
    }

    /// Whom the caller works for.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok().flatten()
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn the_current_invocation_is_that_of_the_innermost_scope() {
        let (outer, inner) = (Invocation::new("outer"), Invocation::new("inner"));
        assert_eq!(Invocation::current(), None);
        block_on(Invocation::scope(outer.clone(), async {
            assert_eq!(Invocation::current(), outer);
            Invocation::scope(inner.clone(), async { assert_eq!(Invocation::current(), inner) }).await;
            Invocation::scope(None, async { assert_eq!(Invocation::current(), None) }).await;
            Invocation::scope_sync(inner.clone(), || assert_eq!(Invocation::current(), inner));
            assert_eq!(Invocation::current(), outer);
        }));
        assert_eq!(Invocation::current(), None);
    }

    #[test]
    fn an_id_is_neither_empty_nor_endless() {
        assert_eq!(Invocation::new(""), None);
        assert_eq!(Invocation::new(&"x".repeat(257)), None);
        assert_eq!(Invocation::new("4f2c").unwrap().to_string(), "4f2c");
    }
}
