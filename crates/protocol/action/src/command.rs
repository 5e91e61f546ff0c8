//! What is to be run, and what it is expected to leave behind.

use std::collections::{BTreeSet, HashSet};

use prost::Message;
use reapi::execution as proto;
use reapi::execution::command::OutputDirectoryFormat;
use thiserror::Error;

use crate::input_path::{InputPath, InputPathError};
use crate::limits::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, COMMAND_BYTES_MAX, ENVIRONMENT_VARIABLES_MAX, quoted,
};
use crate::output_paths::{OutputPaths, OutputPathsError};
use crate::platform::{Platform, PlatformError};

/// A checked `Command`: it can be started somewhere, and its outputs lie inside the input root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    working_directory: InputPath,
    outputs: OutputPaths,
    output_directory_format: OutputDirectoryFormat,
    output_node_properties: OutputNodeProperties,
    platform: Option<Platform>,
}

/// Which node properties to report with each output; all that are known here (checklist E25).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputNodeProperties {
    /// The time of last modification.
    pub mtime: bool,
    /// The permission bits.
    pub unix_mode: bool,
}

/// Why something is not a command that can be run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The bytes are not a `Command` message.
    #[error("not a Command message: {reason}")]
    Encoding {
        /// What the decoder says.
        reason: String,
    },
    /// There is nothing to run.
    #[error("the command has no arguments; the first names the program to run")]
    NoArguments,
    /// The program has no name.
    #[error("the command's first argument, the program to run, is empty")]
    EmptyProgram,
    /// No system call takes a NUL.
    #[error("argument {position} of the command holds a NUL")]
    NulInArgument {
        /// Counted from 0.
        position: usize,
    },
    /// No system call takes one so long.
    #[error(
        "argument {position} of the command has {length_bytes} bytes; at most {} are possible",
        ARGUMENT_BYTES_MAX
    )]
    LongArgument {
        /// Counted from 0.
        position: usize,
        /// Its length.
        length_bytes: usize,
    },
    /// More than [`ARGUMENTS_MAX`].
    #[error("the command has {count} arguments; at most {} are possible", ARGUMENTS_MAX)]
    TooManyArguments {
        /// How many there are.
        count: usize,
    },
    /// Empty, or with `=` or NUL inside.
    #[error("environment variable name `{name}` is not possible: it must not be empty nor hold `=` or NUL")]
    VariableName {
        /// The name.
        name: String,
    },
    /// No system call takes a NUL.
    #[error("the value of environment variable `{name}` holds a NUL")]
    NulInVariable {
        /// The variable.
        name: String,
    },
    /// No system call takes one so long.
    #[error(
        "environment variable `{name}` has {length_bytes} bytes; at most {} are possible",
        ARGUMENT_BYTES_MAX
    )]
    LongVariable {
        /// The variable.
        name: String,
        /// Length of name, `=` and value.
        length_bytes: usize,
    },
    /// One name twice (checklist E18).
    #[error("environment variable `{name}` is set twice")]
    DuplicateVariable {
        /// The variable.
        name: String,
    },
    /// More than [`ENVIRONMENT_VARIABLES_MAX`].
    #[error(
        "the command has {count} environment variables; at most {} are possible",
        ENVIRONMENT_VARIABLES_MAX
    )]
    TooManyVariables {
        /// How many there are.
        count: usize,
    },
    /// More than [`COMMAND_BYTES_MAX`].
    #[error(
        "arguments and environment have {length_bytes} bytes together; at most {} are possible. Pass long lists in a \
         file",
        COMMAND_BYTES_MAX
    )]
    TooLong {
        /// Length of all with their final NULs.
        length_bytes: usize,
    },
    /// Not inside the input root.
    #[error("working directory: {0}")]
    WorkingDirectory(InputPathError),
    /// The outputs make no sense.
    #[error(transparent)]
    Outputs(#[from] OutputPathsError),
    /// A property that is not known here.
    #[error("output node property `{name}` is not known here; `mtime` and `unix_mode` are")]
    OutputNodeProperty {
        /// The name.
        name: String,
    },
    /// The platform is malformed.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl Command {
    /// Checks a message. Lists that REAPI wants sorted are taken in any order, because clients send them so.
    pub fn from_proto(proto: &proto::Command) -> Result<Self, CommandError> {
        let length_bytes =
            check_arguments(&proto.arguments)? + check_environment(&proto.environment_variables)?;
        if length_bytes > COMMAND_BYTES_MAX {
            return Err(CommandError::TooLong { length_bytes });
        }
        let working_directory =
            InputPath::new(&proto.working_directory).map_err(CommandError::WorkingDirectory)?;
        #[allow(deprecated, reason = "clients of API 2.0 and 2.1 still fill these fields")]
        let (files, directories, platform) =
            (&proto.output_files, &proto.output_directories, &proto.platform);
        Ok(Command {
            arguments: proto.arguments.clone(),
            environment: proto
                .environment_variables
                .iter()
                .map(|variable| (variable.name.clone(), variable.value.clone()))
                .collect(),
            outputs: OutputPaths::new(&working_directory, &proto.output_paths, files, directories)?,
            working_directory,
            // Whatever is not known means TREE_ONLY (E23).
            output_directory_format: OutputDirectoryFormat::try_from(proto.output_directory_format)
                .unwrap_or(OutputDirectoryFormat::TreeOnly),
            output_node_properties: OutputNodeProperties::from_names(&proto.output_node_properties)?,
            platform: platform.as_ref().map(Platform::from_proto).transpose()?,
        })
    }

    /// Decodes and checks a blob.
    pub fn decode(bytes: &[u8]) -> Result<Self, CommandError> {
        let proto = proto::Command::decode(bytes).map_err(|error| CommandError::Encoding {
            reason: error.to_string(),
        })?;
        Self::from_proto(&proto)
    }

    /// The program and its arguments; never empty. The program is an absolute path, a path relative to the working
    /// directory, or a bare name to be looked up in the command's own `PATH` (checklist E17).
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Name and value of each variable, in the order given, each name once.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Where it runs. Whether the input tree has that directory shows when the tree is at hand (E19).
    pub fn working_directory(&self) -> &InputPath {
        &self.working_directory
    }

    /// What it is expected to leave behind.
    pub fn outputs(&self) -> &OutputPaths {
        &self.outputs
    }

    /// The directories to create before it runs (E21); see [`OutputPaths::parents`].
    pub fn output_parents(&self) -> BTreeSet<InputPath> {
        self.outputs.parents()
    }

    /// How output directories are to be stored.
    pub fn output_directory_format(&self) -> OutputDirectoryFormat {
        self.output_directory_format
    }

    /// Which node properties to report with each output.
    pub fn output_node_properties(&self) -> OutputNodeProperties {
        self.output_node_properties
    }

    /// The platform in the command, where clients before 2.2 put it; see [`Platform::of`].
    pub fn platform(&self) -> Option<&Platform> {
        self.platform.as_ref()
    }
}

