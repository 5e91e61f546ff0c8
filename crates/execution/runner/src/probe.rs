//! What the kernel gives: found by trying, once, at start.

use std::collections::BTreeSet;
use std::fs;

use runner_api::{Availability, Capabilities, DEFAULT_USER, Mechanism, UidMode};
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::cgroup::{self, Cgroups, Limits};
use crate::channel::Message;
use crate::confinement::{Confinement, Ids};
use crate::init::{Errand, World};
use crate::limits::{DEATH_TIMEOUT, RUNS_MAX, SETUP_TIMEOUT};
use crate::mounts;
use crate::options::{RunnerOptions, Sandbox};
use crate::overlay;
use crate::spawn::Init;
use crate::sys::CommandLine;

/// The order in which mechanisms are tried one by one when not all work together, and what each needs. A mount
/// namespace is of use only with the tree we build in it, so these come as one.
const GROUPS: &[(&[Mechanism], &[Mechanism])] = &[
    (
        &[
            Mechanism::MountNamespace,
            Mechanism::ReadOnlyHost,
            Mechanism::PrivateTmp,
            Mechanism::PrivateDev,
        ],
        &[],
    ),
    (&[Mechanism::PidNamespace], &[]),
    (
        &[Mechanism::PrivateProc],
        &[Mechanism::MountNamespace, Mechanism::PidNamespace],
    ),
    (&[Mechanism::NetworkNamespace], &[]),
    (&[Mechanism::IpcNamespace], &[]),
    (&[Mechanism::UtsNamespace], &[]),
    (&[Mechanism::CgroupNamespace], &[]),
    (&[Mechanism::NoNestedNamespaces], &[Mechanism::UserNamespace]),
    (&[Mechanism::SystemCallFilter], &[]),
    (&[Mechanism::Landlock], &[]),
];

/// Sysctls by which distributions and administrators forbid user namespaces, with the value that does.
const OBSTACLES: &[(&str, &str)] = &[
    ("kernel/apparmor_restrict_unprivileged_userns", "1"),
    ("kernel/unprivileged_userns_clone", "0"),
    ("user/max_user_namespaces", "0"),
];

/// What commands of this runner get, and how to say so.
pub(crate) fn probe(options: &RunnerOptions) -> (Confinement, Capabilities) {
    let findings = match options.sandbox {
        Sandbox::Off => switched_off(),
        Sandbox::Require | Sandbox::BestEffort => find(&candidates(options), &mut |mechanisms, ids| {
            attempt(options, mechanisms, ids)
        }),
    };
    let Findings {
        mechanisms,
        ids,
        whys,
    } = findings;
    let cgroup::Findings {
        cgroups,
        why_no_memory,
        why_no_processes,
        why_no_processors,
    } = Cgroups::prepare(options.memory_bytes_max);
    let bounded = |why_not: Option<String>| match why_not {
        Some(why) => Availability::Missing { why },
        None => Availability::Available,
    };
    let availability = |mechanism: Mechanism| match whys.iter().find(|(missing, _)| *missing == mechanism) {
        Some((_, why)) => Availability::Missing { why: why.clone() },
        None => Availability::Available,
    };
    let confinement = Confinement {
        cgroups,
        ..confinement(options, mechanisms, ids)
    };
    let why_no_processes = why_no_processes.filter(|_| !confinement.bounds_own_processes());
    let why_no_overlays = match confinement.clones_mounts {
        true => overlay::why_not(),
        false => Some("the runner has no rights over mounts".to_owned()),
    };
    let capabilities = Capabilities {
        mechanisms: Mechanism::ALL
            .into_iter()
            .map(|mechanism| (mechanism, availability(mechanism)))
            .collect(),
        uid_mode: ids.mode,
        hardlinks_safe: ids.mode == UidMode::Privileged,
        action_uid: ids.uid,
        action_gid: ids.gid,
        runs_max: RUNS_MAX,
        memory_limit: bounded(why_no_memory),
        process_limit: bounded(why_no_processes),
        processor_limit: bounded(why_no_processors),
        overlays: bounded(why_no_overlays),
    };
    (confinement, capabilities)
}

