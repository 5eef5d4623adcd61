//! Deleting by list, keeping, and emptying old trash.

use super::backoff::Backoff;
use super::configuration::{OnDelete, mask_remote};
use super::connect::encoding_of;
use super::halt::Halt;
use super::job_run::JobRun;
use super::views::Kept;
use crate::model::{Batch, BatchItem, Lane, Outcome, OwnedEntry, RunId, TreePath};
use crate::observe::Event;
use crate::plan::mirror_path;
use crate::transfer::{Place, Session, Sight, join};

impl JobRun<'_> {
    /// Deletes from the mirror by list.
    pub(super) fn delete(&mut self, items: Vec<BatchItem>) -> Result<(), Halt> {
        let mut backoff = Backoff::default();
        let mut open = items;
        loop {
            let before = open.len();
            let left = self.delete_once(open)?;
            if left.is_empty() {
                return Ok(());
            }
            if left.len() < before {
                backoff.reset();
            }
            let Some(seconds) = backoff.next_seconds() else {
                left.iter().for_each(|item| self.report_not_deleted(item, ""));
                return Ok(());
            };
            self.wait_for_remote(seconds, left.len())?;
            open = left;
        }
    }

    /// One batch. Gives back what is still there.
    fn delete_once(&mut self, items: Vec<BatchItem>) -> Result<Vec<BatchItem>, Halt> {
        let batch = Batch { lane: Lane::Delete, items };
        let outcomes = self.send(&batch)?;
        let (mut silent, mut left) = (Vec::new(), Vec::new());
        for (item, outcome) in batch.items.iter().zip(&outcomes) {
            match outcome {
                Outcome::Confirmed => self.note_deleted(item),
                Outcome::NotAttempted => left.push(item.clone()),
                _ => silent.push(item.clone()),
            }
        }
        self.unresolved.extend(silent.iter().map(|item| (Lane::Delete, item.clone())));
        self.halt_if_hopeless("deleting", &outcomes)?;
        // A deletion without a receipt is mostly one of something that is not there any more.
        if !silent.is_empty() {
            let found = self.look(Place::Mirror, &silent)?;
            let patience = self.patience();
            for (item, seen) in silent.into_iter().zip(found) {
                match seen {
                    Sight::File(_) => left.push(item),
                    Sight::Nothing => self.note_deleted(&item),
                    // rclone does not list a folder as a file.
                    Sight::Refused(_) if self.mirror_has_folder(&item.path, &patience)? == Ok(true) => {
                        self.note_deleted(&item);
                    }
                    Sight::Refused(words) => {
                        self.report_not_deleted(&item, &format!(": the remote refuses to show it: {words}"));
                    }
                }
            }
        }
        self.unresolved.clear();
        Ok(left)
    }

    fn report_not_deleted(&mut self, item: &BatchItem, why: &str) {
        self.report.files_failed += 1;
        let reason = format!(
            "it should have left the mirror and could not be deleted there; the next run tries again{why}"
        );
        self.unprotected(&item.path, &reason);
    }

    fn note_deleted(&mut self, item: &BatchItem) {
        self.report.files_removed += 1;
        self.committed.doubts.remove(&mirror_path(&item.path, item.as_link));
        self.note_gone(item);
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
            .map(|(item, _)| mirror_path(&item.path, item.as_link))
            .collect();
        self.ledger.discarded(&discarded);
        // What could not be discarded stays in the run's trash and expires with it.
        self.halt_if_hopeless("discarding old versions", &outcomes)
    }

    /// The source lost it, the mirror goes on holding it.
    pub(super) fn keep(&mut self, path: TreePath, held: OwnedEntry) {
        if matches!(self.views().kept_entry(&path), Kept::NotKnown) {
            // Written anew with this one, a damaged directory would forget all else that is kept there. The
            // base goes on knowing it.
            return self.say_kept_is_damaged(&path);
        }
        self.ledger.keep(path, held);
    }

    /// True when replaced versions stay in the trash.
    pub(super) fn keeps_versions(&self) -> bool {
        self.job.keep_versions
    }

    /// True when vanished files go to the trash instead of being deleted.
    pub(super) fn trashes_deleted(&self) -> bool {
        self.job.on_delete != OnDelete::Delete
    }

    /// True when a vanished folder goes to the trash: not where it is deleted, and not where it is kept.
    pub(super) fn trashes_folders(&self) -> bool {
        self.job.on_delete == OnDelete::Trash
    }

    /// True when a vanished folder may leave as one piece.
    pub(super) fn is_folder_move_wanted(&mut self) -> Result<bool, Halt> {
        Ok(self.trashes_folders() && self.open_remote()?.connection.features.dir_move)
    }

    /// True when the remote has folders of their own, that stay when they are empty.
    pub(super) fn has_real_folders(&mut self) -> Result<bool, Halt> {
        Ok(self.open_remote()?.connection.features.can_have_empty_directories)
    }

    /// Removes the trash of an expired run.
    pub(super) fn purge(&mut self, expired: RunId) -> Result<(), Halt> {
        let folder = join(&join(&self.job.companion.to_string(), "trash"), &expired.to_string());
        let shown = mask_remote(&folder);
        let session = self.prune_session()?;
        let was_there = session.purge(&folder).map_err(|failure| {
            Halt::from_failure(&format!("emptying the expired trash {shown}"), &failure)
        })?;
        let text = if was_there { "removed" } else { "was gone already" };
        self.observer().event(&Event::Detail(&format!("expired trash {shown} {text}")));
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