impl OutputNodeProperties {
    fn from_names(names: &[String]) -> Result<Self, CommandError> {
        let mut properties = OutputNodeProperties::default();
        for name in names {
            match name.as_str() {
                "mtime" => properties.mtime = true,
                "unix_mode" => properties.unix_mode = true,
                _ => return Err(CommandError::OutputNodeProperty { name: quoted(name) }),
            }
        }
        Ok(properties)
    }

    /// Whether any is asked for.
    pub fn any(&self) -> bool {
        self.mtime || self.unix_mode
    }
}

/// Returns what they take when the program is started, NULs included.
fn check_arguments(arguments: &[String]) -> Result<usize, CommandError> {
    let program = arguments.first().ok_or(CommandError::NoArguments)?;
    if program.is_empty() {
        return Err(CommandError::EmptyProgram);
    }
    if arguments.len() > ARGUMENTS_MAX {
        return Err(CommandError::TooManyArguments {
            count: arguments.len(),
        });
    }
    for (position, argument) in arguments.iter().enumerate() {
        if argument.contains('\0') {
            return Err(CommandError::NulInArgument { position });
        }
        if argument.len() > ARGUMENT_BYTES_MAX {
            return Err(CommandError::LongArgument {
                position,
                length_bytes: argument.len(),
            });
        }
    }
    Ok(arguments.iter().map(|argument| argument.len() + 1).sum())
}

/// Returns what they take when the program is started, NULs included.
fn check_environment(variables: &[proto::command::EnvironmentVariable]) -> Result<usize, CommandError> {
    if variables.len() > ENVIRONMENT_VARIABLES_MAX {
        return Err(CommandError::TooManyVariables {
            count: variables.len(),
        });
    }
    let mut names = HashSet::with_capacity(variables.len());
    let mut total_bytes = 0;
    for proto::command::EnvironmentVariable { name, value } in variables {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(CommandError::VariableName { name: quoted(name) });
        }
        if value.contains('\0') {
            return Err(CommandError::NulInVariable { name: quoted(name) });
        }
        let length_bytes = name.len() + 1 + value.len();
        if length_bytes > ARGUMENT_BYTES_MAX {
            return Err(CommandError::LongVariable {
                name: quoted(name),
                length_bytes,
            });
        }
        if !names.insert(name) {
            return Err(CommandError::DuplicateVariable { name: quoted(name) });
        }
        total_bytes += length_bytes + 1;
    }
    Ok(total_bytes)
}

#[cfg(test)]
mod tests;
