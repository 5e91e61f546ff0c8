//! `LogStreamService.CreateLogStream`.

use std::sync::Arc;

use reapi::logstream as proto;
use reapi::logstream::log_stream_service_server::LogStreamService as Service;
use tonic::{Request, Response, Status};

use super::{Keeps, LogStreams};
use crate::{Instances, status};

/// The service.
#[derive(Clone)]
pub struct LogStreamService {
    instances: Arc<Instances>,
    streams: LogStreams,
}

impl LogStreamService {
    /// Makes its streams among `streams`.
    pub(crate) fn new(instances: Arc<Instances>, streams: LogStreams) -> Self {
        LogStreamService { instances, streams }
    }
}

#[tonic::async_trait]
impl Service for LogStreamService {
    /// `parent` is an instance name, as everywhere.
    async fn create_log_stream(
        &self,
        request: Request<proto::CreateLogStreamRequest>,
    ) -> Result<Response<proto::LogStream>, Status> {
        let instance = status::instance_name(&request.into_inner().parent)?;
        self.instances.get(&instance)?;
        let stream = self.streams.create(&instance, Keeps::Newest)?;
        Ok(Response::new(proto::LogStream {
            name: stream.read_name(),
            write_resource_name: stream.write_name(),
        }))
    }
}
