//! A command that is known by what it was seen to do: whatever it read before, it is expected to read again.
//!
//! A run that was watched (crate `observation`) leaves a [`Prediction`]: which files it read, where it found nothing, what
//! else it looked at, and what it made. All of that, as it is now, makes the action. Whoever finds a result for that action
//! finds one of a run that saw the very same: each look of a command depends on nothing but what it saw before, so a command
//! that would see something else sees it at one of these places first.
//!
//! Predictions are kept as results are, under an action of their own ([`Question`]), so that others find them too.

mod correction;
mod prediction;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use blob::Blob;
use daemon_api::Request;
use file_digests::FileDigest;
use observation::Deeds;
use remote_action::Sources;

pub(crate) use self::correction::{CANNOT_TELL, Verdict, judge};
use self::prediction::{BEFORE, Sight, path, sights_of};
pub(crate) use self::prediction::{Prediction, Predictions, here};
use super::build::{ActionBuilder, Built, Words, text};
use super::environment::is_other_name;
use super::layout::{Layout, Place};
use super::why::Why;
use super::{Knowledge, Plan, PlannedOutput, ROOT_PROPERTY, Subject, arguments, names_of, platform};
use crate::limits::PREDICTED_PLACES_MAX;
use crate::tool::{first_words, path_of};
use crate::wanted::Wanted;

/// Told apart from actions by these.
const QUESTION_MARK: &[u8] = b"what a command looks at 1";
const OBSERVED_MARK: &[u8] = b"a command as it was seen 1";

