//! The file tree a command sees.
//!
//! A new root on a tmpfs holds the host's tools read-only, the build directory, and private `/tmp`, `/dev` and `/proc`;
//! the host's own tree is then unmounted. Mounts are cloned with `open_tree(2)` and restricted with
//! `mount_setattr(2)` before they are attached, so none is ever visible without its restrictions. Linux 5.12 is needed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use runner_api::{BUILD_PATH, InputRootPlace, MOUNT_POINTS, Mechanism, Root};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use crate::confinement::Confinement;
use crate::limits::TMPFS_SIZE;
use crate::masks::Masks;
use crate::setup_error::{Result, SetupError, Step};
use crate::sys;

/// Host paths that commands see, read-only, unless options say otherwise: where tools, their libraries and their
/// configuration live. Symbolic links stay links, what does not exist is left out. No home directory, no `/var`, no
/// `/run`: nothing that differs between two installations of the same packages more than it must.
pub const HOST_PATHS: &[&str] = &[
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix",
];

/// Where an image is mounted before it becomes the root: any directory of our own tree that is there and not needed then.
const IMAGE_PATH: &str = "/var";

/// Devices that do nothing but give and take bytes.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom"];

/// What programs expect to find in `/dev` besides devices.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// The build directory, on its way into a command's tree.
pub(crate) enum BuildDirectory {
    /// A clone of its mount that the runner made while it was root: no directory above it needs to be open to others.
    Tree(OwnedFd),
    /// The same, and the file system that is to be the root around it.
    InImage { tree: OwnedFd, image: OwnedFd },
    /// Its path on the host, for init to clone, or to just go to.
    Path(PathBuf),
    /// Nothing: an empty directory takes its place (when probing).
    None,
}

impl BuildDirectory {
    /// A privileged supervisor's way to pass it in.
    pub(crate) fn clone_as_root(path: &Path) -> Result<Self> {
        clone_tree(path).map(BuildDirectory::Tree)
    }

    /// What has to be passed on with it.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            BuildDirectory::Tree(tree) => vec![tree.as_fd()],
            BuildDirectory::InImage { tree, image } => vec![tree.as_fd(), image.as_fd()],
            BuildDirectory::Path(_) | BuildDirectory::None => Vec::new(),
        }
    }
}

/// The tree of init, complete but for the build directory.
pub(crate) struct Tree {
    root: OwnedFd,
    /// The host's, until it is left.
    old_root: Option<OwnedFd>,
}

impl Tree {
    /// Init: builds it over the old root. Absolute paths still mean the host's until that is left.
    pub(crate) fn build(confinement: &Confinement) -> Result<Tree> {
        // Nothing we do may propagate back to the host.
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .step("making mounts private")?;
        let old_root = rustix::fs::open(
            "/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .step("opening the old root")?;

        let root = new_tmpfs()?;
        attach(&root, "/").step("mounting the new root")?;
        // Relative paths mean our own tree.
        rustix::process::fchdir(&root).step("entering the new root")?;
        place_tmp()?;
        place_devices()?;
        make_directories(Path::new("proc")).step("making /proc")?;
        let masks = Masks::prepare(&confinement.hidden_paths)?;
        place_proc(confinement)?;
        show_host(&confinement.host_paths)?;
        masks.attach(&root)?;
        make_directories(Path::new(BUILD_PATH.trim_start_matches('/')))
            .step("making the build directory's place")?;
        restrict(&root, MountAttrFlags::MOUNT_ATTR_RDONLY, false).step("making the new root read-only")?;
        Ok(Tree {
            root,
            old_root: Some(old_root),
        })
    }

    /// Init: makes it the root and unmounts the host's. For good: a build directory that is a path can be reached no
    /// more.
    pub(crate) fn leave_host(&mut self) -> Result<()> {
        let Some(old_root) = self.old_root.take() else {
            return Ok(());
        };
        rustix::process::fchdir(&self.root).step("entering the new root")?;
        rustix::process::pivot_root(".", ".").step("changing the root")?;
        rustix::process::fchdir(&old_root).step("entering the old root")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH).step("unmounting the old root")?;
        rustix::process::chdir("/").step("entering the new root")
    }

