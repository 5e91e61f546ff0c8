//! What `farrier up` prints and `farrier join` is given: whom to trust, and what to be trusted for.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::Fingerprint;

/// Longest and shortest secret that is taken, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// `SECRET.FINGERPRINT`: the secret lets somebody join, the fingerprint says which server he must join. Whoever reads it
/// can become a worker, so it is as secret as a key.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Shown to the server, after it has proved to be the one that is meant.
    pub secret: String,
    /// Of the server's authority.
    pub fingerprint: Fingerprint,
}

/// Why something is not a token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinTokenError {
    /// Nothing says which server is meant.
    #[error(
        "this token does not say which server may be trusted: it comes from an older farrier, or was not copied to its end. Paste the whole line that `farrier up` prints"
    )]
    WithoutFingerprint,
    /// Not of any shape of ours.
    #[error("this is no token of farrier's; paste the whole line that `farrier up` prints")]
    Malformed,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.secret, self.fingerprint)
    }
}

/// Without the secret: this ends in logs.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken(… .{})", self.fingerprint)
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let is_secret = |text: &str| {
            SECRET_BYTES.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let (secret, fingerprint) = match text.split_once('.') {
            Some(parts) => parts,
            None if is_secret(text) => return Err(JoinTokenError::WithoutFingerprint),
            None => return Err(JoinTokenError::Malformed),
        };
        match fingerprint.parse() {
            Ok(fingerprint) if is_secret(secret) => Ok(JoinToken {
                secret: secret.to_owned(),
                fingerprint,
            }),
            Ok(_) => Err(JoinTokenError::Malformed),
            Err(()) if is_secret(secret) => Err(JoinTokenError::WithoutFingerprint),
            Err(()) => Err(JoinTokenError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_token_says_why() {
        let secret = "a".repeat(64);
        let without = Err(JoinTokenError::WithoutFingerprint);
        let malformed = Err(JoinTokenError::Malformed);
        for (text, expected) in [
            (secret.clone(), without.clone()),
            (format!("{secret}."), without.clone()),
            (format!("{secret}.{}", "a".repeat(63)), without),
            (String::new(), malformed.clone()),
            ("x".to_owned(), malformed.clone()),
            ("two\nlines, and more than 16".to_owned(), malformed.clone()),
            (format!("short.{}", "a".repeat(64)), malformed.clone()),
            (format!("{}.{}", "a".repeat(257), "a".repeat(64)), malformed),
        ] {
            assert_eq!(text.parse::<JoinToken>(), expected, "{text}");
        }
    }

    #[test]
    fn nobody_reads_the_secret_in_a_log() {
        let token: JoinToken = format!("{}.{}", "5".repeat(32), "a".repeat(64)).parse().unwrap();
        assert!(!format!("{token:?}").contains("55"));
    }

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_written(secret in "[0-9a-zA-Z]{16,256}", fingerprint in "[0-9a-f]{64}") {
            let text = format!("{secret}.{fingerprint}");
            prop_assert_eq!(text.parse::<JoinToken>().unwrap().to_string(), text);
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC*") {
            let _ = text.parse::<JoinToken>();
        }
    }
}
