//! TO BE REPLACED: stands where the recipes of `treeferry::workflow` will be
//! called. Nothing else in `cli` has to change when they are plugged in.

use time::OffsetDateTime;
use treeferry::observe::Observer;
use treeferry::workflow::configuration::{Configuration, Job};
use treeferry::workflow::options::{BackupOptions, Stop};
use treeferry::workflow::report::{JobOutcome, JobReport, JobStatus, Unprotected};

/// TO BE REPLACED by the check of the transfer room.
pub(super) fn check_rclone_flags(_flags: &[String]) -> Result<(), String> {
    Ok(())
}

/// TO BE REPLACED: asks rclone whether it knows the remotes. Returns one
/// sentence for each problem.
pub(super) fn check_remotes(_configuration: &Configuration) -> Vec<String> {
    Vec::new()
}

/// TO BE REPLACED by the recipe `backup` (and `plan`, with `dry_run`).
pub(super) fn backup(
    _configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    _stop: &Stop,
    _observer: &dyn Observer,
) -> JobReport {
    let mut report = JobReport::new(&job.name, OffsetDateTime::now_utc());
    report.dry_run = options.dry_run;
    report.outcome = JobOutcome::Fatal { message: "the recipe `backup` is not part of this build".into() };
    report
}

/// TO BE REPLACED by the recipe `status`.
pub(super) fn status(_configuration: &Configuration, job: &Job) -> JobStatus {
    JobStatus {
        job: job.name.clone(),
        run_id: None,
        last_started: None,
        last_finished: None,
        last_protected: None,
        files: 0,
        bytes: 0,
        unprotected: Unprotected::default(),
        next_check: None,
        running: None,
        notes: Vec::new(),
        outcome: JobOutcome::NoIndex,
    }
}
