//! What was kept on the mirror goes to the trash when somebody says so.

use crate::diff::{Equality, diff};
use crate::model::{BatchItem, EmptyTree, OwnedEntry};
use crate::scan::Presence;
use crate::workflow::halt::Halt;
use crate::workflow::job_run::JobRun;
use crate::workflow::options::Guard;
use crate::workflow::spending::Step;
use crate::workflow::trashing::{Purpose, removal_item};

/// Objects that leave in one go.
const BATCH_FILES_MAX: usize = 1000;

/// `--accept kept` retires all of it, `--accept excluded` what is still in the
/// source and only out of scope.
pub(super) fn retire_kept(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let all = run.options.accepts(Guard::Kept);
    if !run.has_kept() || !(all || run.options.accepts(Guard::Excluded)) {
        return Ok(());
    }
    let views = run.views();
    let kept = views.kept();
    let mut retired: Vec<BatchItem> = Vec::new();
    for change in diff(&kept, &EmptyTree, Equality::Stamp) {
        let change = change.map_err(Halt::fatal)?;
        let Some(held) = change.base.filter(OwnedEntry::is_on_mirror) else { continue };
        if all || matches!(run.presence(&change.path), Presence::Present { .. }) {
            retired.push(removal_item(change.path, &held));
        }
        if retired.len() >= run.files_per_batch(BATCH_FILES_MAX) {
            trash_all(run, std::mem::take(&mut retired))?;
        }
    }
    trash_all(run, retired)
}

/// Moves all of them to the trash, as far as the budget allows.
pub(super) fn trash_all(run: &mut JobRun<'_>, mut items: Vec<BatchItem>) -> Result<(), Halt> {
    let fit = run.fit(Step::Trash, items.iter().map(|item| (&item.path, 0)))?;
    items.truncate(fit.files);
    run.trash(items, Purpose::Remove)?;
    run.checkpoint_if_due()?;
    run.halt_if_time_is_up()?;
    fit.end()
}