fn confinement(options: &RunnerOptions, mechanisms: BTreeSet<Mechanism>, ids: Ids) -> Confinement {
    let drops_capabilities = options.sandbox != Sandbox::Off;
    // Root may lack the right (in a container).
    let clones_mounts = ids.mode == UidMode::Privileged
        && mechanisms.contains(&Mechanism::MountNamespace)
        && mounts::may_clone();
    Confinement {
        mechanisms,
        ids,
        host_paths: options.host_paths.clone(),
        hidden_paths: options.hidden_paths.clone(),
        through: options
            .through
            .iter()
            .map(|word| word.as_encoded_bytes().to_vec())
            .collect(),
        drops_capabilities,
        clones_mounts,
        command_line: CommandLine::find(),
        cgroups: Cgroups::none(),
        death_timeout: options.death_timeout,
        lender: None,
    }
}

/// Whose id commands could run as, best first.
fn candidates(options: &RunnerOptions) -> Vec<Ids> {
    let own = own_ids();
    match own.uid {
        0 => vec![
            Ids {
                mode: UidMode::Privileged,
                uid: options.action_uid,
                gid: options.action_gid,
                inner: DEFAULT_USER,
            },
            own,
        ],
        _ => vec![own],
    }
}

fn own_ids() -> Ids {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    Ids {
        mode: UidMode::Rootless,
        uid,
        gid,
        inner: DEFAULT_USER,
    }
}

struct Findings {
    mechanisms: BTreeSet<Mechanism>,
    ids: Ids,
    /// What is missing, and why.
    whys: Vec<(Mechanism, String)>,
}

fn switched_off() -> Findings {
    let missing = Mechanism::ALL
        .into_iter()
        .filter(|mechanism| *mechanism != Mechanism::NoNewPrivs);
    Findings {
        mechanisms: BTreeSet::from([Mechanism::NoNewPrivs]),
        ids: own_ids(),
        whys: missing
            .map(|mechanism| (mechanism, "the sandbox is switched off".to_owned()))
            .collect(),
    }
}

/// Tries to build a world of these mechanisms for this id. What failed, if it did.
type Attempt<'a> = &'a mut dyn FnMut(&BTreeSet<Mechanism>, Ids) -> Result<(), String>;

/// All together if that works; otherwise one by one, keeping what works.
fn find(candidates: &[Ids], attempt: Attempt<'_>) -> Findings {
    let all = BTreeSet::from(Mechanism::ALL);
    let best = candidates[0];
    if attempt(&all, best).is_ok() {
        return Findings {
            mechanisms: all,
            ids: best,
            whys: Vec::new(),
        };
    }
    let mut whys = Vec::new();
    // no_new_privs is no separate step: every attempt sets it, and a kernel without it gets nothing at all.
    let mut mechanisms = BTreeSet::from([Mechanism::NoNewPrivs, Mechanism::UserNamespace]);
    let mut first_that_works = |mechanisms: &BTreeSet<Mechanism>| {
        let mut why = String::new();
        for ids in candidates {
            match attempt(mechanisms, *ids) {
                Ok(()) => return Ok(*ids),
                Err(message) => why = message,
            }
        }
        Err(why)
    };
    let ids = match first_that_works(&mechanisms) {
        Ok(ids) => ids,
        Err(why) => {
            mechanisms.remove(&Mechanism::UserNamespace);
            whys.push((Mechanism::UserNamespace, format!("{why}{}", obstacles())));
            // Root can still become somebody else without one.
            first_that_works(&mechanisms).unwrap_or(own_ids())
        }
    };
    for (group, needs) in GROUPS {
        let tried = match needs.iter().find(|need| !mechanisms.contains(need)) {
            Some(need) => Err(format!("it needs a {need}, which is missing")),
            None => attempt(&mechanisms.iter().chain(*group).copied().collect(), ids),
        };
        match tried {
            Ok(()) => mechanisms.extend(*group),
            Err(why) => whys.extend(group.iter().map(|mechanism| (*mechanism, why.clone()))),
        }
    }
    if let Err(why) = attempt(&mechanisms, ids) {
        mechanisms.remove(&Mechanism::NoNewPrivs);
        whys.push((Mechanism::NoNewPrivs, why));
    }
    Findings {
        mechanisms,
        ids,
        whys,
    }
}

