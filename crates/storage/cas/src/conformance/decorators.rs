//! Every decorator that keeps the whole contract, so that they can be checked alone, in pairs, all at once, and behind
//! whatever a caller puts in front.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    BlobStore, Deadlines, ExistenceOptions, Meters, Patience, Shard, always_has_empty, coalesced, deadlined,
    existence_cached, memory, metered, mirrored, overlaid, pulled_through, read_through, sharded,
    size_limited, size_split,
};

/// A decorator: its name, and what puts it around a store.
pub type Decorator = (&'static str, fn(Arc<dyn BlobStore>) -> Arc<dyn BlobStore>);

/// What stores beside the decorated one hold at most.
const BESIDE_BYTES: u64 = 64 << 20;
/// Small enough that a check has blobs on both sides of it.
const SPLIT_BYTES: u64 = 1 << 16;
/// More than any check takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// All of them. (`read_only` takes nothing, so it is the one that is not here: see
/// [`check_read_only`](super::check_read_only).)
pub const DECORATORS: [Decorator; 15] = [
    ("always_has_empty", always_has_empty),
    ("size_limited", |inner| size_limited(inner, 16 << 20)),
    ("metered", |inner| metered(inner, Arc::new(Meters::default()))),
    ("deadlined", |inner| {
        deadlined(
            inner,
            Patience::new("a store", PATIENCE),
            Deadlines {
                answer: PATIENCE,
                write: PATIENCE,
                piece: PATIENCE,
                stream: PATIENCE,
            },
        )
    }),
    ("coalesced", |inner| coalesced(inner, 1 << 20)),
    ("existence_cached", |inner| {
        existence_cached(
            inner,
            ExistenceOptions {
                promised_for: PATIENCE,
                entries_max: 1000,
            },
        )
    }),
    ("read_through, in front", |inner| {
        read_through(memory(BESIDE_BYTES), inner)
    }),
    ("read_through, behind", |inner| {
        read_through(inner, memory(BESIDE_BYTES))
    }),
    ("pulled_through", |inner| {
        pulled_through(inner, memory(BESIDE_BYTES))
    }),
    ("overlaid", |inner| overlaid(inner, memory(BESIDE_BYTES))),
    ("mirrored", |inner| mirrored(inner, memory(BESIDE_BYTES))),
    ("mirrored, the other side", |inner| {
        mirrored(memory(BESIDE_BYTES), inner)
    }),
    ("sharded", |inner| {
        let shard = |name: &str, store| Shard {
            name: name.to_owned(),
            weight: 1,
            store,
        };
        sharded(vec![shard("a", inner), shard("b", memory(BESIDE_BYTES))])
    }),
    ("size_split, the small", |inner| {
        size_split(inner, memory(BESIDE_BYTES), SPLIT_BYTES)
    }),
    ("size_split, the large", |inner| {
        size_split(memory(BESIDE_BYTES), inner, SPLIT_BYTES)
    }),
];

/// All around one store, the first outermost.
pub fn all_around(store: Arc<dyn BlobStore>) -> Arc<dyn BlobStore> {
    DECORATORS
        .iter()
        .rev()
        .fold(store, |inner, (_, decorate)| decorate(inner))
}
