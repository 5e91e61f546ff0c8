//! What a command is as an action: which files it reads and writes, and everything else that its result depends on.
//!
//! Read `understood.rs` (what the command line says), `layout.rs` (where files are, seen from the action), `discover.rs`
//! (which files are read), `declared.rs` (which a front end names), `inputs.rs` (all of them), `embedded.rs` (how the
//! directory gets into a product by them), `outputs.rs` and `build.rs` (the
//! action itself); `scan.rs` scans for headers, `link.rs` looks for libraries, `list.rs` for members of archives; `seat.rs`,
//! `links.rs` and `wrapped.rs` do what front ends want of places and wrappers;
//! `toolchains.rs` knows what it is made with and `permitted.rs` what is not kept at all. `moved.rs` has what is the same in
//! every directory once paths are mapped.

mod build;
mod dated;
mod declared;
mod dependencies;
mod discover;
mod embedded;
mod environment;
mod given;
mod inputs;
mod layout;
mod link;
mod links;
mod list;
mod make_rule;
mod memo;
mod mentions;
mod moved;
mod observed;
mod outputs;
mod permitted;
mod probe;
mod scan;
mod script;
mod seat;
mod subject;
mod toolchains;
mod trees;
mod understood;
mod why;
mod wrapped;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use action::ActionDigest;
use blob::Blob;
use compiler::{Kind, Step};
use daemon_api::Request;
use file_digests::FileDigests;
use host_tools::{Fingerprint, HostTools};
use parking_lot::Mutex;
use remote_action::Sources;
use settings::{Settings, Strategy};
use step_memory::{Grounds, Memory};

use self::build::{Words, text};
pub use self::dependencies::{Dependencies, Found};
use self::environment::Environment;
use self::inputs::Inputs;
pub(crate) use self::layout::normal;
use self::layout::{Layout, Place};
use self::link::Links;
pub(crate) use self::moved::Moved;
use self::moved::{Candidate, MARK};
pub(crate) use self::observed::{CANNOT_TELL, Prediction, Predictions, Question, Verdict, here, judge};
pub(crate) use self::outputs::PlannedOutput;
use self::outputs::names_of;
use self::scan::Scans;
pub(crate) use self::subject::{Subject, recall};
use self::toolchains::{Toolchain, Toolchains};
use self::trees::Trees;
use self::understood::Understood;
pub(crate) use self::understood::{kind_of, may_read_input, reads_input, strategy};
pub(crate) use self::why::Why;
use crate::colours;
use crate::tool::{first_words, variable};
use crate::volume::Volume;
use crate::wanted::Wanted;

/// What is known across commands.
pub(crate) struct Knowledge {
    digests: Arc<FileDigests>,
    /// Which subject a command has.
    memory: Memory,
    toolchains: Toolchains,
    scans: Scans,
    links: Links,
    trees: Trees,
    host_tools: Mutex<HostTools>,
    platform: Vec<(String, String)>,
}

/// A command as an action.
pub(crate) struct Plan {
    pub(crate) subject: Subject,
    /// What a worker executes.
    pub(crate) executed_digest: ActionDigest,
    /// Everything that the action refers to.
    pub(crate) sources: Sources,
    /// A file that only this machine has, for want of which no worker can do it.
    pub(crate) elsewhere: Option<PathBuf>,
    /// It asks the compiler something, and compiles nothing: done here sooner than anywhere else.
    pub(crate) is_probe: bool,
    /// It links.
    pub(crate) is_link: bool,
    /// It is over here before a worker would have what it reads.
    pub(crate) is_quick: bool,
    /// That it fails is a result that is to be kept.
    pub(crate) keeps_failures: bool,
    /// What it reads is what a front end has declared.
    pub(crate) is_declared: bool,
    /// Why nothing that this machine makes of it is kept, though a worker's result is.
    pub(crate) not_kept_here: Option<&'static str>,
    /// Words that the real tool gets after those of the command.
    pub(crate) more: Vec<OsString>,
    /// How much it reads.
    pub(crate) volume: Volume,
}

