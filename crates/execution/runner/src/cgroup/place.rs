//! Where control groups of ours can be, from what `/proc` says. Pure, but for [`Tables::read`] and a look at which
//! groups hand their controllers down.

use std::fs;
use std::path::{Path, PathBuf};

/// The two kinds of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Each controller has a tree of its own.
    One,
    /// One tree for all.
    Two,
}

/// A group in which one for our commands can be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) parent: PathBuf,
}

/// `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(super) struct Tables {
    mounts: String,
    own: String,
}

impl Tables {
    pub(super) fn read() -> Result<Tables, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("reading {path}: {error}"));
        Ok(Tables {
            mounts: read("/proc/self/mountinfo")?,
            own: read("/proc/self/cgroup")?,
        })
    }

    /// Where groups with this controller can be made.
    pub(super) fn find(&self, controller: &str) -> Result<Place, String> {
        self.find_with(controller, &|group| {
            fs::read_to_string(group.join("cgroup.subtree_control")).unwrap_or_default()
        })
    }

    /// `handed_down` says what a group of version 2 hands to those in it.
    fn find_with(&self, controller: &str, handed_down: &dyn Fn(&Path) -> String) -> Result<Place, String> {
        if let Some(parent) = self.own_group("cgroup", Some(controller)) {
            return Ok(Place {
                version: Version::One,
                parent,
            });
        }
        let Some(own) = self.own_group("cgroup2", None) else {
            return Err("no control groups are mounted in sight".to_owned());
        };
        let top = self
            .mount("cgroup2", None)
            .map(|mount| mount.at)
            .unwrap_or_default();
        let hands_down = |group: &&Path| {
            let controllers = handed_down(group);
            ["memory", "pids"]
                .iter()
                .all(|needed| controllers.split_whitespace().any(|word| word == *needed))
        };
        let within = own.ancestors().take_while(|group| group.starts_with(&top));
        match within.into_iter().find(hands_down) {
            Some(parent) => Ok(Place {
                version: Version::Two,
                parent: parent.to_owned(),
            }),
            None => Err(format!(
                "neither {} nor a control group above it hands memory and pids down",
                own.display()
            )),
        }
    }

    /// The folder of the group that this process is in.
    fn own_group(&self, kind: &str, controller: Option<&str>) -> Option<PathBuf> {
        let mount = self.mount(kind, controller)?;
        let is_ours = |controllers: &str| match controller {
            Some(controller) => controllers.split(',').any(|one| one == controller),
            None => controllers.is_empty(),
        };
        let own = self.own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            is_ours(controllers).then_some(path)
        })?;
        // A mount may show a part of the tree only.
        let below = Path::new(own).strip_prefix(&mount.root).ok()?;
        Some(mount.at.join(below))
    }

    fn mount(&self, kind: &str, controller: Option<&str>) -> Option<Mount> {
        self.mounts.lines().find_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut fields = before.split(' ').skip(3);
            let (root, at) = (fields.next()?, fields.next()?);
            let mut details = after.split(' ');
            let (found, options) = (details.next()?, details.nth(1)?);
            let has =
                controller.is_none_or(|controller| options.split(',').any(|option| option == controller));
            (found == kind && has).then(|| Mount {
                root: PathBuf::from(root),
                at: PathBuf::from(at),
            })
        })
    }
}

struct Mount {
    root: PathBuf,
    at: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
22 1 0:20 / /proc rw - proc proc rw
30 22 0:25 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 22 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 22 0:27 /docker/abc /sys/fs/cgroup/pids rw shared:1 - cgroup cgroup rw,pids
33 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    const UNIFIED: &str = "33 22 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn find(
        mounts: &str,
        own: &str,
        controller: &str,
        handing_down: &[&str],
    ) -> Result<(Version, String), String> {
        let tables = Tables {
            mounts: mounts.to_owned(),
            own: own.to_owned(),
        };
        let handed_down = |group: &Path| match handing_down.iter().any(|one| group == Path::new(one)) {
            true => "cpu memory pids\n".to_owned(),
            false => "cpu\n".to_owned(),
        };
        let place = tables.find_with(controller, &handed_down)?;
        Ok((
            place.version,
            place
                .parent
                .components()
                .collect::<PathBuf>()
                .display()
                .to_string(),
        ))
    }

    #[test]
    fn version_one_wherever_it_has_the_controller() {
        let own = "4:memory:/a/b\n8:pids:/docker/abc/x\n2:cpu,cpuacct:/\n0::/\n";
        let one = |path: &str| Ok((Version::One, path.to_owned()));
        assert_eq!(find(HYBRID, own, "memory", &[]), one("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(find(HYBRID, own, "pids", &[]), one("/sys/fs/cgroup/pids/x"));
        assert_eq!(find(HYBRID, own, "cpu", &[]), one("/sys/fs/cgroup/cpu,cpuacct"));
    }

    #[test]
    fn version_two_in_the_nearest_group_that_hands_down() {
        let own = "0::/user.slice/user-1000.slice/session-1.scope\n";
        let two = |path: &str| Ok((Version::Two, path.to_owned()));
        let (top, slice) = ("/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/user-1000.slice");
        let scope = "/sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope";
        assert_eq!(find(UNIFIED, own, "memory", &[top, slice]), two(slice));
        assert_eq!(find(UNIFIED, own, "memory", &[top, slice, scope]), two(scope));
        assert_eq!(find(UNIFIED, own, "pids", &[top]), two(top));
        let error = find(UNIFIED, own, "memory", &["/sys/fs", "/"]).unwrap_err();
        assert!(error.contains("session-1.scope nor"), "{error}");
        let error = find("", own, "memory", &[]).unwrap_err();
        assert!(error.contains("no control groups are mounted"), "{error}");
    }
}
