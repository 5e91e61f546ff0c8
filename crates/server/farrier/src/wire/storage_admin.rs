//! `farrier.admin.v1.Storage`: a running server tells about its disks.

use std::sync::Arc;
use std::time::Duration;

use admin_api::v1::storage_server::Storage;
use admin_api::v1::{
    GetUsageRequest, GetUsageResponse, ScrubProgress, ScrubRequest, SurveyRequest, SurveyResponse,
};
use blob::InstanceName;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use tasks::CancellationToken;
use tokio::sync::Semaphore;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::{Request, Response, Status};

use super::up::SCRUB_BYTES_PER_SECOND;
use crate::local_storage::LocalStorage;

/// How often somebody who scrubs hears how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// More names than this are a mistake.
const INSTANCE_NAMES_MAX: usize = 1000;

/// The service.
pub(crate) struct StorageAdmin {
    local: LocalStorage,
    served: Vec<InstanceName>,
    /// The server stops: streams end.
    stop: CancellationToken,
    surveying: Semaphore,
}

impl StorageAdmin {
    pub(crate) fn new(local: LocalStorage, served: Vec<InstanceName>, stop: CancellationToken) -> Self {
        StorageAdmin {
            local,
            served,
            stop,
            surveying: Semaphore::new(1),
        }
    }
}

#[tonic::async_trait]
impl Storage for StorageAdmin {
    async fn get_usage(&self, _: Request<GetUsageRequest>) -> Result<Response<GetUsageResponse>, Status> {
        let local = self.local.clone();
        // It looks at every entry of the index to foretell what goes next.
        let usage = tokio::task::spawn_blocking(move || local.usage()).await;
        usage
            .map(Response::new)
            .map_err(|_gone| Status::unavailable("the server is stopping"))
    }

    async fn survey(&self, request: Request<SurveyRequest>) -> Result<Response<SurveyResponse>, Status> {
        let names = request.into_inner().instance_names;
        if names.len() > INSTANCE_NAMES_MAX {
            return Err(Status::invalid_argument(format!(
                "{} instance names; ask for at most {INSTANCE_NAMES_MAX}",
                names.len()
            )));
        }
        let mut instances = self.served.clone();
        for name in names {
            let parsed = InstanceName::new(&name);
            instances.push(parsed.map_err(|error| Status::invalid_argument(error.to_string()))?);
        }
        let _alone = self
            .surveying
            .try_acquire()
            .map_err(|_| Status::unavailable("another survey is going on; try again in a while"))?;
        let survey = self.local.survey(&instances).await;
        Ok(Response::new(survey.map_err(failed)?))
    }

    type ScrubStream = BoxStream<'static, Result<ScrubProgress, Status>>;

    async fn scrub(&self, request: Request<ScrubRequest>) -> Result<Response<Self::ScrubStream>, Status> {
        let asked = request.into_inner().bytes_per_second;
        let rate = if asked == 0 { SCRUB_BYTES_PER_SECOND } else { asked };
        let so_far = Arc::new(Mutex::new(ScrubProgress::default()));
        let (local, heard) = (self.local.clone(), so_far.clone());
        let work = Box::pin(async move {
            match local.scrub(Some(rate), |progress| *heard.lock() = progress).await {
                Ok(done) => done.map_err(failed),
                Err(_runs) => Err(Status::unavailable(
                    "a scrub is going on already; try again when it is done",
                )),
            }
        });
        let mut ticks = interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let scrub = Scrub {
            work,
            so_far,
            ticks,
            stop: self.stop.clone(),
        };
        Ok(Response::new(scrub.into_stream()))
    }
}

fn failed(error: cas::StoreError) -> Status {
    Status::internal(error.to_string())
}

/// One call. There is no task behind it: who hangs up ends it.
struct Scrub {
    work: BoxFuture<'static, Result<ScrubProgress, Status>>,
    so_far: Arc<Mutex<ScrubProgress>>,
    ticks: Interval,
    stop: CancellationToken,
}

impl Scrub {
    fn into_stream(self) -> BoxStream<'static, Result<ScrubProgress, Status>> {
        stream::unfold(Some(self), |scrub| async move {
            let mut scrub = scrub?;
            tokio::select! {
                biased;
                () = scrub.stop.cancelled() => {
                    Some((Err(Status::unavailable("the server is stopping; what was found so far is dropped already")), None))
                }
                done = &mut scrub.work => Some((done, None)),
                _ = scrub.ticks.tick() => {
                    let so_far = scrub.so_far.lock().clone();
                    Some((Ok(so_far), Some(scrub)))
                }
            }
        })
        .boxed()
    }
}
