//! Actions, commands, platforms and results, checked once at the door.
//!
//! Pure values: nothing here opens a file or a socket or reads a clock. A [`Command`] that exists can be started
//! somewhere and keeps its outputs inside the input root; an [`ActionDigest`] is not the digest of a file; a
//! [`Report`] is the one place that knows how an end of an execution looks on the wire.
//!
//! Read `action.rs` and `command.rs` first, then `report.rs`. `limits.rs` holds every bound.

mod action;
mod action_digest;
mod action_result;
mod command;
mod container_image;
mod input_path;
mod input_root_path;
mod limits;
mod missing_blobs;
mod output_paths;
mod platform;
mod report;

pub use action::{Action, ActionError};
pub use action_digest::ActionDigest;
pub use action_result::{ActionResultError, ResultReferences, check_action_result};
pub use command::{Command, CommandError, OutputNodeProperties};
pub use container_image::{ContainerImage, ImageAction};
pub use input_path::{InputPath, InputPathError};
pub use input_root_path::{ANY_INPUT_ROOT_PATH, INPUT_ROOT_PATH};
pub use limits::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, COMMAND_BYTES_MAX, ENVIRONMENT_VARIABLES_MAX, MISSING_BLOBS_NAMED_MAX,
    OUTPUTS_MAX, PATH_BYTES_MAX, PLATFORM_PROPERTIES_MAX, PLATFORM_PROPERTY_BYTES_MAX, TIMEOUT_SECONDS_MAX,
};
pub use missing_blobs::{missing_blobs_in, missing_blobs_status};
pub use output_paths::{OutputPath, OutputPaths, OutputPathsError};
pub use platform::{Platform, PlatformError};
pub use reapi::execution::command::OutputDirectoryFormat;
pub use report::{Report, is_cacheable};
