//! Sending files, and what the ledger learns from it.

use super::halt::Halt;
use super::job_run::JobRun;
use super::lanes::{Candidate, Prepared, read_one};
use super::remote::confirmed;
use crate::model::{
    Batch, BatchItem, EntryFlags, Failure, FailureClass, Lane, Outcome, OwnedEntry, TreePath,
};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// Failed uploads that are looked at for a second try, of one batch.
const TRIED_AGAIN_MAX: usize = 20;

/// What failed of a batch, and whether going on makes sense.
type Uploaded = (Vec<(Candidate, Outcome)>, Result<(), Halt>);

impl JobRun<'_> {
    /// Sends files to places where nothing known lies. Gives back the paths that
    /// the mirror holds now.
    pub(super) fn upload(&mut self, candidates: Vec<Candidate>) -> Result<BTreeSet<TreePath>, Halt> {
        let mut held = BTreeSet::new();
        let candidates = self.without_unportable(candidates)?;
        let (mut failed, mut hopeless) = self.upload_once(candidates, &mut held)?;
        if hopeless.is_ok() {
            let again = self.worth_another_try(&mut failed)?;
            let (failed_again, now_hopeless) = self.upload_once(again, &mut held)?;
            failed.extend(failed_again);
            hopeless = now_hopeless;
        }
        for (candidate, outcome) in failed {
            // Whatever lies there now is ours and of no worth.
            self.committed.doubts.insert(candidate.path.clone());
            self.report_upload_failure(&candidate.path, &outcome);
        }
        hopeless.map(|()| held)
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
                    self.note_held(candidate, held)?;
                }
                Outcome::NotAttempted => {}
                outcome => failed.push((candidate, outcome.clone())),
            }
        }
        if let Some(remote) = &mut self.remote {
            remote.settle_late(&late)?;
        }
        Ok((failed, self.halt_if_hopeless("uploading", &outcomes)))
    }

    fn note_held(&mut self, candidate: Candidate, held: &mut BTreeSet<TreePath>) -> Result<(), Halt> {
        self.report.files_uploaded += 1;
        self.report.bytes_uploaded += candidate.pending.stamp.size;
        self.committed.doubts.remove(&candidate.path);
        self.forget_kept(&candidate.path)?;
        held.insert(candidate.path.clone());
        self.ledger.held(candidate.path, candidate.pending);
        Ok(())
    }

    /// A folder that was emptied stays on the mirror. A file of its name can't go
    /// up then: local remotes refuse it, and on WebDAV rclone has deleted the empty folder
    /// by now. So: the folder to the trash where it still is, and once more.
    fn worth_another_try(&mut self, failed: &mut Vec<(Candidate, Outcome)>) -> Result<Vec<Candidate>, Halt> {
        let mut again = Vec::new();
        let (few, rest): (Vec<_>, Vec<_>) =
            std::mem::take(failed).into_iter().enumerate().partition(|(index, _)| *index < TRIED_AGAIN_MAX);
        failed.extend(rest.into_iter().map(|(_, one)| one));
        for (_, (candidate, outcome)) in few {
            let is_refused = matches!(&outcome, Outcome::Failed(failure)
                if matches!(failure.class, FailureClass::File | FailureClass::RemoteUnwell));
            if is_refused && self.mirror_has_folder(&candidate.path)? {
                self.trash_folder(&candidate.path)?;
            }
            if is_refused {
                again.push(candidate);
            } else {
                failed.push((candidate, outcome));
            }
        }
        Ok(again)
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
}

fn item_to_send(candidate: &Candidate) -> BatchItem {
    let mut item = candidate.upload_item();
    if candidate.pending.flags.contains(EntryFlags::RACY) {
        // Not final: the journal must not take the receipt for a confirmation.
        item.digest = None;
    }
    item
}
