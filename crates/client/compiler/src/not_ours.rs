//! Why a command is none of our business, as facts.

use std::fmt;
use std::path::PathBuf;

/// Why a command line is left to the real tool. None of these is an error of the build: the tool may well accept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotOurs {
    /// There is no argument that names a tool, or it is no text.
    NoTool,
    /// No tool of ours has this name.
    UnknownTool {
        /// The file name.
        name: String,
    },
    /// No table row and no safe general rule says what the option does.
    UnknownOption {
        /// As written.
        option: String,
    },
    /// The option's argument is missing: the tool will say so.
    MissingArgument {
        /// As written.
        option: String,
    },
    /// The option is understood, and what it does cannot be described as files read and files written.
    Unsupported {
        /// As written.
        option: String,
        /// What stands in the way.
        because: &'static str,
    },
    /// A variable of the environment makes the tool do what cannot be described.
    Environment {
        /// Which one.
        variable: &'static str,
    },
    /// Nothing to work on: the tool will say so.
    NoInput,
    /// The tool refuses this itself, such as `-o` with `-c` and two sources.
    Contradiction {
        /// What contradicts.
        because: &'static str,
    },
    /// The language of a source is not one of ours.
    UnknownLanguage {
        /// The source or the argument of `-x`.
        text: String,
    },
    /// An argument is not UTF-8; REAPI has no name for such a path.
    NotText {
        /// With the rest replaced.
        shown: String,
    },
    /// A response file cannot be read, is no text, is too large or nested too deep, or there are too many of them.
    ResponseFile {
        /// Which one.
        path: PathBuf,
    },
    /// More or longer arguments than anyone needs.
    TooMany,
}

impl NotOurs {
    /// [`NotOurs::Unsupported`].
    pub(crate) fn unsupported(option: &str, because: &'static str) -> Self {
        Self::Unsupported {
            option: option.to_owned(),
            because,
        }
    }
}

impl fmt::Display for NotOurs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTool => write!(formatter, "no tool is named"),
            Self::UnknownTool { name } => write!(formatter, "`{name}` is no tool that we know"),
            Self::UnknownOption { option } => write!(formatter, "option `{option}` is not known"),
            Self::MissingArgument { option } => write!(formatter, "option `{option}` has no argument"),
            Self::Unsupported { option, because } => write!(formatter, "`{option}`: {because}"),
            Self::Environment { variable } => write!(formatter, "environment variable {variable} is set"),
            Self::NoInput => write!(formatter, "no input"),
            Self::Contradiction { because } => write!(formatter, "{because}"),
            Self::UnknownLanguage { text } => write!(formatter, "the language of `{text}` is not known"),
            Self::NotText { shown } => write!(formatter, "argument `{shown}` is not UTF-8"),
            Self::ResponseFile { path } => write!(
                formatter,
                "response file {} is not there, or too much",
                path.display()
            ),
            Self::TooMany => write!(formatter, "too many or too long arguments"),
        }
    }
}
