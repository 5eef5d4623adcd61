//! What must answer beside a version that the remote denies.
//!
//! A remote that lies says "not there" of a whole folder, or of everything (OpenList answers 404
//! when a driver fails). So a version is believed to be gone only when the remote shows, in the
//! same look, the owner file and the nearest file that the index knows; and where the index knows no other
//! file in that folder, the folder above must not show the folder that denies itself. A folder that
//! is not believed is left as it is, and the run goes on without it, to end as one with a remote that
//! is unwell; a remote that shows no file anywhere ends it at once. A witness that is hidden may have been deleted
//! behind our back like the version itself: where the remote shows others of that folder, it is believed. Nor is it
//! believed of a version that the listing of its folder shows.
//!
//! Some servers (rclone's own) keep names that are no text under others, and deny those that were sent. A witness
//! of such a name proves something only when it is shown: so one with a name that is text is preferred, and where
//! there is none, and this one is hidden, nothing can be told. Nor can it of a version whose own name is no text and in
//! whose place another would go up. Those versions are left and named, and that is all.

use super::halt::Halt;
use super::job_run::{JobRun, is_below_any};
use super::ledger::PathState;
use super::owner;
use super::trashing::removal_item;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::model::{BatchItem, OwnedEntry, TreePath};
use crate::transfer::{Place, Sight};
use std::collections::{BTreeMap, BTreeSet};

/// Folders that are asked for a witness. What else is lost is not believed when one of them denies its own.
pub(super) const FOLDERS_ASKED_MAX: usize = 20;

/// So many others of its folder must be shown, if there are so many, to believe that a hidden witness is gone.
const OTHERS_ASKED: usize = 3;

/// What some servers do with names that are no text, for messages.
pub(super) const NO_TEXT: &str = "Bytes in names that are no text are kept under others by some servers, rclone's own \
     among them, so it can't be told whether it is gone: it is left as it is. Rename such files, or use another server.";

/// Who is asked about lost versions, by the folders that held them.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    lost: BTreeSet<TreePath>,
    folders: BTreeMap<TreePath, Asked>,
}

/// Who is asked about the lost versions of one folder.
#[derive(Debug, Default)]
struct Asked {
    /// The nearest file that is surely on the mirror.
    beside: Option<BatchItem>,
    /// This folder and those above it, as far as everything in them is lost.
    emptied: Vec<TreePath>,
}

/// Why a remote is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denial {
    /// It denies what is surely there.
    Lie(String),
    /// There is nobody to ask whose name it could not have lost.
    Unknown(String),
}

/// Which folders denied what is surely there, and so are not believed, and why.
#[derive(Debug, Default)]
pub(super) struct Denials {
    folders: BTreeMap<TreePath, Denial>,
    /// Believed in this look; a folder that was not asked is not.
    believed: BTreeSet<TreePath>,
}

impl Denials {
    /// Why the remote is not believed that `path` is gone.
    pub(super) fn reason(&self, path: &TreePath) -> Option<&Denial> {
        let folder = path.parent()?;
        match self.folders.get(&folder) {
            None if self.believed.contains(&folder) => None,
            Some(reason) => Some(reason),
            None => self.folders.values().next(),
        }
    }
}

