//! Why a run of a job ends before its end.

use super::options::Guard;
use super::report::JobOutcome;
use crate::model::{Failure, FailureClass};
use crate::transfer::{RcloneError, is_locked_configuration};
use std::fmt::Display;

/// The reasons, one for each way a run can stop. What is confirmed until then
/// is committed all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// A guard said no; nothing was sent.
    Guard {
        /// Which; `--accept` takes its name. `None`: there is nothing to accept.
        guard: Option<Guard>,
        /// With the numbers, and the way on.
        message: String,
    },
    /// Another run holds the lock of this job.
    Locked { holder: String },
    /// There is no index to answer from.
    NoIndex,
    /// The remote does not let us in.
    Authentication(String),
    /// The remote has no room left.
    RemoteFull(String),
    /// The remote does not answer, or not as it should.
    RemoteUnwell(String),
    /// A budget of the run has no room for what comes next; which one.
    BudgetSpent(String),
    /// Somebody asked us to stop.
    Interrupted { signal: i32 },
    /// The configuration asks for something that can't be done.
    Configuration(String),
    /// rclone itself does not work, or was ended.
    Rclone(String),
    /// Anything else that leaves no way on.
    Fatal(String),
}

impl Halt {
    /// The end of a run over trouble while `doing` something on the remote.
    pub(super) fn from_failure(doing: &str, failure: &Failure) -> Self {
        let message = format!("{doing}: {}", failure.reason);
        match failure.class {
            FailureClass::Authentication => Halt::Authentication(message),
            FailureClass::RemoteFull => Halt::RemoteFull(message),
            FailureClass::RemoteUnwell | FailureClass::File => Halt::RemoteUnwell(message),
            FailureClass::Rclone if is_locked_configuration(failure) => Halt::Configuration(format!(
                "{message}. rclone's configuration is encrypted: give its password as RCLONE_CONFIG_PASS in the \
                 environment, or by `--password-command` in `flags` of [rclone]"
            )),
            FailureClass::Rclone => Halt::Rclone(message),
        }
    }

    /// The end of a run over an rclone that cannot be used. One that is too old for this mirror is a matter of
    /// what is configured.
    pub(super) fn from_rclone(error: &RcloneError) -> Self {
        match error {
            RcloneError::EncodingUnknown { .. } => Halt::Configuration(error.to_string()),
            _ => Halt::Rclone(error.to_string()),
        }
    }

    /// The end of a run over a folder of the index that cannot be read, where going on without it
    /// could replace what only the mirror has.
    pub(super) fn damaged_index(error: impl Display) -> Self {
        Halt::Fatal(format!(
            "{error}: the index is damaged there, and what it knows cannot be told. What lies on the remote is left \
             alone. Bring the job's state directory back from a copy of the last run, or move it away and run \
             `treeferry adopt JOB --accept foreign-writer`: that makes a new index from the source and one listing of \
             the mirror, and uploads nothing again"
        ))
    }

    /// The same, seen by one who knows whether somebody asked us to stop: rclone was ended by that,
    /// or the same signal, and what it or the remote said of it is no trouble of theirs. What went
    /// wrong here, and what a person has to see to, stays as it is.
    pub(super) fn when_stopped_by(self, signal: Option<i32>) -> Self {
        match (self, signal) {
            (
                Halt::Authentication(_)
                | Halt::RemoteFull(_)
                | Halt::RemoteUnwell(_)
                | Halt::BudgetSpent(_)
                | Halt::Rclone(_),
                Some(signal),
            ) => Halt::Interrupted { signal },
            (halt, _) => halt,
        }
    }

    /// The remote, or the way to it, leaves no way on.
    pub(super) fn is_of_remote(&self) -> bool {
        match self {
            Halt::Authentication(_) | Halt::RemoteFull(_) | Halt::RemoteUnwell(_) | Halt::Rclone(_) => true,
            Halt::Guard { .. }
            | Halt::Locked { .. }
            | Halt::NoIndex
            | Halt::BudgetSpent(_)
            | Halt::Interrupted { .. }
            | Halt::Configuration(_)
            | Halt::Fatal(_) => false,
        }
    }

