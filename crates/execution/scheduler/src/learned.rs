//! What commands have needed when they ran before.
//!
//! A *shape* is a command without its inputs: arguments, environment, outputs, platform. The same compile of a changed
//! source has the same shape, and needs about the same again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use action::Platform;
use prost::Message;
use reapi::execution::Command;

use crate::WorkerId;
use crate::size::Size;

/// How many shapes are remembered; those that ran longest ago are forgotten first.
pub(crate) const SHAPES_MAX: usize = 100_000;

/// What a worker measured of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How long the command ran.
    pub wall: Duration,
    /// Time on processors, of all its processes.
    pub cpu: Duration,
    /// Memory it needed; zero if nobody measured.
    pub memory_bytes: u64,
    /// It was killed because the memory was used up that all actions of the worker share.
    pub crowded_out: bool,
}

/// Names a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shape(pub u64);

/// What is expected of the next run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// How long it takes.
    pub wall: Duration,
    /// How many processors it keeps busy.
    pub cpus: f64,
    /// How much memory it needs; zero if nobody knows.
    pub memory_bytes: u64,
}

#[derive(Debug)]
struct Known {
    expected: Expected,
    noted: u64,
    /// Where it ran last, in this life of the scheduler: what it reads may still be there.
    ran_on: Option<WorkerId>,
}

/// All shapes.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    by_shape: BTreeMap<Shape, Known>,
    /// By when they were noted last.
    by_age: BTreeSet<(u64, Shape)>,
    noted: u64,
}

impl Shape {
    /// Of a command on a platform. Two that differ may get one name, once in a very long while, and are taken for the
    /// same then.
    pub(crate) fn of(command: &Command, platform: &Platform) -> Self {
        let mut hash = Fnv::default();
        hash.add(&command.encode_to_vec());
        for (name, value) in platform.iter() {
            hash.add(name.as_bytes());
            hash.add(value.as_bytes());
        }
        Shape(hash.0)
    }
}

impl Expected {
    fn first(usage: &Usage) -> Self {
        Expected {
            wall: usage.wall,
            cpus: cpus(usage),
            memory_bytes: usage.memory_bytes,
        }
    }

    /// The newer half counts as much as all before it; memory is forgotten slowly, because too little is worse than
    /// too much.
    fn then(self, usage: &Usage) -> Self {
        Expected {
            wall: (self.wall + usage.wall) / 2,
            cpus: f64::midpoint(self.cpus, cpus(usage)),
            memory_bytes: usage.memory_bytes.max(self.memory_bytes / 10 * 9),
        }
    }

    /// How much of a worker it will take.
    pub(crate) fn size(&self) -> Size {
        Size::rounded(self.cpus, self.memory_bytes)
    }
}

/// Nothing can be said about what was over at once.
fn cpus(usage: &Usage) -> f64 {
    const MEASURABLE: Duration = Duration::from_millis(100);
    match usage.wall < MEASURABLE {
        true => 1.0,
        false => usage.cpu.as_secs_f64() / usage.wall.as_secs_f64(),
    }
}

impl Shapes {
    /// What is expected of a shape that has run before.
    pub(crate) fn expected(&self, shape: Shape) -> Option<Expected> {
        self.by_shape.get(&shape).map(|known| known.expected)
    }

    /// The worker that has run this shape last.
    pub(crate) fn ran_on(&self, shape: Shape) -> Option<&WorkerId> {
        self.by_shape.get(&shape)?.ran_on.as_ref()
    }

    /// A run was measured. Answers what is expected from now on.
    pub(crate) fn note(&mut self, shape: Shape, usage: &Usage, worker: &WorkerId) -> Expected {
        let expected = match self.expected(shape) {
            Some(before) => before.then(usage),
            None => Expected::first(usage),
        };
        self.set(shape, expected);
        if let Some(known) = self.by_shape.get_mut(&shape) {
            known.ran_on = Some(worker.clone());
        }
        expected
    }

    /// It needs at least so much memory, and twice what was expected.
    pub(crate) fn needs_more_memory(&mut self, shape: Shape, usage: &Usage, expected_bytes: u64) -> Expected {
        let mut expected = self.expected(shape).unwrap_or(Expected::first(usage));
        let more = usage.memory_bytes.max(expected_bytes).saturating_mul(2);
        expected.memory_bytes = expected.memory_bytes.max(more);
        self.set(shape, expected);
        expected
    }

