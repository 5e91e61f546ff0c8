//! What of the host a command does not see although it lies where it may look: things by which one machine is told from
//! another, parts of `/proc` about the whole machine, and what the operator's own programs keep secret.
//!
//! Something with a constant content is mounted over each. What is not there needs no cover.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::setup_error::{Result, Step};
use crate::sys;

/// What is seen instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mask {
    /// A file with this in it.
    Text(&'static str),
    /// An empty file, or an empty directory over a directory.
    Nothing,
}

use Mask::{Nothing, Text};

/// By path from the root. The ids are of the form that their readers expect, and the same on every machine.
const MASKS: &[(&str, Mask)] = &[
    // Which machine this is, and since when.
    ("etc/machine-id", Text("66617272696540008000000000000000\n")),
    ("etc/hostname", Text("farrier\n")),
    (
        "proc/sys/kernel/random/boot_id",
        Text("66617272-6965-4000-8000-000000000000\n"),
    ),
    ("proc/cmdline", Text("\n")),
    // How its kernel was made, and where in memory things are.
    ("proc/config.gz", Nothing),
    ("proc/iomem", Nothing),
    ("proc/ioports", Nothing),
    ("proc/kallsyms", Nothing),
    ("proc/kcore", Nothing),
    ("proc/kpagecgroup", Nothing),
    ("proc/kpagecount", Nothing),
    ("proc/kpageflags", Nothing),
    ("proc/modules", Nothing),
    ("proc/slabinfo", Nothing),
    ("proc/vmallocinfo", Nothing),
    // What others do on it.
    ("proc/interrupts", Nothing),
    ("proc/key-users", Nothing),
    ("proc/keys", Nothing),
    ("proc/kmsg", Nothing),
    ("proc/latency_stats", Nothing),
    ("proc/sched_debug", Nothing),
    ("proc/timer_list", Nothing),
    ("proc/timer_stats", Nothing),
    // Its devices, and switches that only root should turn.
    ("proc/acpi", Nothing),
    ("proc/asound", Nothing),
    ("proc/bus", Nothing),
    ("proc/driver", Nothing),
    ("proc/fs", Nothing),
    ("proc/irq", Nothing),
    ("proc/scsi", Nothing),
    ("proc/sysrq-trigger", Nothing),
];

/// Where covers are made: the place of `/proc`, which is covered itself as soon as `/proc` is there.
const WORKSHOP: &str = "proc";

/// Covers that are made and not attached yet.
pub(crate) struct Masks<'a> {
    hidden: &'a [PathBuf],
    covers: Vec<(Mask, OwnedFd)>,
    directory: OwnedFd,
}

impl<'a> Masks<'a> {
    /// Init: makes what can be mounted over things. The current directory is the new root, and nothing is mounted at
    /// [`WORKSHOP`] yet. `hidden`: absolute paths of the host that commands must not see into, besides the table's.
    pub(crate) fn prepare(hidden: &'a [PathBuf]) -> Result<Masks<'a>> {
        let mut covers: Vec<(Mask, OwnedFd)> = Vec::new();
        for (_, mask) in MASKS {
            if covers.iter().all(|(made, _)| made != mask) {
                let name = format!("{WORKSHOP}/{}", covers.len());
                let cover =
                    make_file(&name, *mask).step_with(|| format!("making {mask:?} to hide things with"))?;
                covers.push((*mask, cover));
            }
        }
        let directory = format!("{WORKSHOP}/directory");
        let make = || {
            rustix::fs::mkdir(&directory, Mode::from_raw_mode(0o555))?;
            rustix::fs::open(&directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        };
        let directory = make().step("making an empty directory to hide things with")?;
        Ok(Masks {
            hidden,
            covers,
            directory,
        })
    }

    /// Init: mounts them, in the tree below `root`.
    pub(crate) fn attach(&self, root: &OwnedFd) -> Result<()> {
        let hidden = self.hidden.iter().map(|path| {
            let below = path.strip_prefix("/").unwrap_or(path);
            (below, Nothing)
        });
        let listed = MASKS.iter().map(|(path, mask)| (Path::new(path), *mask));
        for (path, mask) in listed.chain(hidden) {
            self.cover(root, path, mask)
                .step_with(|| format!("hiding {:?}", Path::new("/").join(path)))?;
        }
        Ok(())
    }

    fn cover(&self, root: &OwnedFd, path: &Path, mask: Mask) -> std::result::Result<(), Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let target =
            match rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Ok(target) => target,
                // Then the command cannot get there either.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => return Ok(()),
                Err(errno) => return Err(errno),
            };
        let found = rustix::fs::fstat(&target)?;
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        // Each cover costs time with every command.
        if !is_directory && path.starts_with("proc") && is_for_root_alone(found.st_mode) {
            return Ok(());
        }
        let cover = match is_directory {
            true => Some(&self.directory),
            false => self
                .covers
                .iter()
                .find(|(made, _)| *made == mask)
                .map(|(_, cover)| cover),
        };
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let cover = rustix::mount::open_tree(cover.ok_or(Errno::NOENT)?, "", flags)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        sys::mount_set_attributes(&cover, attributes.bits().into(), false)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&cover, "", &target, "", flags)
    }
}

/// Whether nobody but the owner can open a file. In `/proc` outside of processes that is the machine's root, which no command
/// is, whoever it is in its own world.
fn is_for_root_alone(mode: u32) -> bool {
    mode & 0o077 == 0
}

fn make_file(name: &str, mask: Mask) -> std::result::Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::open(name, flags, Mode::from_raw_mode(0o444))?;
    if let Text(text) = mask {
        // A few bytes into a new file in memory go in at once or not at all.
        rustix::io::write(&file, text.as_bytes())?;
    }
    rustix::fs::openat(CWD, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// What to hide of the host for a path that somebody gave: the path, and what it leads to.
pub(crate) fn to_hide(path: PathBuf) -> Vec<PathBuf> {
    let real = path.canonicalize().ok().filter(|real| *real != path);
    [Some(path), real].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_place_is_covered_once_by_a_relative_path() {
        let places: BTreeSet<&str> = MASKS.iter().map(|(path, _)| *path).collect();
        assert_eq!(places.len(), MASKS.len());
        assert!(places.iter().all(|path| !path.starts_with('/')));
    }

    #[test]
    fn a_link_is_hidden_with_what_it_leads_to() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().canonicalize().unwrap();
        let (real, link) = (directory.join("real"), directory.join("link"));
        std::fs::write(&real, "").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert_eq!(to_hide(link.clone()), [link, real.clone()]);
        assert_eq!(to_hide(real.clone()), [real]);
        let absent = directory.join("absent");
        assert_eq!(to_hide(absent.clone()), [absent]);
    }
}