impl JobRun<'_> {
    /// Those for `lost`, from the index.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub(super) fn witnesses_for(&self, lost: &[BatchItem]) -> Result<Witnesses, Halt> {
        let paths: BTreeSet<&TreePath> = lost.iter().map(|item| &item.path).collect();
        let folders: BTreeSet<TreePath> = lost.iter().filter_map(|item| item.path.parent()).collect();
        let mut witnesses =
            Witnesses { lost: paths.iter().copied().cloned().collect(), ..Witnesses::default() };
        for folder in folders.into_iter().take(FOLDERS_ASKED_MAX) {
            let mut asked = Asked::default();
            let mut level = Some(folder.clone());
            while let Some(place) = level {
                asked.beside = self.held_below(&place, &|path| !paths.contains(path))?;
                if asked.beside.is_some() {
                    break;
                }
                level = place.parent();
                if !place.is_root() {
                    asked.emptied.push(place);
                }
            }
            witnesses.folders.insert(folder, asked);
        }
        Ok(witnesses)
    }

    /// A file below `folder` that the mirror holds as far as we know, and that `may_be_asked`. One that
    /// the source has lost, too, proves nothing: a folder deleted on both sides would wait for itself. The first
    /// whose name is text; where there is none, the first.
    fn held_below(
        &self,
        folder: &TreePath,
        may_be_asked: &dyn Fn(&TreePath) -> bool,
    ) -> Result<Option<BatchItem>, Halt> {
        let views = self.views();
        let (mut found, mut no_text) = (None, None);
        walk(&views.base(), &Selection::new(std::slice::from_ref(folder)), &mut |path, visit| {
            let is_text = path.is_text();
            if let Visit::Entry(entry) = &visit
                && found.is_none()
                && (is_text || no_text.is_none())
                && may_be_asked(path)
            {
                let held = match self.ledger.state_of(path) {
                    Some(PathState::Gone) => None,
                    Some(PathState::Held(held)) => Some(held.clone()),
                    None => Some(OwnedEntry::from(*entry)),
                };
                let item = held
                    .filter(|held| held.is_on_mirror() && !self.is_gone(path))
                    .map(|held| removal_item(path.clone(), &held));
                if is_text { found = item } else { no_text = item }
            }
            Ok(if found.is_some() { Next::Past } else { Next::Into })
        })?;
        Ok(found.or(no_text))
    }

    /// Asks them all. Gives back which folders are not believed.
    ///
    /// # Errors
    /// [`Halt::RemoteUnwell`] when the remote shows nothing of what is surely there.
    pub(super) fn hear(&mut self, witnesses: &Witnesses, lost: &TreePath) -> Result<Denials, Halt> {
        let (belief, patience) = (self.belief(), self.patience());
        let remote = self.open_remote()?;
        let files: BTreeMap<&TreePath, &BatchItem> = witnesses
            .folders
            .values()
            .filter_map(|asked| asked.beside.as_ref())
            .map(|item| (&item.path, item))
            .collect();
        if belief.sequence > 0 {
            owner::check(&remote.connection.session, &belief, &patience)?;
        } else if files.is_empty() {
            return Err(Halt::RemoteUnwell(format!(
                "the remote shows {lost} neither on the mirror nor in the trash, and nothing is known by which to tell \
                 whether it tells the truth: nothing more is sent"
            )));
        }
        let items: Vec<BatchItem> = files.values().map(|item| (*item).clone()).collect();
        let shown = if items.is_empty() { Vec::new() } else { self.look(Place::Mirror, &items)? };
        let is_any_shown = shown.iter().any(|seen| seen.is_shown());
        let mut hidden = BTreeSet::new();
        for (path, seen) in files.into_keys().zip(shown) {
            if !seen.is_shown() && !self.is_outvoted(path, &witnesses.lost)? {
                hidden.insert(path);
            }
        }
        let mut denials = Denials::default();
        for (folder, asked) in &witnesses.folders {
            match self.denial(asked, &hidden)? {
                Some(reason) => denials.folders.insert(folder.clone(), reason).is_none(),
                None => denials.believed.insert(folder.clone()),
            };
        }
        let lie = denials.folders.values().find_map(|denial| match denial {
            Denial::Lie(reason) => Some(reason),
            Denial::Unknown(_) => None,
        });
        if denials.believed.is_empty()
            && let Some(reason) = lie
            && !is_any_shown
            && !self.is_another_shown(witnesses)?
        {
            return Err(Halt::RemoteUnwell(format!("{lost}: {reason}; nothing more is sent")));
        }
        Ok(denials)
    }

    /// The remote shows others of the folder of a hidden witness.
    fn is_outvoted(&mut self, witness: &TreePath, lost: &BTreeSet<TreePath>) -> Result<bool, Halt> {
        let Some(folder) = witness.parent() else { return Ok(false) };
        let mut others: Vec<BatchItem> = Vec::new();
        while others.len() < OTHERS_ASKED {
            let may_be_asked = |path: &TreePath| {
                let is_beside = path != witness && path.parent().as_ref() == Some(&folder);
                is_beside && !lost.contains(path) && others.iter().all(|other| other.path != *path)
            };
            match self.held_below(&folder, &may_be_asked)? {
                Some(other) => others.push(other),
                None => break,
            }
        }
        Ok(!others.is_empty() && self.look(Place::Mirror, &others)?.iter().all(Sight::is_shown))
    }

    /// Why a folder is not believed.
    fn denial(&mut self, asked: &Asked, hidden: &BTreeSet<&TreePath>) -> Result<Option<Denial>, Halt> {
        if let Some(item) = asked.beside.as_ref().filter(|item| hidden.contains(&item.path)) {
            if !item.path.is_text() {
                return Ok(Some(Denial::Unknown(format!(
                    "the remote shows neither this nor {} beside it. {NO_TEXT}",
                    item.path
                ))));
            }
            return Ok(Some(Denial::Lie(format!(
                "the remote shows neither this nor {} beside it, which nobody has moved away. If files were removed \
                 there, `treeferry verify --remote --repair` sends them again",
                item.path
            ))));
        }
        for folder in &asked.emptied {
            let patience = self.patience();
            let is_there = match self.mirror_has_folder(folder, &patience)? {
                Ok(is_there) => is_there,
                Err(words) => {
                    let reason = format!("the remote refuses to show the folder {folder}: {words}");
                    return Ok(Some(Denial::Unknown(reason)));
                }
            };
            if !is_there && self.is_listed_above(folder)? {
                return Ok(Some(Denial::Lie(format!(
                    "the remote says that there is no folder {folder}, and lists it one level above"
                ))));
            }
        }
        Ok(None)
    }

    /// True when the mirror shows a file that the index knows elsewhere: then it is these folders
    /// that it denies, and not everything.
    fn is_another_shown(&mut self, witnesses: &Witnesses) -> Result<bool, Halt> {
        let mut denied: BTreeSet<TreePath> = witnesses.folders.keys().cloned().collect();
        denied.extend(
            witnesses
                .folders
                .values()
                .filter_map(|asked| asked.beside.as_ref().and_then(|item| item.path.parent())),
        );
        let elsewhere = self.held_below(&TreePath::root(), &|path| !is_below_any(&denied, path))?;
        match elsewhere {
            Some(item) => Ok(self.look(Place::Mirror, &[item])?.iter().all(Sight::is_shown)),
            None => Ok(false),
        }
    }

    pub(super) fn is_listed_above(&mut self, folder: &TreePath) -> Result<bool, Halt> {
        let patience = self.patience();
        let transfer = &self.open_remote()?.connection.transfer;
        patience.look("looking for a folder on the mirror", transfer, |transfer| {
            transfer.is_listed_above(Place::Mirror, folder)
        })
    }
}