/// Variables that differ from call to call or from terminal to terminal, and say nothing about what is to be made.
const PASSING: [&str; 18] = [
    "_",
    "PATH",
    "OLDPWD",
    "SHLVL",
    "TERM",
    "COLORTERM",
    "TERM_PROGRAM",
    "LS_COLORS",
    "WINDOWID",
    "DISPLAY",
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "MAKE_TERMOUT",
    "MAKE_TERMERR",
    "GNUMAKEFLAGS",
    "CARGO_MAKEFLAGS",
    "HISTFILE",
];
const PASSING_PREFIXES: [&str; 5] = ["FARRIER_", "SSH_", "XDG_SESSION_", "DBUS_", "TERM_PROGRAM_"];

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
        let sights = prediction.sights_now();
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
        let lasting = |sights: &BTreeSet<Sight>| -> BTreeSet<Sight> {
            sights
                .iter()
                .filter(|(kind, ..)| *kind != BEFORE)
                .cloned()
                .collect()
        };
        let leads_elsewhere =
            |(path, real): (&PathBuf, &PathBuf)| path.canonicalize().ok().as_ref() != Some(real);
        if lasting(&prediction.sights_now()) != lasting(&sights) || deeds.files.iter().any(leads_elsewhere) {
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
            let found = self.add(&mut builder, path(file))?;
            if begun.is_some_and(|begun| !found.stamp.is_settled(begun)) {
                return Err(Why::Inputs(CHANGED.to_owned()));
            }
        }
        let outputs = self.outputs(prediction)?;
        let names = names_of(&outputs);
        let Built {
            action_digest,
            executed_digest,
            sources,
            elsewhere,
            volume,
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
            volume,
            is_probe: false,
            keeps_failures: false,
            is_link: false,
            is_quick: false,
            is_declared: false,
            not_kept_here: None,
            more: Vec::new(),
        })
    }

    fn add(&self, builder: &mut ActionBuilder<'_>, file: &Path) -> Result<FileDigest, Why> {
        match OF_EVERY_MACHINE.iter().any(|own| file == Path::new(own)) {
            true => builder.host_file(file),
            false => builder.file(file),
        }
    }

    /// The same action for a worker: with everything there that the command would list, and a word to tell what it looked at.
    pub(crate) fn executed(
        &self,
        knowledge: &Knowledge,
        wanted: &Wanted,
        prediction: &Prediction,
        known: &Plan,
    ) -> Result<Plan, Why> {
        let is_ours = |place: &Path| self.is_ours(place);
        if let Some(link) = prediction
            .links
            .iter()
            .map(|link| path(link))
            .find(|link| is_ours(link))
        {
            return Err(Why::Inputs(format!("it reads the symlink {}", link.display())));
        }
        let mut builder = ActionBuilder::new(&self.layout, &knowledge.digests);
        // What it looks for before it makes it has to look there as it does here.
        let there = prediction.before.iter().filter(|place| path(place).is_file());
        for file in prediction.files.iter().chain(there) {
            let file = path(file);
            if is_ours(file) && !self.is_inside(file) {
                return Err(Why::Inputs(format!(
                    "{} is not to leave this machine",
                    file.display()
                )));
            }
            self.add(&mut builder, file)?;
        }
        for directory in &prediction.directories {
            builder.directory(path(directory))?;
        }
        for listed in prediction
            .listed
            .iter()
            .map(|listed| path(listed))
            .filter(|listed| is_ours(listed))
        {
            builder.directory(listed)?;
        }
        for output in &known.subject.outputs {
            let parent = output.path.parent().unwrap_or(Path::new("/"));
            if !prediction.makes(parent) {
                builder.directory(parent)?;
            }
        }
        let names = names_of(&known.subject.outputs);
        let facts = facts(&prediction.sights_now());
        let mut words = self
            .words
            .with(OBSERVED_MARK, &wanted.settings.salt, &facts, names);
        words.worker = knowledge.worker();
        words
            .worker
            .push((OBSERVE_PROPERTY.to_owned(), "true".to_owned()));
        words.timeout = wanted.settings.exec_timeout;
        let built = builder.build(words)?;
        Ok(Plan {
            subject: known.subject.clone(),
            executed_digest: built.executed_digest,
            sources: built.sources,
            elsewhere: built.elsewhere,
            volume: built.volume,
            is_probe: false,
            keeps_failures: false,
            is_link: false,
            is_quick: false,
            is_declared: false,
            not_kept_here: None,
            more: Vec::new(),
        })
    }

    /// What a worker has to be given so that it does the same.
    pub(crate) fn for_worker(&self, prediction: &Prediction) -> Result<Prediction, Why> {
        let more = prediction.with_listed_files(&|place| self.is_ours(place));
        more.map_err(Why::Inputs)
    }

    fn is_ours(&self, place: &Path) -> bool {
        matches!(self.layout.place(place), Place::Tree(_))
    }

    /// Whether a place is in the tree, whatever links lead there, and no business of version control: predictions may come from
    /// others.
    fn is_inside(&self, place: &Path) -> bool {
        let is_plain = |part: Component<'_>| part != Component::ParentDir && part.as_os_str() != ".git";
        let there = place.ancestors().find_map(|above| above.canonicalize().ok());
        let root = self.layout.root().canonicalize();
        let is_below = there
            .zip(root.ok())
            .is_some_and(|(there, root)| there.starts_with(root));
        place.is_absolute() && place.components().all(is_plain) && self.is_ours(place) && is_below
    }

    /// Where the tree begins.
    pub(crate) fn root(&self) -> &Path {
        self.layout.root()
    }

    /// What it makes has to be in the tree: nobody else's files are written.
    fn outputs(&self, prediction: &Prediction) -> Result<Vec<PlannedOutput>, Why> {
        let output = |product: &Vec<u8>| {
            let path = path(product);
            if !self.is_inside(path) {
                return Err(Why::Inputs(format!("it writes {}", path.display())));
            }
            Ok(PlannedOutput {
                name: text(&self.layout.seen_from_working_directory(path))?.to_owned(),
                path: self.layout.absolute(path),
                is_required: true,
                is_rule: false,
                is_directory: false,
            })
        };
        if let Some(made) = prediction
            .directories_to_make()
            .find(|made| !self.is_inside(made))
        {
            return Err(Why::Inputs(format!("it makes {}", made.display())));
        }
        prediction.products.iter().map(output).collect()
    }
}

/// Files of the host itself, outside of what its packages bring: every machine has its own, to the same end.
const OF_EVERY_MACHINE: [&str; 7] = [
    "/etc/ld.so.cache",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/magic",
];
/// What has a worker tell which inputs a command looked at.
const OBSERVE_PROPERTY: &str = "observe-inputs";

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

/// All variables that the command has and that may count.
fn environment(request: &Request) -> Result<Vec<(String, String)>, Why> {
    let counts = |name: &OsStr| {
        let is_passing = PASSING.iter().any(|passing| name == *passing);
        let has_prefix = PASSING_PREFIXES
            .iter()
            .any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()));
        !is_passing && !has_prefix
    };
    // Another name of the directory is what some programs call it.
    let is_usual =
        |name: &OsStr, value: &OsStr| name == "PWD" && !is_other_name(Path::new(value), &request.directory);
    let others = request
        .environment
        .iter()
        .filter(|(name, value)| counts(name) && !is_usual(name, value));
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
