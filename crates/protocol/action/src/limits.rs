//! Every numeric bound of this crate. Beyond them a command cannot run anywhere, or only costs everyone memory.

/// Most bytes of one argument or of one `NAME=value`, without the final NUL: what Linux takes.
pub const ARGUMENT_BYTES_MAX: usize = 128 * 1024 - 1;

/// Most arguments of one command.
pub const ARGUMENTS_MAX: usize = 500_000;

/// Most environment variables of one command.
pub const ENVIRONMENT_VARIABLES_MAX: usize = 100_000;

/// Most bytes of all arguments and environment variables together: what Linux takes at best. Most systems stop
/// at a third of it, which shows only when the command is started.
pub const COMMAND_BYTES_MAX: usize = 6 * 1024 * 1024;

/// Most outputs that one command may name or one result may list.
pub const OUTPUTS_MAX: usize = 200_000;

/// Longest path, in bytes; the system's own limit.
pub const PATH_BYTES_MAX: usize = 4095;

/// Most properties of one platform.
pub const PLATFORM_PROPERTIES_MAX: usize = 1000;

/// Most bytes of a platform property's name and value together.
pub const PLATFORM_PROPERTY_BYTES_MAX: usize = 64 * 1024;

/// Longest timeout that a `google.protobuf.Duration` may express, in seconds (ten thousand years).
pub const TIMEOUT_SECONDS_MAX: i64 = 315_576_000_000;

/// Most missing blobs that one status names, so that it stays within a 4 MiB message. A client that is told of
/// so many uploads everything again anyway.
pub const MISSING_BLOBS_NAMED_MAX: usize = 20_000;

/// Longest piece of a malformed text that an error message repeats, in characters.
const QUOTED_CHARS_MAX: usize = 200;

/// `text`, cut to a printable length for an error message.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
