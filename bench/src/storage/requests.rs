//! The requests of the scenarios, made beforehand so that making them is not in any figure, and several connections to
//! send them over.

use anyhow::{Result, ensure};
use blob::Digest;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use reapi::execution as proto;
use reapi::execution::action_cache_client::ActionCacheClient;
use reapi::execution::capabilities_client::CapabilitiesClient;
use reapi::execution::content_addressable_storage_client::ContentAddressableStorageClient;
use tonic::transport::{Channel, Endpoint};

use super::peer::Peer;
use crate::client::FUNCTION;

const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Of 16 bytes each: a message of about a megabyte.
const TINY_PER_CALL: u64 = 10_000;
const FILLING_IN_FLIGHT: usize = 6;

/// Connections to one server, used in turn.
pub(crate) struct Connections {
    channels: Vec<Channel>,
}

impl Connections {
    /// Opens so many, and asks for the capabilities on each.
    pub(crate) async fn open(peer: &Peer, count: usize) -> Result<Self> {
        let mut channels = Vec::new();
        for _ in 0..count {
            let channel = Endpoint::from_shared(peer.endpoint())?
                .tcp_nodelay(true)
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .connect()
                .await?;
            CapabilitiesClient::new(channel.clone())
                .get_capabilities(proto::GetCapabilitiesRequest::default())
                .await?;
            channels.push(channel);
        }
        Ok(Connections { channels })
    }

    pub(crate) fn cas(&self, turn: usize) -> ContentAddressableStorageClient<Channel> {
        ContentAddressableStorageClient::new(self.channel(turn)).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn action_cache(&self, turn: usize) -> ActionCacheClient<Channel> {
        ActionCacheClient::new(self.channel(turn))
    }

    fn channel(&self, turn: usize) -> Channel {
        self.channels[turn % self.channels.len()].clone()
    }

    /// Uploads, so many calls at a time; every blob has to be accepted.
    pub(crate) async fn update(
        &self,
        requests: impl IntoIterator<Item = proto::BatchUpdateBlobsRequest>,
        in_flight: usize,
    ) -> Result<()> {
        stream::iter(requests.into_iter().enumerate())
            .map(|(turn, request)| async move {
                let blobs = request.requests.len();
                let response = self.cas(turn).batch_update_blobs(request).await?.into_inner();
                let accepted = response
                    .responses
                    .iter()
                    .filter(|response| response.status.as_ref().is_none_or(|status| status.code == 0));
                ensure!(accepted.count() == blobs, "some of {blobs} blobs were refused");
                Ok(())
            })
            .buffer_unordered(in_flight)
            .try_collect()
            .await
    }

    /// Stores the tiny blobs with these numbers.
    pub(crate) async fn fill(&self, numbers: std::ops::Range<u64>) -> Result<()> {
        let calls = numbers.clone().step_by(TINY_PER_CALL as usize).map(|first| {
            let last = (first + TINY_PER_CALL).min(numbers.end);
            update((first..last).map(tiny).collect())
        });
        self.update(calls, FILLING_IN_FLIGHT).await
    }
}

/// The tiny blob of this number: 16 bytes, the same as the example `fill` of the storage engine stores.
pub(crate) fn tiny(number: u64) -> Bytes {
    let mut data = vec![0; 16];
    data[..8].copy_from_slice(&number.to_le_bytes());
    data.into()
}

/// An upload of these blobs in one call.
pub(crate) fn update(blobs: Vec<Bytes>) -> proto::BatchUpdateBlobsRequest {
    let requests = blobs
        .into_iter()
        .map(|data| proto::batch_update_blobs_request::Request {
            digest: Some(Digest::of(FUNCTION, &data).to_proto()),
            data,
            ..Default::default()
        })
        .collect();
    proto::BatchUpdateBlobsRequest {
        requests,
        ..Default::default()
    }
}

/// So many bytes that no compressor makes smaller, different for each seed.
pub(crate) fn random(seed: u64, size_bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1;
    let mut data = Vec::with_capacity(size_bytes + 8);
    while data.len() < size_bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    data.truncate(size_bytes);
    data.into()
}
