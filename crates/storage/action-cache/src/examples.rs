//! Actions and results for tests.

use action::ActionDigest;
use blob::{Digest, DigestFunction};
use reapi::execution::ActionResult;

pub(crate) fn action(number: u32) -> ActionDigest {
    ActionDigest::new(Digest::of(DigestFunction::Sha256, &number.to_le_bytes()))
}

pub(crate) fn result(exit_code: i32) -> ActionResult {
    ActionResult {
        exit_code,
        ..ActionResult::default()
    }
}
