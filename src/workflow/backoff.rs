//! How long to wait before something that a remote refused is tried again.
//!
//! By us and not by rclone, which either tries again at once or not at all: relays
//! such as OpenList answer 405 or 423 to everything for a while, and want quiet.

use super::halt::Halt;
use super::options::Stop;
use super::surroundings::{Surroundings, pause_for};
use crate::model::{Failure, FailureClass, Outcome};
use crate::observe::{Event, Observer};
use crate::transfer::{Transfer, is_answered, may_pass};
use std::time::{Duration, Instant};

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

/// Who waits when a question to the remote is not answered, and how long. Signals end a wait.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    sleep: &'a (dyn Fn(Duration) + Sync),
    stop: &'a Stop,
    observer: &'a dyn Observer,
    /// No wait goes beyond it.
    deadline: Option<Instant>,
    /// A remote that is away is told at once: nothing was begun that hangs on it.
    is_for_answers_only: bool,
}

impl<'a> Patience<'a> {
    /// Waits for whatever may pass.
    pub(super) fn until(surroundings: &Surroundings<'a>, deadline: Option<Instant>) -> Self {
        let Surroundings { sleep, stop, observer, .. } = *surroundings;
        Patience { sleep, stop, observer, deadline, is_for_answers_only: false }
    }

    /// Waits only while somebody answers, be it with an error.
    pub(super) fn at_the_door(surroundings: &Surroundings<'a>, deadline: Option<Instant>) -> Self {
        Patience { is_for_answers_only: true, ..Patience::until(surroundings, deadline) }
    }

    /// Waits for nothing.
    pub(super) fn none(surroundings: &Surroundings<'a>) -> Self {
        Patience::until(surroundings, Some(Instant::now()))
    }

    /// What `attempt` finds out while `doing` something that changes nothing on the remote.
    ///
    /// # Errors
    /// When the remote refuses, or has not answered after all waits; when somebody asks us to stop.
    pub(super) fn ask<T>(
        &self,
        doing: &str,
        mut attempt: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Halt> {
        let mut backoff = Backoff::default();
        loop {
            let failure = match attempt() {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_waited_for = may_pass(&failure) && (!self.is_for_answers_only || is_answered(&failure));
            let wait_seconds = if is_waited_for { backoff.next_seconds() } else { None };
            let Some(seconds) = wait_seconds.filter(|&seconds| self.has_time_for(seconds)) else {
                return Err(Halt::from_failure(doing, &failure));
            };
            let text = format!("{doing}: {}; it is asked again in {seconds} seconds", failure.reason);
            self.observer.event(&Event::Detail(&text));
            pause_for(self.sleep, self.stop, Duration::from_secs(seconds))?;
        }
    }

    /// As [`Patience::ask`] for many paths: after each wait the remote has to answer one small question first.
    pub(super) fn look<T>(
        &self,
        doing: &str,
        transfer: &Transfer<'_>,
        look: impl Fn(&Transfer<'_>) -> Result<T, Failure>,
    ) -> Result<T, Halt> {
        let mut is_first = true;
        self.ask(doing, || {
            if !std::mem::replace(&mut is_first, false) {
                transfer.knock()?;
            }
            look(transfer)
        })
    }

    fn has_time_for(&self, seconds: u64) -> bool {
        let end = Instant::now() + Duration::from_secs(seconds);
        self.deadline.is_none_or(|deadline| end < deadline)
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
    use crate::observe::Recorder;
    use std::sync::Mutex;

    /// How often it was asked, and how long it waited, before it gave up.
    fn asked_in_vain(failure: &Failure, deadline: Option<Instant>, at_the_door: bool) -> (usize, u64) {
        let (slept, stop, recorder) = (Mutex::new(Duration::ZERO), Stop::default(), Recorder::default());
        let sleep = |piece: Duration| {
            if let Ok(mut slept) = slept.lock() {
                *slept += piece;
            }
        };
        let (sleep, stop, observer) = (&sleep, &stop, &recorder);
        let patience = Patience { sleep, stop, observer, deadline, is_for_answers_only: at_the_door };
        let mut times = 0;
        let answer: Result<(), Halt> = patience.ask("asking", || {
            times += 1;
            Err(failure.clone())
        });
        assert!(answer.is_err());
        (times, slept.lock().map_or(0, |slept| slept.as_secs()))
    }

    #[test]
    fn a_question_waits_for_what_may_pass_and_not_beyond_its_deadline() {
        let unwell =
            |reason: &str| Failure { class: FailureClass::RemoteUnwell, reason: format!("failed: {reason}") };
        for reason in ["423 Locked", "405 Method Not Allowed", "503 Service Unavailable"] {
            assert_eq!(asked_in_vain(&unwell(reason), None, true), (4, 40), "{reason}");
        }
        assert_eq!(asked_in_vain(&unwell("connection refused"), None, false), (4, 40));
        assert_eq!(asked_in_vain(&unwell("connection refused"), None, true), (1, 0), "nothing was begun");
        assert_eq!(asked_in_vain(&unwell("409 Conflict"), None, false), (1, 0), "it does not pass");
        let soon = Some(Instant::now() + Duration::from_secs(7));
        assert_eq!(asked_in_vain(&unwell("423 Locked"), soon, false), (2, 2));
        let closed = Failure { class: FailureClass::Authentication, reason: "401 Unauthorized".into() };
        assert_eq!(asked_in_vain(&closed, None, false), (1, 0));
    }

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
