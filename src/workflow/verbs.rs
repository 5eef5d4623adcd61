//! What the lanes ask of the remote, and what the ledger learns from it.

use super::configuration::OnDelete;
use super::connect::encoding_of;
use super::halt::Halt;
use super::job_run::JobRun;
use super::lanes::{Candidate, Prepared, read_one};
use super::owner;
use super::remote::confirmed;
use crate::index::MovedAway;
use crate::model::{
    Batch, BatchItem, Change, EntryFlags, EntryKind, Failure, Lane, Outcome, OwnedEntry, RunId, TreePath,
};
use crate::observe::Event;
use crate::plan::mirror_path;
use crate::transfer::{FolderMove, Place, Session, join};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Why a version leaves the mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Something is to go up in its place, or below it.
    MakeWay,
    /// The source has lost it.
    Remove,
}

impl JobRun<'_> {
    /// Sends files to places where nothing known lies. Gives back the paths that
    /// the mirror holds now.
    pub(super) fn upload(&mut self, candidates: Vec<Candidate>) -> Result<BTreeSet<TreePath>, Halt> {
        let mut held = BTreeSet::new();
        let candidates = self.without_unportable(candidates)?;
        if candidates.is_empty() {
            return Ok(held);
        }
        let items = candidates.iter().map(item_to_send).collect();
        let batch = Batch { lane: Lane::Upload, items };
        let outcomes = self.send(&batch)?;
        let read = self.read_after_receipt(candidates, &outcomes);
        let mut late = Vec::new();
        for (index, (candidate, outcome)) in read.into_iter().zip(&outcomes).enumerate() {
            let path = candidate.path.clone();
            match outcome {
                Outcome::Confirmed if candidate.pending.digest.is_some() => {
                    if batch.items[index].digest.is_none() {
                        let racy = candidate.pending.flags.contains(EntryFlags::RACY);
                        late.push((index as u32, confirmed(&candidate.upload_item(), racy)));
                    }
                    self.report.files_uploaded += 1;
                    self.report.bytes_uploaded += candidate.pending.stamp.size;
                    self.committed.doubts.remove(&path);
                    self.forget_kept(&path)?;
                    self.ledger.held(path.clone(), candidate.pending);
                    held.insert(path);
                }
                Outcome::NotAttempted => {}
                outcome => {
                    // Whatever lies there now is ours and of no worth.
                    self.committed.doubts.insert(path.clone());
                    self.report_upload_failure(&path, outcome);
                }
            }
        }
        if let Some(remote) = &mut self.remote {
            remote.settle_late(&late)?;
        }
        self.halt_if_hopeless("uploading", &outcomes)?;
        Ok(held)
    }

    /// Names that this rclone can't carry are named at once: a line that can't be
    /// written must not come near a batch.
    fn without_unportable(&mut self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Halt> {
        if candidates.is_empty() {
            return Ok(candidates);
        }
        let encoding = self.open_remote()?.connection.session.encoding();
        let (mut portable, mut refused) = (Vec::with_capacity(candidates.len()), Vec::new());
        for candidate in candidates {
            match encoding.encode(&candidate.path) {
                Ok(_) => portable.push(candidate),
                Err(error) => refused.push((candidate.path, error.to_string())),
            }
        }
        for (path, reason) in refused {
            self.report.files_failed += 1;
            self.unprotected(&path, &reason);
        }
        Ok(portable)
    }

    /// Reads what could not be trusted before the upload: large files, which are
    /// read once only, and files whose stamp was not settled. What reads
    /// differently now loses its digest and is not confirmed.
    fn read_after_receipt(&self, candidates: Vec<Candidate>, outcomes: &[Outcome]) -> Vec<Candidate> {
        let (source, observer) = (self.source(), self.observer());
        candidates
            .into_par_iter()
            .zip(outcomes)
            .map(|(candidate, outcome)| {
                let trusted =
                    candidate.pending.digest.is_some() && !candidate.pending.flags.contains(EntryFlags::RACY);
                if trusted || *outcome != Outcome::Confirmed {
                    return candidate;
                }
                let before = candidate.pending.clone();
                let path = candidate.path.clone();
                let base = candidate.base.clone();
                match read_one(source, candidate, observer) {
                    Prepared::Ready(again)
                        if again.pending.stamp == before.stamp
                            && (before.digest.is_none() || again.pending.digest == before.digest) =>
                    {
                        *again
                    }
                    _ => Candidate {
                        path,
                        pending: OwnedEntry { digest: None, ..before },
                        base,
                        base_is_unknown: false,
                    },
                }
            })
            .collect()
    }

    fn report_upload_failure(&mut self, path: &TreePath, outcome: &Outcome) {
        let reason = match outcome {
            Outcome::Failed(Failure { reason, .. }) => reason.clone(),
            Outcome::ChangedMeanwhile | Outcome::Confirmed => {
                "it changed while it was uploaded; the next run sends it again".into()
            }
            Outcome::Unknown => {
                "it was sent and the remote gave no answer; the next run sends it again".into()
            }
            Outcome::Vanished | Outcome::NotAttempted => return,
        };
        self.report.files_failed += 1;
        self.unprotected(path, &reason);
    }

    /// Moves versions from the mirror to the run's trash. Gives back the paths at
    /// which the mirror holds nothing any more.
    pub(super) fn trash(
        &mut self,
        items: Vec<BatchItem>,
        purpose: Purpose,
    ) -> Result<BTreeSet<TreePath>, Halt> {
        let mut cleared = BTreeSet::new();
        if items.is_empty() {
            return Ok(cleared);
        }
        let batch = Batch { lane: Lane::Trash, items };
        let outcomes = self.send(&batch)?;
        let mut silent = Vec::new();
        for (item, outcome) in batch.items.iter().zip(&outcomes) {
            match outcome {
                Outcome::Confirmed => self.note_trashed(item, &mut cleared)?,
                Outcome::NotAttempted => {}
                Outcome::Failed(failure) => silent.push((item.clone(), failure.reason.clone())),
                _ => silent.push((item.clone(), "no answer".into())),
            }
        }
        // Where they are is not known: if the run ends before it is, the next one has to look.
        self.unresolved.extend(silent.iter().map(|(item, _)| (Lane::Trash, item.clone())));
        self.halt_if_hopeless("moving old versions to the trash", &outcomes)?;
        self.look_for(silent, purpose, &mut cleared)?;
        self.unresolved.clear();
        Ok(cleared)
    }

    fn note_trashed(&mut self, item: &BatchItem, cleared: &mut BTreeSet<TreePath>) -> Result<(), Halt> {
        self.forget_kept(&item.path)?;
        self.report.files_trashed += 1;
        self.ledger.moved_to_trash(moved_away(item));
        self.ledger.gone(item.path.clone());
        cleared.insert(item.path.clone());
        Ok(())
    }

    /// Moves without a receipt: look at both ends, believe only what is seen.
    fn look_for(
        &mut self,
        silent: Vec<(BatchItem, String)>,
        purpose: Purpose,
        cleared: &mut BTreeSet<TreePath>,
    ) -> Result<(), Halt> {
        if silent.is_empty() {
            return Ok(());
        }
        let run = self.open_remote()?.run;
        let (silent, reasons): (Vec<BatchItem>, Vec<String>) = silent.into_iter().unzip();
        let in_mirror = self.look(Place::Mirror, &silent)?;
        let in_trash = self.look(Place::Trash(run), &silent)?;
        let mut lost = Vec::new();
        let looked = in_mirror.into_iter().zip(in_trash);
        for ((item, reason), (in_mirror, in_trash)) in silent.into_iter().zip(reasons).zip(looked) {
            match (in_mirror, in_trash) {
                (true, _) => {
                    self.report.files_failed += 1;
                    let reason = format!("the mirror's version could not be moved to the trash: {reason}");
                    match purpose {
                        Purpose::MakeWay => self.unprotected(&item.path, &reason),
                        // Nothing in scope is less safe for it; the next run tries again.
                        Purpose::Remove => self.warn(format!("{}: {reason}", item.path)),
                    }
                }
                (false, true) => self.note_trashed(&item, cleared)?,
                (false, false) => lost.push(item),
            }
        }
        self.accept_as_lost(lost, cleared)
    }

    fn look(&mut self, place: Place, items: &[BatchItem]) -> Result<Vec<bool>, Halt> {
        self.open_remote()?.connection.look(place, items)
    }

    /// Neither in the mirror nor in the trash. A remote that lies answers like
    /// this for everything, so it must find what is surely there in the same look.
    fn accept_as_lost(&mut self, lost: Vec<BatchItem>, cleared: &mut BTreeSet<TreePath>) -> Result<(), Halt> {
        let (unheard_of, lost): (Vec<_>, Vec<_>) =
            lost.into_iter().partition(|item| self.never_known.contains(&item.path));
        // Nothing was known to be there, and nothing is.
        cleared.extend(unheard_of.into_iter().map(|item| item.path));
        if lost.is_empty() {
            return Ok(());
        }
        for pause_seconds in [0, self.surroundings.second_look_seconds] {
            self.surroundings.pause(pause_seconds)?;
            self.prove_remote_answers()?;
            if self.look(Place::Mirror, &lost)?.contains(&true) {
                return Err(Halt::RemoteUnwell(
                    "the remote shows files now that it denied a moment ago: nothing more is sent".into(),
                ));
            }
        }
        for item in lost {
            self.warn(format!(
                "{}: the version that the mirror held is gone, and it is not in the trash either",
                item.path
            ));
            self.ledger.gone(item.path.clone());
            cleared.insert(item.path);
        }
        Ok(())
    }

    /// The owner file is surely there: a remote that does not show it shows nothing.
    fn prove_remote_answers(&mut self) -> Result<(), Halt> {
        let belief = self.belief();
        let remote = self.open_remote()?;
        if belief.sequence == 0 {
            return Ok(());
        }
        owner::check(&remote.connection.session, &belief).map(|_| ())
    }

    /// Deletes from the mirror by list.
    pub(super) fn delete(&mut self, items: Vec<BatchItem>) -> Result<(), Halt> {
        let batch = Batch { lane: Lane::Delete, items };
        let outcomes = self.send(&batch)?;
        let mut silent = Vec::new();
        for (item, outcome) in batch.items.iter().zip(&outcomes) {
            match outcome {
                Outcome::Confirmed => {
                    self.report.files_removed += 1;
                    self.committed.doubts.remove(&item.path);
                    self.ledger.gone(item.path.clone());
                }
                Outcome::NotAttempted => {}
                _ => silent.push(item.clone()),
            }
        }
        self.unresolved.extend(silent.iter().map(|item| (Lane::Delete, item.clone())));
        self.halt_if_hopeless("deleting", &outcomes)?;
        // A deletion without a receipt is mostly one of something that is not there any more.
        if !silent.is_empty() {
            let found = self.look(Place::Mirror, &silent)?;
            for (item, is_there) in silent.into_iter().zip(found) {
                if is_there {
                    self.report.files_failed += 1;
                    self.warn(format!(
                        "{}: it could not be deleted on the mirror; the next run tries again",
                        item.path
                    ));
                } else {
                    self.report.files_removed += 1;
                    self.committed.doubts.remove(&item.path);
                    self.ledger.gone(item.path);
                }
            }
        }
        self.unresolved.clear();
        Ok(())
    }

    /// Deletes from this run's trash the old versions of `paths`, whose successors
    /// are confirmed.
    pub(super) fn discard(&mut self, items: Vec<BatchItem>) -> Result<(), Halt> {
        if items.is_empty() {
            return Ok(());
        }
        let batch = Batch { lane: Lane::Discard, items };
        let outcomes = self.send(&batch)?;
        let discarded = batch
            .items
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| **outcome == Outcome::Confirmed)
            .map(|(item, _)| item.path.clone())
            .collect();
        self.ledger.discarded(&discarded);
        // What could not be discarded stays in the run's trash and expires with it.
        self.halt_if_hopeless("discarding old versions", &outcomes)
    }

    /// The source lost it, the mirror goes on holding it.
    pub(super) fn keep(&mut self, path: TreePath, held: OwnedEntry) {
        self.ledger.keep(path, held);
    }

    /// Deletes what broken uploads left behind where nothing goes up any more, or
    /// something of another type.
    pub(super) fn delete_junk(&mut self) -> Result<(), Halt> {
        let views = self.views();
        let mut junk = Vec::new();
        for path in self.committed.doubts.clone() {
            if views.base_entry(&path)?.is_some_and(|entry| entry.is_on_mirror()) {
                // Confirmed since: no doubt any more.
                self.committed.doubts.remove(&path);
            } else if !views.pending_entry(&path)?.is_some_and(|entry| entry.is_on_mirror()) {
                junk.push(BatchItem {
                    path,
                    as_link: false,
                    stamp: Default::default(),
                    permissions: Default::default(),
                    digest: None,
                });
            }
        }
        if junk.is_empty() { Ok(()) } else { self.delete(junk) }
    }

    /// True when replaced versions stay in the trash.
    pub(super) fn keeps_versions(&self) -> bool {
        self.job.keep_versions
    }

    /// True when vanished files go to the trash instead of being deleted.
    pub(super) fn trashes_deleted(&self) -> bool {
        self.job.on_delete != OnDelete::Delete
    }

    /// True when a vanished folder may leave as one piece.
    pub(super) fn is_folder_move_wanted(&mut self) -> Result<bool, Halt> {
        Ok(self.trashes_deleted() && self.open_remote()?.connection.features.dir_move)
    }

    /// True when the remote has folders of their own, that stay when they are empty.
    pub(super) fn has_real_folders(&mut self) -> Result<bool, Halt> {
        Ok(self.open_remote()?.connection.features.can_have_empty_directories)
    }

    /// True when the mirror has a folder at `path`, empty or not.
    pub(super) fn mirror_has_folder(&mut self, path: &TreePath) -> Result<bool, Halt> {
        let remote = self.open_remote()?;
        remote
            .connection
            .transfer
            .has_folder(Place::Mirror, path)
            .map_err(|failure| Halt::from_failure("looking for a folder on the mirror", &failure))
    }

    /// Moves a whole folder to the run's trash. True when it is there now; false
    /// when it is to be done file by file.
    pub(super) fn trash_folder(&mut self, path: &TreePath) -> Result<bool, Halt> {
        let remote = self.open_remote()?;
        if !remote.connection.features.dir_move {
            return Ok(false);
        }
        remote.journal.append_folder_intent(path).map_err(Halt::fatal)?;
        let moved = remote.connection.transfer.move_folder(path);
        self.unresolved_folder = Some(path.clone());
        let is_moved = match moved {
            FolderMove::Confirmed => true,
            FolderMove::Failed(_) | FolderMove::Unknown => self.look_for_folder(path)?,
        };
        self.unresolved_folder = None;
        let remote = self.open_remote()?;
        remote.journal.append_folder_outcome(path, is_moved).map_err(Halt::fatal)?;
        if is_moved {
            self.ledger.folder_gone(path.clone());
            self.moved_folders.insert(path.clone());
        }
        self.surroundings.halt_if_stopped()?;
        Ok(is_moved)
    }

    /// A folder's move without a receipt is never repeated blindly: presence in
    /// the trash proves it, and what is still in the mirror goes file by file.
    fn look_for_folder(&mut self, path: &TreePath) -> Result<bool, Halt> {
        let failed = |failure| Halt::from_failure("looking where a folder went", &failure);
        let remote = self.open_remote()?;
        let transfer = &remote.connection.transfer;
        let in_mirror = transfer.has_folder(Place::Mirror, path).map_err(failed)?;
        let in_trash = transfer.has_folder(Place::Trash(remote.run), path).map_err(failed)?;
        match (in_mirror, in_trash) {
            (true, _) => Ok(false),
            (false, true) => Ok(true),
            (false, false) => Err(Halt::RemoteUnwell(format!(
                "the folder {path} was to be moved to the trash, and the remote shows it in neither place: nothing more is sent"
            ))),
        }
    }

    /// Notes where a file went that left with its folder.
    pub(super) fn note_moved_with_folder(&mut self, change: &Change) {
        if let Some(held) = change.base.as_ref().filter(|entry| entry.is_on_mirror()) {
            self.ledger.moved_to_trash(moved_away(&removal_item(change.path.clone(), held)));
            self.report.files_trashed += 1;
        }
    }

    /// Removes the trash of an expired run.
    pub(super) fn purge(&mut self, expired: RunId) -> Result<(), Halt> {
        let folder = join(&join(&self.job.companion.to_string(), "trash"), &expired.to_string());
        let session = self.prune_session()?;
        let was_there = session.purge(&folder).map_err(|failure| {
            Halt::from_failure(&format!("emptying the expired trash {folder}"), &failure)
        })?;
        let text = if was_there { "removed" } else { "was gone already" };
        self.observer().event(&Event::Detail(&format!("expired trash {folder} {text}")));
        Ok(())
    }

    /// Purging needs no journal and no run of its own.
    fn prune_session(&mut self) -> Result<Session<'_>, Halt> {
        if let Some(remote) = &self.remote {
            return Ok(remote.connection.session);
        }
        Ok(self.connector.connect(encoding_of(&self.committed), self.run_id())?.session)
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

/// The row of the run record for a version that left the mirror.
pub(super) fn moved_away(item: &BatchItem) -> MovedAway {
    MovedAway {
        path: mirror_path(&item.path, item.as_link),
        digest: item.digest,
        size: item.stamp.size,
        mtime: item.stamp.mtime,
    }
}

fn item_to_send(candidate: &Candidate) -> BatchItem {
    let mut item = candidate.upload_item();
    if candidate.pending.flags.contains(EntryFlags::RACY) {
        // Not final: the journal must not take the receipt for a confirmation.
        item.digest = None;
    }
    item
}
