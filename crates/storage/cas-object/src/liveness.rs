//! Promises: what is told to be there is made to stay.
//!
//! Before anybody hears "it is here" about an object (an answer of `find_missing`, an acknowledged put), this happens,
//! at most once an epoch for each object:
//!
//! 1. its name is written into a record of touches, and that record is stored;
//! 2. *then* the collector's list of what it is removing (`doomed/`) is read; what stands there is not promised;
//! 3. *then* the object is looked for; what is not there is not promised.
//!
//! The collector does the opposite: it stores its list of the doomed, *then* reads the touches, removes only what was
//! not touched, and takes its list away when all is removed. Listings of all three clouds show what was stored before
//! they began. So if the list was stored after (2) began, the collector sees the touch of (1) and spares the object; if
//! it was taken away before (2) began, the object has gone by then and (3) finds nothing; otherwise (2) sees it.
//!
//! Of a segment, each blob is touched for itself. What lives of a segment that is mostly dead is stored again before the
//! old one is doomed (`collect/merge.rs`); whoever then finds the old one doomed or gone finds the new one.
//!
//! Many questions share one record and one listing: while one is stored, the next ones gather.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cas::{Lru, StoreError};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutPayload;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::{Clock, Epoch};
use crate::keys::{Keys, TimedId, Touch, Unit};
use crate::limits::{
    DOOM_POLL, DOOM_WAIT_MAX, HEADS_MAX, RECORD_BYTES_MAX, RECORD_KEYS_MAX, RECORDS_AT_ONCE_MAX,
    TOUCH_BATCH_MAX, TOUCH_QUEUE_MAX, TOUCHED_MAX,
};
use crate::record;
use crate::requests::Requests;
use crate::statistics::Counters;

/// What became of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is there and stays.
    Alive,
    /// It is not there.
    Gone,
    /// A collector is removing it, or is about to find that it must not.
    Doomed,
}

/// How well an object's life is known to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touched {
    /// Somebody used it; recorded soon.
    Used(Epoch),
    /// Recorded, not doomed, and there.
    Confirmed(Epoch),
}

pub(crate) struct Liveness {
    requests: Arc<Requests>,
    keys: Keys,
    clock: Clock,
    epoch_length: Duration,
    touched: Arc<Mutex<Lru<Touch, Touched>>>,
    questions: mpsc::Sender<Question>,
}

/// Touches to be recorded, and who wants to know when they are. Nobody, when they were only read.
struct Question {
    touches: Vec<Touch>,
    answer: Option<oneshot::Sender<Result<Recorded, StoreError>>>,
}

#[derive(Clone)]
struct Recorded {
    epoch: Epoch,
    doomed: Arc<HashSet<Unit>>,
}

