//! What a plan would cost, for `plan` and for the progress bar.

use super::job_run::JobRun;
use super::report::Forecast;
use crate::observe::Event;
use crate::plan::{RequestCosts, Tally, forecast_requests};
use crate::workflow::configuration::OnDelete;

/// Puts the counts of the plan into the report, and tells the listeners what to
/// expect.
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
    let costs = costs_of(&run.job.remote.to_string());
    let trashed = tally.blocking_files
        + tally.changed_files
        + tally.suspect_files
        + if trash_removed { tally.removed_files } else { 0 };
    let deleted = if trash_removed { 0 } else { tally.removed_files };
    let (pace, operations) = (run.pace(), uploads + trashed + deleted);
    // With a pause each file goes alone, and its folder in the trash is made by a process of its own.
    let processes = if pace.pause.is_zero() { processes_expected(tally) } else { operations + trashed + 4 };
    let requests = forecast_requests(tally, &costs, trash_removed, processes);
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
    let cost = if requests > 0 || forecast.seconds.is_some() { forecast.cost_words() } else { String::new() };
    run.observer().event(&Event::TransferPlanned {
        files: uploads,
        bytes: upload_bytes,
        removals: operations - uploads,
        cost: &cost,
    });
    run.report.forecast = Some(forecast);
}

/// Without asking anybody: a local folder costs nothing, everything else is
/// reckoned like WebDAV, the dearest.
fn costs_of(remote: &str) -> RequestCosts {
    if remote.starts_with(":local") { RequestCosts::LOCAL } else { RequestCosts::WEBDAV }
}

/// Batches of new files and of removals, two per pair of changed files, and the
/// owner file.
fn processes_expected(tally: &Tally) -> u64 {
    let pairs = (tally.changed_files + tally.suspect_files).div_ceil(200);
    tally.new_files_total().div_ceil(10_000)
        + 2 * pairs
        + tally.removed_files.div_ceil(1_000)
        + tally.blocking_files.div_ceil(1_000)
        + 4
}
