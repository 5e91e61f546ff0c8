//! `FindMissingBlobs`: questions that are asked together are one call; `gather.rs` says when.

use std::sync::Arc;

use blob::{Digest, DigestSet, InstanceName};
use cas::StoreError;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, StreamExt};
use reapi::execution::FindMissingBlobsRequest;
use tasks::Group;
use tokio::sync::oneshot;
use tonic::{Code, Status};

use crate::connection::Connection;
use crate::gather::{Gathering, Load};
use crate::limits::{FIND_MISSING_CALLS_MAX, FIND_MISSING_DIGESTS_MAX};
use crate::status::{self, nonsense};

/// What a call said, and why it failed.
type Answer = Result<DigestSet, Status>;

/// Makes one call: distinct digests of one function; which of them are missing.
pub(crate) type Call = Arc<dyn Fn(DigestSet) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Joins questions.
pub(crate) struct Questions {
    gathering: Gathering<Question>,
}

struct Question {
    digests: Vec<Digest>,
    caller: oneshot::Sender<Answer>,
}

impl Question {
    fn answer(self, answer: &Answer) {
        let own = match answer {
            Ok(missing) => {
                let own = self.digests.iter().filter(|digest| missing.contains(digest));
                Ok(own.copied().collect())
            }
            Err(status) => Err(status.clone()),
        };
        // A caller that has gone meanwhile misses nothing.
        let _gone = self.caller.send(own);
    }
}

impl Questions {
    pub(crate) fn new(group: Group, call: Call) -> Self {
        let run = move |questions| settle(questions, call.clone()).boxed();
        Questions {
            gathering: Gathering::new(group, Arc::new(run)),
        }
    }

    /// Which of `digests` are missing: at most [`FIND_MISSING_DIGESTS_MAX`] of one function.
    pub(crate) async fn ask(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, StoreError> {
        let Some(function) = digests.first().map(Digest::function) else {
            return Ok(Vec::new());
        };
        let what = format!("looking for {} blobs", digests.len());
        let (caller, answer) = oneshot::channel();
        let load = Load {
            digests: digests.len(),
            bytes: 0,
        };
        let max = Load {
            digests: FIND_MISSING_DIGESTS_MAX,
            bytes: 0,
        };
        self.gathering
            .join(function, Question { digests, caller }, load, max);
        match answer.await {
            Ok(Ok(missing)) => Ok(missing.iter().copied().collect()),
            Ok(Err(status)) => Err(status::store_error(&what, &status)),
            // Only a panic in the call's task, or a runtime that is shutting down.
            Err(_gone) => Err(StoreError::Unavailable {
                reason: format!("{what}: the call was given up"),
            }),
        }
    }
}

/// One call for all; each is told what is missing of its own.
async fn settle(questions: Vec<Question>, call: Call) {
    // Who is gone needs no answer.
    let questions: Vec<Question> = questions
        .into_iter()
        .filter(|question| !question.caller.is_closed())
        .collect();
    if questions.is_empty() {
        return;
    }
    let all = questions.iter().flat_map(|question| &question.digests);
    let answer = call(all.copied().collect()).await;
    let is_mistake = matches!(&answer, Err(status) if status.code() == Code::InvalidArgument);
    if questions.len() == 1 || !is_mistake {
        questions
            .into_iter()
            .for_each(|question| question.answer(&answer));
        return;
    }
    // A digest that a server does not take is the mistake of one of them: the others do not share it.
    let alone = stream::iter(questions).map(|question| {
        let digests = question.digests.iter().copied().collect();
        let answer = call(digests);
        async move { question.answer(&answer.await) }
    });
    alone.buffer_unordered(FIND_MISSING_CALLS_MAX).collect().await
}

/// Which of `digests`, all of one function, are missing.
pub(crate) async fn find_missing(
    connection: &Connection,
    instance: &InstanceName,
    digests: &DigestSet,
) -> Answer {
    let Some(function) = digests.iter().next().map(Digest::function) else {
        return Ok(DigestSet::default());
    };
    let request = FindMissingBlobsRequest {
        instance_name: instance.as_str().to_owned(),
        blob_digests: digests.iter().map(Digest::to_proto).collect(),
        digest_function: function.to_proto() as i32,
    };
    let mut retries = connection.retry.start();
    let answer = loop {
        let mut client = connection.cas();
        let call = client.find_missing_blobs(request.clone());
        match connection.deadlined(call).await {
            Ok(answer) => break answer,
            Err(status) => retries.again(status).await?,
        }
    };
    retries.succeeded();
    let missing = answer
        .missing_blob_digests
        .iter()
        .map(|proto| Digest::from_proto(function, proto));
    let missing: DigestSet = missing
        .collect::<Result<_, _>>()
        .map_err(|error| nonsense(error.to_string()))?;
    let stranger = missing.iter().find(|digest| !digests.contains(digest)).copied();
    match stranger {
        None => Ok(missing),
        Some(stranger) => Err(nonsense(format!("blob {stranger} is missing, but nobody asked"))),
    }
}

#[cfg(test)]
mod tests {
    use blob::DigestFunction;
    use cas::Invocation;
    use futures::future::join_all;
    use parking_lot::Mutex;

