//! What the last run may have moved to its trash without a word of it in the index: it was killed, or
//! could not see where a move ended. The next backup folds that in; who restores cannot wait for it.

use crate::journal::{NotDone, Settled, replay};
use crate::model::{Lane, RunId, TreePath};
use crate::workflow::halt::Halt;
use crate::workflow::opened::Opened;
use std::collections::BTreeSet;

/// The moves that the journal tells of, done or not. No proof that the trash holds any of them.
#[derive(Debug, Default)]
pub(super) struct MovedLast {
    run: Option<RunId>,
    files: BTreeSet<TreePath>,
    folders: BTreeSet<TreePath>,
}

impl MovedLast {
    /// From the journal that lies in the state directory, if one does: that of a run that is at work, or
    /// came to no good end.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(opened: &Opened) -> Result<Self, Halt> {
        let Some(replay) = replay(&opened.state.journal_path()).map_err(Halt::fatal)? else {
            return Ok(MovedLast::default());
        };
        let mut moved = MovedLast { run: Some(replay.header().run), ..MovedLast::default() };
        for batch in replay.batches() {
            let replayed = batch.map_err(Halt::fatal)?;
            if replayed.batch.lane != Lane::Trash {
                continue;
            }
            let is_out_of_question = |settled: &Settled| {
                matches!(settled, Settled::NotDone(NotDone::NotAttempted | NotDone::Vanished))
            };
            let items = replayed.batch.items.into_iter().zip(&replayed.settled);
            moved
                .files
                .extend(items.filter(|(_, settled)| !is_out_of_question(settled)).map(|(item, _)| item.path));
        }
        let folders = replay.folders().iter().filter(|folder| folder.moved != Some(false));
        moved.folders.extend(folders.map(|folder| folder.path.clone()));
        Ok(moved)
    }

    /// The run in whose trash the mirror's version of `path` may lie.
    pub(super) fn trash_of(&self, path: &TreePath) -> Option<RunId> {
        let mut levels = std::iter::successors(Some(path.clone()), TreePath::parent);
        let is_moved = self.files.contains(path)
            || (!self.folders.is_empty() && levels.any(|level| self.folders.contains(&level)));
        self.run.filter(|_| is_moved)
    }
}
