//! What a run that a budget ended has left for the next one: counted by one more
//! walk, because only the base knows what is confirmed.

use super::halt::Halt;
use super::job_run::JobRun;
use super::report::Left;
use crate::diff::{Equality, diff};
use crate::model::TreePath;
use crate::plan::{Classifier, Removal, SizeClass, Tally, Upload};
use std::collections::BTreeSet;
use std::time::Duration;

/// Says what a budget left, when it was one that ended the lanes. A budget that ran
/// out with the last file has left nothing.
pub(super) fn settle(run: &mut JobRun<'_>, driven: Result<(), Halt>) -> Result<(), Halt> {
    if !matches!(driven, Err(Halt::BudgetSpent(_))) {
        return driven;
    }
    let left = count(run)?;
    let is_nothing = left.uploads + left.removals == 0 && run.report.unprotected.total == 0;
    run.report.left = Some(left);
    if is_nothing { Ok(()) } else { driven }
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

/// What was tried without success is named there already and
/// not counted here.
fn count(run: &JobRun<'_>) -> Result<Left, Halt> {
    let views = run.views();
    let base = views.base();
    let failed: BTreeSet<TreePath> =
        run.report.unprotected.named.iter().map(|(path, _)| path.clone()).collect();
    let mut classifier = Classifier::new(run.policy());
    let mut left = Left::default();
    for change in diff(&base, views.pending, Equality::Stamp) {
        let change = change.map_err(Halt::fatal)?;
        let decision = classifier.decide(&change);
        if failed.contains(&change.path) {
            continue;
        }
        match (decision.upload, decision.removal) {
            (Upload::New | Upload::Changed | Upload::Suspect, _) => {
                let size = change.pending.as_ref().map_or(0, |entry| entry.stamp.size);
                left.add_upload(&change.path, size);
            }
            (Upload::None, Removal::Plain | Removal::Blocking) => left.add_removal(&change.path),
            (Upload::None, Removal::None | Removal::Keep) => {}
        }
    }
    Ok(left)
}