/// Where a worker shows the input root, for commands whose results hold absolute paths.
const ROOT_PROPERTY: &str = "InputRootAbsolutePath";
/// Tells an action with declared inputs from one whose inputs were found.
const DECLARED: &[u8] = b"declared";
/// Which tools a worker's host has.
const HOST_TOOLS_PROPERTY: &str = "host-tools";

impl Knowledge {
    pub(crate) fn new(digests: Arc<FileDigests>, memory: Memory, platform: Vec<(String, String)>) -> Self {
        Knowledge {
            memory,
            toolchains: Toolchains::new(digests.clone()),
            scans: Scans::default(),
            links: Links::default(),
            trees: Trees::new(digests.clone()),
            host_tools: Mutex::new(HostTools::of_this_machine()),
            digests,
            platform,
        }
    }

    /// How many commands may be recalled.
    pub(crate) fn steps_known(&self) -> usize {
        self.memory.len()
    }

    /// Writes down what is to outlive the daemon.
    pub(crate) fn flush(&self) {
        self.memory.flush();
    }

    /// Which packages this machine has, if anybody can say.
    fn packages(&self) -> Option<String> {
        let tools = self.host_tools.lock().fingerprint().ok().flatten();
        tools.map(|tools: Fingerprint| tools.as_str().to_owned())
    }

    /// What a worker's host must have, so that the tools are those of this machine. Where nobody can say what this machine
    /// has, any worker may try.
    fn worker(&self) -> Vec<(String, String)> {
        let tools = self.packages().into_iter();
        tools
            .map(|tools| (HOST_TOOLS_PROPERTY.to_owned(), tools))
            .collect()
    }
}

impl Plan {
    /// Action, Command and directories, so that a result can be explained later.
    pub(crate) fn messages(&self) -> Vec<Blob> {
        self.sources.in_memory().collect()
    }
}

