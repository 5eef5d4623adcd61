//! New files where the index is damaged on the side of what is kept.
//!
//! Whether a version is kept at the very path, the lane of the changed files finds out: it moves
//! away what lies there. But no file may go up over a folder (WebDAV remotes delete it whole), nor below
//! a file. So the remote is looked at, by one request for each folder.

use crate::model::{BatchItem, TreePath};
use crate::workflow::halt::Halt;
use crate::workflow::job_run::JobRun;
use std::collections::BTreeSet;

/// What may hinder new files, until it is looked at.
#[derive(Debug, Default)]
pub(super) struct PerhapsKept {
    files_above: BTreeSet<TreePath>,
    folders_here: Vec<TreePath>,
    /// Not asked a second time.
    seen_above: BTreeSet<TreePath>,
}

impl PerhapsKept {
    /// A kept file may lie at one of `above`, or a kept folder at `path`.
    pub(super) fn add(&mut self, path: TreePath, above: Vec<TreePath>) {
        for folder in above {
            if self.seen_above.insert(folder.clone()) {
                self.files_above.insert(folder);
            }
        }
        self.folders_here.push(path);
    }

    /// So many paths wait for a look.
    pub(super) fn len(&self) -> usize {
        self.files_above.len() + self.folders_here.len()
    }

    /// Looks. Gives back the files that are in the way and must leave; what must not go up is blocked.
    pub(super) fn look(&mut self, run: &mut JobRun<'_>) -> Result<Vec<BatchItem>, Halt> {
        let here = std::mem::take(&mut self.folders_here);
        for path in run.folders_of_mirror(&here)? {
            run.block(
                path,
                "a folder of that name lies on the mirror, and the damaged index can't tell what is kept in it; \
                 move that folder away on the remote, or give the file another name",
            );
        }
        let above: Vec<BatchItem> =
            std::mem::take(&mut self.files_above).into_iter().map(unknown_item).collect();
        if above.is_empty() {
            return Ok(Vec::new());
        }
        let are_there = run.look(crate::transfer::Place::Mirror, &above)?;
        let in_the_way: Vec<BatchItem> = above
            .into_iter()
            .zip(are_there)
            .filter(|(_, is_there)| *is_there)
            .map(|(item, _)| item)
            .collect();
        run.never_known.extend(in_the_way.iter().map(|item| item.path.clone()));
        Ok(in_the_way)
    }
}

/// A version of which nothing is known but where it may lie.
pub(in crate::workflow) fn unknown_item(path: TreePath) -> BatchItem {
    BatchItem {
        path,
        as_link: false,
        stamp: Default::default(),
        permissions: Default::default(),
        digest: None,
    }
}