    /// How bad it is: the order of the exit codes, of which the worst of several is returned.
    fn severity(&self) -> u8 {
        match self {
            Halt::Interrupted { .. } => 9,
            Halt::Rclone(_) | Halt::Fatal(_) => 8,
            Halt::Configuration(_) => 7,
            Halt::Authentication(_) => 6,
            Halt::RemoteFull(_) => 5,
            Halt::RemoteUnwell(_) => 4,
            Halt::NoIndex => 3,
            Halt::Guard { .. } => 2,
            Halt::BudgetSpent(_) => 1,
            Halt::Locked { .. } => 0,
        }
    }

    /// The end of a run over an error on this machine.
    pub(super) fn fatal(error: impl Display) -> Self {
        Halt::Fatal(error.to_string())
    }
}

/// Of two ends that a run came to, the one that people must hear of; of two alike, the first.
pub(super) fn worse_of(first: Result<(), Halt>, second: Result<(), Halt>) -> Result<(), Halt> {
    match (first, second) {
        (Err(first), Err(second)) if second.severity() > first.severity() => Err(second),
        (first, second) => first.and(second),
    }
}

impl std::fmt::Display for Halt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Halt::Guard { message, .. } => f.write_str(message),
            Halt::Locked { holder } => write!(f, "another run holds the lock: {holder}"),
            Halt::NoIndex => f.write_str("there is no index yet"),
            Halt::BudgetSpent(budget) => write!(f, "the budget is used up: {budget}"),
            Halt::Interrupted { signal } => write!(f, "interrupted by signal {signal}"),
            Halt::Authentication(message)
            | Halt::RemoteFull(message)
            | Halt::RemoteUnwell(message)
            | Halt::Configuration(message)
            | Halt::Rclone(message)
            | Halt::Fatal(message) => f.write_str(message),
        }
    }
}

impl From<Halt> for JobOutcome {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Guard { guard, message } => JobOutcome::GuardStopped { guard, message },
            Halt::Locked { holder } => JobOutcome::LockHeld { holder },
            Halt::NoIndex => JobOutcome::NoIndex,
            Halt::Authentication(reason) => JobOutcome::Authentication { reason },
            Halt::RemoteFull(reason) => JobOutcome::RemoteFull { reason },
            Halt::RemoteUnwell(reason) => JobOutcome::RemoteUnwell { reason },
            Halt::BudgetSpent(budget) => JobOutcome::BudgetSpent { budget },
            Halt::Interrupted { signal } => JobOutcome::Interrupted { signal },
            Halt::Configuration(message) => JobOutcome::Configuration { message },
            Halt::Rclone(message) | Halt::Fatal(message) => JobOutcome::Fatal { message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_explains_what_rclone_says_and_nothing_that_went_wrong_here() {
        let stopped = Halt::Interrupted { signal: 15 };
        let by_rclone = Halt::Rclone("reading small files: stopped".into());
        assert_eq!(by_rclone.clone().when_stopped_by(Some(15)), stopped);
        assert_eq!(by_rclone.clone().when_stopped_by(None), by_rclone);
        assert_eq!(Halt::RemoteUnwell("no route".into()).when_stopped_by(Some(15)), stopped);
        for halt in [
            Halt::Fatal("writing the index".into()),
            Halt::Guard { guard: Some(Guard::MaxDelete), message: "too many".into() },
            Halt::Configuration("no such key".into()),
            Halt::Interrupted { signal: 2 },
        ] {
            assert_eq!(halt.clone().when_stopped_by(Some(15)), halt);
        }
    }

    #[test]
    fn of_two_ends_the_worse_one_is_told() {
        let budget = || Err(Halt::BudgetSpent("files".into()));
        let unwell = || Err(Halt::RemoteUnwell("503".into()));
        let fatal = || Err(Halt::Fatal("no room for the index".into()));
        for (better, worse) in
            [(Ok(()), budget()), (budget(), unwell()), (unwell(), fatal()), (budget(), fatal())]
        {
            assert_eq!(worse_of(better.clone(), worse.clone()), worse);
            assert_eq!(worse_of(worse.clone(), better), worse);
        }
        let second = Err(Halt::RemoteUnwell("404".into()));
        assert_eq!(worse_of(unwell(), second), unwell());
    }
}