/// Finds out what a command is. Reads files, and may run the compiler to ask it something.
pub(crate) fn plan(
    knowledge: &Knowledge,
    request: &Request,
    program: &Path,
    wanted: &Wanted,
) -> Result<Plan, Why> {
    let begun = SystemTime::now();
    let Understood {
        mut step,
        is_declared,
    } = understood::command(request, wanted)?;
    let asked = &wanted.settings;
    if step.kind == Kind::Link && asked.handle_links == Some(false) {
        return Err(Why::Setting("handle_links".to_owned()));
    }
    let toolchain = knowledge.toolchains.of(request, program)?;
    let layout = Layout::new(wanted.root.as_deref(), &request.directory);
    let (mut outputs, mut is_outside) = outputs::of(&layout, &step, &declared::files_made(asked, &layout))?;
    let renamed = probe::renamed(&step, &request.arguments)
        .filter(|_| outputs.len() == 1 && !declared::makes_directories(asked));
    if renamed.is_some() {
        is_outside = false;
        step.absolute_paths
            .retain(|path| step.outputs.iter().all(|output| output.path != *path));
        probe::PRODUCT.clone_into(&mut outputs[0].name);
    }
    let looked = Looked {
        knowledge,
        request,
        program,
        wanted,
        toolchain: &toolchain,
        layout: &layout,
        step: &step,
        is_declared,
        names_root: step.embeds_directory || asked.keep_absolute_paths || names_tree(&layout, &step),
    };
    let Inputs {
        mut builder,
        files,
        needs_root,
        unsure,
        mut grounds,
        is_excluded,
        mut declared,
        own_program,
        made_with,
        wrapped,
    } = looked.inputs(&outputs)?;
    let dated = dated::dated(&files, |name| variable(request, name));
    if declared::makes_directories(asked) {
        declared
            .paths
            .extend(files.iter().map(|path| layout.absolute(path)));
        declared.paths.push(layout.absolute(program));
        declared::add_directories(asked, &layout, &declared.paths, &mut outputs)?;
    }
    // A compiler complains of a directory that is not there; other tools may make it, and workers do.
    let needs_parents = !is_outside && renamed.is_none() && !is_declared;
    for output in outputs.iter().filter(|_| needs_parents) {
        let parent = output.path.parent().unwrap_or(Path::new("/"));
        builder.directory(parent)?;
        grounds.directory(parent);
    }

    let mut environment = Environment::of(request, &step, &made_with, needs_root)?;
    environment.set(wanted.variables(request))?;
    let named = own_program.as_deref().unwrap_or(program);
    let words = arguments(renamed.as_deref().unwrap_or(&request.arguments), named)?;
    let is_wrapped = !wrapped.words.is_empty();
    let mut arguments = [wrapped.words, words].concat();
    let is_plain = !is_outside
        && !probe::is_probe(&step)
        && environment.other_name.is_none()
        && asked.output_files.is_empty()
        && asked.output_files_override.is_none()
        && outputs.iter().all(|output| !output.is_directory)
        && !is_declared
        && !is_wrapped
        && !asked.keep_absolute_paths;
    let moved = match wanted.is_path_independent && needs_root && is_plain {
        true => looked.moved(&files, &arguments, &environment.variables)?,
        false => None,
    };
    let (platform, worker) = looked.properties(needs_root, moved.is_some())?;
    let map = moved
        .as_ref()
        .filter(|_| !step.sources.is_empty())
        .map(Moved::map);
    arguments.extend(map.clone());
    let known_arguments = moved.as_ref().map(|moved| {
        arguments
            .iter()
            .map(|word| moved.argument(word))
            .collect::<Result<_, _>>()
    });
    let built = builder.build(Words {
        arguments,
        known_arguments: known_arguments
            .transpose()
            .map_err(|why| Why::Action(why.to_owned()))?,
        environment: environment.variables,
        outputs: names_of(&outputs),
        platform,
        worker,
        salt: [
            &made_with.fingerprint[..],
            // Whoever finds out all that a command reads has not the same action, though it may look the same.
            if is_declared || is_excluded { DECLARED } else { b"" },
            // What is not declared is not looked at, and may change with the packages of this machine.
            &is_declared
                .then(|| knowledge.packages())
                .flatten()
                .unwrap_or_default()
                .into_bytes(),
            asked.salt.as_deref().unwrap_or_default().as_bytes(),
            called(&step, request),
            moved.as_ref().map_or(&[], |_| MARK),
        ]
        .concat(),
        is_uncacheable: asked.uncacheable,
        timeout: asked.exec_timeout,
    })?;
    let outside = || {
        is_outside
            .then(|| outputs.first().map(|output| output.path.clone()))
            .flatten()
    };
    let elsewhere = built
        .elsewhere
        .or_else(outside)
        .or(environment.other_name)
        .or(made_with.elsewhere);
    let subject = Subject {
        name: name(&step, request),
        program: program.to_owned(),
        action_digest: built.action_digest,
        outputs,
        moved,
        unsure,
        dated,
    };
    let is_seen = request.is_terminal && !probe::is_probe(&step);
    let colours = colours::asked_for(&step, &request.arguments, is_seen, |name| variable(request, name));
    // The name of what a probe makes will not come again, and neither will a step that has the time in it.
    if renamed.is_none() && dated.is_none() {
        looked.remember(begun, &grounds, &subject);
    }
    Ok(Plan {
        subject,
        executed_digest: built.executed_digest,
        sources: built.sources,
        elsewhere,
        is_probe: probe::is_probe(&step),
        is_link: step.kind == Kind::Link,
        is_quick: probe::is_probe(&step) || step.kind == Kind::List,
        // A link reads libraries that only libraries name, and only one that ends well says which.
        keeps_failures: asked.store_failures && step.kind != Kind::Link,
        is_declared,
        not_kept_here: permitted::not_kept_here(
            is_excluded,
            is_declared,
            wanted.strategy == Strategy::Local,
            declared.is_whole,
        )
        .or_else(|| wrapped::not_kept_here(wanted)),
        more: map.into_iter().map(OsString::from).chain(colours).collect(),
        volume: built.volume,
    })
}

/// A command, and what has been found out about it on the way.
struct Looked<'a> {
    knowledge: &'a Knowledge,
    request: &'a Request,
    program: &'a Path,
    wanted: &'a Wanted,
    toolchain: &'a Toolchain,
    layout: &'a Layout,
    step: &'a Step,
    /// A front end has declared what it reads.
    is_declared: bool,
    /// Its words say that its result depends on where its tree is. What it reads may say so too.
    names_root: bool,
}

