//! Where the command line meets the recipes: the world they need is put
//! together here, because the library looks nothing up by itself.

use std::path::{Path, PathBuf};
use time::OffsetDateTime;
use treeferry::model::TreePath;
use treeferry::observe::{Observer, Silent};
use treeferry::workflow::bench::{self, BenchError, BenchIndexOptions, BenchReport, BenchScanOptions};
use treeferry::workflow::configuration::{Configuration, Job};
use treeferry::workflow::differences::{Compared, DifferentPath};
use treeferry::workflow::doctor::Diagnosis;
use treeferry::workflow::history::{At, ListedEntry, Listing, Snapshot};
use treeferry::workflow::options::{BackupOptions, Stop};
use treeferry::workflow::report::{JobOutcome, JobReport, JobStatus};
use treeferry::workflow::restore::{RestoreOptions, RestoreReport};
use treeferry::workflow::verify::{VerifyOptions, VerifyReport};
use treeferry::workflow::versions::Version;
use treeferry::workflow::{self, ImportOptions, Machine, PruneOptions, PruneReport, Surroundings, TakenOver};

/// Refuses rclone flags that would break the protocol.
pub(super) fn check_rclone_flags(flags: &[String]) -> Result<(), String> {
    workflow::check_rclone_flags(flags)
}

/// Asks rclone whether it knows the remotes. One sentence for each problem.
pub(super) fn check_remotes(configuration: &Configuration) -> Vec<String> {
    let stop = Stop::default();
    workflow::check_remotes(configuration, &surroundings(configuration, &stop, &Silent))
}

/// The recipe `backup` (and `plan`, with `dry_run`).
pub(super) fn backup(
    configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    stop: &Stop,
    observer: &dyn Observer,
) -> JobReport {
    workflow::backup(configuration, job, options, &surroundings(configuration, stop, observer))
}

/// The recipe `status`.
pub(super) fn status(configuration: &Configuration, job: &Job) -> JobStatus {
    let stop = Stop::default();
    workflow::status(configuration, job, &surroundings(configuration, &stop, &Silent))
}

/// The recipe `snapshots`.
pub(super) fn snapshots(configuration: &Configuration, job: &Job) -> Result<Vec<Snapshot>, JobOutcome> {
    let stop = Stop::default();
    workflow::history::snapshots(configuration, job, &surroundings(configuration, &stop, &Silent))
}

/// The recipe `ls`.
pub(super) fn list(
    configuration: &Configuration,
    job: &Job,
    listing: &Listing,
    tell: &mut dyn FnMut(ListedEntry),
) -> Result<(), JobOutcome> {
    let stop = Stop::default();
    workflow::history::list(configuration, job, listing, &surroundings(configuration, &stop, &Silent), tell)
}

/// The recipe `diff`.
pub(super) fn differences(
    configuration: &Configuration,
    job: &Job,
    from: Option<&At>,
    to: &At,
    tell: &mut dyn FnMut(DifferentPath),
) -> Result<Compared, JobOutcome> {
    let stop = Stop::default();
    let surroundings = surroundings(configuration, &stop, &Silent);
    workflow::differences::differences(configuration, job, from, to, &surroundings, tell)
}

/// The recipe `log`.
pub(super) fn versions(
    configuration: &Configuration,
    job: &Job,
    path: &TreePath,
) -> Result<Vec<Version>, JobOutcome> {
    let stop = Stop::default();
    workflow::versions::versions(configuration, job, path, &surroundings(configuration, &stop, &Silent))
}

/// The recipe `doctor`.
pub(super) fn doctor(configuration: &Configuration, timetables: &[PathBuf]) -> Vec<Diagnosis> {
    let stop = Stop::default();
    workflow::doctor::doctor(configuration, timetables, &surroundings(configuration, &stop, &Silent))
}

/// The recipe `restore`.
pub(super) fn restore(
    configuration: &Configuration,
    job: &Job,
    options: &RestoreOptions,
    stop: &Stop,
    observer: &dyn Observer,
) -> RestoreReport {
    workflow::restore::restore(configuration, job, options, &surroundings(configuration, stop, observer))
}

/// The recipe `verify`.
pub(super) fn verify(
    configuration: &Configuration,
    job: &Job,
    options: &VerifyOptions,
    stop: &Stop,
    observer: &dyn Observer,
) -> VerifyReport {
    workflow::verify::verify(configuration, job, options, &surroundings(configuration, stop, observer))
}

/// The recipe `prune`.
pub(super) fn prune(
    configuration: &Configuration,
    job: &Job,
    options: &PruneOptions,
    stop: &Stop,
    observer: &dyn Observer,
) -> PruneReport {
    workflow::prune(configuration, job, options, &surroundings(configuration, stop, observer))
}

/// The recipe `adopt`.
pub(super) fn adopt(
    configuration: &Configuration,
    job: &Job,
    options: &ImportOptions,
    stop: &Stop,
    observer: &dyn Observer,
) -> TakenOver {
    workflow::adopt(configuration, job, options, &surroundings(configuration, stop, observer))
}

/// The recipe `import snapshot`.
pub(super) fn import_snapshot(
    configuration: &Configuration,
    job: &Job,
    snapshot: &Path,
    options: &ImportOptions,
    stop: &Stop,
    observer: &dyn Observer,
) -> TakenOver {
    let surroundings = surroundings(configuration, stop, observer);
    workflow::import_snapshot(configuration, job, snapshot, options, &surroundings)
}

/// Walks beside the floor.
pub(super) fn bench_scan(root: &Path, options: &BenchScanOptions) -> Result<BenchReport, BenchError> {
    bench::bench_scan(root, options)
}

/// Reading beside the floor.
pub(super) fn bench_hash(
    root: &Path,
    threads: usize,
    rounds: usize,
    temporary_directory: &Path,
) -> Result<BenchReport, BenchError> {
    bench::bench_hash(root, threads, rounds, temporary_directory)
}

/// An index of made-up entries.
pub(super) fn bench_index(options: &BenchIndexOptions) -> Result<BenchReport, BenchError> {
    bench::bench_index(options)
}

fn surroundings<'a>(
    configuration: &Configuration,
    stop: &'a Stop,
    observer: &'a dyn Observer,
) -> Surroundings<'a> {
    let machine =
        Machine { environment: std::env::vars_os().collect(), temporary_directory: std::env::temp_dir() };
    Surroundings::new(configuration, machine, stop, &now_seconds, observer)
}

fn now_seconds() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}
