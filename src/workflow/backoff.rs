//! How long to wait before something that a remote refused is tried again.
//!
//! By us and not by rclone, which either tries again at once or not at all: relays
//! such as OpenList answer 405 or 423 to everything for a while, and want quiet.

use crate::model::{FailureClass, Outcome};

/// Before the second, the third and the fourth attempt.
const WAITS_SECONDS: [u64; 3] = [2, 8, 30];

/// The waits of one batch.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    waited: usize,
}

impl Backoff {
    /// How long to wait before the next attempt; `None` when it was tried often enough.
    pub(super) fn next_seconds(&mut self) -> Option<u64> {
        let seconds = WAITS_SECONDS.get(self.waited).copied();
        self.waited += 1;
        seconds
    }

    /// Something worked: the remote is not that unwell.
    pub(super) fn reset(&mut self) {
        self.waited = 0;
    }
}

/// True for what time may mend: the remote was unwell, or its answer was lost, or
/// the batch was ended over others.
pub(super) fn is_worth_waiting(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed(failure) => failure.class == FailureClass::RemoteUnwell,
        Outcome::Unknown | Outcome::Unheard | Outcome::NotAttempted => true,
        Outcome::Confirmed | Outcome::ChangedMeanwhile | Outcome::Vanished => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = std::iter::from_fn(|| backoff.next_seconds()).collect();
        assert!(waits.is_sorted() && waits.len() == 3, "{waits:?}");
        assert_eq!(backoff.next_seconds(), None);
        backoff.reset();
        assert_eq!(backoff.next_seconds(), Some(waits[0]));
    }
}
