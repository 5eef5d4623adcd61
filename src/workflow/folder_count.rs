//! How many folders a plan has to make, and which leave as one piece or give way: for the
//! forecast. Nothing is kept but the folder before, because changes come in path order.

use super::job_run::JobRun;
use super::lanes::is_worth_a_folder_move;
use super::views::{Kept, Views};
use crate::model::{Change, EntryKind, TreePath};
use crate::plan::{Decision, Removal, Tally, Upload};

/// Counts change by change.
#[derive(Default)]
pub(super) struct FolderCount {
    last_upload: TreePath,
    last_trashed: TreePath,
    moved_folder: Option<TreePath>,
}

impl FolderCount {
    /// Adds what `change` needs to `tally`.
    pub(super) fn add(
        &mut self,
        run: &JobRun<'_>,
        views: &Views<'_>,
        change: &Change,
        decision: Decision,
        tally: &mut Tally,
    ) {
        if decision.upload == Upload::New {
            self.count_upload(views, &change.path, tally);
            tally.returning_files += u64::from(!matches!(views.kept_entry(&change.path), Kept::Nothing));
            if change.base.as_ref().is_some_and(|base| base.kind == EntryKind::Directory) {
                tally.whole_folders += 1;
                self.count_trashed(&change.path, tally);
            }
        }
        if self.moved_folder.as_ref().is_some_and(|folder| change.path.is_within(folder)) {
            tally.moved_whole_files += u64::from(decision.removal == Removal::Plain);
            return;
        }
        let trashes_deleted = run.trashes_deleted();
        if run.trashes_folders() && is_worth_a_folder_move(run, views, change) && run.features().dir_move {
            tally.whole_folders += 1;
            self.count_trashed(&change.path, tally);
            self.moved_folder = Some(change.path.clone());
            return;
        }
        let is_replaced = matches!(decision.upload, Upload::Changed | Upload::Suspect);
        let is_trashed = match decision.removal {
            Removal::Blocking => true,
            Removal::Plain => trashes_deleted,
            Removal::None | Removal::Keep => is_replaced,
        };
        if is_trashed {
            self.count_trashed(&change.path, tally);
        }
    }

    /// New levels of the mirror; and, where there are any, those above them that
    /// exist: a skeleton of folders holds them too.
    fn count_upload(&mut self, views: &Views<'_>, path: &TreePath, tally: &mut Tally) {
        let (mut new, mut existing) = (0, 0);
        for level in levels_above(path, &self.last_upload) {
            if existing == 0 && views.mirror_lacks_folder(&level) {
                new += 1;
            } else {
                existing += 1;
            }
        }
        tally.new_folders += if new > 0 { new + existing } else { 0 };
        self.last_upload = path.parent().unwrap_or_default();
    }

    fn count_trashed(&mut self, path: &TreePath, tally: &mut Tally) {
        tally.trash_folders += levels_above(path, &self.last_trashed).count() as u64;
        self.last_trashed = path.parent().unwrap_or_default();
    }
}

/// The folders above `path`, from below, up to one that is above `before` too.
fn levels_above(path: &TreePath, before: &TreePath) -> impl Iterator<Item = TreePath> {
    std::iter::successors(path.parent(), TreePath::parent)
        .take_while(move |level| !level.is_root() && !before.is_within(level))
}
