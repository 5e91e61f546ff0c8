//! Names of objects.
//!
//! ```text
//! blobs/sha256/2c/2cf2…24-70000   one large blob
//! segments/<time and chance>      many small blobs; ids ascend with time
//! results/sha256/2c/2cf2…24-142   one action result
//! touches/<epoch>/<time and chance>   what was promised to somebody in that epoch
//! condemned/<time and chance>     what a collector means to remove after its grace
//! doomed/<time and chance>        what a collector is removing right now
//! ```
//!
//! All below the prefix that the store was opened with. Numbers are hexadecimal with leading zeros, so that the order
//! of names is the order of numbers.

use blob::{Digest, DigestFunction};
use object_store::path::Path;
use uuid::Uuid;

use crate::clock::{Epoch, Moment};

/// A moment and 64 random bits: unique, and sorted by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TimedId(u128);

impl TimedId {
    pub(crate) fn new(now: Moment) -> Self {
        let chance = Uuid::new_v4().as_u128() as u64;
        TimedId(u128::from(now.0) << 64 | u128::from(chance))
    }

    pub(crate) fn moment(self) -> Moment {
        Moment((self.0 >> 64) as u64)
    }

    /// Before every id of that moment or later.
    pub(crate) fn first_of(moment: Moment) -> Self {
        TimedId(u128::from(moment.0) << 64)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        hex.then(|| u128::from_str_radix(text, 16).ok().map(TimedId))?
    }
}

impl std::fmt::Display for TimedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// What lives and dies as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Unit {
    Segment(TimedId),
    Blob(Digest),
    Result(Digest),
}

/// What somebody was promised or has read: a unit, or of a segment one blob, so that the rest of it can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Touch {
    Whole(Unit),
    Packed {
        segment: TimedId,
        offset: u32,
        size_bytes: u32,
    },
}

impl Touch {
    /// The object that it is about.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Touch::Whole(unit) => unit,
            Touch::Packed { segment, .. } => Unit::Segment(segment),
        }
    }
}

impl From<Unit> for Touch {
    fn from(unit: Unit) -> Self {
        Touch::Whole(unit)
    }
}

impl std::fmt::Display for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, digest) = match self {
            Unit::Segment(id) => return write!(f, "segments/{id}"),
            Unit::Blob(digest) => ("blobs", digest),
            Unit::Result(digest) => ("results", digest),
        };
        let (function, hash) = (digest.function().name(), digest.hash_hex());
        write!(
            f,
            "{kind}/{function}/{}/{hash}-{}",
            &hash[..2],
            digest.size_bytes()
        )
    }
}

impl Unit {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once('/')?;
        let unit = match kind {
            "segments" => Unit::Segment(TimedId::parse(rest)?),
            "blobs" => Unit::Blob(digest(rest)?),
            "results" => Unit::Result(digest(rest)?),
            _ => return None,
        };
        // One spelling for each: `+7`, `007` and a wrong folder are none of ours.
        (unit.to_string() == text).then_some(unit)
    }
}

fn digest(text: &str) -> Option<Digest> {
    let (function, rest) = text.split_once('/')?;
    let (_, rest) = rest.split_once('/')?;
    let (hash, size_bytes) = rest.split_once('-')?;
    Digest::from_hex(
        DigestFunction::from_name(function)?,
        hash,
        size_bytes.parse().ok()?,
    )
    .ok()
}

/// Folders that hold units.
pub(crate) const UNIT_FOLDERS: [&str; 3] = ["blobs", "segments", "results"];

/// Where everything lies.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Path,
}

impl Keys {
    pub(crate) fn below(prefix: Path) -> Self {
        Keys { prefix }
    }

    pub(crate) fn unit(&self, unit: Unit) -> Path {
        self.path(&unit.to_string())
    }

    pub(crate) fn folder(&self, folder: &str) -> Path {
        self.path(folder)
    }

    pub(crate) fn record(&self, folder: &str, id: TimedId) -> Path {
        self.path(&format!("{folder}/{id}"))
    }

    pub(crate) fn touches(&self, epoch: Epoch, id: TimedId) -> Path {
        self.path(&format!("touches/{:016x}/{id}", epoch.0))
    }

    /// What `path` is called below the prefix.
    pub(crate) fn name(&self, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(&self.prefix)?.collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        Some(parts.join("/"))
    }

    pub(crate) fn unit_at(&self, path: &Path) -> Option<Unit> {
        Unit::parse(&self.name(path)?)
    }

    /// The id of a record in `folder`.
    pub(crate) fn record_at(&self, folder: &str, path: &Path) -> Option<TimedId> {
        TimedId::parse(self.name(path)?.strip_prefix(folder)?.strip_prefix('/')?)
    }

    pub(crate) fn touches_at(&self, path: &Path) -> Option<(Epoch, TimedId)> {
        let name = self.name(path)?;
        let (epoch, id) = name.strip_prefix("touches/")?.split_once('/')?;
        let epoch = (epoch.len() == 16).then(|| u64::from_str_radix(epoch, 16).ok())??;
        Some((Epoch(epoch), TimedId::parse(id)?))
    }

    fn path(&self, name: &str) -> Path {
        // Every part consists of `0-9a-z-` only, which no encoding changes.
        name.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units() -> [Unit; 4] {
        let digest = |function, bytes: &[u8]| Digest::of(function, bytes);
        [
            Unit::Segment(TimedId::new(Moment(1_800_000_000_000))),
            Unit::Blob(digest(DigestFunction::Sha256, b"a")),
            Unit::Blob(digest(DigestFunction::Blake3, b"a")),
            Unit::Result(digest(DigestFunction::Sha256, b"")),
        ]
    }

    #[test]
    fn names_round_trip_under_any_prefix() {
        for prefix in ["", "a", "some/where else/é"] {
            let keys = Keys::below(Path::from(prefix));
            for unit in units() {
                assert_eq!(Unit::parse(&unit.to_string()), Some(unit));
                assert_eq!(keys.unit_at(&keys.unit(unit)), Some(unit));
            }
            let id = TimedId::new(Moment(7));
            assert_eq!(keys.record_at("doomed", &keys.record("doomed", id)), Some(id));
            assert_eq!(keys.record_at("doomed", &keys.record("condemned", id)), None);
            assert_eq!(keys.touches_at(&keys.touches(Epoch(5), id)), Some((Epoch(5), id)));
        }
        assert_eq!(
            Keys::below(Path::from("a")).unit_at(&Path::from("b/segments/x")),
            None
        );
    }

    #[test]
    fn what_is_not_ours_is_not_a_unit() {
        let hash = Digest::of(DigestFunction::Sha256, b"a").hash_hex();
        for name in [
            "segments/1".to_owned(),
            format!("blobs/sha256/ff/{hash}-1"),
            format!("blobs/sha256/ca/{hash}-01"),
            format!("blobs/sha256/ca/{hash}-+1"),
            format!("blobs/sha256/ca/{hash}-0"),
            format!("blobs/md4/ca/{hash}-1"),
            format!("other/sha256/ca/{hash}-1"),
            "blobs".to_owned(),
        ] {
            assert_eq!(Unit::parse(&name), None, "{name}");
        }
        assert!(Unit::parse(&format!("blobs/sha256/ca/{hash}-1")).is_some());
    }

    #[test]
    fn ids_ascend_with_time() {
        let [early, late] = [5, 6].map(|millis| TimedId::new(Moment(millis)));
        assert!(early < late && early.to_string() < late.to_string());
        assert!(TimedId::first_of(Moment(6)) <= late && early < TimedId::first_of(Moment(6)));
        assert_eq!(late.moment(), Moment(6));
    }
}