/// Properties by name.
type Properties = Vec<(String, String)>;

impl Looked<'_> {
    /// The step, if its result is the same wherever its tree is.
    fn moved(
        &self,
        files: &[PathBuf],
        arguments: &[String],
        environment: &[(String, String)],
    ) -> Result<Option<Moved>, Why> {
        let opened = files.iter().filter(|path| self.layout.place(path) != Place::Host);
        let opened: Vec<_> = opened.map(|path| self.request.directory.join(path)).collect();
        let named: Vec<_> = files.iter().map(|path| self.layout.absolute(path)).collect();
        let candidate = Candidate {
            root: text(self.layout.root())?,
            step: self.step,
            arguments,
            environment,
            files: &named,
        };
        let trees = &self.knowledge.trees;
        let moved = trees.moved(self.request, self.program, self.toolchain, &candidate, &opened)?;
        let step = name(self.step, self.request);
        let told = |why: &_| tracing::debug!(step, why, "it is known by its root");
        Ok(moved.inspect_err(told).ok())
    }

    /// What the result is known by, and what a worker must have besides.
    fn properties(&self, needs_root: bool, is_moved: bool) -> Result<(Properties, Properties), Why> {
        let mut platform = platform(self.knowledge, &self.wanted.settings, self.step.kind);
        let mut worker = match self.wanted.strategy {
            Strategy::Local => Vec::new(),
            _ => self.knowledge.worker(),
        };
        if needs_root {
            let root = (ROOT_PROPERTY.to_owned(), text(self.layout.root())?.to_owned());
            match is_moved {
                // It has to be made there, and is the same as anywhere.
                true => worker.push(root),
                false => platform.push(root),
            }
        }
        Ok((platform, worker))
    }

    /// Keeps what the command is known by for as long as what that rests on stays as it is.
    fn remember(&self, begun: SystemTime, grounds: &Grounds, subject: &Subject) {
        let Looked {
            knowledge,
            request,
            program,
            wanted,
            toolchain,
            ..
        } = self;
        let key = subject::question(knowledge, request, program, wanted, toolchain);
        let remembered = knowledge.memory.remember(key, begun, grounds, &subject.encode());
        if let Err(why) = remembered {
            tracing::debug!(step = subject.name, %why, "it is found out again the next time");
        }
    }
}

/// Whether the command line names files of the tree by absolute paths, which may show in the result.
fn names_tree(layout: &Layout, step: &Step) -> bool {
    step.absolute_paths
        .iter()
        .any(|path| matches!(layout.place(path), Place::Tree(_)))
}

/// The daemon's own properties, then those of the front end: for one kind of step before those for all.
fn platform(knowledge: &Knowledge, asked: &Settings, kind: Kind) -> Vec<(String, String)> {
    let of_kind = match kind {
        Kind::Link => &asked.platform_link,
        _ => &asked.platform_compile,
    };
    let mut properties: BTreeMap<_, _> = knowledge.platform.iter().cloned().collect();
    properties.extend(asked.platform.clone());
    properties.extend(of_kind.clone());
    properties.into_iter().collect()
}

/// The command as the real tool gets it; the tool by its path, as an action must name it.
fn arguments(words: &[OsString], program: &Path) -> Result<Vec<String>, Why> {
    let words = words.iter().skip(1);
    std::iter::once(program.as_os_str())
        .chain(words.map(OsString::as_os_str))
        .map(|word| text(Path::new(word)).map(str::to_owned))
        .collect()
}

/// What a tool that lists calls itself, where it has something to say.
fn called<'a>(step: &Step, request: &'a Request) -> &'a [u8] {
    let name = request.arguments.first().filter(|_| step.kind == Kind::List);
    name.map(|name| name.as_encoded_bytes()).unwrap_or_default()
}

fn name(step: &Step, request: &Request) -> String {
    if probe::is_probe(step) || step.kind == Kind::List {
        return first_words(request);
    }
    let output = step.outputs.first().map(|output| &output.path);
    let named = output
        .or_else(|| step.sources.first())
        .map(|path| path.display().to_string());
    named.unwrap_or_else(|| format!("{:?}", request.arguments.first()))
}

#[cfg(test)]
pub(crate) mod tests;
