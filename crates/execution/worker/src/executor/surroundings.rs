//! What an action finds around its input root: which root, whose ids, which network.
//!
//! An action usually runs with the tools of the host. One that brings a whole system along, as BuildStream's do, must
//! not: its commands would find other tools than it means, write to directories of the host that are not there or not
//! its outputs, and come back with success and nothing made. Such clients name no property that says so, thus an input
//! root is looked at.

use action::{ANY_INPUT_ROOT_PATH, Command, ContainerImage, INPUT_ROOT_PATH, Platform};
use merkle::{Entry, InputTree};
use reapi::rpc::Code;
use runner_api::{
    Capabilities, DEFAULT_PATH, DEFAULT_USER, InputRootPlace, MOUNT_POINTS, Mechanism, Root, User,
};

use super::failure::Failure;
use crate::limits::{SYMLINKS_FOLLOWED_MAX, TOOL_PLACES_MAX};

/// Where a platform says what the root is: `inputs` or `host`.
const ROOT: &str = "root";
/// Where a platform asks for the host's network: `on` or `off`.
const NETWORK: &str = "network";
/// Where a platform says whose ids the command sees, in numbers.
const UID: &str = "unixUID";
const GID: &str = "unixGID";

/// When an action's input root becomes its root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputRootAsRoot {
    /// Never; what asks for it goes elsewhere, and what seems to need it is refused.
    Never,
    /// When the platform has `root` = `inputs`. What does not say and seems to need it is refused.
    Asked,
    /// Also when the platform does not say and the command's program is in the input root, at the place where it would
    /// be looked for in a root.
    #[default]
    Detected,
}

impl InputRootAsRoot {
    /// The option's word, where an input root is not looked at to see whether it is a root.
    fn not_guessed(self) -> Option<&'static str> {
        match self {
            InputRootAsRoot::Never => Some("never"),
            InputRootAsRoot::Asked => Some("asked"),
            InputRootAsRoot::Detected => None,
        }
    }
}

/// What actions may have around them on this worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct SurroundingsOptions {
    /// When an input root becomes the root.
    pub input_root: InputRootAsRoot,
    /// Whether an action may have the host's network if its platform has `network` = `on`.
    pub network: bool,
}

impl SurroundingsOptions {
    /// What is announced, so that actions that ask for more than there is go elsewhere or are refused.
    pub fn properties(&self, capabilities: &Capabilities) -> Vec<(String, String)> {
        let own_mounts = capabilities.has(Mechanism::MountNamespace);
        let own_root = own_mounts && self.input_root != InputRootAsRoot::Never;
        [
            Some((ROOT, "host")),
            own_root.then_some((ROOT, "inputs")),
            Some((NETWORK, "off")),
            self.network.then_some((NETWORK, "on")),
            own_mounts.then_some((INPUT_ROOT_PATH, ANY_INPUT_ROOT_PATH)),
        ]
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }
}

/// What actions may have around them, by the operator and by the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Possible {
    pub(crate) options: SurroundingsOptions,
    /// Roots of their own, and places of their own for input roots.
    pub(crate) roots: bool,
    /// Ids of their own.
    pub(crate) users: bool,
    /// Images. Where there are none, a platform that names one means what the operator says this worker is.
    pub(crate) images: bool,
}

impl Possible {
    /// Without images.
    pub(crate) fn new(options: SurroundingsOptions, capabilities: &Capabilities) -> Self {
        Possible {
            options,
            roots: capabilities.has(Mechanism::MountNamespace),
            users: capabilities.has(Mechanism::UserNamespace),
            images: false,
        }
    }
}

/// What one action has around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Surroundings {
    pub(super) root: Root,
    /// Where the input root is seen, if that was asked for.
    pub(super) place: Option<InputRootPlace>,
    pub(super) user: Option<User>,
    pub(super) network: bool,
    /// The root file system of [`Root::Image`].
    pub(super) image: Option<ContainerImage>,
    /// Variables that the command has unless it sets them itself.
    pub(super) environment: Vec<(String, String)>,
    /// Directories to be put into the input root before the command and taken away after it.
    pub(super) mount_points: Vec<&'static str>,
}

