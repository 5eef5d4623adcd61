//! Moving versions out of the mirror, and finding out where they went.

use super::backoff::{self, Backoff, Patience};
use super::halt::Halt;
use super::job_run::JobRun;
use super::uploading::KNOCKING;
use super::witnesses::{Denial, Denials, FOLDERS_ASKED_MAX, NO_TEXT};
use crate::index::MovedAway;
use crate::model::{
    Batch, BatchItem, Change, EntryKind, Failure, FailureClass, Lane, Outcome, OwnedEntry, TreePath,
};
use crate::plan::mirror_path;
use crate::transfer::{FolderMove, Place, Shown, Sight};
use std::collections::{BTreeMap, BTreeSet};

/// Why a version leaves the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Something is to go up in its place, or below it.
    MakeWay,
    /// The source has lost it.
    Remove,
}

/// A version that should have left the mirror, and did not.
struct Left {
    item: BatchItem,
    outcome: Outcome,
    /// Another try does no harm, and may help.
    may_be_repeated: bool,
}

/// Where a folder is after a move without a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FolderSeen {
    Mirror,
    Both,
    Trash,
    Neither,
}

impl Left {
    fn new(item: BatchItem, outcome: Outcome, may_be_repeated: bool) -> Self {
        Left { item, outcome, may_be_repeated }
    }
}

impl<'a> JobRun<'a> {
    /// Moves versions from the mirror to the run's trash. Gives back the paths at
    /// which the mirror holds nothing any more.
    pub(super) fn trash(
        &mut self,
        items: Vec<BatchItem>,
        purpose: Purpose,
    ) -> Result<BTreeSet<TreePath>, Halt> {
        let mut cleared = BTreeSet::new();
        let mut backoff = Backoff::default();
        let mut open = items;
        let mut waiting: Vec<Left> = Vec::new();
        while !open.is_empty() {
            let cleared_before = cleared.len();
            let left = self.trash_once(open, purpose, &mut cleared)?;
            let has_worked = cleared.len() > cleared_before;
            let (tried, given_up): (Vec<Left>, Vec<Left>) =
                left.into_iter().partition(|left| left.may_be_repeated);
            given_up.iter().for_each(|left| self.report_left(left, purpose));
            if has_worked {
                backoff.reset();
                if tried.is_empty() {
                    open = waiting.drain(..).map(|left| left.item).collect();
                    continue;
                }
            }
            // Those that waited have their turn before those that were refused again.
            let mut again: Vec<Left> = waiting.drain(..).chain(tried).collect();
            let is_refused = again.iter().any(|left| left.outcome != Outcome::NotAttempted);
            let wait_seconds = if is_refused { backoff.next_seconds() } else { None };
            let Some(seconds) = wait_seconds else {
                again.iter().for_each(|left| self.report_left(left, purpose));
                break;
            };
            self.wait_for_remote(seconds, again.len())?;
            if !has_worked {
                waiting = again.split_off(KNOCKING.min(again.len()));
            }
            open = again.into_iter().map(|left| left.item).collect();
        }
        Ok(cleared)
    }

    /// One batch. Gives back what is still in the mirror.
    fn trash_once(
        &mut self,
        items: Vec<BatchItem>,
        purpose: Purpose,
        cleared: &mut BTreeSet<TreePath>,
    ) -> Result<Vec<Left>, Halt> {
        self.make_trash_folders(&items)?;
        let batch = Batch { lane: Lane::Trash, items };
        let outcomes = self.send(&batch)?;
        let (mut silent, mut left) = (Vec::new(), Vec::new());
        for (item, outcome) in batch.items.iter().zip(&outcomes) {
            match outcome {
                Outcome::Confirmed => self.note_trashed(item, cleared),
                Outcome::NotAttempted => left.push(Left::new(item.clone(), outcome.clone(), true)),
                _ => silent.push((item.clone(), outcome.clone())),
            }
        }
        // Where they are is not known: if the run ends before it is, the next one has to look.
        self.unresolved.extend(silent.iter().map(|(item, _)| (Lane::Trash, item.clone())));
        self.halt_if_hopeless("moving old versions to the trash", &outcomes)?;
        left.extend(self.look_for(silent, purpose, cleared)?);
        self.unresolved.clear();
        Ok(left)
    }

