//! One stream to the server after the other.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use worker_api::v1 as proto;
use worker_api::v1::workers_client::WorkersClient;

use super::SyncError;
use crate::limits::{CONNECT_PATIENCE, DESIRED_STATE_BYTES_MAX, RECONNECT_PAUSES, STATES_IN_FLIGHT_MAX};

/// Where the server is, and what opens its door.
pub(crate) struct Server {
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Server {
    /// `Err`: the token cannot be sent in a header.
    pub(crate) fn new(channel: Channel, token: Option<&str>) -> Result<Self, String> {
        let authorization = token.map(|token| format!("Bearer {token}").parse()).transpose();
        let authorization =
            authorization.map_err(|_| "the token holds characters that no header can carry")?;
        Ok(Server {
            channel,
            authorization,
        })
    }
}

/// The stream, or the way to the next one.
pub(super) struct Link {
    server: Server,
    state: State,
    /// Failures in a row.
    failures: u32,
    /// Whether the server has ever answered.
    was_up: bool,
}

enum State {
    Down {
        retry_at: Instant,
    },
    Connecting {
        to_server: mpsc::Sender<proto::WorkerState>,
        connecting: Connecting,
    },
    Up {
        to_server: mpsc::Sender<proto::WorkerState>,
        desired: Box<Streaming<proto::DesiredState>>,
        heard: Instant,
        crowded_until: Instant,
    },
}

type Connecting = Pin<Box<dyn Future<Output = Result<Streaming<proto::DesiredState>, Status>> + Send>>;

/// What happened to the link.
pub(super) enum LinkEvent {
    /// The server's word.
    Desired(proto::DesiredState),
    /// The stream broke, or could not be made.
    Down,
    /// It is time to connect again.
    Retry,
    /// There is no point in trying again.
    Refused(SyncError),
}

/// Pause before looking again whether a full stream takes messages.
const CROWDED_PAUSE: Duration = Duration::from_millis(20);

impl Link {
    pub(super) fn new(server: Server) -> Self {
        Link {
            server,
            state: State::Down {
                retry_at: Instant::now(),
            },
            failures: 0,
            was_up: false,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Earliest time at which there is room for a message.
    pub(super) fn ready_at(&self) -> Instant {
        match &self.state {
            State::Up { crowded_until, .. } => *crowded_until,
            _ => Instant::now(),
        }
    }

    /// Opens a stream with `first` as its first message, which the server waits for before it answers.
    pub(super) fn connect(&mut self, first: proto::WorkerState) {
        let (to_server, mut states) = mpsc::channel(STATES_IN_FLIGHT_MAX);
        // The channel is new and has room.
        let _sent = to_server.try_send(first);
        let states = futures::stream::poll_fn(move |context| states.poll_recv(context));
        let mut request = Request::new(states);
        if let Some(authorization) = &self.server.authorization {
            request
                .metadata_mut()
                .insert("authorization", authorization.clone());
        }
        let client = WorkersClient::new(self.server.channel.clone());
        let mut client = client.max_decoding_message_size(DESIRED_STATE_BYTES_MAX);
        let connecting = Box::pin(async move {
            let answer = tokio::time::timeout(CONNECT_PATIENCE, client.synchronize(request)).await;
            let answer =
                answer.map_err(|_| Status::deadline_exceeded("the server did not answer in time"))?;
            Ok(answer?.into_inner())
        });
        self.state = State::Connecting {
            to_server,
            connecting,
        };
    }

    /// Gives `state` to the stream. If that is full the answer is `false`, and there may be room at
    /// [`ready_at`](Self::ready_at).
    pub(super) fn send(&mut self, state: proto::WorkerState) -> bool {
        let State::Up {
            to_server,
            crowded_until,
            ..
        } = &mut self.state
        else {
            return false;
        };
        let sent = to_server.try_send(state).is_ok();
        if !sent {
            *crowded_until = Instant::now() + CROWDED_PAUSE;
        }
        sent
    }

    /// After a failure: waits a little, longer each time, by chance more or less so that workers do not come in herds.
    pub(super) fn retry_later(&mut self) {
        let (first, last) = RECONNECT_PAUSES;
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(last);
        self.failures += 1;
        let retry_at = Instant::now() + pause.mul_f64(0.5 + chance());
        self.state = State::Down { retry_at };
    }

    /// Waits for what happens next. Dropping the future loses nothing.
    pub(super) async fn next(&mut self, silence_max: Duration) -> LinkEvent {
        match &mut self.state {
            State::Down { retry_at } => {
                tokio::time::sleep_until(*retry_at).await;
                LinkEvent::Retry
            }
            State::Connecting { connecting, .. } => {
                let connected = connecting.await;
                let State::Connecting { to_server, .. } = std::mem::replace(
                    &mut self.state,
                    State::Down {
                        retry_at: Instant::now(),
                    },
                ) else {
                    unreachable!("the state was matched above and nobody else changes it")
                };
                match connected {
                    Ok(desired) => {
                        let now = Instant::now();
                        self.state = State::Up {
                            to_server,
                            desired: Box::new(desired),
                            heard: now,
                            crowded_until: now,
                        };
                        Box::pin(self.next(silence_max)).await
                    }
                    Err(status) => self.broken(status),
                }
            }
            State::Up { desired, heard, .. } => {
                // Every message is answered, so a silent server is one that is not there any more.
                match tokio::time::timeout_at(*heard + silence_max, desired.message()).await {
                    Ok(Ok(Some(message))) => {
                        *heard = Instant::now();
                        if !self.was_up || self.failures > 0 {
                            tracing::info!("connected to the server");
                        }
                        self.failures = 0;
                        self.was_up = true;
                        LinkEvent::Desired(message)
                    }
                    Ok(Ok(None)) => self.broken(Status::unavailable("the server ended the stream")),
                    Ok(Err(status)) => self.broken(status),
                    Err(_) => self.broken(Status::deadline_exceeded("the server has fallen silent")),
                }
            }
        }
    }

    fn broken(&mut self, status: Status) -> LinkEvent {
        self.state = State::Down {
            retry_at: Instant::now(),
        };
        let message = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => {
                LinkEvent::Refused(SyncError::Unauthenticated { message })
            }
            // Once it has worked, such an answer comes from something in between, or from a server being replaced.
            Code::Unimplemented | Code::InvalidArgument if !self.was_up => {
                LinkEvent::Refused(SyncError::NotAServer { message })
            }
            code => {
                if self.failures == 0 {
                    tracing::warn!(?code, message, "lost the server; trying to reach it again");
                }
                LinkEvent::Down
            }
        }
    }
}

/// A number from 0 to 1, different in each process and each call.
fn chance() -> f64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u8(0);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}
