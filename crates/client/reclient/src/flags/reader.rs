//! One reader for the flags of all programs.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::flags::config_file;
use crate::flags::table::Flag;
use crate::flags::value::{self, Kind};

/// What a program may be called with in the environment, in this order.
const PREFIXES: [&str; 2] = ["RBE_", "FLAG_"];
/// Names the file with more.
const CONFIG: Flag = Flag::new("cfg", Kind::Path, "", "file with more flags, one in a line");

/// What the reader may look at.
pub struct Surroundings<'a> {
    /// The environment.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// Files.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// What was said.
#[derive(Debug)]
pub enum Parsed {
    /// Flags, and what follows them.
    Flags(Flags, Vec<OsString>),
    /// `-help` or `-h`.
    Help,
}

/// The values of a program's flags.
#[derive(Clone, Debug)]
pub struct Flags {
    table: BTreeMap<&'static str, Flag>,
    /// Those that somebody has said, each fit for its kind.
    said: BTreeMap<&'static str, OsString>,
}

/// These are no flags of this program.
#[derive(Debug)]
pub enum FlagError {
    /// `---x` or `-=x`.
    Syntax {
        /// The word.
        word: OsString,
    },
    /// There is no such flag.
    Unknown {
        /// Its name.
        name: String,
    },
    /// Its value is missing.
    NoValue {
        /// Its name.
        name: &'static str,
    },
    /// It does not take this value.
    BadValue {
        /// Its name.
        name: &'static str,
        /// The value.
        value: OsString,
        /// Why not.
        why: &'static str,
        /// The file and the line, if it is from there.
        place: Option<(PathBuf, usize)>,
    },
    /// The file that `-cfg` names cannot be read.
    NoConfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl fmt::Display for FlagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlagError::Syntax { word } => write!(f, "bad flag syntax: {}", word.display()),
            FlagError::Unknown { name } => write!(f, "flag provided but not defined: -{name}"),
            FlagError::NoValue { name } => write!(f, "flag needs an argument: -{name}"),
            FlagError::BadValue {
                name,
                value,
                why,
                place,
            } => {
                if let Some((path, line)) = place {
                    write!(f, "{}:{line}: ", path.display())?;
                }
                write!(
                    f,
                    "invalid value {:?} for flag -{name}: {why}",
                    value.display().to_string()
                )
            }
            FlagError::NoConfig { path, error } => {
                write!(
                    f,
                    "cannot read the configuration file {}: {error}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for FlagError {}

/// Reads the words after the program's name.
pub fn read(
    tables: &[&[Flag]],
    arguments: Vec<OsString>,
    surroundings: &Surroundings<'_>,
) -> Result<Parsed, FlagError> {
    let flags = tables.iter().copied().flatten().chain([&CONFIG]);
    let table: BTreeMap<_, _> = flags.map(|flag| (flag.name, *flag)).collect();
    let Some((on_line, rest)) = from_line(&table, arguments)? else {
        return Ok(Parsed::Help);
    };
    let in_environment = from_environment(&table, surroundings.variable);
    let config = [&on_line, &in_environment]
        .iter()
        .find_map(|said| said.get(CONFIG.name))
        .filter(|path| !path.is_empty());
    let mut said = match config {
        Some(path) => from_config(&table, Path::new(path), surroundings.read_file)?,
        None => BTreeMap::new(),
    };
    said.extend(in_environment);
    said.extend(on_line);
    Ok(Parsed::Flags(Flags { table, said }, rest))
}

type Table = BTreeMap<&'static str, Flag>;
type Said = BTreeMap<&'static str, OsString>;

/// What the command line says, and what follows the flags. `None` if it asks for help.
fn from_line(table: &Table, arguments: Vec<OsString>) -> Result<Option<(Said, Vec<OsString>)>, FlagError> {
    let mut said = Said::new();
    let mut arguments = arguments.into_iter().peekable();
    while let Some(word) = arguments.next_if(|word| is_flag(word)) {
        if word == "--" {
            break;
        }
        let bytes = word.as_bytes();
        let bare = bytes.strip_prefix(b"--").unwrap_or(&bytes[1..]);
        if matches!(bare.first(), None | Some(b'-' | b'=')) {
            return Err(FlagError::Syntax { word });
        }
        let (name, value) = match bare.iter().position(|byte| *byte == b'=') {
            Some(at) => (&bare[..at], Some(OsStr::from_bytes(&bare[at + 1..]).to_owned())),
            None => (bare, None),
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let Some(flag) = table.get(name.as_str()) else {
            if name == "help" || name == "h" {
                return Ok(None);
            }
            return Err(FlagError::Unknown { name });
        };
        let value = match (value, flag.kind) {
            (Some(value), _) => value,
            (None, Kind::Bool) => "true".into(),
            (None, _) => arguments.next().ok_or(FlagError::NoValue { name: flag.name })?,
        };
        if let Some(why) = flag.kind.complaint(&value) {
            return Err(FlagError::BadValue {
                name: flag.name,
                value,
                why,
                place: None,
            });
        }
        said.insert(flag.name, value);
    }
    Ok(Some((said, arguments.collect())))
}

fn is_flag(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes().starts_with(b"-")
}

/// What the environment says. A value that a flag does not take is passed over, as reclient does.
fn from_environment(table: &Table, variable: &dyn Fn(&str) -> Option<OsString>) -> Said {
    table
        .values()
        .filter_map(|flag| {
            let value = PREFIXES
                .iter()
                .find_map(|prefix| variable(&format!("{prefix}{}", flag.name)))?;
            flag.kind
                .complaint(&value)
                .is_none()
                .then_some((flag.name, value))
        })
        .collect()
}

fn from_config(
    table: &Table,
    path: &Path,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Said, FlagError> {
    let text = read_file(path).map_err(|error| FlagError::NoConfig {
        path: path.to_owned(),
        error,
    })?;
    let mut said = Said::new();
    for entry in config_file::entries(&text) {
        let Some(flag) = table.get(entry.key) else {
            continue;
        };
        let value = OsString::from(entry.value);
        if let Some(why) = flag.kind.complaint(&value) {
            return Err(FlagError::BadValue {
                name: flag.name,
                value,
                why,
                place: Some((path.to_owned(), entry.line)),
            });
        }
        said.insert(flag.name, value);
    }
    Ok(said)
}

/// A name that is in no table of the program has no value: empty, zero, false. Tests ask for every name that is used.
impl Flags {
    /// As it was said, or its default.
    pub fn value(&self, name: &str) -> OsString {
        match (self.said.get(name), self.table.get(name)) {
            (Some(value), _) => value.clone(),
            (None, Some(flag)) => flag.default.into(),
            (None, None) => OsString::new(),
        }
    }

    /// Whether somebody has said something.
    pub fn is_said(&self, name: &str) -> bool {
        self.said.contains_key(name)
    }

    /// The flags that somebody has said, with what was said.
    pub fn said(&self) -> impl Iterator<Item = (&Flag, &OsStr)> {
        let flag = |name: &&'static str| self.table.get(name);
        self.said
            .iter()
            .filter_map(move |(name, value)| Some((flag(name)?, value.as_os_str())))
    }

    /// Of [`Kind::Bool`].
    pub fn bool(&self, name: &str) -> bool {
        self.typed(name, value::bool_of)
    }

    /// Of [`Kind::Int`].
    pub fn int(&self, name: &str) -> i64 {
        self.typed(name, value::int_of)
    }

    /// Of [`Kind::Duration`]; nothing that is negative.
    pub fn duration(&self, name: &str) -> Duration {
        self.typed(name, value::duration_of)
    }

    /// Of [`Kind::Text`].
    pub fn text(&self, name: &str) -> String {
        self.typed(name, |text| Some(text.to_owned()))
    }

    /// The same, if it is not empty.
    pub fn some_text(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Of [`Kind::Path`], if it is not empty.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.value(name))
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// Of [`Kind::List`].
    pub fn list(&self, name: &str) -> Vec<OsString> {
        value::list_of(&self.value(name))
    }

    /// The same, of paths.
    pub fn paths(&self, name: &str) -> Vec<PathBuf> {
        self.list(name).into_iter().map(PathBuf::from).collect()
    }

    /// Of [`Kind::Map`].
    pub fn map(&self, name: &str) -> BTreeMap<String, String> {
        self.typed(name, value::map_of)
    }

    fn typed<T: Default>(&self, name: &str, read: impl Fn(&str) -> Option<T>) -> T {
        self.value(name).to_str().and_then(read).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