    fn report_left(&mut self, left: &Left, purpose: Purpose) {
        let why = match &left.outcome {
            Outcome::NotAttempted => return,
            Outcome::Failed(failure) => failure.reason.as_str(),
            _ => "no answer",
        };
        self.report.files_failed += 1;
        let reason = match purpose {
            Purpose::MakeWay => format!("the mirror's version could not be moved to the trash: {why}"),
            Purpose::Remove => format!(
                "it is gone from the source, but could not be moved from the mirror to the trash; the next run tries again: {why}"
            ),
        };
        self.unprotected(&left.item.path, &reason);
    }

    fn note_trashed(&mut self, item: &BatchItem, cleared: &mut BTreeSet<TreePath>) {
        self.forget_kept(&item.path, item.as_link);
        self.report.files_trashed += 1;
        self.ledger.moved_to_trash(moved_away(item));
        self.note_gone(item);
        cleared.insert(item.path.clone());
    }

    /// Moves without a receipt: look at both ends, believe only what is seen. Gives
    /// back what is still in the mirror.
    fn look_for(
        &mut self,
        silent: Vec<(BatchItem, Outcome)>,
        purpose: Purpose,
        cleared: &mut BTreeSet<TreePath>,
    ) -> Result<Vec<Left>, Halt> {
        if silent.is_empty() {
            return Ok(Vec::new());
        }
        let remote = self.open_remote()?;
        let run = remote.run;
        let is_bucket = remote.connection.features.bucket_based;
        let items: Vec<BatchItem> = silent.iter().map(|(item, _)| item.clone()).collect();
        let in_mirror = self.look_for_moved(Place::Mirror, &items)?;
        let in_trash = self.look_for_moved(Place::Trash(run), &items)?;
        let (mut left, mut lost, mut twice) = (Vec::new(), Vec::new(), Vec::new());
        for ((item, outcome), found) in silent.into_iter().zip(in_mirror.into_iter().zip(in_trash)) {
            match found {
                // All of it is there: what the mirror may still have is a second copy.
                (Sight::Refused(_), Sight::File(size)) if !is_bucket && size == item.stamp.size => {
                    self.note_trashed(&item, cleared);
                }
                (Sight::Refused(words), _) | (_, Sight::Refused(words)) => {
                    left.push(self.leave_refused(item, &words));
                }
                (Sight::File(mirror), Sight::File(trash)) if is_bucket && mirror == trash => {
                    twice.push((item, outcome));
                }
                // A second move would remove the copy in the trash first. The next run moves it to a
                // trash of its own.
                (Sight::File(_), Sight::File(_)) => left.push(Left::new(item, outcome, false)),
                (Sight::File(_), Sight::Nothing) => {
                    let may_be_repeated = backoff::is_worth_waiting(&outcome);
                    left.push(Left::new(item, outcome, may_be_repeated));
                }
                (Sight::Nothing, Sight::File(_)) => self.note_trashed(&item, cleared),
                (Sight::Nothing, Sight::Nothing) => lost.push(item),
            }
        }
        left.extend(self.finish_copied(twice, cleared)?);
        left.extend(self.accept_as_lost(lost, purpose, cleared)?);
        Ok(left)
    }

    /// A bucket moves by copying and deleting: copied whole, and not deleted. Seen with
    /// `rclone serve s3` on a busy machine.
    fn finish_copied(
        &mut self,
        copied: Vec<(BatchItem, Outcome)>,
        cleared: &mut BTreeSet<TreePath>,
    ) -> Result<Vec<Left>, Halt> {
        if copied.is_empty() {
            return Ok(Vec::new());
        }
        let items: Vec<BatchItem> = copied.iter().map(|(item, _)| item.clone()).collect();
        let batch = Batch { lane: Lane::Delete, items };
        let outcomes = self.send(&batch)?;
        self.halt_if_hopeless("deleting from the mirror what was copied to the trash", &outcomes)?;
        let in_mirror = self.look(Place::Mirror, &batch.items)?;
        let mut left = Vec::new();
        for ((item, outcome), seen) in copied.into_iter().zip(in_mirror) {
            match seen {
                Sight::File(_) => left.push(Left::new(item, outcome, true)),
                Sight::Nothing => self.note_trashed(&item, cleared),
                Sight::Refused(words) => left.push(self.leave_refused(item, &words)),
            }
        }
        Ok(left)
    }

