//! Numbers that scripts and monitors rely on.

use std::process::ExitCode;
use treeferry::workflow::report::JobOutcome;

macro_rules! exit_statuses {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal),* $(,)?) => {
        /// How the process ends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum ExitStatus { $($(#[doc = $doc])* $variant = $code),* }

        #[cfg(test)]
        const MEANINGS: &[(ExitStatus, &str)] =
            &[$((ExitStatus::$variant, concat!($($doc),*).trim_ascii())),*];
    };
}

exit_statuses! {
    /// Everything in scope is protected.
    Protected = 0,
    /// Fatal: something that is not the remote's fault and that no other code names.
    Fatal = 1,
    /// Wrong usage or configuration; nothing was sent.
    Usage = 2,
    /// Finished, but something is not protected. It is named.
    Unprotected = 3,
    /// Stopped by a budget; the next run goes on.
    BudgetSpent = 4,
    /// The remote is unwell; try again later.
    RemoteUnwell = 5,
    /// There is no index of this job yet.
    NoIndex = 10,
    /// Another run holds the lock.
    LockHeld = 11,
    /// The remote does not let us in.
    Authentication = 12,
    /// A guard stopped it, or the source is missing or unreadable; a person has to look.
    GuardStopped = 13,
    /// The remote is full.
    RemoteFull = 14,
    /// Verification found damage.
    Damaged = 15,
    /// Skipped on purpose by a hook.
    Skipped = 75,
    /// Interrupted (SIGINT); the state is saved.
    Interrupted = 130,
    /// Ended (SIGTERM); the state is saved.
    Terminated = 143,
}

/// Of several jobs, the one that stands first here decides.
const WORST_FIRST: [ExitStatus; 15] = [
    ExitStatus::Terminated,
    ExitStatus::Interrupted,
    ExitStatus::Fatal,
    ExitStatus::Usage,
    ExitStatus::Authentication,
    ExitStatus::RemoteFull,
    ExitStatus::RemoteUnwell,
    ExitStatus::NoIndex,
    ExitStatus::GuardStopped,
    ExitStatus::Damaged,
    ExitStatus::Unprotected,
    ExitStatus::BudgetSpent,
    ExitStatus::LockHeld,
    ExitStatus::Skipped,
    ExitStatus::Protected,
];

impl ExitStatus {
    /// The number.
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// For the two signals that are listened to.
    pub(super) fn from_signal(signal: i32) -> ExitStatus {
        if signal == signal_hook::consts::SIGINT { ExitStatus::Interrupted } else { ExitStatus::Terminated }
    }

    /// The worst of several; `Protected` of none.
    pub(super) fn worst(statuses: impl IntoIterator<Item = ExitStatus>) -> ExitStatus {
        let rank = |status: &ExitStatus| WORST_FIRST.iter().position(|other| other == status);
        statuses.into_iter().min_by_key(rank).unwrap_or(ExitStatus::Protected)
    }
}

impl From<&JobOutcome> for ExitStatus {
    fn from(outcome: &JobOutcome) -> Self {
        match outcome {
            JobOutcome::Protected => ExitStatus::Protected,
            JobOutcome::Unprotected => ExitStatus::Unprotected,
            JobOutcome::BudgetSpent { .. } => ExitStatus::BudgetSpent,
            JobOutcome::RemoteUnwell { .. } => ExitStatus::RemoteUnwell,
            JobOutcome::NoIndex => ExitStatus::NoIndex,
            JobOutcome::LockHeld { .. } => ExitStatus::LockHeld,
            JobOutcome::Authentication { .. } => ExitStatus::Authentication,
            JobOutcome::GuardStopped { .. } => ExitStatus::GuardStopped,
            JobOutcome::RemoteFull { .. } => ExitStatus::RemoteFull,
            JobOutcome::Damaged { .. } => ExitStatus::Damaged,
            JobOutcome::Skipped { .. } => ExitStatus::Skipped,
            JobOutcome::Interrupted { signal } => ExitStatus::from_signal(*signal),
            JobOutcome::Configuration { .. } => ExitStatus::Usage,
            JobOutcome::Fatal { .. } => ExitStatus::Fatal,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        ExitCode::from(status.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_follows_the_documented_order() {
        let codes: Vec<u8> = WORST_FIRST.iter().map(|status| status.code()).collect();
        assert_eq!(codes, [143, 130, 1, 2, 12, 14, 5, 10, 13, 15, 3, 4, 11, 75, 0]);
        for (rank, worse) in WORST_FIRST.iter().enumerate() {
            for better in &WORST_FIRST[rank..] {
                assert_eq!(ExitStatus::worst([*better, *worse]), *worse);
            }
        }
        assert_eq!(ExitStatus::worst([]), ExitStatus::Protected);
        assert_eq!(MEANINGS.len(), WORST_FIRST.len());
    }

    #[test]
    fn signals_are_told_apart() {
        let status = |signal| ExitStatus::from(&JobOutcome::Interrupted { signal }).code();
        assert_eq!((status(2), status(15)), (130, 143));
    }

    #[test]
    fn exit_codes_document_is_that_of_the_code() {
        let mut text = "# Exit codes\n\n<!-- Made from the code: UPDATE_DOCS=1 cargo test exit_codes_document -->\n\n| code | meaning |\n|---|---|\n".to_owned();
        for (status, meaning) in MEANINGS {
            text += &format!("| {} | {meaning} |\n", status.code());
        }
        let order: Vec<String> = WORST_FIRST.iter().map(|status| status.code().to_string()).collect();
        text += &format!(
            "\nOf several jobs the worst is returned, in this order: {}. The summary lists all.\n",
            order.join(", ")
        );
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/exit-codes.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&file, &text).expect("docs/exit-codes.md can be written");
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(written, text, "run: UPDATE_DOCS=1 cargo test exit_codes_document");
    }
}
