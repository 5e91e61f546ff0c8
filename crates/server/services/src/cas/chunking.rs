//! The rules that cut here, as messages name them, and the turns of calls that cut and join.

use cas::ChunkingFunction;
use chunking::{Chunking, FastCdc2020, RepMaxCdc};
use reapi::execution::{FastCdc2020Params, RepMaxCdcParams, chunking_function::Value};
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use tonic::Status;

use super::ContentAddressableStorage;
use crate::limits::{ADMISSION_WAIT_MAX, CHUNKING_CALLS_MAX};
use crate::status;

const FAST_CDC_2020: FastCdc2020 = FastCdc2020::ADVISED;
const REP_MAX_CDC: RepMaxCdc = RepMaxCdc::ADVISED;

/// As advertised.
pub(crate) fn fast_cdc_2020_params() -> FastCdc2020Params {
    FastCdc2020Params {
        avg_chunk_size_bytes: FAST_CDC_2020.average_bytes() as u64,
        seed: FAST_CDC_2020.seed(),
    }
}

/// As advertised.
pub(crate) fn rep_max_cdc_params() -> RepMaxCdcParams {
    RepMaxCdcParams {
        min_chunk_size_bytes: REP_MAX_CDC.min_bytes() as u64,
        horizon_size_bytes: REP_MAX_CDC.horizon_bytes() as u64,
    }
}

/// What a request names; UNKNOWN is always accepted (checklist K4), numbers nobody knows are not.
pub(super) fn function(number: i32) -> Result<ChunkingFunction, Status> {
    match Value::try_from(number) {
        Ok(Value::Unknown) => Ok(ChunkingFunction::Unknown),
        Ok(Value::FastCdc2020) => Ok(ChunkingFunction::FastCdc2020),
        Ok(Value::RepMaxCdc) => Ok(ChunkingFunction::RepMaxCdc),
        Err(_unknown) => Err(status::invalid(format!(
            "chunking function number {number} is not known here (known: UNKNOWN, FAST_CDC_2020, REP_MAX_CDC)"
        ))),
    }
}

pub(super) fn to_proto(function: ChunkingFunction) -> i32 {
    match function {
        ChunkingFunction::Unknown => Value::Unknown as i32,
        ChunkingFunction::FastCdc2020 => Value::FastCdc2020 as i32,
        ChunkingFunction::RepMaxCdc => Value::RepMaxCdc as i32,
    }
}

/// What cuts for whoever wishes `function`, and its name.
pub(super) fn rule(function: ChunkingFunction) -> (Chunking, ChunkingFunction) {
    match function {
        ChunkingFunction::RepMaxCdc => (Chunking::RepMaxCdc(REP_MAX_CDC), ChunkingFunction::RepMaxCdc),
        // Bazel's, so that most clients find the same chunks.
        ChunkingFunction::FastCdc2020 | ChunkingFunction::Unknown => (
            Chunking::FastCdc2020(FAST_CDC_2020),
            ChunkingFunction::FastCdc2020,
        ),
    }
}

/// Waits for one of the turns: a call that cuts or joins reads and hashes whole blobs, however large.
pub(super) async fn turn(service: &ContentAddressableStorage) -> Result<SemaphorePermit<'_>, Status> {
    match timeout(ADMISSION_WAIT_MAX, service.chunking_turns.acquire()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(closed)) => unreachable!("the semaphore is never closed: {closed}"),
        Err(_elapsed) => Err(status::overloaded(format!(
            "{CHUNKING_CALLS_MAX} blobs are being cut or joined, and none was done within {} s; try again later",
            ADMISSION_WAIT_MAX.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k4_every_function_keeps_its_name_and_unknown_is_accepted() {
        for value in [Value::Unknown, Value::FastCdc2020, Value::RepMaxCdc] {
            assert_eq!(to_proto(function(value as i32).unwrap()), value as i32);
        }
        assert_eq!(function(3).unwrap_err().code(), tonic::Code::InvalidArgument);
        assert_eq!(rule(ChunkingFunction::Unknown).1, ChunkingFunction::FastCdc2020);
        assert_eq!(rule(ChunkingFunction::RepMaxCdc).1, ChunkingFunction::RepMaxCdc);
    }

    #[test]
    fn k4_the_advertised_numbers_are_the_advised_ones() {
        let fast = fast_cdc_2020_params();
        assert_eq!((fast.avg_chunk_size_bytes, fast.seed), (512 << 10, 0));
        let rep_max = rep_max_cdc_params();
        assert_eq!(
            (rep_max.min_chunk_size_bytes, rep_max.horizon_size_bytes),
            (256 << 10, 8 * (256 << 10))
        );
    }
}
