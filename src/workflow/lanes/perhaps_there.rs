//! New files where the index is damaged, on the side of what is kept or in the base.
//!
//! Whether a version is kept at the very path, the lane of the changed files finds out: it moves
//! away what lies there. But no file may go up over a folder (WebDAV remotes delete it whole), nor below
//! a file. So the remote is looked at, by one request for each folder.

use crate::model::{BatchItem, TreePath};
use crate::transfer::Shown;
use crate::workflow::halt::Halt;
use crate::workflow::job_run::JobRun;
use crate::workflow::trashing::unknown_item;
use std::collections::BTreeSet;

/// What may hinder new files, until it is looked at.
#[derive(Debug, Default)]
pub(super) struct PerhapsThere {
    files_above: BTreeSet<TreePath>,
    folders_here: Vec<TreePath>,
    /// Of these only the base is damaged: a folder that lies there holds nothing that is kept.
    base_folders: Vec<TreePath>,
    /// Not asked a second time.
    seen_above: BTreeSet<TreePath>,
}

impl PerhapsThere {
    /// A kept file may lie at one of `above`, or a kept folder at `path`.
    pub(super) fn add(&mut self, path: TreePath, above: Vec<TreePath>) {
        self.add_above(above);
        self.folders_here.push(path);
    }

    /// The base held what is not known: a file at one of `above`, or a folder at `path`.
    pub(super) fn add_of_base(&mut self, path: TreePath, above: Vec<TreePath>) {
        self.add_above(above);
        self.base_folders.push(path);
    }

    /// A file may lie at one of these folders.
    pub(super) fn add_above(&mut self, above: Vec<TreePath>) {
        for folder in above {
            if self.seen_above.insert(folder.clone()) {
                self.files_above.insert(folder);
            }
        }
    }

    /// So many paths wait for a look.
    pub(super) fn len(&self) -> usize {
        self.files_above.len() + self.folders_here.len() + self.base_folders.len()
    }

    /// Looks. Gives back the files that are in the way and must leave; what must not go up is blocked.
    pub(super) fn look(&mut self, run: &mut JobRun<'_>) -> Result<Vec<BatchItem>, Halt> {
        let (here, of_base) =
            (std::mem::take(&mut self.folders_here), std::mem::take(&mut self.base_folders));
        let above = std::mem::take(&mut self.files_above);
        let mut paths: Vec<TreePath> = above.iter().chain(&here).chain(&of_base).cloned().collect();
        // One listing serves all that have the folder above in common.
        paths.sort_by_cached_key(TreePath::parent);
        let shown = run.shown_on_mirror(&paths)?;
        let is_shown = |path: &&TreePath, kind: Shown| shown.get(*path) == Some(&kind);
        for path in paths.iter().filter(|path| is_shown(path, Shown::Refused)) {
            let reason = "the remote refuses to list the folder above, and it can't be told what lies there";
            run.block(path.clone(), reason);
        }
        for path in here.iter().filter(|path| is_shown(path, Shown::Folder)) {
            run.block(
                path.clone(),
                "a folder of that name lies on the mirror, and the damaged index can't tell what is kept in it; \
                 move that folder away on the remote, or give the file another name",
            );
        }
        for path in of_base.iter().filter(|path| is_shown(path, Shown::Folder)) {
            run.halt_without_room_for(run.whole_folder_requests())?;
            if !run.trash_folder(path)? && run.has_real_folders()? {
                let reason = "a folder of that name lies on the mirror and could not be moved to the trash";
                run.block(path.clone(), reason);
            }
        }
        let in_the_way: Vec<TreePath> =
            above.iter().filter(|path| is_shown(path, Shown::File)).cloned().collect();
        run.never_known.extend(in_the_way.iter().cloned());
        run.files_above.extend(in_the_way.iter().cloned());
        Ok(in_the_way.into_iter().map(unknown_item).collect())
    }
}
