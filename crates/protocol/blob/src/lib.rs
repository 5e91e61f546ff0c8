//! Digests, blobs that carry their proof, and the names they travel under
