//! From the cache: that of this machine, then that of the server.

use std::sync::Arc;

use reapi::execution::ActionResult;
use remote_action::Server;
use tokio::time::timeout;

use super::shown::{self, Fetched};
use crate::limits::LOOKUP_WITHIN;
use crate::plan::Subject;
use crate::service::Service;

/// The result of a command that ended well, or of any where failures are taken, as the server knows it.
pub(crate) async fn result(
    service: &Arc<Service>,
    server: &Server,
    subject: &Subject,
    takes_failures: bool,
) -> Option<ActionResult> {
    let cache = server.remote.action_cache(server.instance.clone());
    match timeout(LOOKUP_WITHIN, cache.get(&subject.action_digest)).await {
        // What failed once may succeed the next time: the failure may have been the machine's.
        Ok(Ok(result)) => result.filter(|result| takes_failures || result.exit_code == 0),
        Ok(Err(error)) => service.failed(&format!("cannot ask the action cache: {error:#}")),
        Err(_elapsed) => service.failed(&format!("no answer of the action cache within {LOOKUP_WITHIN:?}")),
    }
}

/// What the server knows of a command, with everything that it refers to. `None` if that is nothing, or if nobody can
/// say: a server that does not answer in time is down.
pub(crate) async fn known(
    service: &Arc<Service>,
    server: &Server,
    subject: &Subject,
    takes_failures: bool,
) -> Option<(ActionResult, Fetched)> {
    let result = result(service, server, subject, takes_failures).await?;
    match shown::fetch(&*server.store, subject, result.clone()).await {
        Ok(fetched) => Some((result, fetched?)),
        Err(error) => {
            // A blob that has gone is a miss; a server that has gone is noticed by the next one who asks.
            tracing::debug!(
                step = subject.name,
                error = format!("{error:#}"),
                "a cached result cannot be fetched"
            );
            None
        }
    }
}
