//! zstd as pure, bounded, incremental codecs
