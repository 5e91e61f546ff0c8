//! The BlobStore contract, its decorators, a memory store and the conformance suite
