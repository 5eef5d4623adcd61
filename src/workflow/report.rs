//! What a recipe came to: plain values, for people and machines to be told.

use crate::model::{RunId, TreeDigest, TreePath};
pub use crate::scan::NotEntered;
use crate::workflow::configuration::format_duration;
use crate::workflow::figures;
use crate::workflow::options::Guard;
use crate::workflow::verify::VerifyReport;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// How a job ended. The exit code follows from this alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobOutcome {
    /// Everything in scope is on the remote.
    Protected,
    /// Finished, but the paths named in the report are not protected.
    Unprotected,
    /// A budget was used up; the next run goes on.
    BudgetSpent {
        /// Which one, in words.
        budget: String,
    },
    /// The remote does not work properly now.
    RemoteUnwell {
        /// In the words of rclone, without credentials.
        reason: String,
    },
    /// There is no index yet.
    NoIndex,
    /// Another run of this job is under way.
    LockHeld {
        /// Who: "process 4711 on nas, since 02:00".
        holder: String,
    },
    /// The remote does not let us in.
    Authentication {
        /// In the words of rclone, without credentials.
        reason: String,
    },
    /// A guard wants a person to look.
    GuardStopped {
        /// The one that `--accept` would let pass; `None` for those that cannot
        /// be accepted (a missing or unreadable source).
        guard: Option<Guard>,
        /// The numbers, for people.
        message: String,
    },
    /// No room left on the remote.
    RemoteFull {
        /// In the words of rclone, and what is missing.
        reason: String,
    },
    /// Verification found damage.
    Damaged {
        /// What, in one sentence.
        message: String,
    },
    /// A hook asked to skip this run.
    Skipped {
        /// In its words.
        reason: String,
    },
    /// A signal ended it; the state is saved.
    Interrupted {
        /// Its number.
        signal: i32,
    },
    /// The configuration cannot be used.
    Configuration {
        /// What to change.
        message: String,
    },
    /// Something else; nothing about this run is to be relied upon.
    Fatal {
        /// What was being done, on what, and what to do next.
        message: String,
    },
}

/// Paths that are in scope and not protected: the first ones by name, all by
/// number, so that a dead disk does not fill the memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unprotected {
    /// The first ones with their reasons.
    pub named: Vec<(TreePath, String)>,
    /// How many there are.
    pub total: u64,
    /// Of these, files that a run which came to a bad end had not sent yet: counted, and not named
    /// here; the first of them are in [`Left`].
    pub not_reached: u64,
}

impl Unprotected {
    /// How many are kept by name.
    pub const NAMED_MAX: usize = 1_000;

    /// Adds one path; it may be a directory, with all below it.
    pub fn add(&mut self, path: TreePath, reason: impl Into<String>) {
        self.total += 1;
        if self.named.len() < Self::NAMED_MAX {
            self.named.push((path, reason.into()));
        }
    }

    /// True when it is one of those kept by name.
    pub fn names(&self, path: &TreePath) -> bool {
        self.named.iter().any(|(named, _)| named == path)
    }

    /// Adds so many files that the run did not come to.
    pub fn add_not_reached(&mut self, files: u64) {
        self.total += files;
        self.not_reached += files;
    }

    /// Those with a reason of their own.
    pub fn with_reason(&self) -> u64 {
        self.total - self.not_reached
    }
}

/// What a backup did, or in a dry run would have done.
#[derive(Debug, Clone, PartialEq)]
pub struct JobReport {
    /// Name of the job.
    pub job: String,
    /// `None` when the run changed nothing.
    pub run_id: Option<RunId>,
    /// UTC.
    pub started: OffsetDateTime,
    /// UTC.
    pub finished: OffsetDateTime,
    /// As a stopwatch says, where one ran.
    pub elapsed: Option<Duration>,
    /// Nothing was sent.
    pub dry_run: bool,
    /// Entries that are no directories.
    pub files_scanned: u64,
    /// Directories.
    pub directories_scanned: u64,
    /// Sum of the sizes of all files in scope, in bytes.
    pub bytes_scanned: u64,
    /// Not known before.
    pub files_new: u64,
    /// Known, with other content now.
    pub files_changed: u64,
    /// Known under another path.
    pub files_moved: u64,
    /// Known, and gone from the source.
    pub files_deleted: u64,
    /// Known, and the same.
    pub files_unchanged: u64,
    /// Confirmed by the remote.
    pub files_uploaded: u64,
    /// Their sizes, in bytes.
    pub bytes_uploaded: u64,
    /// Moved into the run's trash.
    pub files_trashed: u64,
    /// Deleted from the mirror or from expired trash.
    pub files_removed: u64,
    /// Tried without success.
    pub files_failed: u64,
    /// Kept on the mirror although the rules leave them out now.
    pub files_out_of_scope: u64,
    /// Hash over the content of the whole tree.
    pub content_root: Option<TreeDigest>,
    /// Appended to the index, in bytes.
    pub index_bytes_written: u64,
    /// What is not protected; `total` is `files_unprotected` of the summary.
    pub unprotected: Unprotected,
    /// Other file systems below the source, which are not in scope.
    pub not_entered: NotEntered,
    /// What people should know, though nothing is lost: one sentence each.
    pub warnings: Vec<String>,
    /// What is left for the next run, where this one did not come to its end.
    pub left: Option<Left>,
    /// What the plan came to; always there in a dry run that got that far.
    pub forecast: Option<Forecast>,
    /// Requests of the check of the mirror that is due; in a dry run.
    pub check_forecast: Option<u64>,
    /// The check of the mirror after the backup, when it was due.
    pub check: Option<Box<VerifyReport>>,
    /// The backup left everything protected, whatever a check after it came to.
    pub was_protected: bool,
    /// How it ended.
    pub outcome: JobOutcome,
}