    /// Part of what a move costs.
    fn look_for_moved(&mut self, place: Place, items: &[BatchItem]) -> Result<Vec<Sight>, Halt> {
        let patience = self.patience();
        self.open_remote()?.connection.look(&patience, place, items)
    }

    pub(super) fn look(&mut self, place: Place, items: &[BatchItem]) -> Result<Vec<Sight>, Halt> {
        self.spend_on_looks(items.len() as u64);
        self.look_for_moved(place, items)
    }

    /// For questions of which nothing is lost when they are asked again. While it is not known where old versions
    /// are, no deadline ends the waits: they would stay out of the mirror.
    pub(super) fn patience(&self) -> Patience<'a> {
        let is_ended_in_time = !self.is_within_pair && self.unresolved.is_empty();
        let deadline = self.options.budget.deadline().filter(|_| is_ended_in_time);
        Patience::until(self.surroundings, deadline)
    }

    /// Neither in the mirror nor in the trash. A remote that lies answers like
    /// this for a folder or for everything, so it must find what is surely there in the same look.
    /// Gives back what it is not believed of.
    fn accept_as_lost(
        &mut self,
        lost: Vec<BatchItem>,
        purpose: Purpose,
        cleared: &mut BTreeSet<TreePath>,
    ) -> Result<Vec<Left>, Halt> {
        let (unheard_of, lost): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|item| self.never_known.contains(&item.path));
        // Nothing was known to be there, and nothing is.
        cleared.extend(unheard_of.into_iter().map(|item| item.path));
        if lost.is_empty() {
            return Ok(Vec::new());
        }
        let mut left = Vec::new();
        let witnesses = self.witnesses_for(&lost)?;
        let mut believed = lost;
        for pause_seconds in [0, self.surroundings.second_look_seconds] {
            let Some(first) = believed.first().map(|item| item.path.clone()) else { break };
            self.surroundings.pause(pause_seconds)?;
            let denials = self.hear(&witnesses, &first)?;
            let listed = self.listed_all_the_same(&believed)?;
            let mut rest = Vec::new();
            for item in believed {
                match self.why_not_lost(&item, purpose, &denials, &listed)? {
                    Some(denial) => left.push(self.leave_denied(item, denial)),
                    None => rest.push(item),
                }
            }
            believed = rest;
            believed = self.still_hidden(believed, &mut left)?;
        }
        for item in believed {
            let is_hidden = self.may_be_hidden(&item.path)?;
            if is_hidden && let Ok(Some(held)) = self.views().base_entry(&item.path) {
                self.warn(format!(
                    "{}: it is gone from the source, and the remote does not show it. {NO_TEXT}",
                    item.path
                ));
                self.keep(item.path.clone(), held);
                cleared.insert(item.path);
                continue;
            }
            self.warn(format!(
                "{}: the version that the mirror held is gone, and it is not in the trash either",
                item.path
            ));
            self.forget_kept(&item.path, item.as_link);
            self.note_gone(&item);
            cleared.insert(item.path);
        }
        Ok(left)
    }

    /// Those that the remote denies a second time.
    fn still_hidden(
        &mut self,
        believed: Vec<BatchItem>,
        left: &mut Vec<Left>,
    ) -> Result<Vec<BatchItem>, Halt> {
        if believed.is_empty() {
            return Ok(believed);
        }
        let mut hidden = Vec::new();
        for (item, seen) in believed.clone().into_iter().zip(self.look(Place::Mirror, &believed)?) {
            match seen {
                Sight::Nothing => hidden.push(item),
                Sight::Refused(words) => left.push(self.leave_refused(item, &words)),
                Sight::File(_) => {
                    return Err(Halt::RemoteUnwell(
                        "the remote shows files now that it denied a moment ago: nothing more is sent".into(),
                    ));
                }
            }
        }
        Ok(hidden)
    }

    /// Why a version that the remote does not show is not taken for gone.
    fn why_not_lost(
        &mut self,
        item: &BatchItem,
        purpose: Purpose,
        denials: &Denials,
        listed: &BTreeSet<TreePath>,
    ) -> Result<Option<Denial>, Halt> {
        let path = &item.path;
        if let Some(denial) = denials.reason(path) {
            return Ok(Some(denial.clone()));
        }
        if listed.contains(&mirror_path(path, item.as_link)) {
            let reason = "the remote says that it is not there, and lists it in its folder";
            return Ok(Some(Denial::Lie(reason.into())));
        }
        // What goes up under its name would be written over it.
        let is_hidden = purpose == Purpose::MakeWay && self.may_be_hidden(path)?;
        Ok(is_hidden.then(|| Denial::Unknown(format!("the remote does not show it. {NO_TEXT}"))))
    }

    /// Of what the remote does not show: what the folders above list. A server that refuses one path says
    /// "not there" of it, too, and nothing else of that folder tells.
    fn listed_all_the_same(&mut self, lost: &[BatchItem]) -> Result<BTreeSet<TreePath>, Halt> {
        let mut paths: Vec<TreePath> =
            lost.iter().map(|item| mirror_path(&item.path, item.as_link)).collect();
        paths.sort_by_cached_key(TreePath::parent);
        let mut folders = paths.chunk_by(|left, right| left.parent() == right.parent());
        let asked: Vec<TreePath> = folders.by_ref().take(FOLDERS_ASKED_MAX).flatten().cloned().collect();
        Ok(self.shown_on_mirror(&asked)?.into_keys().collect())
    }

    /// The server may have it under a name that it was not sent under.
    fn may_be_hidden(&mut self, path: &TreePath) -> Result<bool, Halt> {
        Ok(!path.is_text() && !self.open_remote()?.connection.features.kind().keeps_all_bytes())
    }

    /// Where it is can't be told: the next run has to look.
    fn leave_denied(&mut self, item: BatchItem, denial: Denial) -> Left {
        self.denied.push(item.clone());
        let (class, reason) = match denial {
            Denial::Unknown(reason) => (FailureClass::File, reason),
            Denial::Lie(reason) => {
                self.lied_about.push(item.path.clone());
                (FailureClass::RemoteUnwell, reason)
            }
        };
        Left::new(item, Outcome::Failed(Failure { class, reason }), false)
    }

    /// The remote refuses to say where it is, and answers for others: the next run has to look.
    fn leave_refused(&mut self, item: BatchItem, words: &str) -> Left {
        if let Some(remote) = &mut self.remote {
            remote.answers_for_others();
        }
        let reason = format!("the remote refuses to show it, so it can't be told where it is: {words}");
        self.leave_denied(item, Denial::Unknown(reason))
    }

    /// True when the mirror has a folder at `path`, empty or not; `Err` within: it refuses to say, in these words.
    pub(super) fn mirror_has_folder(
        &mut self,
        path: &TreePath,
        patience: &Patience<'_>,
    ) -> Result<Result<bool, String>, Halt> {
        let transfer = &self.open_remote()?.connection.transfer;
        patience.look("looking for a folder on the mirror", transfer, |transfer| {
            transfer.past_refusal(|transfer| transfer.has_folder(Place::Mirror, path))
        })
    }

    /// Which of these paths the mirror shows, and as what: by one listing of each folder above them.
    pub(super) fn shown_on_mirror(&mut self, paths: &[TreePath]) -> Result<BTreeMap<TreePath, Shown>, Halt> {
        if paths.is_empty() {
            return Ok(BTreeMap::new());
        }
        let above: BTreeSet<TreePath> = paths.iter().filter_map(TreePath::parent).collect();
        self.spend_on_looks(above.len() as u64);
        let patience = self.patience();
        let transfer = &self.open_remote()?.connection.transfer;
        patience.look("looking for folders on the mirror", transfer, |transfer| {
            transfer.shown_above(Place::Mirror, paths)
        })
    }

    /// Moves a whole folder to the run's trash. True when it is there now, and the caller
    /// notes each file of it; false when it is to be done file by file.
    pub(super) fn trash_folder(&mut self, path: &TreePath) -> Result<bool, Halt> {
        let remote = self.open_remote()?;
        if !remote.connection.features.dir_move {
            return Ok(false);
        }
        self.surroundings.halt_if_stopped()?;
        self.make_folders_above_in_trash(path)?;
        self.keep_the_pause()?;
        self.open_remote()?.journal.append_folder_intent(path).map_err(Halt::fatal)?;
        let mut backoff = Backoff::default();
        let is_moved = loop {
            let moved = self.open_remote()?.connection.transfer.move_folder(path);
            self.spend_on_whole_folder();
            self.unresolved_folder = Some(path.clone());
            let (seen, is_unwell) = match moved {
                FolderMove::Confirmed => break true,
                FolderMove::Failed(failure) if failure.class == FailureClass::Authentication => {
                    return Err(Halt::from_failure("moving a folder to the trash", &failure));
                }
                FolderMove::Failed(failure) => {
                    (self.look_for_folder(path)?, failure.class == FailureClass::RemoteUnwell)
                }
                FolderMove::Unknown => (self.look_for_folder(path)?, false),
            };
            // Again only where nothing of it has moved, as far as the remote says.
            match if is_unwell && seen == FolderSeen::Mirror { backoff.next_seconds() } else { None } {
                Some(seconds) => self.wait_for_remote(seconds, 1)?,
                None => break seen == FolderSeen::Trash,
            }
        };
        self.unresolved_folder = None;
        self.operation_ended();
        if is_moved {
            self.ledger.folder_gone(path.clone());
            self.moved_folders.insert(path.clone());
        }
        // No halt from here on: the caller has to note what left with the folder first.
        self.open_remote()?.settle_folder(path, is_moved);
        Ok(is_moved)
    }

    /// A folder's move without a receipt is never repeated blindly: presence in
    /// the trash proves it, and what is still in the mirror, or not to be seen, goes file by file.
    fn look_for_folder(&mut self, path: &TreePath) -> Result<FolderSeen, Halt> {
        let patience = Patience::until(self.surroundings, None);
        let remote = self.open_remote()?;
        let transfer = &remote.connection.transfer;
        let seen_at = |place: Place| {
            patience.look("looking where a folder went", transfer, |transfer| {
                transfer.past_refusal(|transfer| transfer.has_folder(place, path))
            })
        };
        match (seen_at(Place::Mirror)?, seen_at(Place::Trash(remote.run))?) {
            (Ok(true), Ok(false)) => Ok(FolderSeen::Mirror),
            (Ok(true), Ok(true)) => Ok(FolderSeen::Both),
            (Ok(false), Ok(true)) => Ok(FolderSeen::Trash),
            // Deleted there by somebody, or the remote lies, or refuses to say: each file gets the looks that tell.
            (Ok(false), Ok(false)) | (Err(_), _) | (_, Err(_)) => Ok(FolderSeen::Neither),
        }
    }

    /// Notes where a file went that left with its folder.
    pub(super) fn note_moved_with_folder(&mut self, change: &Change) {
        if let Some(held) = change.base.as_ref().filter(|entry| entry.is_on_mirror()) {
            self.ledger.moved_to_trash(moved_away(&removal_item(change.path.clone(), held)));
            self.report.files_trashed += 1;
        }
    }
}

/// A path that is to leave the mirror.
pub(super) fn removal_item(path: TreePath, held: &OwnedEntry) -> BatchItem {
    BatchItem {
        path,
        as_link: held.kind == EntryKind::Symlink,
        stamp: held.stamp,
        permissions: held.permissions,
        digest: held.digest,
    }
}

/// A version of which nothing is known but where it may lie.
pub(super) fn unknown_item(path: TreePath) -> BatchItem {
    BatchItem {
        path,
        as_link: false,
        stamp: Default::default(),
        permissions: Default::default(),
        digest: None,
    }
}

/// The row of the run record for a version that left the mirror.
pub(super) fn moved_away(item: &BatchItem) -> MovedAway {
    MovedAway {
        path: mirror_path(&item.path, item.as_link),
        digest: item.digest,
        size: item.stamp.size,
        mtime: item.stamp.mtime,
    }
}
