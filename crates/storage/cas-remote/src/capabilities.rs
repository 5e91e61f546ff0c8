//! What a server can do, and what follows from it for us.

use blob::{Compressor, InstanceName};
use cas::StoreError;
use chunking::{Chunking, FastCdc2020, RepMaxCdc};
use reapi::execution::{CacheCapabilities, GetCapabilitiesRequest, ServerCapabilities};
use tonic::{Code, Status};

use crate::connection::Connection;
use crate::limits::{BATCH_BYTES_MAX, BATCH_ENTRY_OVERHEAD_BYTES, BATCHED_BLOB_BYTES_MAX};
use crate::status;

/// How to speak to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// Most bytes of one batch, everything included.
    pub(crate) batch_bytes_max: u64,
    /// Largest blob that goes in a batch.
    pub(crate) batched_blob_bytes_max: u64,
    /// Largest blob that the server takes.
    pub(crate) blob_bytes_max: Option<u64>,
    /// Whether streams and batch reads are compressed.
    pub(crate) zstd: bool,
    /// Whether batch updates are compressed.
    pub(crate) zstd_updates: bool,
    /// What cuts large uploads, if the server can join them.
    pub(crate) chunking: Option<Chunking>,
    /// Whether the server tells the chunks of a blob.
    pub(crate) splits: bool,
}

impl Manner {
    /// `wants_zstd` is our own wish.
    pub(crate) fn towards(capabilities: &CacheCapabilities, wants_zstd: bool) -> Self {
        // Zero is no limit, but a message has one.
        let batch_bytes_max = match u64::try_from(capabilities.max_batch_total_size_bytes) {
            Ok(0) | Err(_) => BATCH_BYTES_MAX,
            Ok(bytes) => bytes.min(BATCH_BYTES_MAX),
        };
        let offers_zstd = |compressors: &[i32]| {
            wants_zstd
                && compressors
                    .iter()
                    .any(|value| Compressor::from_proto(*value) == Some(Compressor::Zstd))
        };
        Manner {
            batch_bytes_max,
            batched_blob_bytes_max: batch_bytes_max
                .saturating_sub(BATCH_ENTRY_OVERHEAD_BYTES)
                .min(BATCHED_BLOB_BYTES_MAX),
            blob_bytes_max: u64::try_from(capabilities.max_cas_blob_size_bytes)
                .ok()
                .filter(|bytes| *bytes > 0),
            zstd: offers_zstd(&capabilities.supported_compressors),
            zstd_updates: offers_zstd(&capabilities.supported_batch_update_compressors),
            chunking: capabilities
                .splice_blob_support
                .then(|| chunking(capabilities))
                .flatten(),
            splits: capabilities.split_blob_support,
        }
    }

    /// Asks the server. One that does not know the question gets the manner that every server understands.
    pub(crate) async fn ask(connection: &Connection, instance: &InstanceName) -> Result<Self, StoreError> {
        let capabilities = match call(connection, instance).await {
            Ok(capabilities) => capabilities.cache_capabilities.unwrap_or_default(),
            Err(status) if status.code() == Code::Unimplemented => CacheCapabilities::default(),
            Err(status) => return Err(failed(instance, &status)),
        };
        Ok(Manner::towards(&capabilities, connection.wants_zstd))
    }
}

/// FastCDC where it is offered, because Bazel uses it: blobs of both are then cut alike. A rule whose numbers are out of
/// range is left alone (checklist K4), and with no rule left nothing is cut: chunks that nobody else finds help nobody.
fn chunking(capabilities: &CacheCapabilities) -> Option<Chunking> {
    let fast = capabilities
        .fast_cdc_2020_params
        .and_then(|params| FastCdc2020::new(params.avg_chunk_size_bytes, params.seed).ok());
    let rep_max = capabilities
        .rep_max_cdc_params
        .and_then(|params| RepMaxCdc::new(params.min_chunk_size_bytes, params.horizon_size_bytes).ok());
    fast.map(Chunking::FastCdc2020)
        .or(rep_max.map(Chunking::RepMaxCdc))
}

/// The server's own words.
pub(crate) async fn ask(
    connection: &Connection,
    instance: &InstanceName,
) -> Result<ServerCapabilities, StoreError> {
    call(connection, instance)
        .await
        .map_err(|status| failed(instance, &status))
}

