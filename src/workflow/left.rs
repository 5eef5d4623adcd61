//! What a run that ended before its end has left for the next one: counted by one more
//! walk, because only the base knows what is confirmed.

use super::figures;
use super::halt::{Halt, worse_of};
use super::job_run::JobRun;
use super::report::Left;
use crate::diff::diff;
use crate::model::TreePath;
use crate::plan::{Classifier, Removal, SizeClass, Tally, Upload};
use std::collections::BTreeSet;
use std::time::Duration;

/// Says what is left, when something ended the lanes or a batch was given up. A budget
/// that ran out with the last file has left nothing.
pub(super) fn settle(run: &mut JobRun<'_>, driven: Result<(), Halt>) -> Result<(), Halt> {
    if driven.is_ok() && !run.has_not_reached {
        return Ok(());
    }
    let counted = match count(run) {
        Ok(counted) => counted,
        // Why the run ended is worth more than what it left, but for a damaged index.
        Err(halt) => return worse_of(driven, Err(halt)),
    };
    let Counted { mut left, all_uploads, all_bytes } = counted;
    let uploads = left.uploads;
    let is_nothing = uploads + left.removals == 0 && run.report.unprotected.total == 0;
    if !matches!(driven, Ok(()) | Err(Halt::BudgetSpent(_))) {
        // The next run has those to send that failed, too, and the message of the end counts them.
        (left.uploads, left.upload_bytes) = (all_uploads, all_bytes);
    }
    run.report.left = Some(left);
    match driven {
        Err(Halt::BudgetSpent(_)) if is_nothing => Ok(()),
        // No failure: the next run goes on, and the report says with how much.
        Err(Halt::BudgetSpent(budget)) => Err(Halt::BudgetSpent(budget)),
        driven => {
            // Failures beyond those that are kept by name are among the uploads, too.
            let unnamed = run.report.unprotected.total - run.report.unprotected.named.len() as u64;
            run.report.unprotected.add_not_reached(uploads.saturating_sub(unnamed));
            driven.map_err(|halt| with_what_is_missing(halt, all_uploads, all_bytes))
        }
    }
}

/// Says how much did not fit.
fn with_what_is_missing(halt: Halt, uploads: u64, bytes: u64) -> Halt {
    let Halt::RemoteFull(message) = halt else { return halt };
    Halt::RemoteFull(format!(
        "{message}. Still to go up: {}, {}. Make room on the remote and run again: it goes on from here",
        figures::files(uploads),
        figures::bytes(bytes),
    ))
}

/// What a run with this budget would leave, by the averages of the plan: only sums
/// are known before the files have their turn.
pub(super) fn forecast(run: &mut JobRun<'_>, tally: &Tally) {
    let budget = &run.options.budget;
    if !budget.is_limited() {
        return;
    }
    let (costs, pace) = (run.costs(), run.pace());
    let mut bytes_left = budget.bytes_left().unwrap_or(u64::MAX);
    let mut requests_left = budget.requests_left().unwrap_or(u64::MAX).saturating_sub(run.frame_requests());
    let mut time_left = budget.time_left().unwrap_or(Duration::MAX);
    let new = SizeClass::ALL
        .map(|class| (tally.new_files[class as usize], tally.new_bytes[class as usize], costs.upload, 1));
    let changed = (
        tally.changed_files + tally.suspect_files,
        tally.changed_bytes + tally.suspect_bytes,
        costs.trash + costs.upload,
        2,
    );
    let mut left = Left::default();
    let mut fit = |files: u64, bytes: u64, requests: u64, operations: u64| {
        let each = pace.duration(requests, operations).unwrap_or_default();
        let fitting = files
            .min(share(bytes_left, bytes.div_ceil(files.max(1))))
            .min(share(requests_left, requests))
            .min(if time_left.is_zero() { 0 } else { share_of_time(time_left, each) });
        bytes_left -= bytes.min(fitting.saturating_mul(bytes / files.max(1)));
        requests_left -= fitting * requests;
        time_left = time_left.saturating_sub(each.saturating_mul(u32::try_from(fitting).unwrap_or(u32::MAX)));
        files - fitting
    };
    for (files, bytes, requests, operations) in new.into_iter().chain([changed]) {
        let files_left = fit(files, bytes, requests, operations);
        left.uploads += files_left;
        left.upload_bytes += bytes / files.max(1) * files_left;
    }
    left.removals = fit(tally.removed_files, 0, costs.trash, 1);
    if left != Left::default() {
        run.report.left = Some(left);
    }
}

fn share(left: u64, each: u64) -> u64 {
    left.checked_div(each).unwrap_or(u64::MAX)
}

fn share_of_time(left: Duration, each: Duration) -> u64 {
    if each.is_zero() { u64::MAX } else { (left.as_secs_f64() / each.as_secs_f64()) as u64 }
}

/// What the base does not hold yet.
struct Counted {
    /// Without what was tried and is named in the report already.
    left: Left,
    all_uploads: u64,
    all_bytes: u64,
}

fn count(run: &JobRun<'_>) -> Result<Counted, Halt> {
    let views = run.views();
    let base = views.base();
    let failed: BTreeSet<&TreePath> = run.report.unprotected.named.iter().map(|(path, _)| path).collect();
    let mut classifier = Classifier::new(run.policy());
    let mut counted = Counted { left: Left::default(), all_uploads: 0, all_bytes: 0 };
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        let decision = classifier.decide(&change);
        let is_named = failed.contains(&change.path);
        match (decision.upload, decision.removal) {
            (Upload::New | Upload::Changed | Upload::Suspect, _) => {
                let size = change.pending.as_ref().map_or(0, |entry| entry.stamp.size);
                counted.all_uploads += 1;
                counted.all_bytes += size;
                if !is_named {
                    counted.left.add_upload(&change.path, size);
                }
            }
            (Upload::None, Removal::Plain | Removal::Blocking) if !is_named => {
                counted.left.add_removal(&change.path);
            }
            (Upload::None, _) => {}
        }
    }
    Ok(counted)
}
