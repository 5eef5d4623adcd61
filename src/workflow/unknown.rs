//! What lies at some paths of the mirror and the index does not know, because it was damaged.
//!
//! A commit writes a damaged directory anew with what is confirmed of it, and from then on
//! the rest of it looks new. It must not be: an older version may lie there, and goes to
//! the trash first. So these paths are written down before anything is committed.

use super::halt::Halt;
use super::job_run::JobRun;
use crate::commit::SideFile;
use crate::diff::diff;
use crate::model::TreePath;
use std::collections::BTreeSet;

impl JobRun<'_> {
    /// Adds what this run can't tell, and leaves out what was confirmed since.
    pub(super) fn remember_unknown(&self) -> Result<(), Halt> {
        let views = self.views();
        let is_known = |path: &TreePath| matches!(views.base_entry(path), Ok(Some(_)));
        let before = self.committed.unknown;
        let mut unknown: BTreeSet<TreePath> = before.iter().filter(|path| !is_known(path)).cloned().collect();
        let base = views.base();
        for change in diff(&base, views.pending, views.equality) {
            let change = change.map_err(Halt::fatal)?;
            if change.base_is_unknown && change.pending.is_some_and(|pending| pending.is_on_mirror()) {
                unknown.insert(change.path);
            }
        }
        if unknown == *before {
            return Ok(());
        }
        let bytes: Vec<u8> = unknown.iter().flat_map(|path| [path.as_bytes(), b"\0"].concat()).collect();
        let state = self.committed.state;
        state.write_side_file(self.committed.disk(), SideFile::Unknown, &bytes).map_err(Halt::fatal)
    }
}
