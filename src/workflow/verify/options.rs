//! What is asked of a verification, and what it came to.

use super::subset::Subset;
use crate::model::{RunId, TreePath};
use crate::workflow::report::{JobOutcome, JobReport, Unprotected};
use time::OffsetDateTime;

/// What is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The files of the source, read again.
    Source,
    /// The mirror, as the remote lists it.
    Listing,
    /// The mirror, every file fetched and hashed.
    Download,
}

/// How a verification is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// What is verified.
    pub what: What,
    /// Which part of the tree; everything when empty.
    pub paths: Vec<TreePath>,
    /// Which share of the files.
    pub subset: Subset,
    /// Send again what is missing or damaged on the remote and unchanged in the source.
    pub repair: bool,
}

impl VerifyOptions {
    /// The check that `check_every_days` asks for.
    pub(super) fn check(repair: bool) -> Self {
        VerifyOptions { what: What::Listing, paths: Vec::new(), subset: Subset::All, repair }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyReport {
    /// Name of the job.
    pub job: String,
    /// What was verified.
    pub what: What,
    /// The run whose state was verified.
    pub snapshot: Option<RunId>,
    /// UTC.
    pub started: OffsetDateTime,
    /// UTC.
    pub finished: OffsetDateTime,
    /// Files of the index that were asked for.
    pub files_selected: u64,
    /// As they should be.
    pub files_verified: u64,
    /// Their sizes, in bytes.
    pub bytes_verified: u64,
    /// Source: changed or gone since the last backup, which is no damage.
    pub files_changed: u64,
    /// Nothing to compare with: never read by a backup, or read while it may have been written.
    pub files_unverifiable: u64,
    /// Other content than it should have; in the source: rotten.
    pub files_damaged: u64,
    /// On the remote: not there.
    pub files_missing: u64,
    /// On the remote: there, and nobody knows of it. Named, and no damage.
    pub files_surplus: u64,
    /// Of the missing and damaged ones, those that were sent again.
    pub files_repaired: u64,
    /// The backup that sent again what was to be repaired.
    pub repair_run: Option<Box<JobReport>>,
    /// Could not be looked at.
    pub files_failed: u64,
    /// All of these by name, as far as there is room.
    pub findings: Unprotected,
    /// What people should know: one sentence each.
    pub warnings: Vec<String>,
    /// `Protected`: nothing was found. `Unprotected`: something could not be looked at.
    pub outcome: JobOutcome,
}

impl VerifyReport {
    pub(super) fn new(job: &str, what: What, started: OffsetDateTime) -> Self {
        VerifyReport {
            job: job.to_owned(),
            what,
            snapshot: None,
            started,
            finished: started,
            files_selected: 0,
            files_verified: 0,
            bytes_verified: 0,
            files_changed: 0,
            files_unverifiable: 0,
            files_damaged: 0,
            files_missing: 0,
            files_surplus: 0,
            files_repaired: 0,
            repair_run: None,
            files_failed: 0,
            findings: Unprotected::default(),
            warnings: Vec::new(),
            outcome: JobOutcome::Protected,
        }
    }

    /// Anything that is not as it should be was found, repaired or not.
    pub fn has_findings(&self) -> bool {
        self.files_damaged + self.files_missing + self.files_surplus + self.files_failed > 0
    }
}
