//! How reproxy reaches the server, and as whom. `bootstrap` has them too.

use crate::flags::table::Flag;
use crate::flags::value::Kind::{Bool, Duration, Int, List, Map, Path, Text};

const NO_ACCOUNTS: &str =
    "accounts of Google Cloud are not known here; use a credentials helper or a client certificate";
const ONE_CONNECTION: &str = "one connection carries everything";

/// Server, instance, encryption, identity.
pub const CONNECTION: &[Flag] = &[
    Flag::new("service", Text, "", "the server, host:port"),
    Flag::refused(
        "cas_service",
        Text,
        "",
        "contents and results are looked for at the service itself",
    ),
    Flag::new("instance", Text, "", "the instance on the server"),
    Flag::new("service_no_security", Bool, "false", "no encryption"),
    Flag::new("service_no_auth", Bool, "false", "say nothing about who is there"),
    Flag::idle("credential_file", Path, "", NO_ACCOUNTS),
    Flag::idle("use_application_default_credentials", Bool, "false", NO_ACCOUNTS),
    Flag::idle("use_gce_credentials", Bool, "false", NO_ACCOUNTS),
    Flag::new(
        "use_external_auth_token",
        Bool,
        "false",
        "the credentials helper says who is there",
    ),
    Flag::new(
        "credentials_helper",
        Path,
        "",
        "program that prints a token or headers",
    ),
    Flag::new(
        "credentials_helper_args",
        Text,
        "",
        "words for it, with spaces between them",
    ),
    Flag::idle(
        "use_rpc_credentials",
        Bool,
        "true",
        "headers go with every call as it is",
    ),
    Flag::new(
        "tls_server_name",
        Text,
        "",
        "name that the server's certificate must have",
    ),
    Flag::new("tls_ca_cert", Path, "", "certificates of authorities to trust"),
    Flag::new(
        "tls_client_auth_cert",
        Path,
        "",
        "certificate to show to the server",
    ),
    Flag::new("tls_client_auth_key", Path, "", "its key"),
    Flag::refused(
        "remote_headers",
        Map,
        "",
        "calls carry what REAPI says and a token, and nothing else",
    ),
    Flag::idle("cas_concurrency", Int, "500", "transfers are bounded by bytes"),
    Flag::idle("max_concurrent_requests_per_conn", Int, "25", ONE_CONNECTION),
    Flag::idle(
        "startup_capabilities",
        Bool,
        "true",
        "the server is always asked what it can do",
    ),
    Flag::idle("rpc_timeouts", List, "", "calls have bounds of their own"),
    Flag::idle(
        "grpc_keepalive_time",
        Duration,
        "0s",
        "a connection that is idle is tested by the next call",
    ),
    Flag::idle(
        "grpc_keepalive_timeout",
        Duration,
        "20s",
        "a connection that is idle is tested by the next call",
    ),
    Flag::idle(
        "grpc_keepalive_permit_without_stream",
        Bool,
        "false",
        "a connection that is idle is tested by the next call",
    ),
];
