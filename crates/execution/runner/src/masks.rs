//! What of the host a command does not see although it lies where it may look: things by which one machine is told from
//! another, parts of `/proc` about the whole machine, and what the operator's own programs keep secret.
//!
//! Something with a constant content is mounted over each. What is not there needs no cover.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::limits::OPENS_MAX;
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

/// The empty directory there.
const DIRECTORY: &str = "directory";

/// What nobody can do with a cover.
const RESTRICTIONS: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY
    .union(MountAttrFlags::MOUNT_ATTR_NOSUID)
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Covers that are made and not attached yet.
pub(crate) struct Masks<'a> {
    hidden: &'a [PathBuf],
    /// Each lies there by the name of its number.
    covers: Vec<Mask>,
    /// A mount of its own, so that what is cloned from it is restricted from the start.
    workshop: OwnedFd,
}

impl<'a> Masks<'a> {
    /// Init: makes what can be mounted over things. The current directory is the new root, and nothing is mounted at
    /// [`WORKSHOP`] yet. `hidden`: absolute paths of the host that commands must not see into, besides the table's.
    pub(crate) fn prepare(hidden: &'a [PathBuf]) -> Result<Masks<'a>> {
        let mut covers: Vec<Mask> = Vec::new();
        for (_, mask) in MASKS {
            if !covers.contains(mask) {
                make_file(&format!("{WORKSHOP}/{}", covers.len()), *mask)
                    .step_with(|| format!("making {mask:?} to hide things with"))?;
                covers.push(*mask);
            }
        }
        rustix::fs::mkdir(format!("{WORKSHOP}/{DIRECTORY}"), Mode::from_raw_mode(0o555))
            .step("making an empty directory to hide things with")?;
        Ok(Masks {
            hidden,
            covers,
            workshop: restricted_workshop().step("restricting what things are hidden with")?,
        })
    }

    /// Init: mounts them, in the tree below `root`, which is the current directory.
    pub(crate) fn attach(&self, root: &OwnedFd) -> Result<()> {
        let hiding = |path: &Path| format!("hiding {:?}", Path::new("/").join(path));
        let (in_proc, elsewhere): (Vec<_>, Vec<_>) =
            MASKS.iter().partition(|(path, _)| path.starts_with("proc/"));
        rustix::process::fchdir(&self.workshop).step("entering the workshop")?;
        for (path, mask) in in_proc {
            self.cover_in_proc(root, path, mask)
                .step_with(|| hiding(Path::new(path)))?;
        }
        rustix::process::fchdir(root).step("entering the new root")?;
        let listed = elsewhere.into_iter().map(|(path, mask)| (Path::new(path), mask));
        let hidden = self
            .hidden
            .iter()
            .map(|path| (path.strip_prefix("/").unwrap_or(path), Nothing));
        for (path, mask) in listed.chain(hidden) {
            self.cover(root, path, mask).step_with(|| hiding(path))?;
        }
        Ok(())
    }

    /// The workshop is the current directory. Each cover costs time with every command, and there are many here: one call
    /// that names two paths takes less than a clone that is first detached. What the kernel names in `/proc` leads nowhere
    /// else, so these paths can be trusted.
    fn cover_in_proc(&self, root: &OwnedFd, path: &str, mask: Mask) -> std::result::Result<(), Errno> {
        let found = match rustix::fs::statat(root, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(errno) if leads_nowhere(errno) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        match FileType::from_raw_mode(found.st_mode) {
            // Whatever that leads to.
            FileType::Symlink => return self.cover(root, Path::new(path), mask),
            FileType::Directory => {}
            _ if is_for_root_alone(found.st_mode) => return Ok(()),
            _ => {}
        }
        // The workshop lies under `/proc`: what is above it is the new root.
        rustix::mount::mount_bind(self.name(found.st_mode, mask)?, format!("../{path}"))
    }

    fn cover(&self, root: &OwnedFd, path: &Path, mask: Mask) -> std::result::Result<(), Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let open = || rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
        // The kernel cannot tell where `..` leads while something is renamed or mounted anywhere, and says to try again.
        let mut opened = std::iter::repeat_with(open).take(OPENS_MAX);
        let opened = opened.find(|opened| !matches!(opened, Err(Errno::AGAIN)));
        let target = match opened.unwrap_or(Err(Errno::AGAIN)) {
            Ok(target) => target,
            Err(errno) if leads_nowhere(errno) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let found = rustix::fs::fstat(&target)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let cover = rustix::mount::open_tree(&self.workshop, self.name(found.st_mode, mask)?, flags)?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(&cover, "", &target, "", flags)
    }

    /// What lies in the workshop to cover something of this mode with.
    fn name(&self, mode: u32, mask: Mask) -> std::result::Result<String, Errno> {
        if FileType::from_raw_mode(mode) == FileType::Directory {
            return Ok(DIRECTORY.to_owned());
        }
        let number = self.covers.iter().position(|made| *made == mask);
        number.map(|number| number.to_string()).ok_or(Errno::NOENT)
    }
}

/// Then the command cannot get there either.
fn leads_nowhere(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP)
}

/// Mounts the workshop over itself, restricted.
fn restricted_workshop() -> std::result::Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let workshop = rustix::mount::open_tree(CWD, WORKSHOP, flags)?;
    sys::mount_set_attributes(&workshop, RESTRICTIONS.bits().into(), false)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&workshop, "", CWD, WORKSHOP, flags)?;
    Ok(workshop)
}

/// Whether nobody but the owner can open a file. In `/proc` outside of processes that is the machine's root, which no command
/// is, whoever it is in its own world.
fn is_for_root_alone(mode: u32) -> bool {
    mode & 0o077 == 0
}

fn make_file(name: &str, mask: Mask) -> std::result::Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::open(name, flags, Mode::from_raw_mode(0o444))?;
    if let Text(text) = mask {
        // A few bytes into a new file in memory go in at once or not at all.
        rustix::io::write(&file, text.as_bytes())?;
    }
    Ok(())
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
