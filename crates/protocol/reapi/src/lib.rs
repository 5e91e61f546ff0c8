//! The words of the protocol: REAPI 2.0 to 2.12 and its neighbours, as generated Rust.
//!
//! Everything here comes from the `.proto` files under `proto/` by `cargo xtask proto`; nothing is written by hand
//! and nothing is checked: a message may hold any nonsense a peer can send. The crates above (`blob`, `merkle`,
//! `action`) turn messages into values that cannot be wrong. Neither does this crate open connections: clients and
//! servers are generic over the transport.
//!
//! Read `proto/build/bazel/remote/execution/v2/remote_execution.proto` first. Modules mirror the packages
//! (`build.bazel.remote.execution.v2` is [`build::bazel::remote::execution::v2`]); the short names at the root are
//! the ones to use. Fields that hold content are [`prost::bytes::Bytes`], maps are ordered, and every message knows its
//! type URL, so that [`prost_types::Any::from_msg`] packs it the way other implementations expect.

// The nesting mirrors the packages because generated code refers to other packages by relative paths.
macro_rules! generated {
    ($module:ident, $file:literal) => {
        #[allow(
            missing_docs,
            deprecated,
            unreachable_pub,
            clippy::all,
            clippy::allow_attributes_without_reason,
            rustdoc::all,
            reason = "generated"
        )]
        pub mod $module {
            include!(concat!("generated/", $file, ".rs"));
        }
    };
}

/// Packages below `build`.
pub mod build {
    /// Packages below `build.bazel`.
    pub mod bazel {
        /// Packages below `build.bazel.remote`.
        pub mod remote {
            /// Packages below `build.bazel.remote.asset`.
            pub mod asset {
                generated!(v1, "build.bazel.remote.asset.v1");
            }
            /// Packages below `build.bazel.remote.execution`.
            pub mod execution {
                generated!(v2, "build.bazel.remote.execution.v2");
            }
            /// Packages below `build.bazel.remote.logstream`.
            pub mod logstream {
                generated!(v1, "build.bazel.remote.logstream.v1");
            }
        }
        generated!(semver, "build.bazel.semver");
    }
}

/// Packages below `google`.
pub mod google {
    generated!(bytestream, "google.bytestream");
    /// Packages below `google.devtools`.
    pub mod devtools {
        /// Packages below `google.devtools.build`.
        pub mod build {
            generated!(v1, "google.devtools.build.v1");
        }
    }
    generated!(longrunning, "google.longrunning");
    generated!(rpc, "google.rpc");
}

pub use build::bazel::remote::asset::v1 as asset;
pub use build::bazel::remote::execution::v2 as execution;
pub use build::bazel::remote::logstream::v1 as logstream;
pub use build::bazel::semver;
pub use google::bytestream;
pub use google::devtools::build::v1 as build_events;
pub use google::longrunning;
pub use google::rpc;

/// The encoded `google.protobuf.FileDescriptorSet` of every package here, imports included: for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