async fn call(connection: &Connection, instance: &InstanceName) -> Result<ServerCapabilities, Status> {
    let request = GetCapabilitiesRequest {
        instance_name: instance.as_str().to_owned(),
    };
    let mut retries = connection.retry.start();
    loop {
        match connection
            .deadlined(connection.capabilities().get_capabilities(request.clone()))
            .await
        {
            Ok(capabilities) => {
                retries.succeeded();
                return Ok(capabilities);
            }
            Err(status) => retries.again(status).await?,
        }
    }
}

fn failed(instance: &InstanceName, status: &Status) -> StoreError {
    status::store_error(
        &format!("asking for the capabilities of instance `{instance}`"),
        status,
    )
}

#[cfg(test)]
mod tests {
    use reapi::execution::compressor::Value;

    use super::*;

    #[test]
    fn limits_of_the_server_and_of_messages_both_hold() {
        let manner = |max_batch_total_size_bytes, max_cas_blob_size_bytes| {
            let capabilities = CacheCapabilities {
                max_batch_total_size_bytes,
                max_cas_blob_size_bytes,
                supported_compressors: vec![Value::Identity as i32, Value::Zstd as i32],
                ..Default::default()
            };
            Manner::towards(&capabilities, true)
        };
        let unlimited = Manner {
            batch_bytes_max: BATCH_BYTES_MAX,
            batched_blob_bytes_max: BATCHED_BLOB_BYTES_MAX,
            blob_bytes_max: None,
            zstd: true,
            zstd_updates: false,
            chunking: None,
            splits: false,
        };
        assert_eq!(manner(0, 0), unlimited);
        assert_eq!(manner(-1, -1), unlimited);
        assert_eq!(manner(i64::MAX, 0), unlimited);
        assert_eq!(
            manner(10_000, 77),
            Manner {
                batch_bytes_max: 10_000,
                batched_blob_bytes_max: 10_000 - BATCH_ENTRY_OVERHEAD_BYTES,
                blob_bytes_max: Some(77),
                ..unlimited
            }
        );
        // So small that nothing fits: everything goes by streams.
        assert_eq!(manner(10, 0).batched_blob_bytes_max, 0);
    }

    #[test]
    fn k4_a_rule_is_used_only_as_offered_and_only_if_it_makes_sense() {
        use reapi::execution::{FastCdc2020Params, RepMaxCdcParams};
        let fast = |avg_chunk_size_bytes| {
            Some(FastCdc2020Params {
                avg_chunk_size_bytes,
                seed: 7,
            })
        };
        let rep_max = |min_chunk_size_bytes| {
            Some(RepMaxCdcParams {
                min_chunk_size_bytes,
                horizon_size_bytes: 0,
            })
        };
        let chunking = |splice_blob_support, fast_cdc_2020_params, rep_max_cdc_params| {
            let capabilities = CacheCapabilities {
                splice_blob_support,
                fast_cdc_2020_params,
                rep_max_cdc_params,
                ..Default::default()
            };
            Manner::towards(&capabilities, true).chunking
        };
        let [good_fast, good_rep_max] = [
            Chunking::FastCdc2020(FastCdc2020::new(1024, 7).unwrap()),
            Chunking::RepMaxCdc(RepMaxCdc::new(64, 0).unwrap()),
        ];
        assert_eq!(chunking(true, fast(1024), rep_max(64)), Some(good_fast));
        assert_eq!(chunking(true, fast(1000), rep_max(64)), Some(good_rep_max));
        assert_eq!(chunking(true, fast(0), rep_max(63)), None);
        assert_eq!(chunking(true, None, None), None);
        assert_eq!(chunking(false, fast(1024), rep_max(64)), None);
    }

    #[test]
    fn compression_needs_both_sides() {
        let capabilities = CacheCapabilities {
            supported_compressors: vec![Value::Zstd as i32],
            supported_batch_update_compressors: vec![Value::Brotli as i32, Value::Zstd as i32],
            ..Default::default()
        };
        let manner = Manner::towards(&capabilities, true);
        assert!(manner.zstd && manner.zstd_updates);
        let manner = Manner::towards(&capabilities, false);
        assert!(!manner.zstd && !manner.zstd_updates);
    }
}
