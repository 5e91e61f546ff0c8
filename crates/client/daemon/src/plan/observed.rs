//! A command that is known by what it was seen to do: whatever it read before, it is expected to read again.
//!
//! A run that was watched (crate `observation`) leaves a [`Prediction`]: which files it read, where it found nothing, what
//! else it looked at, and what it made. All of that, as it is now, makes the action. Whoever finds a result for that action
//! finds one of a run that saw the very same: each look of a command depends on nothing but what it saw before, so a command
//! that would see something else sees it at one of these places first.
//!
//! Predictions are kept as results are, under an action of their own ([`Question`]), so that others find them too.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use blob::Blob;
use daemon_api::Request;
use observation::Deeds;
use prost::Message;
use remote_action::Sources;

use super::build::{ActionBuilder, Built, Words, text};
use super::layout::{Layout, Place};
use super::why::Why;
use super::{Knowledge, Plan, PlannedOutput, ROOT_PROPERTY, Subject, arguments, platform};
use crate::limits::{PREDICTED_PLACES_MAX, PREDICTIONS_MAX};
use crate::tool::{first_words, path_of};
use crate::wanted::Wanted;

/// Told apart from actions by these.
const QUESTION_MARK: &[u8] = b"what a command looks at 1";
const OBSERVED_MARK: &[u8] = b"a command as it was seen 1";

/// Variables that differ from call to call or from terminal to terminal, and say nothing about what is to be made.
const PASSING: [&str; 20] = [
    "_",
    "PATH",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TERM",
    "COLORTERM",
    "TERM_PROGRAM",
    "COLUMNS",
    "LINES",
    "LS_COLORS",
    "WINDOWID",
    "DISPLAY",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "MAKE_TERMOUT",
    "MAKE_TERMERR",
    "GNUMAKEFLAGS",
    "HISTFILE",
];
const PASSING_PREFIXES: [&str; 5] = ["FARRIER_", "SSH_", "XDG_SESSION_", "DBUS_", "TERM_PROGRAM_"];

/// What a command looked at when it ran, and what it made. Paths are absolute.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Prediction {
    /// Whose contents count.
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    absent: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    directories: Vec<Vec<u8>>,
    /// Directories whose names count.
    #[prost(bytes = "vec", repeated, tag = "4")]
    listed: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    links: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    products: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    made_directories: Vec<Vec<u8>>,
}

/// The latest last.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Predictions {
    #[prost(message, repeated, tag = "1")]
    all: Vec<Prediction>,
}

impl Predictions {
    /// From what [`Predictions::with`] made. What makes no sense predicts nothing.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self::decode(bytes).unwrap_or_default()
    }

    /// The likeliest first.
    pub(crate) fn likely(&self) -> impl Iterator<Item = &Prediction> {
        self.all.iter().rev().take(PREDICTIONS_MAX)
    }

    /// With one more, as bytes to be kept.
    pub(crate) fn with(&self, latest: Prediction) -> Vec<u8> {
        let others = self.likely().filter(|known| **known != latest);
        let mut all: Vec<_> = others.take(PREDICTIONS_MAX - 1).cloned().collect();
        all.reverse();
        all.push(latest);
        Predictions { all }.encode_to_vec()
    }
}

/// What a command is before anybody knows what it looks at: its predictions are known by this.
pub(crate) struct Question {
    pub(crate) subject: Subject,
    /// What its action refers to.
    sources: Sources,
    layout: Layout,
    words: Words,
}

impl Question {
    pub(crate) fn of(
        knowledge: &Knowledge,
        request: &Request,
        program: &Path,
        wanted: &Wanted,
    ) -> Result<Self, Why> {
        let layout = Layout::new(wanted.root.as_deref(), &request.directory);
        // Nobody can say whether it writes down where it is.
        let root = (ROOT_PROPERTY.to_owned(), text(layout.root())?.to_owned());
        let mut properties = platform(knowledge, &wanted.settings, compiler::Kind::Generate);
        properties.push(root);
        let words = Words {
            arguments: arguments(&request.arguments, program)?,
            known_arguments: None,
            environment: environment(request)?,
            outputs: Vec::new(),
            platform: properties,
            worker: Vec::new(),
            salt: Vec::new(),
            is_uncacheable: false,
            timeout: None,
        };
        let builder = ActionBuilder::new(&layout, &knowledge.digests);
        let asked = builder.build(words.with(QUESTION_MARK, &wanted.settings.salt, &[], Vec::new()))?;
        let subject = Subject {
            name: first_words(request),
            program: program.to_owned(),
            action_digest: asked.action_digest,
            outputs: Vec::new(),
            moved: None,
            unsure: None,
            dated: None,
        };
        Ok(Question {
            subject,
            sources: asked.sources,
            layout,
            words,
        })
    }

