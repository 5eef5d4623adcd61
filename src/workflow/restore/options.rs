//! What is asked of a restore, and what it came to.

use crate::model::{RunId, TreePath};
use crate::workflow::history::At;
use crate::workflow::report::{JobOutcome, Unprotected};
use std::path::PathBuf;
use time::OffsetDateTime;

/// What becomes of a file that is there already, with other content. Files with
/// the right content stay in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overwrite {
    /// It stays, and is named.
    #[default]
    Never,
    /// It is replaced.
    IfDifferent,
    /// Everything is fetched again, without a look at what is there.
    Always,
}

/// How a restore is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// What to restore; everything when empty.
    pub paths: Vec<TreePath>,
    /// Where to.
    pub to: PathBuf,
    /// Which state.
    pub at: At,
    /// What becomes of files that are there.
    pub overwrite: Overwrite,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What a restore did, or in a dry run would have done.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreReport {
    /// Name of the job.
    pub job: String,
    /// The run that made the restored state.
    pub snapshot: Option<RunId>,
    /// Where to.
    pub to: PathBuf,
    /// UTC.
    pub started: OffsetDateTime,
    /// UTC.
    pub finished: OffsetDateTime,
    /// Nothing was fetched or written.
    pub dry_run: bool,
    /// Files that were asked for.
    pub files_selected: u64,
    /// Fetched, checked and named; in a dry run: to be fetched.
    pub files_restored: u64,
    /// Their sizes, in bytes.
    pub bytes_restored: u64,
    /// There already, with this content.
    pub files_unchanged: u64,
    /// Restored by size alone, because their content was never read.
    pub files_unchecked: u64,
    /// Folders that are there now.
    pub directories: u64,
    /// Symlinks that are there now.
    pub links: u64,
    /// FIFOs, sockets and devices, which are not restored.
    pub specials_skipped: u64,
    /// Their content on the remote is not what was sent.
    pub files_damaged: u64,
    /// What was asked for and is not there now, damaged files included.
    pub not_restored: Unprotected,
    /// What people should know: one sentence each.
    pub warnings: Vec<String>,
    /// `Protected`: all that was asked for is there. `Unprotected`: all but `not_restored`.
    pub outcome: JobOutcome,
}

impl RestoreReport {
    pub(super) fn new(job: &str, options: &RestoreOptions, started: OffsetDateTime) -> Self {
        RestoreReport {
            job: job.to_owned(),
            snapshot: None,
            to: options.to.clone(),
            started,
            finished: started,
            dry_run: options.dry_run,
            files_selected: 0,
            files_restored: 0,
            bytes_restored: 0,
            files_unchanged: 0,
            files_unchecked: 0,
            directories: 0,
            links: 0,
            specials_skipped: 0,
            files_damaged: 0,
            not_restored: Unprotected::default(),
            warnings: Vec::new(),
            outcome: JobOutcome::Protected,
        }
    }
}
