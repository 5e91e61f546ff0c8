//! A batch until every blob of it is settled: what failed for a passing reason goes again, the rest does not.

use std::collections::HashMap;
use std::future::Future;

use blob::Digest;
use cas::StoreError;
use tonic::Status;

use crate::coalesce::Answers;
use crate::retry::{RetryBudget, is_worth_another_try};
use crate::status::nonsense;

/// What one call said about each blob.
pub(crate) type Outcome<Answer> = HashMap<Digest, Result<Answer, Status>>;

/// Calls `attempt` with what is not settled yet until nothing is left or retries are over.
pub(crate) async fn settle<Item, Answer, Attempt>(
    budget: &RetryBudget,
    items: Vec<(Digest, Item)>,
    attempt: impl Fn(Vec<(Digest, Item)>) -> Attempt,
    failed: impl Fn(&Digest, &Status) -> StoreError,
) -> Answers<Answer>
where
    Item: Clone,
    Attempt: Future<Output = Result<Outcome<Answer>, Status>>,
{
    let mut answers = Answers::with_capacity(items.len());
    let mut retries = budget.start();
    let mut left = items;
    loop {
        let mut outcome = attempt(left.clone()).await;
        // The whole call failed, or this entry did, or it was forgotten.
        let mut of = |digest: &Digest| match &mut outcome {
            Ok(outcome) => outcome
                .remove(digest)
                .unwrap_or_else(|| Err(nonsense("a blob is not in it"))),
            Err(status) => Err(status.clone()),
        };
        let mut again = Vec::new();
        for (digest, item) in left {
            match of(&digest) {
                Ok(answer) => {
                    answers.insert(digest, Ok(answer));
                }
                Err(status) => again.push((digest, item, status)),
            }
        }
        let (passing, settled): (Vec<_>, Vec<_>) = again
            .into_iter()
            .partition(|(_, _, status)| is_worth_another_try(status.code()));
        for (digest, _, status) in settled {
            answers.insert(digest, Err(failed(&digest, &status)));
        }
        let Some((_, _, first)) = passing.first() else {
            retries.succeeded();
            return answers;
        };
        let over = retries.again(first.clone()).await.is_err();
        if over {
            let failures = passing
                .into_iter()
                .map(|(digest, _, status)| (digest, Err(failed(&digest, &status))));
            answers.extend(failures);
            return answers;
        }
        left = passing
            .into_iter()
            .map(|(digest, item, _)| (digest, item))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use blob::DigestFunction;

    use super::*;
    use crate::limits::RETRIES_MAX;
    use crate::status::upload_error;

    fn digest(number: u8) -> Digest {
        Digest::of(DigestFunction::Sha256, &[number])
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_failed_for_a_passing_reason_goes_again() {
        let calls = Mutex::new(Vec::new());
        let items = (0..4).map(|number| (digest(number), number)).collect();
        let answers = settle(
            &RetryBudget::new(RETRIES_MAX),
            items,
            |items| {
                let numbers: Vec<u8> = items.iter().map(|(_, number)| *number).collect();
                let mut calls = calls.lock().unwrap();
                calls.push(numbers);
                let first = calls.len() == 1;
                let answer = |number: u8| match number {
                    0 => Some(Ok(())),
                    1 => Some(Err(Status::invalid_argument("bad"))),
                    2 if first => Some(Err(Status::unavailable("later"))),
                    2 => Some(Ok(())),
                    _ => None,
                };
                let outcome = items
                    .into_iter()
                    .filter_map(|(digest, number)| Some((digest, answer(number)?)));
                std::future::ready(Ok(outcome.collect()))
            },
            upload_error,
        )
        .await;
        assert_eq!(*calls.lock().unwrap(), [vec![0, 1, 2, 3], vec![2]]);
        let of = |number| &answers[&digest(number)];
        assert!(of(0).is_ok() && of(2).is_ok());
        assert!(of(1).as_ref().unwrap_err().to_string().contains("bad"));
        assert!(of(3).as_ref().unwrap_err().to_string().contains("makes no sense"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_away_is_an_error_for_all() {
        let calls = Mutex::new(0);
        let items = (0..3).map(|number| (digest(number), ())).collect();
        let answers: Answers<()> = settle(
            &RetryBudget::new(RETRIES_MAX),
            items,
            |_| {
                *calls.lock().unwrap() += 1;
                std::future::ready(Err(Status::unavailable("gone")))
            },
            upload_error,
        )
        .await;
        assert_eq!(*calls.lock().unwrap(), crate::limits::RETRIES_MAX + 1);
        assert_eq!(answers.len(), 3);
        assert!(
            answers
                .values()
                .all(|answer| matches!(answer, Err(StoreError::Unavailable { .. })))
        );
    }
}