/// Builds a world with these mechanisms and nothing in it.
fn attempt(options: &RunnerOptions, mechanisms: &BTreeSet<Mechanism>, ids: Ids) -> Result<(), String> {
    let confinement = confinement(options, mechanisms.clone(), ids);
    let world = World {
        confinement: &confinement,
        errand: Errand::Trial,
        limits: Limits::default(),
    };
    let init = Init::start(world).map_err(|error| error.to_string())?;
    let mut death = [PollFd::from_borrowed_fd(init.death(), PollFlags::IN)];
    let died_by_itself = wait(&mut death, SETUP_TIMEOUT)?;
    if !died_by_itself {
        init.kill();
        if !wait(&mut death, DEATH_TIMEOUT)? {
            return Err(format!(
                "a trial does not die, {DEATH_TIMEOUT:?} after it was killed"
            ));
        }
    }
    let status = init.reap().map_err(|errno| format!("reaping a trial: {errno}"))?;
    match init.channel.receive() {
        _ if !died_by_itself => Err(format!("a trial took longer than {SETUP_TIMEOUT:?}")),
        Ok(Some(Message::Ready)) if status == 0 => Ok(()),
        Ok(Some(Message::SetupFailed(message))) => Err(message),
        other => Err(format!("a trial ended with status {status} and said {other:?}")),
    }
}

fn wait(descriptors: &mut [PollFd<'_>], patience: std::time::Duration) -> Result<bool, String> {
    let patience = Timespec::try_from(patience).map_err(|error| error.to_string())?;
    rustix::io::retry_on_intr(|| rustix::event::poll(descriptors, Some(&patience)))
        .map(|ready| ready > 0)
        .map_err(|errno| format!("waiting for a trial: {errno}"))
}

fn obstacles() -> String {
    let set = |(name, value): &(&str, &str)| {
        let found = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        (found.trim() == *value).then(|| format!(" (sysctl {}={value} forbids it)", name.replace('/', ".")))
    };
    OBSTACLES.iter().filter_map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIVILEGED: Ids = Ids {
        mode: UidMode::Privileged,
        uid: 62_000,
        gid: 62_000,
        inner: DEFAULT_USER,
    };
    const ROOTLESS: Ids = Ids {
        mode: UidMode::Rootless,
        uid: 0,
        gid: 0,
        inner: DEFAULT_USER,
    };

    /// A kernel without `missing`, that maps ids only as told.
    fn kernel(
        missing: &'static [Mechanism],
        maps: &'static [Ids],
    ) -> impl FnMut(&BTreeSet<Mechanism>, Ids) -> Result<(), String> {
        move |mechanisms, ids| match missing.iter().find(|missing| mechanisms.contains(missing)) {
            Some(missing) => Err(format!("no {missing}")),
            None if mechanisms.contains(&Mechanism::UserNamespace) && !maps.contains(&ids) => {
                Err("no map".to_owned())
            }
            None => Ok(()),
        }
    }

    fn check(
        missing: &'static [Mechanism],
        maps: &'static [Ids],
        expected_ids: Ids,
        expected_whys: &[(Mechanism, &str)],
    ) {
        let found = find(&[PRIVILEGED, ROOTLESS], &mut kernel(missing, maps));
        let whys: Vec<_> = found
            .whys
            .iter()
            .map(|(mechanism, why)| (*mechanism, why.as_str()))
            .collect();
        assert_eq!(found.ids, expected_ids);
        assert_eq!(whys, expected_whys);
        let left_out: BTreeSet<_> = whys.iter().map(|(mechanism, _)| *mechanism).collect();
        assert_eq!(
            found.mechanisms,
            BTreeSet::from(Mechanism::ALL)
                .difference(&left_out)
                .copied()
                .collect()
        );
    }

    #[test]
    fn everything_works() {
        check(&[], &[PRIVILEGED], PRIVILEGED, &[]);
    }

    #[test]
    fn a_root_that_may_not_map_another_id_is_rootless() {
        check(&[], &[ROOTLESS], ROOTLESS, &[]);
    }

    #[test]
    fn one_is_missing() {
        check(
            &[Mechanism::NetworkNamespace],
            &[PRIVILEGED],
            PRIVILEGED,
            &[(Mechanism::NetworkNamespace, "no network namespace")],
        );
    }

    #[test]
    fn what_needs_something_missing_is_missing_too() {
        check(
            &[Mechanism::PidNamespace],
            &[PRIVILEGED],
            PRIVILEGED,
            &[
                (Mechanism::PidNamespace, "no pid namespace"),
                (
                    Mechanism::PrivateProc,
                    "it needs a pid namespace, which is missing",
                ),
            ],
        );
        check(
            &[Mechanism::PrivateDev],
            &[PRIVILEGED],
            PRIVILEGED,
            &[
                (Mechanism::MountNamespace, "no private /dev"),
                (Mechanism::ReadOnlyHost, "no private /dev"),
                (Mechanism::PrivateTmp, "no private /dev"),
                (Mechanism::PrivateDev, "no private /dev"),
                (
                    Mechanism::PrivateProc,
                    "it needs a mount namespace, which is missing",
                ),
            ],
        );
    }
}
