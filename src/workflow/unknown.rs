//! What lies at some paths of the mirror and the index does not know: because it was damaged, or because a
//! first run was let onto a mirror that is not empty.
//!
//! A commit writes a damaged directory anew with what is confirmed of it, and from then on
//! the rest of it looks new. It must not be: an older version may lie there, and goes to
//! the trash first. So these paths are written down before anything is committed.

use super::committed::doubts_bytes;
use super::connect::Connector;
use super::halt::Halt;
use super::job_run::JobRun;
use super::opened::Opened;
use super::views::find_on_mirror;
use crate::commit::{SideFile, StateDir};
use crate::diff::diff;
use crate::index::{PendingTree, find};
use crate::model::{EntryKind, ReadNodeError, TreePath};
use std::collections::BTreeSet;

/// What earlier runs could not tell; and where people said that a mirror may be written over, what lies where a
/// first run will put something, by one listing of it: files and folders in the place of files, and files in the
/// place of folders. Written down, so that it goes to the trash before anything comes there, by
/// whichever run.
pub(super) fn with_foreign(
    lets_pass: bool,
    connector: &Connector<'_>,
    opened: &Opened,
    pending: &PendingTree<'_>,
) -> Result<BTreeSet<TreePath>, Halt> {
    let mut unknown = opened.unknown.clone();
    if !lets_pass {
        return Ok(unknown);
    }
    let (session, mirror) = (connector.looking_session()?, connector.job.remote.to_string());
    let mut failed = None;
    let listed = session.list_all(&mirror, "", &mut |file| {
        // A name that the listing does not tell is none that a new file of ours has, as far as can be told.
        let Some(path) = file.path() else { return };
        match meets(pending, &path) {
            Ok(place) => unknown.extend(place),
            Err(error) => failed = Some(error),
        }
    });
    listed.map_err(|failure| Halt::from_failure("looking what lies on the mirror", &failure))?;
    if let Some(error) = failed {
        return Err(Halt::fatal(error));
    }
    write(&opened.state, connector, &unknown)?;
    Ok(unknown)
}

/// The path of the source that cannot go up while the file `name` lies on the mirror.
fn meets(pending: &PendingTree<'_>, name: &TreePath) -> Result<Option<TreePath>, ReadNodeError> {
    let levels = std::iter::successors(name.parent(), TreePath::parent);
    for folder in levels.filter(|folder| !folder.is_root()) {
        if let Some((path, _)) = find_on_mirror(pending, &folder)? {
            return Ok(Some(path));
        }
    }
    if let Some((path, _)) = find_on_mirror(pending, name)? {
        return Ok(Some(path));
    }
    let folder = find(pending, name)?.filter(|entry| entry.kind == EntryKind::Directory);
    Ok(folder.map(|_| name.clone()))
}

fn write(state: &StateDir, connector: &Connector<'_>, unknown: &BTreeSet<TreePath>) -> Result<(), Halt> {
    let bytes = doubts_bytes(unknown);
    state.write_side_file(&connector.disk, SideFile::Unknown, &bytes).map_err(Halt::fatal)
}

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
        write(self.committed.state, self.connector, &unknown)
    }
}
