//! What a plan would cost, for `plan` and for the progress bar.

use super::configuration::{Links, OnDelete};
use super::job_run::JobRun;
use super::lanes::{PAIR_FILES_MAX, REMOVAL_FILES_MAX};
use super::report::Forecast;
use crate::observe::Event;
use crate::plan::{Manner, RequestCosts, SizeClass, Tally, forecast_requests};
use std::ops::RangeInclusive;

/// Requests of one rclone beside those for files and folders. One or two were counted; a listing
/// of a place that is not there takes another, and old versions look twice.
const PROCESS_REQUESTS_MAX: u64 = 5;
/// The owner file, written once a run.
const OWNER_REQUESTS: u64 = 3;
/// Who owns the mirror: read in one, or listed and read.
const OPENING_PROCESSES: u64 = 2;
/// Is the mirror empty, who owns it, and a scratch file that goes up, is moved and purged.
const OPENING_PROCESSES_FIRST: u64 = 5;
/// The owner file is written, and the one before removed.
const CLOSING_PROCESSES: u64 = 2;

/// Puts the counts of the plan into the report. The listeners are told at once where nothing can stop the run
/// any more; else when the remote is open, for a guard may be in the way ([`announce`]).
pub(super) fn note(run: &mut JobRun<'_>, tally: &Tally) {
    let uploads = tally.new_files_total() + tally.changed_files + tally.suspect_files;
    let upload_bytes = tally.new_bytes_total() + tally.changed_bytes + tally.suspect_bytes;
    let report = &mut *run.report;
    report.files_new = tally.new_files_total();
    report.files_changed = tally.changed_files + tally.suspect_files;
    report.files_deleted = tally.vanished_files();
    report.files_out_of_scope = tally.out_of_scope_files;
    let touched = report.files_new + report.files_changed;
    report.files_unchanged = report.files_scanned.saturating_sub(touched);
    let trash_removed = run.job.on_delete != OnDelete::Delete;
    let requests = forecast_requests(tally, &costs(run), &manner(run, tally));
    let trashed = tally.blocking_files
        + tally.changed_files
        + tally.suspect_files
        + if trash_removed { tally.removed_files } else { 0 };
    let deleted = if trash_removed { 0 } else { tally.removed_files };
    let removals = trashed + deleted;
    // A folder in one piece is one operation.
    let operations = uploads + removals - tally.moved_whole_files + tally.whole_folders;
    let pace = run.pace();
    let forecast = Forecast {
        uploads,
        upload_bytes,
        suspects: tally.suspect_files,
        trashed,
        deleted,
        requests,
        seconds: pace.duration(requests, operations).map(|duration| duration.as_secs_f64()),
        requests_per_second: pace.requests_per_second,
        pause: pace.pause,
    };
    run.report.forecast = Some(forecast.clone());
    // Of files that are read first, perhaps none is sent, and then no remote is opened.
    if run.options.dry_run || run.remote.is_some() || tally.suspect_files > 0 {
        tell(run, &forecast);
    }
}

/// To be called when the remote is about to be open, and nothing was sent yet.
pub(super) fn announce(run: &JobRun<'_>) {
    if let Some(forecast) = run.report.forecast.as_ref().filter(|forecast| forecast.suspects == 0) {
        tell(run, forecast);
    }
}

fn tell(run: &JobRun<'_>, forecast: &Forecast) {
    let is_free = forecast.requests == 0 && forecast.seconds.is_none();
    let cost = if is_free { String::new() } else { forecast.cost_words() };
    run.observer().event(&Event::TransferPlanned {
        files: forecast.uploads,
        bytes: forecast.upload_bytes,
        removals: forecast.trashed + forecast.deleted,
        is_at_most: forecast.suspects > 0,
        is_dry_run: run.options.dry_run,
        cost: &cost,
    });
}

/// As counted on the wire, see `docs/rclone.md`.
fn costs(run: &JobRun<'_>) -> RequestCosts {
    let of_remote = run.costs();
    let has_requests = of_remote.upload > 0;
    RequestCosts {
        upload: of_remote.upload,
        trash: of_remote.trash,
        delete: of_remote.delete,
        folder: of_remote.folder,
        fresh_level: of_remote.fresh_level,
        whole_folder: of_remote.whole_folder.unwrap_or(0),
        process: if has_requests { PROCESS_REQUESTS_MAX } else { 0 },
        owner: if has_requests { OWNER_REQUESTS } else { 0 },
    }
}

fn manner(run: &JobRun<'_>, tally: &Tally) -> Manner {
    let first_run_levels = run.untried_levels();
    Manner {
        trashes_removed: run.trashes_deleted(),
        keeps_versions: run.keeps_versions(),
        processes: processes_expected(run, tally, first_run_levels.is_some()),
        first_run_levels,
    }
}

/// Processes that send something. Folders are made ahead by one of their own.
fn processes_expected(run: &JobRun<'_>, tally: &Tally, is_first: bool) -> u64 {
    let budget = run.budget();
    let files_of = |most: usize| run.files_per_batch(most) as u64;
    // Links go in a process of their own.
    let waves = if run.job.links == Links::Upload { 2 } else { 1 };
    let with_folders = |folders: u64| u64::from(folders > 0);
    let uploads_of = |classes: RangeInclusive<SizeClass>| {
        let (first, last) = (*classes.start() as usize, *classes.end() as usize);
        let sum = |of: &[u64; SizeClass::COUNT]| of[first..=last].iter().sum::<u64>();
        sum(&tally.new_files).div_ceil(files_of(budget.files_max)) + sum(&tally.new_bytes) / budget.bytes_max
    };
    let uploads: u64 = run.rounds(tally).into_iter().map(uploads_of).sum();
    let replaced = tally.changed_files + tally.suspect_files + tally.returning_files;
    let pairs = replaced.div_ceil(files_of(PAIR_FILES_MAX));
    let removed = (tally.removed_files - tally.moved_whole_files).div_ceil(files_of(REMOVAL_FILES_MAX));
    let blocking = tally.blocking_files.div_ceil(files_of(REMOVAL_FILES_MAX));
    let discards = u64::from(!run.keeps_versions());
    uploads * (waves + with_folders(tally.new_folders))
        + pairs * (2 + waves + discards)
        + (removed + blocking) * 2
        + tally.whole_folders * 2
        + if is_first { OPENING_PROCESSES_FIRST } else { OPENING_PROCESSES }
        + CLOSING_PROCESSES
}