    /// What was expected before a restart.
    pub(crate) fn set(&mut self, shape: Shape, expected: Expected) {
        self.noted += 1;
        let known = self.by_shape.entry(shape).or_insert(Known {
            expected,
            noted: 0,
            ran_on: None,
        });
        self.by_age.remove(&(known.noted, shape));
        known.expected = expected;
        known.noted = self.noted;
        self.by_age.insert((self.noted, shape));
        if self.by_shape.len() > SHAPES_MAX
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.by_shape.remove(&oldest);
        }
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Shape, Expected)> {
        let known = |(_, shape): &(u64, Shape)| Some((*shape, self.expected(*shape)?));
        self.by_age.iter().filter_map(known)
    }
}

/// FNV-1a: the same in every process and every version, which a journal needs.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn add(&mut self, bytes: &[u8]) {
        // What separates one from the next.
        let length = bytes.len().to_le_bytes();
        for byte in length.iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(wall_ms: u64, cpu_ms: u64, mib: u64) -> Usage {
        Usage {
            wall: Duration::from_millis(wall_ms),
            cpu: Duration::from_millis(cpu_ms),
            memory_bytes: mib << 20,
            crowded_out: false,
        }
    }

    fn w() -> WorkerId {
        WorkerId::new("w")
    }

    #[test]
    fn the_newest_runs_count_most_and_memory_is_forgotten_slowly() {
        let mut shapes = Shapes::default();
        let shape = Shape(7);
        assert_eq!(shapes.expected(shape), None);
        let first = shapes.note(shape, &usage(1_000, 2_000, 400), &w());
        assert_eq!(
            (first.wall.as_millis(), first.cpus, first.memory_bytes >> 20),
            (1_000, 2.0, 400)
        );
        assert_eq!(
            first.size(),
            Size {
                slots: 2,
                memory_bytes: 512 << 20
            }
        );
        let second = shapes.note(shape, &usage(3_000, 3_000, 100), &w());
        assert_eq!(
            (second.wall.as_millis(), second.cpus, second.memory_bytes >> 20),
            (2_000, 1.5, 360)
        );
        assert_eq!(shapes.expected(shape), Some(second));
        // Over too soon to be measured.
        assert_eq!(shapes.note(Shape(8), &usage(5, 90, 1), &w()).cpus, 1.0);
    }

    #[test]
    fn more_memory_is_twice_of_what_was_used_or_expected() {
        let mut shapes = Shapes::default();
        let mib = |expected: Expected| expected.memory_bytes >> 20;
        assert_eq!(mib(shapes.needs_more_memory(Shape(1), &usage(1, 1, 300), 0)), 600);
        assert_eq!(
            mib(shapes.needs_more_memory(Shape(1), &usage(1, 1, 300), 1 << 30)),
            2_048
        );
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut shapes = Shapes::default();
        for number in 0..=SHAPES_MAX as u64 {
            shapes.note(Shape(number), &usage(1, 1, 1), &w());
            shapes.note(Shape(0), &usage(1, 1, 1), &w());
        }
        assert!(shapes.expected(Shape(0)).is_some() && shapes.expected(Shape(1)).is_none());
        assert_eq!(
            (shapes.by_shape.len(), shapes.by_age.len()),
            (SHAPES_MAX, SHAPES_MAX)
        );
        assert_eq!(shapes.iter().last().unwrap().0, Shape(0));
    }

    #[test]
    fn a_shape_is_the_command_and_its_platform() {
        let command = |words: &[&str]| Command {
            arguments: words.iter().map(ToString::to_string).collect(),
            ..Command::default()
        };
        let none = Platform::new([]).unwrap();
        let linux = Platform::new([("OSFamily".to_owned(), "linux".to_owned())]).unwrap();
        let shape = Shape::of(&command(&["cc", "a.c"]), &none);
        assert_eq!(shape, Shape::of(&command(&["cc", "a.c"]), &none));
        assert_ne!(shape, Shape::of(&command(&["cc", "b.c"]), &none));
        assert_ne!(shape, Shape::of(&command(&["cc", "a.c"]), &linux));
    }
}