    /// Init: puts the build directory into it at `place`, leaves the host, and stands in the build directory; or makes that
    /// the root, if it is to be.
    pub(crate) fn complete(
        mut self,
        build: BuildDirectory,
        shown_as: Root,
        place: Option<&InputRootPlace>,
    ) -> Result<()> {
        let (build, image) = match build {
            BuildDirectory::Tree(tree) => (Some(tree), None),
            BuildDirectory::InImage { tree, image } => (Some(tree), Some(image)),
            BuildDirectory::Path(path) => (Some(clone_tree(&path)?), None),
            BuildDirectory::None => (None, None),
        };
        self.leave_host()?;
        if let Some(tree) = &build {
            restrict(tree, no_surprises(), true).step("restricting the build directory")?;
        }
        match (shown_as, image) {
            (Root::Host, _) => {
                if let Some(place) = place {
                    self.make_place(place)?;
                }
                enter_build_directory(build, place)
            }
            (Root::InputRoot, _) => {
                enter_build_directory(build, None)?;
                become_root(&MOUNT_POINTS)
            }
            (Root::Image, Some(image)) => {
                restrict(&image, no_surprises(), true).step("restricting the image")?;
                attach(&image, IMAGE_PATH).step("mounting the image")?;
                rustix::process::chdir(IMAGE_PATH).step("entering the image")?;
                become_root(&MOUNT_POINTS)?;
                if let Some(place) = place {
                    make_place(place)?;
                }
                enter_build_directory(build, place)
            }
            (Root::Image, None) => Err(SetupError::new("looking for the image", Errno::NOENT)),
        }
    }

    /// Init: makes a place for the build directory in our own tree, which is ours to write to for this moment: nothing of
    /// the command is there yet.
    fn make_place(&self, place: &InputRootPlace) -> Result<()> {
        let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
        sys::mount_clear_attributes(&self.root, read_only.bits().into())
            .step("making the new root writable")?;
        let made = make_place(place);
        restrict(&self.root, read_only, false).step("making the new root read-only")?;
        made
    }
}

/// Mounts the build directory where it is to be seen, and goes there.
fn enter_build_directory(build: Option<OwnedFd>, place: Option<&InputRootPlace>) -> Result<()> {
    let place = place.map_or(BUILD_PATH, InputRootPlace::as_str);
    if let Some(tree) = build {
        // What lies at the end of a link would be at another path than was asked for.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let attach = || {
            let target = rustix::fs::openat2(CWD, place, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            rustix::mount::move_mount(&tree, "", &target, "", flags)
        };
        attach().step_with(|| format!("mounting the build directory at {place}"))?;
    }
    rustix::process::chdir(place).step("entering the build directory")
}

/// Makes the directories that lead to a place, as far as they are not there.
fn make_place(place: &InputRootPlace) -> Result<()> {
    let make = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = rustix::fs::open("/", flags, Mode::empty())?;
        for name in place.as_str().split('/').skip(1) {
            match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
                // Whatever there is: if it is no directory, that is found next.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            at = rustix::fs::openat(&at, name, flags, Mode::empty())?;
        }
        Ok(())
    };
    make().step_with(|| format!("making a place for the input root at {}", place.as_str()))
}

/// Makes the current directory the root, with these directories of the present one over those that are in it for that.
/// What was the root until now, and with it the host's tools, is gone then.
fn become_root(names: &[&str]) -> Result<()> {
    for name in names {
        let place = || {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
            let target = rustix::fs::openat2(CWD, *name, flags, Mode::empty(), resolve)?;
            let tree = clone_tree_raw(Path::new(&format!("/{name}")))?;
            let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
            rustix::mount::move_mount(&tree, "", &target, "", flags)
        };
        place().step_with(|| format!("putting /{name} into the new root"))?;
    }
    rustix::process::pivot_root(".", ".").step("making it the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).step("unmounting the root before it")?;
    rustix::process::chdir("/").step("entering the new root")
}

/// Whether this process, as it is, can clone mounts.
pub(crate) fn may_clone() -> bool {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, "/", flags).is_ok()
}

