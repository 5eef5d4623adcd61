//! What a run that a budget ended has left for the next one: counted by one more
//! walk, because only the base knows what is confirmed.

use super::halt::Halt;
use super::job_run::JobRun;
use super::report::Left;
use crate::diff::{Equality, diff};
use crate::model::TreePath;
use crate::plan::{Classifier, Removal, Upload};
use std::collections::BTreeSet;

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
