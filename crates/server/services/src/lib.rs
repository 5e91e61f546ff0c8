//! The gRPC front door: one file per RPC