fn new_tmpfs() -> Result<OwnedFd> {
    let make = || {
        let tmpfs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&tmpfs, "mode", "0755")?;
        rustix::mount::fsconfig_create(&tmpfs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        rustix::mount::fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().step("making a tmpfs for the new root")
}

fn show_host(paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let inside_another = |other: &PathBuf| other != path && path.starts_with(other);
        if !paths.iter().any(inside_another) {
            show_host_path(path).step_with(|| format!("showing {path:?} read-only"))?;
        }
    }
    Ok(())
}

fn show_host_path(path: &Path) -> std::result::Result<(), Errno> {
    let stat = match rustix::fs::lstat(path) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let target = path.strip_prefix("/").map_err(|_| Errno::INVAL)?;
    if let Some(parent) = target.parent() {
        make_directories(parent)?;
    }
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            return rustix::fs::symlinkat(rustix::fs::readlink(path, Vec::new())?, CWD, target);
        }
        FileType::Directory => make_directories(target)?,
        _ => make_file(target)?,
    }
    let tree = clone_tree_raw(path)?;
    restrict(&tree, MountAttrFlags::MOUNT_ATTR_RDONLY | no_surprises(), true)?;
    attach(&tree, target)
}

fn place_tmp() -> Result<()> {
    mount_scratch("tmp")?;
    // Some programs insist on it; what they put there is as short-lived as the rest.
    make_directories(Path::new("var")).step("making /var")?;
    // Relative: what is shown below it is put in place while absolute paths are still the host's.
    rustix::fs::symlinkat("../tmp", CWD, "var/tmp").step("linking /var/tmp to /tmp")
}

fn place_devices() -> Result<()> {
    make_directories(Path::new("dev")).step("making /dev")?;
    for device in DEVICES {
        let (host, target) = (format!("/dev/{device}"), format!("dev/{device}"));
        let bind = || {
            make_file(Path::new(&target))?;
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            attach(&rustix::mount::open_tree(CWD, &host, flags)?, &target)
        };
        bind().step_with(|| format!("showing {host}"))?;
    }
    for (name, target) in DEVICE_LINKS {
        rustix::fs::symlinkat(*target, CWD, format!("dev/{name}"))
            .step_with(|| format!("linking /dev/{name}"))?;
    }
    mount_scratch("dev/shm")
}

fn place_proc(confinement: &Confinement) -> Result<()> {
    if confinement.has(Mechanism::PrivateProc) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        return rustix::mount::mount("proc", "proc", "proc", flags, c"").step("mounting a new /proc");
    }
    let tree = clone_tree(Path::new("/proc"))?;
    restrict(&tree, no_surprises(), true).step("restricting /proc")?;
    attach(&tree, "proc").step("showing the host's /proc")
}

fn mount_scratch(target: &str) -> Result<()> {
    let mount = || {
        make_directories(Path::new(target))?;
        let options =
            std::ffi::CString::new(format!("mode=1777,size={TMPFS_SIZE}")).map_err(|_| Errno::INVAL)?;
        rustix::mount::mount(
            "tmpfs",
            target,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            options.as_c_str(),
        )
    };
    mount().step_with(|| format!("mounting a private /{target}"))
}

fn no_surprises() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV
}

fn clone_tree(path: &Path) -> Result<OwnedFd> {
    clone_tree_raw(path).step_with(|| format!("cloning the mount of {path:?}"))
}

fn clone_tree_raw(path: &Path) -> std::result::Result<OwnedFd, Errno> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(CWD, path, flags)
}

fn restrict(mount: &OwnedFd, attributes: MountAttrFlags, recursive: bool) -> std::result::Result<(), Errno> {
    sys::mount_set_attributes(mount, attributes.bits().into(), recursive)
}

fn attach(mount: impl AsFd, target: impl rustix::path::Arg) -> std::result::Result<(), Errno> {
    rustix::mount::move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Of our own tree, whose directories nobody else can touch.
fn make_directories(path: &Path) -> std::result::Result<(), Errno> {
    let mut made = PathBuf::new();
    for part in path.components() {
        made.push(part);
        match rustix::fs::mkdir(&made, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn make_file(path: &Path) -> std::result::Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o644)).map(|_| ())
}