impl JobReport {
    /// A report of a run that has only begun; everything is 0 and the outcome
    /// `Protected`.
    pub fn new(job: &str, started: OffsetDateTime) -> Self {
        JobReport {
            job: job.to_owned(),
            run_id: None,
            started,
            finished: started,
            elapsed: None,
            dry_run: false,
            files_scanned: 0,
            directories_scanned: 0,
            bytes_scanned: 0,
            files_new: 0,
            files_changed: 0,
            files_moved: 0,
            files_deleted: 0,
            files_unchanged: 0,
            files_uploaded: 0,
            bytes_uploaded: 0,
            files_trashed: 0,
            files_removed: 0,
            files_failed: 0,
            files_out_of_scope: 0,
            content_root: None,
            index_bytes_written: 0,
            unprotected: Unprotected::default(),
            not_entered: NotEntered::default(),
            warnings: Vec::new(),
            left: None,
            forecast: None,
            check_forecast: None,
            check: None,
            was_protected: false,
            outcome: JobOutcome::Protected,
        }
    }

    /// How long it took: as a stopwatch says where one ran, for the clock knows
    /// whole seconds only, and may be set while a job runs.
    pub fn duration(&self) -> Duration {
        self.elapsed.unwrap_or_else(|| Duration::try_from(self.finished - self.started).unwrap_or_default())
    }
}

/// What a run that ended before its end left for the next one: by a budget (no failure, but not on
/// the remote either), or because it could not go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Files to go up, new and changed.
    pub uploads: u64,
    /// Their sizes, in bytes.
    pub upload_bytes: u64,
    /// Files to leave the mirror.
    pub removals: u64,
    /// The first of both, by name.
    pub named: Vec<TreePath>,
}

impl Left {
    /// How many are kept by name.
    pub const NAMED_MAX: usize = 20;

    /// A file of so many bytes that did not go up.
    pub fn add_upload(&mut self, path: &TreePath, bytes: u64) {
        self.uploads += 1;
        self.upload_bytes += bytes;
        self.name(path);
    }

    /// A file that did not leave the mirror.
    pub fn add_removal(&mut self, path: &TreePath) {
        self.removals += 1;
        self.name(path);
    }

    fn name(&mut self, path: &TreePath) {
        if self.named.len() < Self::NAMED_MAX {
            self.named.push(path.clone());
        }
    }
}

/// What a plan would cost.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forecast {
    /// Files that would go up, at the most.
    pub uploads: u64,
    /// Those of them whose times changed and whose size did not: they are read
    /// first, and go up only when their content is new.
    pub suspects: u64,
    /// Their sizes, in bytes.
    pub upload_bytes: u64,
    /// Files that would move to the trash.
    pub trashed: u64,
    /// Files that would be deleted, from the mirror or from trash.
    pub deleted: u64,
    /// Requests to the remote, at most.
    pub requests: u64,
    /// How long that takes, where something limits the rate.
    pub seconds: Option<f64>,
    /// Of `--tpslimit`.
    pub requests_per_second: Option<f64>,
    /// Of the job; zero for none.
    pub pause: Duration,
}

impl Forecast {
    /// `39,940 requests, 22 hours at 0.5 a second`.
    pub fn cost_words(&self) -> String {
        let mut words = figures::counted(self.requests, "request", "requests");
        if let Some(seconds) = self.seconds {
            words += &format!(", {}", figures::about(seconds));
        }
        if let Some(rate) = self.requests_per_second {
            words += &format!(" at {rate} a second");
        }
        if !self.pause.is_zero() {
            let and = if self.requests_per_second.is_some() { " and" } else { "" };
            words += &format!("{and} with a pause of {} after each file", format_duration(self.pause));
        }
        words
    }

    /// True when nothing would be sent at all.
    pub fn is_empty(&self) -> bool {
        self.uploads + self.trashed + self.deleted == 0
    }
}

/// What is known about a job between runs (`status`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Name of the job.
    pub job: String,
    /// Last run that changed something.
    pub run_id: Option<RunId>,
    /// Start of the last run of any kind, UTC.
    pub last_started: Option<OffsetDateTime>,
    /// End of the last run of any kind, UTC.
    pub last_finished: Option<OffsetDateTime>,
    /// End of the last run after which everything was protected, UTC.
    pub last_protected: Option<OffsetDateTime>,
    /// Files that the index names as held.
    pub files: u64,
    /// Their sizes, in bytes.
    pub bytes: u64,
    /// What the last run left unprotected.
    pub unprotected: Unprotected,
    /// When the remote will be checked, UTC; in the past: after the next backup.
    pub next_check: Option<OffsetDateTime>,
    /// When the remote was last checked as a whole, UTC.
    pub last_check: Option<OffsetDateTime>,
    /// Who runs this job now.
    pub running: Option<String>,
    /// What the installed rclone lacks, and other things to know.
    pub notes: Vec<String>,
    /// `Protected`, `Unprotected`, `NoIndex`, or the trouble that the last run ended with.
    pub outcome: JobOutcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_becomes_a_time_where_something_limits_the_rate() {
        let mut forecast = Forecast { uploads: 1, requests: 39_940, ..Forecast::default() };
        assert_eq!(forecast.cost_words(), "39,940 requests");
        forecast.requests_per_second = Some(0.5);
        forecast.seconds = Some(79_880.0);
        assert_eq!(forecast.cost_words(), "39,940 requests, 22 hours at 0.5 a second");
        forecast.requests_per_second = None;
        forecast.pause = Duration::from_secs(2);
        assert_eq!(forecast.cost_words(), "39,940 requests, 22 hours with a pause of 2s after each file");
    }
}
