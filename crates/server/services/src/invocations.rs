//! Each call in the scope of the build that makes it (ADR 0008).

use std::pin::Pin;
use std::task::{Context, Poll};

use cas::Invocation;
use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use tonic::metadata::MetadataMap;
use tower::{Layer, Service};

use crate::request_metadata;

/// Runs every call inside [`Invocation::scope`], with the `tool_invocation_id` of its headers (checklist G11). The
/// answer's body too: it is asked for its pieces long after the call has returned.
#[derive(Clone, Copy, Debug, Default)]
pub struct InvocationLayer;

impl<S> Layer<S> for InvocationLayer {
    type Service = Scoped<S>;

    fn layer(&self, inner: S) -> Scoped<S> {
        Scoped {
            invocation: None,
            inner,
        }
    }
}

/// A service, or the body of an answer, that works for a build.
#[derive(Clone, Debug)]
pub struct Scoped<T> {
    /// `None` for a service: it works for whoever calls.
    invocation: Option<Invocation>,
    inner: T,
}

impl<S, RequestBody, ResponseBody> Service<Request<RequestBody>> for Scoped<S>
where
    S: Service<Request<RequestBody>, Response = Response<ResponseBody>>,
    S::Future: Send + 'static,
    ResponseBody: 'static,
{
    type Response = Response<Scoped<ResponseBody>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<RequestBody>) -> Self::Future {
        let invocation = of(&mut request);
        let unscoped = |response: Response<ResponseBody>| {
            response.map(|inner| Scoped {
                invocation: None,
                inner,
            })
        };
        let Some(invocation) = invocation else {
            let call = self.inner.call(request);
            return async move { call.await.map(unscoped) }.boxed();
        };
        // Some of the work may be done by making the future, not by polling it.
        let call = Invocation::scope_sync(Some(invocation.clone()), || self.inner.call(request));
        async move {
            let response = Invocation::scope(Some(invocation.clone()), call).await?;
            Ok(response.map(|inner| Scoped {
                invocation: Some(invocation),
                inner,
            }))
        }
        .boxed()
    }
}

/// The build that makes the call.
fn of<B>(request: &mut Request<B>) -> Option<Invocation> {
    if !request.headers().contains_key(request_metadata::REQUEST_METADATA) {
        return None;
    }
    // Taken out and put back: only the metadata's own type decodes it.
    let metadata = MetadataMap::from_headers(std::mem::take(request.headers_mut()));
    let invocation =
        request_metadata::of(&metadata).and_then(|metadata| Invocation::new(&metadata.tool_invocation_id));
    *request.headers_mut() = metadata.into_headers();
    invocation
}

impl<B: Body + Unpin> Body for Scoped<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let inner = Pin::new(&mut this.inner);
        match &this.invocation {
            None => inner.poll_frame(context),
            some => Invocation::scope_sync(some.clone(), || inner.poll_frame(context)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