impl Surroundings {
    /// Decides. An error is for the client, or for another worker.
    pub(super) fn of(
        possible: &Possible,
        platform: &Platform,
        command: &Command,
        input: &InputTree,
    ) -> Result<Self, Failure> {
        let options = possible.options;
        let image = if possible.images {
            image_of(platform)?
        } else {
            None
        };
        let place = place_of(platform)?;
        let root = match image {
            Some(_) if one_of(platform, ROOT, ["host", "inputs"])?.is_some() => return Err(two_roots()),
            Some(_) => Root::Image,
            // Who says where its input root is does not mean it to be the root.
            None if place.is_some() => match one_of(platform, ROOT, ["host", "inputs"])? {
                Some("inputs") => return Err(two_places()),
                _ => Root::Host,
            },
            None => root_of(options.input_root, platform, command, input)?,
        };
        let user = user_of(platform)?;
        let network = one_of(platform, NETWORK, ["off", "on"])? == Some("on");
        if network && !options.network {
            return Err(elsewhere("its actions have no network"));
        }
        if place.is_some() && !possible.roots {
            return Err(elsewhere(&format!(
                "the action asks where it sees its input root (`{INPUT_ROOT_PATH}`), which takes mount namespaces that this \
                 worker's sandbox does not have"
            )));
        }
        if root == Root::InputRoot && !possible.roots {
            return Err(elsewhere(
                "the action brings its own root, which takes mount namespaces that this worker's sandbox does not have; \
                 an action that means the host's tools says `root` = `host` in its platform",
            ));
        }
        if user.is_some() && !possible.users {
            return Err(elsewhere(
                "`unixUID` and `unixGID` take user namespaces that this worker's sandbox does not have",
            ));
        }
        let mount_points = match root {
            Root::Host | Root::Image => Vec::new(),
            Root::InputRoot => {
                check_outputs(command)?;
                missing_mount_points(input)?
            }
        };
        Ok(Surroundings {
            root,
            place,
            user,
            network,
            image,
            environment: Vec::new(),
            mount_points,
        })
    }

    /// Whether this is what an action gets that says nothing, but for the network.
    pub(super) fn are_ordinary(&self) -> bool {
        self.root == Root::Host && self.place.is_none() && self.user.is_none()
    }
}

fn root_of(
    policy: InputRootAsRoot,
    platform: &Platform,
    command: &Command,
    input: &InputTree,
) -> Result<Root, Failure> {
    let asked = one_of(platform, ROOT, ["host", "inputs"])?;
    match (asked, policy) {
        (Some("inputs"), InputRootAsRoot::Never) => Err(elsewhere("it gives no action a root of its own")),
        (Some("inputs"), _) => Ok(Root::InputRoot),
        (Some(_), _) => Ok(Root::Host),
        (None, policy) => match (brings_its_program(command, input), policy.not_guessed()) {
            (false, _) => Ok(Root::Host),
            (true, None) => Ok(Root::InputRoot),
            (true, Some(option)) => Err(not_on_the_host(option)),
        },
    }
}

/// What brings a whole system along is never run with the host's tools unasked: it would seem to succeed with nothing made.
fn not_on_the_host(option: &str) -> Failure {
    let message = format!(
        "the action brings the program that it calls in its input root, as if that were its root, and the worker was started \
         with --input-root-as-root {option}, which guesses nothing; an action that means the host's tools says `{ROOT}` = `host` \
         in its platform, and one that means its own says `{ROOT}` = `inputs`, which takes a worker that allows it"
    );
    Failure::Status(Code::FailedPrecondition, message)
}

/// The image that a platform names by its content. Other values are not for workers that have images.
fn image_of(platform: &Platform) -> Result<Option<ContainerImage>, Failure> {
    let mut images = platform
        .values(ContainerImage::PROPERTY)
        .filter_map(ContainerImage::parse);
    let image = images.next();
    // The same by another name is no other.
    match images.find(|other| Some(other) != image.as_ref()) {
        None => Ok(image),
        Some(_) => Err(Failure::Status(
            Code::InvalidArgument,
            format!(
                "the platform names several images (`{}`); an action has one",
                ContainerImage::PROPERTY
            ),
        )),
    }
}

/// Where the platform says that the input root is to be seen.
fn place_of(platform: &Platform) -> Result<Option<InputRootPlace>, Failure> {
    let refused = |message: String| Failure::Status(Code::InvalidArgument, message);
    let mut place: Option<InputRootPlace> = None;
    for value in platform.values(INPUT_ROOT_PATH) {
        let next = InputRootPlace::parse(value)
            .map_err(|error| refused(format!("platform property `{INPUT_ROOT_PATH}`: {error}")))?;
        match place {
            // The same by another spelling is no other.
            Some(place) if place != next => {
                return Err(refused(format!(
                    "the platform names several places for the input root (`{INPUT_ROOT_PATH}`); it can be at one"
                )));
            }
            _ => place = Some(next),
        }
    }
    Ok(place)
}

fn two_places() -> Failure {
    let message = format!(
        "the platform says that the input root is the root (`{ROOT}` = `inputs`) and that it is somewhere else \
         (`{INPUT_ROOT_PATH}`); it can be at one place"
    );
    Failure::Status(Code::InvalidArgument, message)
}

