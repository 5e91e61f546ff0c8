//! The local engine: blobs and action results on one disk, checked on every read