impl Liveness {
    /// Starts the task that records touches. It ends when the store is dropped.
    pub(crate) fn start(
        requests: Arc<Requests>,
        keys: Keys,
        clock: Clock,
        epoch_length: Duration,
        group: &tasks::Group,
    ) -> Self {
        let (questions, incoming) = mpsc::channel(TOUCH_QUEUE_MAX);
        let touched = Arc::new(Mutex::new(Lru::new()));
        let recorder = Recorder {
            requests: requests.clone(),
            keys: keys.clone(),
            clock: clock.clone(),
            epoch_length,
            touched: touched.clone(),
            lists: Mutex::default(),
        };
        group.spawn("touches", gather(incoming, Arc::new(recorder), group.clone()));
        Liveness {
            requests,
            keys,
            clock,
            epoch_length,
            touched,
            questions,
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        Epoch::of(self.clock.now(), self.epoch_length)
    }

    /// Whether it has been promised in this epoch, so that nothing needs to be asked.
    pub(crate) fn is_confirmed(&self, unit: Unit) -> bool {
        is_confirmed(&mut self.touched.lock(), unit.into(), self.epoch())
    }

    /// A segment that was just stored: its id is its first touch.
    pub(crate) fn created(&self, segment: TimedId) {
        let epoch = Epoch::of(segment.moment(), self.epoch_length);
        remember(
            &mut self.touched.lock(),
            Unit::Segment(segment).into(),
            Touched::Confirmed(epoch),
        );
    }

    /// It is not there after all, or not what it should be.
    pub(crate) fn forget(&self, touch: impl Into<Touch>) {
        self.touched.lock().remove(&touch.into());
    }

    /// It was read. Recorded when there is time; a reader does not wait for it, and is promised nothing.
    pub(crate) fn used(&self, touch: impl Into<Touch>) {
        let touch = touch.into();
        let epoch = self.epoch();
        {
            let mut touched = self.touched.lock();
            if is_confirmed(&mut touched, touch, epoch) || touched.get(&touch) == Some(&Touched::Used(epoch))
            {
                return;
            }
            remember(&mut touched, touch, Touched::Used(epoch));
        }
        let question = Question {
            touches: vec![touch],
            answer: None,
        };
        if self.questions.try_send(question).is_err() {
            // Too busy. The next reader tries again.
            self.forget(touch);
        }
    }

    /// Promises `touches`: afterwards every one that is [`Verdict::Alive`] stays.
    pub(crate) async fn promise(&self, touches: &[Touch]) -> Result<HashMap<Touch, Verdict>, StoreError> {
        let epoch = self.epoch();
        let mut verdicts = HashMap::new();
        let mut unknown = Vec::new();
        {
            let mut touched = self.touched.lock();
            for touch in touches {
                match is_confirmed(&mut touched, *touch, epoch) {
                    true => drop(verdicts.insert(*touch, Verdict::Alive)),
                    false => unknown.push(*touch),
                }
            }
        }
        for touches in unknown.chunks(RECORD_KEYS_MAX) {
            let recorded = self.record(touches.to_vec()).await?;
            let units: HashSet<Unit> = touches.iter().map(|touch| touch.unit()).collect();
            let (doomed, free): (Vec<Unit>, Vec<Unit>) =
                units.into_iter().partition(|unit| recorded.doomed.contains(unit));
            let looks = free.into_iter().map(|unit| self.look(unit));
            let mut found: HashMap<Unit, Verdict> = stream::iter(looks)
                .buffer_unordered(HEADS_MAX)
                .try_collect()
                .await?;
            found.extend(doomed.into_iter().map(|unit| (unit, Verdict::Doomed)));
            let mut touched = self.touched.lock();
            for touch in touches {
                let verdict = found[&touch.unit()];
                match verdict {
                    Verdict::Alive => remember(&mut touched, *touch, Touched::Confirmed(recorded.epoch)),
                    Verdict::Gone => drop(touched.remove(touch)),
                    Verdict::Doomed => {}
                }
                verdicts.insert(*touch, verdict);
            }
        }
        Ok(verdicts)
    }

    /// As [`promise`](Self::promise) for one, and waits while it is doomed: at most [`DOOM_WAIT_MAX`].
    pub(crate) async fn promise_settled(&self, unit: Unit) -> Result<bool, StoreError> {
        let touch = Touch::Whole(unit);
        for _ in 0..DOOM_WAIT_MAX.as_millis() / DOOM_POLL.as_millis() {
            match self.promise(&[touch]).await?.get(&touch) {
                Some(Verdict::Alive) => return Ok(true),
                Some(Verdict::Gone) | None => return Ok(false),
                Some(Verdict::Doomed) => tokio::time::sleep(DOOM_POLL).await,
            }
        }
        Err(StoreError::Unavailable {
            reason: format!(
                "`{unit}` is being removed by a collection that does not come to an end; the next collection clears it"
            ),
        })
    }

    async fn record(&self, touches: Vec<Touch>) -> Result<Recorded, StoreError> {
        let (answer, answered) = oneshot::channel();
        let question = Question {
            touches,
            answer: Some(answer),
        };
        let closed = || StoreError::Unavailable {
            reason: "the store is being closed".into(),
        };
        self.questions.send(question).await.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    async fn look(&self, unit: Unit) -> Result<(Unit, Verdict), StoreError> {
        let verdict = match self.requests.head(&self.keys.unit(unit)).await? {
            Some(_) => Verdict::Alive,
            None => Verdict::Gone,
        };
        Ok((unit, verdict))
    }
}

/// By itself, or with the segment that it lies in, which was stored in this epoch.
fn is_confirmed(touched: &mut Lru<Touch, Touched>, touch: Touch, epoch: Epoch) -> bool {
    let confirmed = Some(&Touched::Confirmed(epoch));
    touched.get(&touch) == confirmed || touched.get(&Touch::Whole(touch.unit())) == confirmed
}

fn remember(touched: &mut Lru<Touch, Touched>, touch: Touch, how: Touched) {
    touched.insert(touch, how, 1);
    while touched.weight() > TOUCHED_MAX {
        touched.pop_oldest();
    }
}

/// The one who writes records and reads the lists of the doomed.
struct Recorder {
    requests: Arc<Requests>,
    keys: Keys,
    clock: Clock,
    epoch_length: Duration,
    touched: Arc<Mutex<Lru<Touch, Touched>>>,
    /// Lists seen before; they never change.
    lists: Mutex<HashMap<TimedId, Arc<HashSet<Unit>>>>,
}

/// Hands out questions, as many at once as there are when a recorder is free: one request that hangs does not hold up
/// everybody.
async fn gather(mut incoming: mpsc::Receiver<Question>, recorder: Arc<Recorder>, group: tasks::Group) {
    let slots = Arc::new(Semaphore::new(RECORDS_AT_ONCE_MAX));
    let stopping = group.stopping();
    loop {
        let slot = slots.clone().acquire_owned().await.expect("never closed");
        let mut questions = Vec::new();
        let receive = incoming.recv_many(&mut questions, TOUCH_BATCH_MAX);
        if stopping
            .run_until_cancelled(receive)
            .await
            .is_none_or(|received| received == 0)
        {
            // Whoever still waits is told that the store is closed, by the end of the channel.
            return;
        }
        let recorder = recorder.clone();
        group.spawn("record touches", async move {
            recorder.answer(questions).await;
            drop(slot);
        });
    }
}

impl Recorder {
    async fn answer(&self, questions: Vec<Question>) {
        let touches: HashSet<Touch> = questions
            .iter()
            .flat_map(|question| question.touches.iter().copied())
            .collect();
        let wanted = questions.iter().any(|question| question.answer.is_some());
        let result = self.record(touches.into_iter().collect(), wanted).await;
        if let Err(error) = &result {
            self.forget_used(&questions);
            tracing::warn!("cannot record what is in use: {error}");
        }
        for question in questions {
            if let Some(answer) = question.answer {
                // An error says that nobody waits any more.
                let _gone = answer.send(result.clone());
            }
        }
    }

    /// So that the next reader has them recorded.
    fn forget_used(&self, questions: &[Question]) {
        let mut touched = self.touched.lock();
        for touch in questions.iter().flat_map(|question| &question.touches) {
            if matches!(touched.get(touch), Some(Touched::Used(_))) {
                touched.remove(touch);
            }
        }
    }

    async fn record(&self, mut touches: Vec<Touch>, wanted: bool) -> Result<Recorded, StoreError> {
        // Taken before the record is stored: a later epoch would promise more than is recorded.
        let now = self.clock.now();
        let epoch = Epoch::of(now, self.epoch_length);
        touches.sort_unstable();
        for touches in touches.chunks(RECORD_KEYS_MAX) {
            let path = self.keys.touches(epoch, TimedId::new(now));
            let payload = PutPayload::from(record::encode_touches(touches));
            self.requests.create(&path, &payload).await?;
            Counters::add(&self.requests.counters.touch_records, 1);
        }
        let doomed = match wanted {
            true => self.doomed().await?,
            false => Arc::default(),
        };
        Ok(Recorded { epoch, doomed })
    }

    async fn doomed(&self) -> Result<Arc<HashSet<Unit>>, StoreError> {
        let objects = self.requests.list(&self.keys.folder("doomed"), None).await?;
        let listed = objects
            .iter()
            .filter_map(|object| self.keys.record_at("doomed", &object.location));
        let mut lists = HashMap::new();
        for id in listed {
            let known = self.lists.lock().get(&id).cloned();
            let list = match known {
                Some(list) => list,
                None => match read_record(&self.requests, &self.keys.record("doomed", id)).await? {
                    Some(units) => Arc::new(units.into_iter().collect()),
                    // Taken away meanwhile: then everything on it has been removed, which looking will show.
                    None => continue,
                },
            };
            lists.insert(id, list);
        }
        let doomed = match lists.values().next() {
            None => Arc::default(),
            Some(only) if lists.len() == 1 => only.clone(),
            Some(_) => Arc::new(lists.values().flat_map(|list| list.iter().copied()).collect()),
        };
        *self.lists.lock() = lists;
        Ok(doomed)
    }
}

/// The units of a record; `None` if there is no such object. A damaged record is an error: taking it for an empty one
/// could cost somebody what was promised.
pub(crate) async fn read_record(
    requests: &Requests,
    path: &object_store::path::Path,
) -> Result<Option<Vec<Unit>>, StoreError> {
    read(requests, path, record::decode).await
}

/// As [`read_record`], of touches.
pub(crate) async fn read_touches(
    requests: &Requests,
    path: &object_store::path::Path,
) -> Result<Option<Vec<Touch>>, StoreError> {
    read(requests, path, record::decode_touches).await
}

async fn read<T>(
    requests: &Requests,
    path: &object_store::path::Path,
    decode: fn(&[u8]) -> Result<T, String>,
) -> Result<Option<T>, StoreError> {
    let range = object_store::GetRange::Bounded(0..RECORD_BYTES_MAX);
    let Some(part) = requests.get(path, Some(range)).await? else {
        return Ok(None);
    };
    decode(&part.bytes).map(Some).map_err(|why| {
        StoreError::io(
            format!("reading `{path}`"),
            std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                format!("{why}; nothing is promised or removed until it is repaired or deleted by hand"),
            ),
        )
    })
}
