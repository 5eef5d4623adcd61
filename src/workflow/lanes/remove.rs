//! What vanished from the source leaves the mirror, or is known as kept.

use super::retire::trash_all;
use crate::diff::diff;
use crate::model::{BatchItem, Change, EntryFlags, EntryKind, OwnedEntry, TreePath};
use crate::plan::{Classifier, Removal};
use crate::scan::{Presence, presence};
use crate::workflow::halt::Halt;
use crate::workflow::job_run::{JobRun, is_below_any};
use crate::workflow::spending::Step;
use crate::workflow::trashing::{Purpose, removal_item};
use crate::workflow::views::Views;
use rayon::prelude::*;

/// Objects that leave in one go.
pub(in crate::workflow) const REMOVAL_FILES_MAX: usize = 1000;
/// From so many files on a vanished folder leaves as one piece: a move of a
/// folder is a process and five requests of its own, a file in a list four.
const FOLDER_FILES_MIN: u64 = 10;

/// Removes, trashes or keeps what is no longer in the source.
pub(super) fn remove_vanished(run: &mut JobRun<'_>) -> Result<(), Halt> {
    let views = run.views();
    let base = views.base();
    let mut classifier = Classifier::new(run.policy());
    let mut vanished = Vec::new();
    let mut moved_folder: Option<TreePath> = None;
    for change in diff(&base, views.pending, views.equality) {
        let change = change.map_err(Halt::fatal)?;
        let decision = classifier.decide(&change);
        if run.waiting_for(&change.path).is_some() {
            // Left already, before its twin went up.
            continue;
        }
        if let Some(folder) = &moved_folder {
            if change.path.is_within(folder) {
                run.note_moved_with_folder(&change);
                continue;
            }
            moved_folder = None;
        }
        if is_worth_a_folder_move(run, &views, &change) && run.is_folder_move_wanted()? {
            run.halt_without_room_for(run.whole_folder_requests())?;
            if run.is_gone(&change.path) && run.trash_folder(&change.path)? {
                moved_folder = Some(change.path);
            }
            // Not moved: the files below follow as changes of their own.
            continue;
        }
        match (decision.removal, &change.base) {
            (Removal::Keep, Some(held)) if is_kept_already(&views, &change.path, held) => {
                trash_beside_kept(run, &change, held)?;
            }
            (Removal::Keep, Some(held)) => {
                run.keep(change.path.clone(), held.clone());
                run.checkpoint_if_due()?;
            }
            (Removal::Plain, Some(held)) => vanished.push((removal_item(change.path.clone(), held), change)),
            _ => {}
        }
        if vanished.len() >= run.files_per_batch(REMOVAL_FILES_MAX) {
            remove(run, std::mem::take(&mut vanished))?;
        }
    }
    remove(run, vanished)
}

/// A folder of the base that is not in the source any more.
pub(in crate::workflow) fn is_worth_a_folder_move(
    run: &JobRun<'_>,
    views: &Views<'_>,
    change: &Change,
) -> bool {
    let Some(folder) = change.base.as_ref().filter(|entry| entry.kind == EntryKind::Directory) else {
        return false;
    };
    let is_vanished = change.pending.is_none();
    is_vanished
        && !change.path.is_root()
        && !is_below_any(&run.moved_folders, &change.path)
        && views.files_below(folder) >= FOLDER_FILES_MIN
        && !views.keeps_anything_below(&change.path)
}

/// A folder of this name is kept, from the time before the link that is to be kept now: the index
/// has one entry for both. The folder stays, and the link goes to the trash.
fn is_kept_already(views: &Views<'_>, path: &TreePath, held: &OwnedEntry) -> bool {
    held.kind == EntryKind::Symlink && views.keeps_anything_below(path)
}

fn trash_beside_kept(run: &mut JobRun<'_>, change: &Change, held: &OwnedEntry) -> Result<(), Halt> {
    if !is_removal_proven(change, || run.presence(&change.path)) {
        return Ok(());
    }
    trash_all(run, vec![removal_item(change.path.clone(), held)])
}

/// Looks a second time right before the list is written: absence must be proven.
fn remove(run: &mut JobRun<'_>, vanished: Vec<(BatchItem, Change)>) -> Result<(), Halt> {
    if vanished.is_empty() {
        return Ok(());
    }
    let look = run.looking();
    let mut proven: Vec<BatchItem> = vanished
        .into_par_iter()
        .filter(|(_, change)| is_removal_proven(change, || presence(&look, &change.path)))
        .map(|(item, _)| item)
        .collect();
    if proven.is_empty() {
        return Ok(());
    }
    let step = if run.trashes_deleted() { Step::Trash } else { Step::Delete };
    let fit = run.fit(step, proven.iter().map(|item| (&item.path, 0)))?;
    proven.truncate(fit.files);
    if step == Step::Trash {
        run.trash(proven, Purpose::Remove)?;
    } else {
        run.delete(proven)?;
    }
    run.checkpoint_if_due()?;
    run.halt_if_time_is_up()?;
    fit.end()
}

fn is_removal_proven(change: &Change, look: impl Fn() -> Presence) -> bool {
    if change.pending.as_ref().is_some_and(|pending| pending.flags.contains(EntryFlags::OUT_OF_SCOPE)) {
        return true;
    }
    let held_kind = change.base.as_ref().map(|base| base.kind);
    match look() {
        Presence::Absent => true,
        // Something else has the name now: the old object is gone as surely as if nothing had.
        Presence::Present { kind, .. } => Some(kind) != held_kind,
        Presence::Unknown(_) => false,
    }
}
