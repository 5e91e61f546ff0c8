//! A volume that remembers every step, fails where it is told to, and can be looked at as a power cut would leave it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::volume::{Volume, VolumeFile};

pub(crate) mod crash;
mod faults;
mod flips;
mod garbage;
mod model;

/// Disks write this much at once or not at all.
const SECTOR_BYTES: usize = 512;

/// One step, in the order in which they happened.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Create(String, usize),
    Write(usize, u64, Vec<u8>),
    Truncate(usize, u64),
    Sync(usize),
    Rename(String, String),
    Remove(String),
    SyncNames,
    /// Something the store said to its caller.
    Said(usize),
}

/// What an operation does to the disk, for a plan of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    Create,
    Write,
    Sync,
    Names,
    Read,
}

type Plan = Box<dyn FnMut(Site) -> Option<io::Error> + Send>;

/// A directory in memory.
#[derive(Clone)]
pub(crate) struct SimulatedVolume {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    files: Vec<Vec<u8>>,
    trace: Vec<Step>,
    plan: Option<Plan>,
}

struct SimulatedFile {
    state: Arc<Mutex<State>>,
    id: usize,
}

impl SimulatedVolume {
    pub(crate) fn new() -> Self {
        SimulatedVolume {
            state: Arc::new(Mutex::new(State::default())),
        }
    }

    /// Decides from now on which operations fail.
    pub(crate) fn fail(&self, plan: impl FnMut(Site) -> Option<io::Error> + Send + 'static) {
        self.state.lock().plan = Some(Box::new(plan));
    }

    pub(crate) fn heal(&self) {
        self.state.lock().plan = None;
    }

    /// Notes that the store has said something.
    pub(crate) fn said(&self, what: usize) {
        self.state.lock().trace.push(Step::Said(what));
    }

    pub(crate) fn trace(&self) -> Vec<Step> {
        self.state.lock().trace.clone()
    }

    /// A copy as it is now, as the death of the process alone leaves it.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state.lock();
        let names = state.names.clone();
        let files = state.files.clone();
        SimulatedVolume {
            state: Arc::new(Mutex::new(State {
                names,
                files,
                ..State::default()
            })),
        }
    }

    /// Changes the bytes of files whose names end so.
    pub(crate) fn damage(&self, suffix: &str, change: impl FnOnce(&mut [&mut Vec<u8>])) {
        let mut state = self.state.lock();
        let ids: Vec<usize> = state
            .names
            .iter()
            .filter(|(name, _)| name.ends_with(suffix))
            .map(|(_, id)| *id)
            .collect();
        let mut files: Vec<&mut Vec<u8>> = state
            .files
            .iter_mut()
            .enumerate()
            .filter(|(id, _)| ids.contains(id))
            .map(|(_, file)| file)
            .collect();
        change(&mut files);
    }

    /// What a power cut after `trace` may leave: everything synced, and of the rest what `chance` (between 0 and its
    /// argument) picks, sector by sector.
    pub(crate) fn after_power_cut(trace: &[Step], chance: impl FnMut(usize) -> usize) -> Self {
        SimulatedVolume::new().continued(trace, chance)
    }

    /// The same for a life that began with what is here, all of it on the disk.
    pub(crate) fn continued(&self, trace: &[Step], mut chance: impl FnMut(usize) -> usize) -> Self {
        let (mut names, mut files) = {
            let state = self.state.lock();
            (state.names.clone(), state.files.clone())
        };
        let mut unsynced: Vec<Vec<(u64, Vec<u8>)>> = vec![Vec::new(); files.len()];
        let mut pending: Vec<Step> = Vec::new();
        for step in trace {
            match step {
                Step::Create(_, id) => {
                    files.resize(files.len().max(id + 1), Vec::new());
                    unsynced.resize(unsynced.len().max(id + 1), Vec::new());
                    pending.push(step.clone());
                }
                Step::Write(id, at, bytes) => unsynced[*id].push((*at, bytes.clone())),
                Step::Truncate(id, length) => {
                    // Ordered with what came before it, as journalling file systems do.
                    for (at, bytes) in unsynced[*id].drain(..) {
                        write(&mut files[*id], at, &bytes);
                    }
                    files[*id].resize(*length as usize, 0);
                }
                Step::Sync(id) => {
                    for (at, bytes) in unsynced[*id].drain(..) {
                        write(&mut files[*id], at, &bytes);
                    }
                }
                Step::Rename(..) | Step::Remove(_) => pending.push(step.clone()),
                Step::SyncNames => pending.drain(..).for_each(|step| rename(&mut names, &step)),
                Step::Said(_) => {}
            }
        }
        // Names change in order, but how many of the last changes arrived nobody knows.
        let arrived = chance(pending.len() + 1);
        pending
            .iter()
            .take(arrived)
            .for_each(|step| rename(&mut names, step));
        for (id, writes) in unsynced.into_iter().enumerate() {
            for (at, bytes) in writes {
                // All, nothing, or some sectors.
                let what = chance(4);
                for (number, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                    if what == 0 || what == 1 && chance(2) == 0 || what == 2 && number < 3 {
                        write(&mut files[id], at + (number * SECTOR_BYTES) as u64, sector);
                    }
                }
            }
        }
        SimulatedVolume {
            state: Arc::new(Mutex::new(State {
                names,
                files,
                ..State::default()
            })),
        }
    }
}

