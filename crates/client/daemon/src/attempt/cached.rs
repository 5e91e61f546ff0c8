//! From the cache of the server.

use std::sync::Arc;

use blob::Digest;
use reapi::execution::ActionResult;
use remote_action::Server;

use super::shown::{self, Fetched};
use crate::breaker::Deed;
use crate::limits::{FETCH_STALLS_FOR, LOOKUP_WITHIN};
use crate::plan::Subject;
use crate::service::{FUNCTION, Service, Within};

/// The result of a command that ended well, or of any where failures are taken, as the server knows it.
pub(crate) async fn result(
    service: &Arc<Service>,
    server: &Server,
    subject: &Subject,
    takes_failures: bool,
) -> Option<ActionResult> {
    let cache = server.remote.action_cache(server.instance.clone());
    let asking = async { Ok(cache.get(&subject.action_digest).await?) };
    let within = Within::All(LOOKUP_WITHIN);
    let result = service.answer(server, Deed::Lookup, within, asking).await?;
    // What failed once may succeed the next time: the failure may have been the machine's.
    result.filter(|result| takes_failures || result.exit_code == 0)
}

/// Everything that a result refers to. `None` if nobody has it, or it is not a result that this command could have.
pub(crate) async fn fetched(
    service: &Arc<Service>,
    server: &Server,
    subject: &Subject,
    result: &ActionResult,
) -> Option<Fetched> {
    let fetching = shown::fetch(&*server.store, subject, result.clone());
    let blob = first_blob(result);
    if blob.is_none() {
        // All of it is here, which says nothing of the server.
        return fetching.await.ok().flatten();
    }
    let within = Within::Still(FETCH_STALLS_FOR);
    let fetched = service.answer(server, Deed::Fetch, within, fetching).await;
    if fetched.is_none() {
        service.withholds(blob);
    }
    // A blob that has gone is a miss.
    fetched?
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
    let fetched = fetched(service, server, subject, &result).await?;
    Some((result, fetched))
}

/// One that has to be fetched, if there is one.
pub(super) fn first_blob(result: &ActionResult) -> Option<Digest> {
    let files = result.output_files.iter();
    let files = files
        .filter(|file| file.contents.is_empty())
        .map(|file| &file.digest);
    let trees = result.output_directories.iter().map(|made| &made.tree_digest);
    let printed = [
        (&result.stdout_raw, &result.stdout_digest),
        (&result.stderr_raw, &result.stderr_digest),
    ];
    let printed = printed.into_iter().filter(|(raw, _)| raw.is_empty());
    let mut digests = files.chain(trees).chain(printed.map(|(_, digest)| digest));
    digests.find_map(|digest| Digest::required(FUNCTION, digest.as_ref(), "a blob").ok())
}