    /// Action and Command, so that what is predicted can be kept by a server.
    pub(crate) fn messages(&self) -> Vec<Blob> {
        self.sources.in_memory().collect()
    }

    /// The action if the command looks at what is predicted, as that is now.
    pub(crate) fn predicted(
        &self,
        knowledge: &Knowledge,
        wanted: &Wanted,
        prediction: &Prediction,
    ) -> Result<Plan, Why> {
        if prediction.places() > PREDICTED_PLACES_MAX {
            return Err(Why::Inputs("it looks at too much".to_owned()));
        }
        let sights = prediction.sights_now()?;
        self.plan(knowledge, wanted, prediction, &sights, None)
    }

    /// The action of a run that began at `begun` and saw this.
    pub(crate) fn seen(
        &self,
        knowledge: &Knowledge,
        wanted: &Wanted,
        deeds: &Deeds,
        begun: SystemTime,
    ) -> Result<(Plan, Prediction), Why> {
        let prediction = Prediction::of(deeds);
        if prediction.places() > PREDICTED_PLACES_MAX {
            return Err(Why::Inputs("it looks at too much".to_owned()));
        }
        let sights = sights_of(deeds);
        // What has changed since the command looked at it would be something else under the same name.
        if prediction.sights_now()? != sights {
            return Err(Why::Inputs(CHANGED.to_owned()));
        }
        let plan = self.plan(knowledge, wanted, &prediction, &sights, Some(begun))?;
        Ok((plan, prediction))
    }

    fn plan(
        &self,
        knowledge: &Knowledge,
        wanted: &Wanted,
        prediction: &Prediction,
        sights: &BTreeSet<Sight>,
        begun: Option<SystemTime>,
    ) -> Result<Plan, Why> {
        let mut builder = ActionBuilder::new(&self.layout, &knowledge.digests);
        for file in &prediction.files {
            let path = path(file);
            let found = builder.file(path)?;
            if begun.is_some_and(|begun| !found.stamp.is_settled(begun)) {
                return Err(Why::Inputs(CHANGED.to_owned()));
            }
        }
        let outputs = self.outputs(prediction)?;
        let mut names: Vec<_> = outputs.iter().map(|output| output.name.clone()).collect();
        names.sort();
        let Built {
            action_digest,
            executed_digest,
            sources,
            elsewhere,
        } = builder.build(
            self.words
                .with(OBSERVED_MARK, &wanted.settings.salt, &facts(sights), names),
        )?;
        Ok(Plan {
            subject: Subject {
                action_digest,
                outputs,
                ..self.subject.clone()
            },
            executed_digest,
            sources,
            elsewhere,
            is_probe: false,
            more: Vec::new(),
        })
    }

    /// What it makes has to be in the tree: nobody else's files are written.
    fn outputs(&self, prediction: &Prediction) -> Result<Vec<PlannedOutput>, Why> {
        let output = |product: &Vec<u8>| {
            let path = path(product);
            if !matches!(self.layout.place(path), Place::Tree(_)) {
                return Err(Why::Inputs(format!("it writes {}", path.display())));
            }
            Ok(PlannedOutput {
                name: text(&self.layout.seen_from_working_directory(path))?.to_owned(),
                path: self.layout.absolute(path),
                is_required: true,
                is_rule: false,
            })
        };
        prediction.products.iter().map(output).collect()
    }
}

const CHANGED: &str = "what it looked at has changed since, or only just before";

impl Words {
    fn with(&self, mark: &[u8], salt: &Option<String>, facts: &[u8], outputs: Vec<String>) -> Words {
        let salt = salt.as_deref().unwrap_or_default().as_bytes();
        Words {
            arguments: self.arguments.clone(),
            known_arguments: None,
            environment: self.environment.clone(),
            outputs,
            platform: self.platform.clone(),
            worker: Vec::new(),
            salt: [mark, &(salt.len() as u64).to_le_bytes(), salt, facts].concat(),
            is_uncacheable: false,
            timeout: None,
        }
    }
}

