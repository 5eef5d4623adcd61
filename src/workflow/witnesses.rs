//! What must answer beside a version that the remote denies.
//!
//! A remote that lies says "not there" of a whole folder, or of everything (OpenList answers 404
//! when a driver fails). So a version is believed to be gone only when the remote shows, in the
//! same look, the owner file and the nearest file that the index knows; and where the index knows no other
//! file in that folder, the folder above must not show the folder that denies itself.

use super::halt::Halt;
use super::job_run::JobRun;
use super::ledger::PathState;
use super::owner;
use super::trashing::removal_item;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::model::{BatchItem, OwnedEntry, TreePath};
use crate::transfer::Place;
use std::collections::BTreeSet;

/// Folders that are asked for a witness. A remote that denies more of them is judged by these.
const FOLDERS_ASKED_MAX: usize = 20;

/// Who is asked about lost versions.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    /// The nearest files that are surely on the mirror.
    files: Vec<BatchItem>,
    /// Folders of which everything is lost.
    emptied: BTreeSet<TreePath>,
}

impl JobRun<'_> {
    /// Those for `lost`, from the index.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn witnesses_for(&self, lost: &[BatchItem]) -> Result<Witnesses, Halt> {
        let paths: BTreeSet<&TreePath> = lost.iter().map(|item| &item.path).collect();
        let folders: BTreeSet<TreePath> = lost.iter().filter_map(|item| item.path.parent()).collect();
        let mut witnesses = Witnesses::default();
        for folder in folders.into_iter().take(FOLDERS_ASKED_MAX) {
            let mut level = Some(folder);
            while let Some(place) = level {
                if let Some(item) = self.held_below(&place, &paths)? {
                    if !witnesses.files.contains(&item) {
                        witnesses.files.push(item);
                    }
                    break;
                }
                level = place.parent();
                if !place.is_root() {
                    witnesses.emptied.insert(place);
                }
            }
        }
        Ok(witnesses)
    }

    /// A file below `folder` that the mirror holds as far as we know, and that is not in `lost`. One that
    /// the source has lost, too, proves nothing: a folder deleted on both sides would wait for itself.
    fn held_below(&self, folder: &TreePath, lost: &BTreeSet<&TreePath>) -> Result<Option<BatchItem>, Halt> {
        let views = self.views();
        let mut found = None;
        walk(&views.base(), &Selection::new(std::slice::from_ref(folder)), &mut |path, visit| {
            if let Visit::Entry(entry) = &visit
                && found.is_none()
                && !lost.contains(path)
            {
                let held = match self.ledger.state_of(path) {
                    Some(PathState::Gone) => None,
                    Some(PathState::Held(held)) => Some(held.clone()),
                    None => Some(OwnedEntry::from(*entry)),
                };
                found = held
                    .filter(|held| held.is_on_mirror() && !self.is_gone(path))
                    .map(|held| removal_item(path.clone(), &held));
            }
            Ok(if found.is_some() { Next::Past } else { Next::Into })
        })?;
        Ok(found)
    }

    /// Asks them all.
    ///
    /// # Errors
    /// [`Halt::RemoteUnwell`] when the remote does not show what is surely there.
    pub(super) fn hear(&mut self, witnesses: &Witnesses, lost: &TreePath) -> Result<(), Halt> {
        let belief = self.belief();
        let remote = self.open_remote()?;
        if belief.sequence > 0 {
            owner::check(&remote.connection.session, &belief)?;
        } else if witnesses.files.is_empty() {
            return Err(Halt::RemoteUnwell(format!(
                "the remote shows {lost} neither on the mirror nor in the trash, and nothing is known by which to tell \
                 whether it tells the truth: nothing more is sent"
            )));
        }
        if !witnesses.files.is_empty() {
            let shown = self.look(Place::Mirror, &witnesses.files)?;
            if let Some((denied, _)) = witnesses.files.iter().zip(shown).find(|(_, shown)| !shown) {
                return Err(Halt::RemoteUnwell(format!(
                    "the remote shows neither {lost} nor {} beside it, which nobody has moved away: nothing more is \
                     sent. If files were removed there, `treeferry verify --remote --repair` sends them again",
                    denied.path
                )));
            }
        }
        for folder in &witnesses.emptied {
            if !self.mirror_has_folder(folder)? && self.is_listed_above(folder)? {
                return Err(Halt::RemoteUnwell(format!(
                    "the remote says that there is no folder {folder}, and lists it one level above: nothing more is sent"
                )));
            }
        }
        Ok(())
    }

    fn is_listed_above(&mut self, folder: &TreePath) -> Result<bool, Halt> {
        let remote = self.open_remote()?;
        let failed = |failure| Halt::from_failure("looking for a folder on the mirror", &failure);
        remote.connection.transfer.is_listed_above(Place::Mirror, folder).map_err(failed)
    }
}
