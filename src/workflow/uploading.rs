//! Sending files, and what the ledger learns from it.

use super::backoff::{self, Backoff, Patience};
use super::figures;
use super::halt::Halt;
use super::job_run::JobRun;
use super::lanes::{Candidate, Prepared, read_one};
use super::remote::confirmed;
use crate::model::{
    Batch, BatchItem, EntryFlags, EntryKind, Failure, FailureClass, Lane, Outcome, OwnedEntry, TreePath,
};
use crate::observe::Event;
use crate::plan::mirror_path;
use crate::scan::{FileReader, read_each};
use crate::transfer::{Place, is_too_large};
use std::collections::BTreeSet;

/// Failed uploads that are looked at for a second try, of one batch.
const TRIED_AGAIN_MAX: usize = 20;

/// Of a batch of which the remote took nothing so many files knock again after a wait, and the others follow
/// when they get in: each costs four or five requests, because rclone repeats a refused MKCOL in two places.
pub(super) const KNOCKING: usize = 1;

/// What failed of a batch, and whether going on makes sense.
type Uploaded = (Failed, Result<(), Halt>);

pub(super) type Failed = Vec<(Candidate, Outcome)>;

impl JobRun<'_> {
    /// Sends files to places where nothing known lies. Gives back the paths that
    /// the mirror holds now.
    pub(super) fn upload(&mut self, candidates: Vec<Candidate>) -> Result<BTreeSet<TreePath>, Halt> {
        let mut held = BTreeSet::new();
        let mut open = self.without_unportable(candidates)?;
        let (mut waiting, mut given_up) = (Failed::new(), Failed::new());
        let mut backoff = Backoff::default();
        let mut is_first = true;
        let ended = loop {
            let held_before = held.len();
            let (mut failed, hopeless) = self.upload_once(open, &mut held)?;
            let has_worked = held.len() > held_before;
            if has_worked {
                backoff.reset();
            }
            if has_worked && failed.is_empty() && !waiting.is_empty() && hopeless.is_ok() {
                open = waiting.drain(..).map(|(candidate, _)| candidate).collect();
                continue;
            }
            // Those that waited have their turn before those that were refused again.
            failed = waiting.drain(..).chain(failed).collect();
            let again = hopeless
                .and_then(|()| self.prepare_another_try(&mut failed, is_first, &mut backoff, &mut held));
            given_up.append(&mut failed);
            match again {
                Ok(again) if again.is_empty() => break Ok(()),
                Ok(mut again) => {
                    if !has_worked {
                        waiting = split_off_waiting(&mut again);
                        self.open_remote()?.count_waiting(&waiting);
                    }
                    open = again.into_iter().map(|(candidate, _)| candidate).collect();
                }
                Err(halt) => break Err(halt),
            }
            is_first = false;
        };
        for (candidate, outcome) in given_up {
            if outcome != Outcome::NotAttempted {
                // Whatever lies there now is ours and of no worth.
                self.committed.doubts.insert(name_on_mirror(&candidate));
            }
            self.report_upload_failure(&candidate, &outcome);
        }
        ended.map(|()| held)
    }

    /// One batch. Gives back what failed, and whether going on makes sense.
    fn upload_once(
        &mut self,
        candidates: Vec<Candidate>,
        held: &mut BTreeSet<TreePath>,
    ) -> Result<Uploaded, Halt> {
        let mut failed = Vec::new();
        if candidates.is_empty() {
            return Ok((failed, Ok(())));
        }
        let items = candidates.iter().map(item_to_send).collect();
        let batch = Batch { lane: Lane::Upload, items };
        self.make_mirror_folders(&batch.items)?;
        let outcomes = self.send(&batch)?;
        let read = self.read_after_receipt(candidates, &outcomes);
        let mut late = Vec::new();
        for (index, (candidate, outcome)) in read.into_iter().zip(&outcomes).enumerate() {
            match outcome {
                Outcome::Confirmed if candidate.pending.digest.is_some() => {
                    if batch.items[index].digest.is_none() {
                        let racy = candidate.pending.flags.contains(EntryFlags::RACY);
                        late.push((index as u32, confirmed(&candidate.upload_item(), racy)));
                    }
                    self.note_held(candidate, held);
                }
                outcome => failed.push((candidate, outcome.clone())),
            }
        }
        if let Some(remote) = &mut self.remote {
            remote.settle_late(&late)?;
        }
        Ok((failed, self.halt_if_hopeless("uploading", &outcomes)))
    }

    fn note_held(&mut self, candidate: Candidate, held: &mut BTreeSet<TreePath>) {
        self.report.files_uploaded += 1;
        self.report.bytes_uploaded += candidate.pending.stamp.size;
        self.committed.doubts.remove(&name_on_mirror(&candidate));
        self.forget_kept(&candidate.path, candidate.pending.kind == EntryKind::Symlink);
        held.insert(candidate.path.clone());
        self.ledger.held(candidate.path, candidate.pending);
    }

    /// What of a failed batch is tried again, after a wait where that may help. What is
    /// given up stays in `failed`; after an error, that is all.
    fn prepare_another_try(
        &mut self,
        failed: &mut Failed,
        is_first: bool,
        backoff: &mut Backoff,
        held: &mut BTreeSet<TreePath>,
    ) -> Result<Failed, Halt> {
        let is_waiting_wanted = failed
            .iter()
            .any(|(_, outcome)| *outcome != Outcome::NotAttempted && backoff::is_worth_waiting(outcome));
        let wait_seconds = if is_waiting_wanted { backoff.next_seconds() } else { None };
        let mut refused = 0;
        let is_tried: Vec<bool> = failed
            .iter()
            .map(|(_, outcome)| {
                let is_refused =
                    matches!(outcome, Outcome::Failed(failure) if failure.class == FailureClass::File);
                refused += usize::from(is_refused);
                (is_refused && is_first && refused <= TRIED_AGAIN_MAX)
                    || (wait_seconds.is_some() && backoff::is_worth_waiting(outcome))
            })
            .collect();
        let tried = |failed: &Failed| -> Failed {
            failed
                .iter()
                .zip(&is_tried)
                .filter(|(_, is_tried)| **is_tried)
                .map(|(one, _)| one.clone())
                .collect()
        };
        let was_in_the_way = is_first && self.clear_emptied_folders(&tried(failed))?;
        if let Some(seconds) = wait_seconds.filter(|_| !was_in_the_way) {
            self.wait_for_remote(seconds, is_tried.iter().filter(|is_tried| **is_tried).count())?;
        }
        let proven = self.look_until_answered(&tried(failed), backoff)?;
        let mut again = Vec::new();
        for ((candidate, outcome), is_tried) in std::mem::take(failed).into_iter().zip(is_tried) {
            match is_tried {
                false => failed.push((candidate, outcome)),
                true if proven.contains(&candidate.path) => self.note_held(candidate, held),
                true => again.push((candidate, outcome)),
            }
        }
        Ok(again)
    }

    /// A folder that was emptied stays on the mirror. A file of its name can't go
    /// up then: local remotes refuse it, and on WebDAV rclone has deleted the empty folder
    /// by now. So: the folder to the trash where it still is. True when there was one.
    fn clear_emptied_folders(&mut self, failed: &Failed) -> Result<bool, Halt> {
        let mut any = false;
        for (candidate, outcome) in failed.iter().take(TRIED_AGAIN_MAX) {
            if !matches!(outcome, Outcome::Failed(_)) {
                continue;
            }
            let patience = Patience::none(self.surroundings);
            match self.mirror_has_folder(&candidate.path, &patience) {
                Ok(Ok(true)) => any |= self.trash_folder(&candidate.path).map(|_| true)?,
                Ok(Ok(false) | Err(_)) => {}
                // Then it is not a folder that is in the way.
                Err(Halt::RemoteUnwell(_)) => break,
                Err(halt) => return Err(halt),
            }
        }
        Ok(any)
    }

    /// Waits, and says so.
    pub(super) fn wait_for_remote(&self, seconds: u64, files: usize) -> Result<(), Halt> {
        let text = format!("the remote is unwell: {files} paths are tried again in {seconds} seconds");
        self.observer().event(&Event::Detail(&text));
        self.surroundings.pause(seconds)
    }

    /// As [`JobRun::look_for_unknown`]; a remote that is still away is waited for.
    fn look_until_answered(
        &mut self,
        tried: &Failed,
        backoff: &mut Backoff,
    ) -> Result<BTreeSet<TreePath>, Halt> {
        loop {
            let halt = match self.look_for_unknown(tried) {
                Err(Halt::RemoteUnwell(message)) => Halt::RemoteUnwell(message),
                looked => return looked,
            };
            let Some(seconds) = backoff.next_seconds() else { return Err(halt) };
            self.wait_for_remote(seconds, tried.len())?;
        }
    }

    /// What was sent and got no answer is looked up, by one request each, before it is sent
    /// again: a remote that does not answer gets no second copy. Gives back what is
    /// proven to be there, by a hash that both sides have.
    fn look_for_unknown(&mut self, tried: &Failed) -> Result<BTreeSet<TreePath>, Halt> {
        let unknown: Vec<&Candidate> = tried
            .iter()
            .filter(|(_, outcome)| *outcome == Outcome::Unknown)
            .map(|(candidate, _)| candidate)
            .collect();
        if unknown.is_empty() {
            return Ok(BTreeSet::new());
        }
        let items: Vec<BatchItem> = unknown.iter().map(|candidate| item_to_send(candidate)).collect();
        let patience = Patience::none(self.surroundings);
        let connection = &self.open_remote()?.connection;
        if connection.features.hashes.is_empty() {
            connection.look(&patience, Place::Mirror, &items)?;
            return Ok(BTreeSet::new());
        }
        let batch = Batch { lane: Lane::Upload, items };
        let compared = connection.transfer.past_refusal(|transfer| transfer.compare_by_hash(&batch));
        let compared = compared.map_err(|failure| {
            Halt::from_failure("looking for files that were sent and got no answer", &failure)
        })?;
        let Ok(equal) = compared else { return Ok(BTreeSet::new()) };
        let mut proven = BTreeSet::new();
        for ((candidate, item), is_equal) in unknown.into_iter().zip(&batch.items).zip(equal) {
            // Equal to what the source has now: that must still be what was read.
            let mut reader = FileReader::new(self.source());
            let mut is_as_read = || {
                matches!(read_one(&mut reader, candidate.clone(), self.observer()), Prepared::Ready(again)
                    if again.pending.stamp == candidate.pending.stamp && again.pending.digest == item.digest)
            };
            if is_equal && item.digest.is_some() && is_as_read() {
                proven.insert(candidate.path.clone());
            }
        }
        Ok(proven)
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
        let is_trusted = |candidate: &Candidate| {
            candidate.pending.digest.is_some() && !candidate.pending.flags.contains(EntryFlags::RACY)
        };
        read_each(
            source,
            candidates.into_iter().zip(outcomes).collect(),
            |(candidate, _)| candidate.pending.stamp.size,
            |reader, (candidate, outcome)| {
                if is_trusted(&candidate) || *outcome != Outcome::Confirmed {
                    return candidate;
                }
                let before = candidate.pending.clone();
                let path = candidate.path.clone();
                let base = candidate.base.clone();
                match read_one(reader, candidate, observer) {
                    Prepared::Ready(again)
                        if again.pending.stamp == before.stamp
                            && (before.digest.is_none() || again.pending.digest == before.digest) =>
                    {
                        *again
                    }
                    _ => Candidate { path, pending: OwnedEntry { digest: None, ..before }, base },
                }
            },
        )
    }

    fn report_upload_failure(&mut self, candidate: &Candidate, outcome: &Outcome) {
        let path = &candidate.path;
        let reason = match outcome {
            Outcome::Failed(failure) if is_too_large(failure) => format!(
                "the remote, or a proxy before it, takes no file of this size ({}): {}",
                figures::bytes(candidate.pending.stamp.size),
                failure.reason
            ),
            Outcome::Failed(Failure { reason, .. }) => reason.clone(),
            Outcome::ChangedMeanwhile | Outcome::Confirmed => {
                "it changed while it was uploaded; the next run sends it again".into()
            }
            Outcome::Unknown => {
                "it was sent and the remote gave no answer; the next run sends it again".into()
            }
            Outcome::Vanished if self.is_gone(path) => return,
            Outcome::Vanished => {
                "it was not found when it was to be sent, and it is there; the next run sends it".into()
            }
            // Never begun, but for a few: counted at the end of the run, and not named one by one.
            Outcome::NotAttempted | Outcome::Unheard => {
                self.has_not_reached = true;
                return;
            }
        };
        self.report.files_failed += 1;
        self.unprotected(path, &reason);
    }
}

/// Of what is tried again where nothing worked: those that are to wait for the others. Whoever had no turn
/// yet goes before those that were refused, which may have been refused for themselves.
fn split_off_waiting(again: &mut Failed) -> Failed {
    if !again.iter().all(|(_, outcome)| backoff::is_worth_waiting(outcome)) {
        return Failed::new();
    }
    again.sort_by_key(|(_, outcome)| *outcome != Outcome::NotAttempted);
    again.split_off(KNOCKING.min(again.len()))
}

/// Under which the mirror has it: a doubt about a link must not be taken for one about a file.
fn name_on_mirror(candidate: &Candidate) -> TreePath {
    mirror_path(&candidate.path, candidate.pending.kind == EntryKind::Symlink)
}

fn item_to_send(candidate: &Candidate) -> BatchItem {
    let mut item = candidate.upload_item();
    if candidate.pending.flags.contains(EntryFlags::RACY) {
        // Not final: the journal must not take the receipt for a confirmation.
        item.digest = None;
    }
    item
}