/// One look at something that is no file's contents: the kind, the place, and what was there.
type Sight = (&'static str, PathBuf, Vec<u8>);

const NOTHING: &[u8] = b"nothing";
const DIRECTORY: &[u8] = b"a directory";
const FILE: &[u8] = b"a file";

impl Prediction {
    fn of(deeds: &Deeds) -> Self {
        let bytes = |paths: &mut dyn Iterator<Item = &PathBuf>| {
            paths.map(|path| path.as_os_str().as_bytes().to_vec()).collect()
        };
        Prediction {
            files: bytes(&mut deeds.files.iter()),
            absent: bytes(&mut deeds.absent.iter()),
            directories: bytes(&mut deeds.directories.iter()),
            listed: bytes(&mut deeds.listed.keys()),
            links: bytes(&mut deeds.links.keys()),
            products: bytes(&mut deeds.products.iter()),
            made_directories: bytes(&mut deeds.made_directories.iter()),
        }
    }

    fn places(&self) -> usize {
        let all = [
            &self.files,
            &self.absent,
            &self.directories,
            &self.listed,
            &self.links,
            &self.products,
            &self.made_directories,
        ];
        all.iter().map(|places| places.len()).sum()
    }

    /// Directories that must be there before the products are.
    pub(crate) fn directories_to_make(&self) -> impl Iterator<Item = &Path> {
        self.made_directories.iter().map(|directory| path(directory))
    }

    /// What all these places look like now.
    fn sights_now(&self) -> Result<BTreeSet<Sight>, Why> {
        let mut sights = BTreeSet::new();
        for place in &self.absent {
            sights.insert(("absent", path(place).to_owned(), what_is_at(path(place)).to_vec()));
        }
        for place in &self.directories {
            sights.insert((
                "directory",
                path(place).to_owned(),
                what_is_at(path(place)).to_vec(),
            ));
        }
        for place in &self.listed {
            let names = self.names_in(path(place)).unwrap_or_else(|| NOTHING.to_vec());
            sights.insert(("listed", path(place).to_owned(), names));
        }
        for place in &self.links {
            let target = fs::read_link(path(place));
            let target =
                target.map_or_else(|_| NOTHING.to_vec(), |target| target.into_os_string().into_vec());
            sights.insert(("link", path(place).to_owned(), target));
        }
        Ok(sights)
    }

    /// The names in a directory without those that the command makes there.
    fn names_in(&self, directory: &Path) -> Option<Vec<u8>> {
        let real = directory.canonicalize().ok()?;
        let own = self.products.iter().filter_map(|product| {
            let product = path(product);
            let is_here = product
                .parent()?
                .canonicalize()
                .is_ok_and(|parent| parent == real);
            is_here.then(|| product.file_name()).flatten()
        });
        let made = self.made_directories.iter().filter_map(|made| {
            let made = path(made);
            (made.parent() == Some(real.as_path()))
                .then(|| made.file_name())
                .flatten()
        });
        let own: BTreeSet<&OsStr> = own.chain(made).collect();
        let entries = fs::read_dir(&real).ok()?;
        let names = entries.map(|entry| Ok(entry?.file_name()));
        let mut names: Vec<OsString> = names.collect::<std::io::Result<_>>().ok()?;
        names.retain(|name| !own.contains(name.as_os_str()));
        names.sort_unstable();
        Some(joined(&names))
    }
}

fn sights_of(deeds: &Deeds) -> BTreeSet<Sight> {
    let absent = deeds
        .absent
        .iter()
        .map(|path| ("absent", path.clone(), NOTHING.to_vec()));
    let directories = deeds
        .directories
        .iter()
        .map(|path| ("directory", path.clone(), DIRECTORY.to_vec()));
    let listed = deeds
        .listed
        .iter()
        .map(|(path, names)| ("listed", path.clone(), joined(names)));
    let links = deeds
        .links
        .iter()
        .map(|(path, target)| ("link", path.clone(), target.as_os_str().as_bytes().to_vec()));
    absent.chain(directories).chain(listed).chain(links).collect()
}

fn what_is_at(path: &Path) -> &'static [u8] {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => DIRECTORY,
        Ok(_) => FILE,
        Err(_) => NOTHING,
    }
}

/// No name holds a slash.
fn joined(names: &[OsString]) -> Vec<u8> {
    names.join(OsStr::new("/")).into_vec()
}

/// What the looks come to, as part of the action.
fn facts(sights: &BTreeSet<Sight>) -> Vec<u8> {
    let mut facts = Vec::new();
    let mut field = |bytes: &[u8]| {
        facts.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        facts.extend_from_slice(bytes);
    };
    for (kind, path, seen) in sights {
        field(kind.as_bytes());
        field(path.as_os_str().as_bytes());
        field(seen);
    }
    facts
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// All variables that the command has and that may count.
fn environment(request: &Request) -> Result<Vec<(String, String)>, Why> {
    let counts = |name: &OsStr| {
        let is_passing = PASSING.iter().any(|passing| name == *passing);
        let has_prefix = PASSING_PREFIXES
            .iter()
            .any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()));
        !is_passing && !has_prefix
    };
    let others = request.environment.iter().filter(|(name, _)| counts(name));
    let mut variables = Vec::new();
    for (name, value) in others {
        variables.push((
            text(Path::new(name))?.to_owned(),
            text(Path::new(value))?.to_owned(),
        ));
    }
    variables.push(("PATH".to_owned(), text(Path::new(&path_of(request)))?.to_owned()));
    variables.sort();
    Ok(variables)
}