fn two_roots() -> Failure {
    let message = format!(
        "the platform names an image (`{}`) and says what the root is (`{ROOT}`); it can have one of both",
        ContainerImage::PROPERTY
    );
    Failure::Status(Code::InvalidArgument, message)
}

/// Whether the command's program, by an absolute path or a bare name, is where it would be if the input root were the
/// root. A program named by a relative path says nothing: that is how tools of the build itself are named.
fn brings_its_program(command: &Command, input: &InputTree) -> bool {
    let Some(program) = command.arguments().first() else {
        return false;
    };
    if program.starts_with('/') {
        return is_file(input, program);
    }
    if program.is_empty() || program.contains('/') {
        return false;
    }
    let path = command.environment().iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value);
    let places = path.split(':').filter(|place| place.starts_with('/'));
    places
        .take(TOOL_PLACES_MAX)
        .any(|place| is_file(input, &format!("{place}/{program}")))
}

/// Whether an absolute path leads to a file, with the input root as root.
fn is_file(input: &InputTree, path: &str) -> bool {
    let mut ahead: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut at: Vec<String> = Vec::new();
    let mut followed = 0;
    while let Some(name) = ahead.pop() {
        match name.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            _ => at.push(name),
        }
        match input.entry(&at.join("/")) {
            Ok(Some(Entry::Directory(_))) => {}
            Ok(Some(Entry::File(_))) => return ahead.is_empty(),
            Ok(Some(Entry::Symlink(link))) => {
                followed += 1;
                if followed > SYMLINKS_FOLLOWED_MAX {
                    return false;
                }
                let target = link.target.as_str();
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                ahead.extend(target.split('/').rev().map(str::to_owned));
            }
            Ok(None) | Err(_) => return false,
        }
    }
    false
}

fn user_of(platform: &Platform) -> Result<Option<User>, Failure> {
    let id = |name: &'static str| match platform.values(name).next() {
        None => Ok(None),
        Some(value) => match value.parse::<u32>() {
            // The last one means none to the kernel.
            Ok(id) if id != u32::MAX => Ok(Some(id)),
            _ => Err(Failure::Status(
                Code::InvalidArgument,
                format!(
                    "platform property `{name}` is `{value}`; it has to be a number below {}",
                    u32::MAX
                ),
            )),
        },
    };
    Ok(match (id(UID)?, id(GID)?) {
        (None, None) => None,
        (uid, gid) => Some(User {
            uid: uid.unwrap_or(DEFAULT_USER.uid),
            gid: gid.unwrap_or(DEFAULT_USER.gid),
        }),
    })
}

fn one_of<'a>(
    platform: &'a Platform,
    name: &'static str,
    possible: [&'static str; 2],
) -> Result<Option<&'a str>, Failure> {
    match platform.values(name).next() {
        Some(value) if !possible.contains(&value) => Err(Failure::Status(
            Code::InvalidArgument,
            format!(
                "platform property `{name}` is `{value}`; it can be `{}` or `{}`",
                possible[0], possible[1]
            ),
        )),
        value => Ok(value),
    }
}

/// What is written over a mount point is gone with the mount.
fn check_outputs(command: &Command) -> Result<(), Failure> {
    let is_private = |path: &str| {
        let first = path.split('/').next();
        MOUNT_POINTS.iter().any(|name| first == Some(*name))
    };
    let mut outputs = command.outputs().iter();
    match outputs.find(|output| is_private(output.path.as_str())) {
        None => Ok(()),
        Some(output) => Err(Failure::Status(
            Code::InvalidArgument,
            format!(
                "output `{}`: with the input root as root, `/dev`, `/proc` and `/tmp` are the command's own and go with it; \
                 write it elsewhere",
                output.text
            ),
        )),
    }
}

fn missing_mount_points(input: &InputTree) -> Result<Vec<&'static str>, Failure> {
    let mut missing = Vec::new();
    for name in MOUNT_POINTS {
        match input.entry(name) {
            Ok(Some(Entry::Directory(_))) => {}
            Ok(None) => missing.push(name),
            Ok(Some(_)) | Err(_) => {
                return Err(Failure::Status(
                    Code::InvalidArgument,
                    format!("the input root is to be the root, but `{name}` in it is no directory"),
                ));
            }
        }
    }
    Ok(missing)
}

/// The worker's fault, not the action's.
fn elsewhere(why: &str) -> Failure {
    Failure::Status(Code::Unavailable, format!("this worker cannot run it: {why}"))
}

#[cfg(test)]
mod tests;