    use super::*;

    fn digest(number: u64) -> Digest {
        Digest::of(DigestFunction::Sha256, &number.to_le_bytes())
    }

    /// Each call: for whom, and how many digests.
    type Calls = Arc<Mutex<Vec<(Option<Invocation>, usize)>>>;

    /// Of a server that has none of the even numbers below a thousand, and does not take `bad`.
    fn questions(bad: Option<Digest>) -> (Questions, Calls) {
        let calls: Calls = Arc::default();
        let noted = calls.clone();
        let evens: DigestSet = (0..500).map(|number| digest(2 * number)).collect();
        let call: Call = Arc::new(move |digests: DigestSet| {
            noted.lock().push((Invocation::current(), digests.len()));
            let answer = match bad.filter(|bad| digests.contains(bad)) {
                Some(_) => Err(Status::invalid_argument("such a digest is not taken here")),
                None => Ok(digests
                    .iter()
                    .filter(|digest| evens.contains(digest))
                    .copied()
                    .collect()),
            };
            std::future::ready(answer).boxed()
        });
        (Questions::new(Group::new("test"), call), calls)
    }

    #[tokio::test]
    async fn what_is_asked_together_is_one_call_and_each_hears_of_its_own() {
        let (questions, calls) = questions(None);
        // Every digest is asked for twice, by neighbours.
        let asks = (0..100).map(|number| questions.ask((number..number + 2).map(digest).collect()));
        for (number, missing) in join_all(asks).await.into_iter().enumerate() {
            let even = (number as u64).next_multiple_of(2);
            assert_eq!(missing.unwrap(), [digest(even)], "{number}");
        }
        assert_eq!(*calls.lock(), [(None, 101)]);
        assert_eq!(
            questions.ask(Vec::new()).await.unwrap(),
            [],
            "nothing of nothing, unasked"
        );
        assert_eq!(questions.ask(vec![digest(3)]).await.unwrap(), []);
        assert_eq!(calls.lock().len(), 2, "a lone one leaves alone");
    }

    /// The server promises what it finds to the build that asked (ADR 0008).
    #[tokio::test]
    async fn builds_and_functions_are_kept_apart() {
        let (questions, calls) = questions(None);
        let build = |number: u64| Invocation::new(&format!("build {}", number % 2));
        let asks =
            (0..20).map(|number| Invocation::scope(build(number), questions.ask(vec![digest(number)])));
        let blake3 = Digest::of(DigestFunction::Blake3, b"x");
        let (asked, other) = futures::future::join(join_all(asks), questions.ask(vec![blake3])).await;
        assert!(asked.iter().all(Result::is_ok) && other.is_ok());
        let mut calls = calls.lock().clone();
        calls.sort();
        assert_eq!(calls, [(None, 1), (build(0), 10), (build(1), 10)]);
    }

    #[tokio::test]
    async fn a_call_stays_within_its_bound() {
        let (questions, calls) = questions(None);
        let ask =
            |from: u64, digests: usize| questions.ask((from..from + digests as u64).map(digest).collect());
        let most = FIND_MISSING_DIGESTS_MAX as u64;
        let asks = [
            ask(0, 10),
            ask(10, FIND_MISSING_DIGESTS_MAX - 10),
            ask(most, 1),
            ask(most + 1, 2),
        ];
        assert!(join_all(asks).await.iter().all(Result::is_ok));
        // Which goes first is the scheduler's business.
        calls.lock().sort();
        assert_eq!(*calls.lock(), [(None, 3), (None, FIND_MISSING_DIGESTS_MAX)]);
    }

    #[tokio::test]
    async fn whoever_asks_for_what_is_not_taken_is_told_so_alone() {
        let bad = digest(7);
        let (questions, calls) = questions(Some(bad));
        let asks = (6..9).map(|number| questions.ask(vec![digest(number)]));
        let answers = join_all(asks).await;
        assert_eq!(answers[0].as_ref().unwrap(), &[digest(6)]);
        assert!(
            answers[1]
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("not taken here")
        );
        assert_eq!(answers[2].as_ref().unwrap(), &[digest(8)]);
        assert_eq!(calls.lock().len(), 4);
    }

    #[tokio::test]
    async fn nobody_is_asked_on_behalf_of_who_has_gone() {
        let (questions, calls) = questions(None);
        let mut leaves = Box::pin(questions.ask(vec![digest(1)]));
        assert!(futures::poll!(&mut leaves).is_pending());
        let mut stays = Box::pin(questions.ask(vec![digest(2)]));
        assert!(futures::poll!(&mut stays).is_pending());
        drop(leaves);
        assert_eq!(stays.await.unwrap(), [digest(2)]);
        assert_eq!(*calls.lock(), [(None, 1)]);
    }
}