fn rename(names: &mut BTreeMap<String, usize>, step: &Step) {
    match step {
        Step::Create(name, id) => drop(names.insert(name.clone(), *id)),
        Step::Remove(name) => drop(names.remove(name)),
        Step::Rename(from, to) => {
            if let Some(id) = names.remove(from) {
                names.insert(to.clone(), id);
            }
        }
        _ => {}
    }
}

fn write(file: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let (start, end) = (at as usize, at as usize + bytes.len());
    file.resize(file.len().max(end), 0);
    file[start..end].copy_from_slice(bytes);
}

impl State {
    fn check(&mut self, site: Site) -> io::Result<()> {
        match self.plan.as_mut().and_then(|plan| plan(site)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Volume for SimulatedVolume {
    fn create(&self, name: &str) -> io::Result<Arc<dyn VolumeFile>> {
        let mut state = self.state.lock();
        state.check(Site::Create)?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.files.len();
        state.files.push(Vec::new());
        state.names.insert(name.to_owned(), id);
        state.trace.push(Step::Create(name.to_owned(), id));
        Ok(Arc::new(SimulatedFile {
            state: self.state.clone(),
            id,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn VolumeFile>> {
        let id = self.state.lock().find(name)?;
        Ok(Arc::new(SimulatedFile {
            state: self.state.clone(),
            id,
        }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Site::Names)?;
        state.find(name)?;
        state.names.remove(name);
        state.trace.push(Step::Remove(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Site::Names)?;
        let id = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), id);
        state.trace.push(Step::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state.lock().names.keys().cloned().collect())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Site::Sync)?;
        state.trace.push(Step::SyncNames);
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("simulated")
    }
}

impl VolumeFile for SimulatedFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        // A failing write may have written a part.
        let failure = state.check(Site::Write);
        let written = if failure.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        write(&mut state.files[self.id], offset, written);
        state.trace.push(Step::Write(self.id, offset, written.to_vec()));
        failure
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state.lock();
        state.check(Site::Read)?;
        let file = &state.files[self.id];
        let start = (offset as usize).min(file.len());
        Ok(file[start..file.len().min(start + length)].to_vec())
    }

    fn read_at_once(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.read_at(offset, length)?;
        Ok((bytes.len() == length).then_some(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Site::Sync)?;
        state.trace.push(Step::Sync(self.id));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.state.lock().files[self.id].len() as u64)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Site::Write)?;
        state.files[self.id].resize(length as usize, 0);
        state.trace.push(Step::Truncate(self.id, length));
        Ok(())
    }
}

/// Numbers that depend on a seed only.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides.max(1)
    }
}

/// How many times a test of this kind is repeated: a number for each change, and as many as `FARRIER_ROUNDS` times that
/// by night.
pub(crate) fn rounds(usual: usize) -> usize {
    let times = std::env::var("FARRIER_ROUNDS")
        .ok()
        .and_then(|times| times.parse::<usize>().ok());
    usual * times.unwrap_or(1)
}
