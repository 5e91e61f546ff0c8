//! Whether a bucket can be used, asked once before it is: a wrong name, key or permission is told at the start, not to
//! the first build.

use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::{Failure, Requests};
use crate::limits::TRIAL_TIME_MAX;

/// Why a bucket cannot be used.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// What was tried, as a verb.
    pub(crate) doing: &'static str,
    /// What to do about it.
    pub(crate) advice: String,
    /// What the server or the client library said.
    pub(crate) said: String,
    /// Whether it may work later without anybody doing anything.
    pub(crate) passes: bool,
}

impl Requests {
    /// Lists `folder`, then writes, reads and removes the object `path` with these bytes: what everything later does.
    pub(crate) async fn try_out(
        &self,
        folder: &Path,
        path: &Path,
        payload: &PutPayload,
    ) -> Result<(), Refusal> {
        match tokio::time::timeout(TRIAL_TIME_MAX, self.try_each(folder, path, payload)).await {
            Ok(answer) => answer,
            Err(_) => Err(Refusal {
                doing: "reach",
                advice: "check the endpoint and the network, and that the environment has credentials".into(),
                said: format!("no whole answer within {TRIAL_TIME_MAX:?}"),
                passes: true,
            }),
        }
    }

    async fn try_each(&self, folder: &Path, path: &Path, payload: &PutPayload) -> Result<(), Refusal> {
        self.try_list(folder)
            .await
            .map_err(|failure| Refusal::of("list", failure))?;
        self.try_create(path, payload)
            .await
            .map_err(|failure| Refusal::of("write", failure))?;
        let read = || async { self.store.get(path).await?.bytes().await.map(drop) };
        self.attempt("read", path, read)
            .await
            .map_err(|failure| Refusal::of("read", failure))?;
        match self.try_remove(path, std::slice::from_ref(path)).await {
            // Another one may be the one who removes.
            Err(Failure::Forbidden(said)) => {
                tracing::warn!(
                    said,
                    "nothing may be removed from the bucket: what nobody uses stays, unless another farrier removes it"
                );
                Ok(())
            }
            removed => removed.map_err(|failure| Refusal::of("remove", failure)),
        }
    }
}

impl Refusal {
    fn of(doing: &'static str, failure: Failure) -> Self {
        let said = failure.to_string();
        Refusal {
            doing,
            advice: advice(doing, &failure, &said),
            passes: matches!(failure, Failure::Broken(_) | Failure::Refused(_)) && !asks_the_machine(&said),
            said,
        }
    }
}

/// The clouds' code words are in what is said; where there is none, the kind of failure tells enough.
fn advice(doing: &str, failure: &Failure, said: &str) -> String {
    const WORDS: [(&[&str], &str); 5] = [
        (
            &[
                "NoSuchBucket",
                "ContainerNotFound",
                "specified bucket does not exist",
            ],
            "there is no such bucket: create it, or correct its name or the endpoint",
        ),
        (
            &[
                "InvalidAccessKeyId",
                "NotSignedUp",
                "SignatureDoesNotMatch",
                "AuthenticationFailed",
                "InvalidToken",
                "invalid_grant",
            ],
            "the credentials are wrong: check the key's id and its secret",
        ),
        (
            &["ExpiredToken", "TokenRefreshRequired"],
            "the credentials have expired: get new ones",
        ),
        (
            &["RequestTimeTooSkewed"],
            "the clock of this machine is wrong: set it",
        ),
        (
            &[
                "AuthorizationHeaderMalformed",
                "PermanentRedirect",
                "IllegalLocationConstraint",
            ],
            "the bucket is in another region: name that one (AWS_REGION)",
        ),
    ];
    if let Some((_, advice)) = WORDS
        .iter()
        .find(|(words, _)| words.iter().any(|word| said.contains(word)))
    {
        return (*advice).to_owned();
    }
    if asks_the_machine(said) {
        return "no credentials were found in the environment, and this machine has none of its own: set them".into();
    }
    match failure {
        Failure::Absent if doing == "list" || doing == "write" => WORDS[0].1.into(),
        Failure::Absent | Failure::Short => {
            "what was just written is not there: something else removes objects below this prefix".into()
        }
        Failure::Forbidden(_) => format!(
            "these credentials may not {doing} there: allow them to list, read, write and delete objects"
        ),
        Failure::Broken(_) | Failure::Refused(_) => "check the endpoint and the network".into(),
        Failure::Wrong(_) => "check the URL, the endpoint and the region".into(),
    }
}

/// With nothing in the environment, the clouds' libraries ask the machine they run on, at this address or name.
fn asks_the_machine(said: &str) -> bool {
    ["169.254.169.254", "metadata.google.internal", "169.254.170.2"]
        .iter()
        .any(|address| said.contains(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_follows_from_what_is_said() {
        let forbidden = |words: &str| Failure::Forbidden(words.to_owned());
        let broken = |words: &str| Failure::Broken(words.to_owned());
        for (doing, failure, advised, passes) in [
            ("list", Failure::Absent, "there is no such bucket", false),
            ("read", Failure::Absent, "something else removes", false),
            (
                "list",
                forbidden("<Code>InvalidAccessKeyId</Code>"),
                "id and its secret",
                false,
            ),
            (
                "list",
                forbidden("<Code>SignatureDoesNotMatch</Code>"),
                "id and its secret",
                false,
            ),
            ("list", forbidden("<Code>ExpiredToken</Code>"), "expired", false),
            (
                "list",
                forbidden("<Code>RequestTimeTooSkewed</Code>"),
                "clock",
                false,
            ),
            (
                "write",
                forbidden("<Code>AccessDenied</Code>"),
                "may not write there",
                false,
            ),
            ("read", forbidden("403"), "may not read there", false),
            (
                "list",
                Failure::Wrong("<Code>PermanentRedirect</Code>".into()),
                "AWS_REGION",
                false,
            ),
            ("list", Failure::Wrong("400".into()), "check the URL", false),
            ("list", broken("connection refused"), "check the endpoint", true),
            (
                "list",
                broken("PUT http://169.254.169.254/latest/api/token: timed out"),
                "no credentials were found",
                false,
            ),
        ] {
            let refusal = Refusal::of(doing, failure);
            assert!(
                refusal.advice.contains(advised),
                "{refusal:?} should advise: {advised}"
            );
            assert_eq!(refusal.passes, passes, "{refusal:?}");
        }
    }
}
