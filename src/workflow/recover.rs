//! After a crash: fold what was confirmed into the base, then run as usual.
//!
//! Nothing is resumed. What the journal confirms is committed, what it leaves
//! open is looked at once, and the run that follows sees the rest as it sees
//! every other difference.

use super::backoff::Patience;
use super::committed::{CommitNote, Committed};
use super::configuration::Job;
use super::connect::{Connection, Connector, encoding_of, read_process_mark};
use super::halt::Halt;
use super::ledger::{Ledger, PathState};
use super::scope;
use super::surroundings::Surroundings;
use super::trashing::{moved_away, removal_item};
use crate::commit::StateDir;
use crate::diff::{Equality, diff};
use crate::index::{Docket, Tree, find};
use crate::journal::{NotDone, Replay, ReplayedBatch, Settled, replay};
use crate::model::{
    Batch, BatchItem, ContentDigest, EmptyTree, EntryFlags, EntryKind, Lane, OwnedEntry, RunId, TreePath,
};
use crate::observe::{Event, Phase};
use crate::plan::mirror_path;
use crate::transfer::{Place, Sight, Transfer};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Instant;

/// Ends an rclone that outlived the run that started it: its late requests could
/// hit what this run confirms.
pub(super) fn end_orphan(state: &StateDir) -> Result<(), Halt> {
    if let Some(mark) = read_process_mark(state)? {
        crate::transfer::end_orphan(mark).map_err(|error| {
            Halt::Fatal(format!(
                "an rclone of an earlier run (process {}) is still there and can't be ended: {error}",
                mark.pid
            ))
        })?;
        state.clear_rclone_process().map_err(Halt::fatal)?;
    }
    Ok(())
}

/// Folds the journal of an interrupted run into the base.
pub(super) fn fold_interrupted(
    committed: &mut Committed<'_>,
    connector: &Connector<'_>,
    deadline: Option<Instant>,
) -> Result<(), Halt> {
    let (job, surroundings) = (connector.job, connector.surroundings);
    let Some(replay) = replay(&committed.state.journal_path()).map_err(Halt::fatal)? else {
        return Ok(());
    };
    let run = replay.header().run;
    let is_of_this_docket = replay.header().belongs_to == committed.docket_digest();
    let (ledger, connection) = (Ledger::default(), None);
    let mut folding = Folding { committed, connector, job, surroundings, run, deadline, ledger, connection };
    if is_of_this_docket {
        surroundings.observer.event(&Event::PhaseStarted(Phase::Recover));
        let mut doubts = folding.take_confirmed(&replay)?;
        folding.look_at_doubts(&mut doubts)?;
        folding.commit(run, replay.owner_sequence().is_some())?;
        if replay.batches_behind_damage() > 0 {
            surroundings.observer.event(&Event::Warning(&format!(
                "the journal of run {run} is damaged ({} bytes could not be read): what it had sent is looked at and sent again where needed",
                replay.dropped_bytes()
            )));
        }
        surroundings.observer.event(&Event::PhaseFinished {
            phase: Phase::Recover,
            summary: &format!("run {run} was interrupted; what it had confirmed is in the index now"),
        });
    } else {
        // A journal of an older docket is one that was committed before it could be removed.
        folding.carry_on_open_moves(&replay)?;
    }
    committed.remove_journal()
}

/// What the journal leaves open.
#[derive(Default)]
struct Doubts {
    uploads: Vec<BatchItem>,
    /// The first of each path.
    moves: BTreeMap<TreePath, BatchItem>,
    /// Something was to go up in the place of these: that is begun behind the move only.
    succeeded: BTreeSet<TreePath>,
    deletions: Vec<BatchItem>,
}

impl Doubts {
    fn doubt_move(&mut self, item: BatchItem) {
        self.moves.entry(item.path.clone()).or_insert(item);
    }

    fn note_upload(&mut self, path: &TreePath) {
        if self.moves.contains_key(path) {
            self.succeeded.insert(path.clone());
        }
    }
}

struct Folding<'r, 'a> {
    committed: &'r mut Committed<'a>,
    connector: &'r Connector<'r>,
    job: &'r Job,
    surroundings: &'r Surroundings<'r>,
    run: RunId,
    deadline: Option<Instant>,
    ledger: Ledger,
    connection: Option<Connection<'r>>,
}

impl<'r> Folding<'r, '_> {
    fn take_confirmed(&mut self, replay: &Replay) -> Result<Doubts, Halt> {
        let mut doubts = Doubts::default();
        for batch in replay.batches() {
            let ReplayedBatch { batch, settled, .. } = batch.map_err(Halt::fatal)?;
            for (item, settled) in batch.items.into_iter().zip(settled) {
                self.take(batch.lane, item, settled, &mut doubts);
            }
        }
        for folder in replay.folders() {
            match folder.moved {
                Some(true) => {
                    for item in self.base_files_below(&folder.path)? {
                        self.ledger.moved_to_trash(moved_away(&item));
                    }
                    self.ledger.folder_gone(folder.path.clone());
                }
                Some(false) => {}
                None => {
                    let items = self.base_files_below(&folder.path)?;
                    items.into_iter().for_each(|item| doubts.doubt_move(item));
                }
            }
        }
        Ok(doubts)
    }

    fn take(&mut self, lane: Lane, item: BatchItem, settled: Settled, doubts: &mut Doubts) {
        if lane == Lane::Upload {
            doubts.note_upload(&item.path);
        }
        match (lane, settled) {
            (Lane::Upload, Settled::Confirmed { .. }) => match held_entry(&self.job.source, &item, settled) {
                Some(entry) => self.hold(item.path, entry),
                None => self.doubt(&item),
            },
            (Lane::Upload, Settled::Unknown) => doubts.uploads.push(item),
            (_, Settled::NotDone(NotDone::NotAttempted | NotDone::Vanished)) => {}
            (Lane::Upload, Settled::NotDone(_)) => self.doubt(&item),
            (Lane::Trash, Settled::Confirmed { .. }) => self.moved(&item),
            (Lane::Trash, _) => doubts.doubt_move(item),
            (Lane::Delete, Settled::Confirmed { .. }) => self.gone(&item),
            (Lane::Delete, _) => doubts.deletions.push(item),
            // Without an outcome it may be gone: the record must not promise it.
            (Lane::Discard, _) => self.ledger.discarded(&[mirror_path(&item.path, item.as_link)].into()),
        }
    }

    /// Everything in the journal is committed, but for moves of which it was not known where they
    /// ended: the journal that was to name them did not come into being.
    fn carry_on_open_moves(&mut self, replay: &Replay) -> Result<(), Halt> {
        let last_run = self.committed.docket.facts.last_run;
        if last_run.is_some_and(|last| last.sequence > self.run.sequence) {
            // Of a run before the last one: that has looked.
            return Ok(());
        }
        let moves = self.open_moves(replay)?;
        if moves.is_empty() {
            return Ok(());
        }
        self.surroundings.observer.event(&Event::PhaseStarted(Phase::Recover));
        self.look_at_moves(moves)?;
        if !self.ledger.is_empty() {
            self.commit(self.run, false)?;
        }
        self.surroundings.observer.event(&Event::PhaseFinished {
            phase: Phase::Recover,
            summary: &format!("run {} ended before it could write down which moves it left open", self.run),
        });
        Ok(())
    }

    /// Moves without a receipt of what the index still holds: all others it knows to have ended.
    fn open_moves(&self, replay: &Replay) -> Result<Vec<BatchItem>, Halt> {
        let mut moves = BTreeMap::new();
        for batch in replay.batches() {
            let ReplayedBatch { batch, settled, .. } = batch.map_err(Halt::fatal)?;
            if batch.lane != Lane::Trash {
                continue;
            }
            let is_open = |settled: &Settled| {
                !matches!(
                    settled,
                    Settled::Confirmed { .. } | Settled::NotDone(NotDone::NotAttempted | NotDone::Vanished)
                )
            };
            for (item, _) in batch.items.into_iter().zip(&settled).filter(|(_, settled)| is_open(settled)) {
                if self.is_held_still(&item) {
                    moves.entry(item.path.clone()).or_insert(item);
                }
            }
        }
        for folder in replay.folders().iter().filter(|folder| folder.moved.is_none()) {
            for item in self.base_files_below(&folder.path)? {
                moves.entry(item.path.clone()).or_insert(item);
            }
        }
        Ok(moves.into_values().collect())
    }

    /// The index holds, or keeps, this very version.
    fn is_held_still(&self, item: &BatchItem) -> bool {
        let Docket { base, kept, .. } = self.committed.docket;
        [base, kept].into_iter().any(|root| {
            let tree = Tree::new(self.committed.nodes, root, self.surroundings.observer);
            matches!(find(&tree, &item.path), Ok(Some(held)) if removal_item(item.path.clone(), &held) == *item)
        })
    }

    fn hold(&mut self, path: TreePath, entry: OwnedEntry) {
        let as_link = entry.kind == EntryKind::Symlink;
        self.committed.doubts.remove(&mirror_path(&path, as_link));
        self.unkeep(&path, as_link);
        self.ledger.counts.files_uploaded += 1;
        self.ledger.counts.bytes_uploaded += entry.stamp.size;
        self.ledger.held(path, entry);
    }

    fn doubt(&mut self, item: &BatchItem) {
        self.committed.doubts.insert(mirror_path(&item.path, item.as_link));
    }

    fn gone(&mut self, item: &BatchItem) {
        self.committed.doubts.remove(&mirror_path(&item.path, item.as_link));
        self.unkeep(&item.path, item.as_link);
        self.note_gone(item);
    }

    /// As [`super::job_run::JobRun::note_gone`].
    fn note_gone(&mut self, item: &BatchItem) {
        let base = Tree::new(self.committed.nodes, self.committed.docket.base, self.surroundings.observer);
        let known = find(&base, &item.path).ok().flatten();
        self.ledger.object_gone(item, known.as_ref());
    }

    fn moved(&mut self, item: &BatchItem) {
        self.ledger.moved_to_trash(moved_away(item));
        self.gone(item);
    }

    /// As [`super::job_run::JobRun::forget_kept`].
    fn unkeep(&mut self, path: &TreePath, as_link: bool) {
        let kept = Tree::new(self.committed.nodes, self.committed.docket.kept, self.surroundings.observer);
        if matches!(find(&kept, path), Ok(Some(kept)) if kept.is_object(as_link)) {
            self.ledger.unkeep(path.clone());
        }
    }

    /// Every object of the mirror that the base knows at or below `folder`.
    fn base_files_below(&self, folder: &TreePath) -> Result<Vec<BatchItem>, Halt> {
        let base = Tree::new(self.committed.nodes, self.committed.docket.base, self.surroundings.observer);
        let mut items = Vec::new();
        for change in diff(&base, &EmptyTree, Equality::Stamp) {
            let change = change.map_err(Halt::fatal)?;
            if !change.path.is_within(folder) {
                continue;
            }
            if let Some(held) = change.base.filter(OwnedEntry::is_on_mirror) {
                items.push(removal_item(change.path, &held));
            }
        }
        Ok(items)
    }

    /// One look for each, by list. What can't be told is treated as the worse.
    fn look_at_doubts(&mut self, doubts: &mut Doubts) -> Result<(), Halt> {
        self.look_at_uploads(std::mem::take(&mut doubts.uploads))?;
        let (replaced, open) = std::mem::take(&mut doubts.moves).into_values().partition(|item| {
            doubts.succeeded.contains(&item.path)
                // Tried again, and the successor is confirmed.
                || matches!(self.ledger.state_of(&item.path), Some(PathState::Held(_)))
        });
        self.look_for_replaced(replaced)?;
        self.look_at_moves(open)?;
        if !doubts.deletions.is_empty() {
            let deletions = std::mem::take(&mut doubts.deletions);
            let in_mirror = self.look(Place::Mirror, &deletions)?;
            for (item, in_mirror) in deletions.into_iter().zip(in_mirror) {
                if in_mirror == Sight::Nothing {
                    self.gone(&item);
                }
            }
        }
        Ok(())
    }

    fn look_at_moves(&mut self, moves: Vec<BatchItem>) -> Result<(), Halt> {
        if moves.is_empty() {
            return Ok(());
        }
        let in_mirror = self.look(Place::Mirror, &moves)?;
        let in_trash = self.look(Place::Trash(self.run), &moves)?;
        for ((item, in_mirror), in_trash) in moves.iter().zip(in_mirror).zip(in_trash) {
            // In the mirror: it stays known as held, and is moved again. In neither, or not to be told: the
            // next run finds no receipt for it, and settles that by its own rule.
            let is_moved = match (in_mirror, in_trash) {
                (Sight::Nothing, Sight::File(_)) => true,
                (Sight::Refused(_), Sight::File(size)) => size == item.stamp.size,
                _ => false,
            };
            if is_moved {
                self.moved(item);
            }
        }
        Ok(())
    }

    /// Old versions of which only the receipt is lost: what lies in the mirror is the
    /// successor, or half of it, and says nothing of them.
    fn look_for_replaced(&mut self, moves: Vec<BatchItem>) -> Result<(), Halt> {
        if moves.is_empty() {
            return Ok(());
        }
        let in_trash = self.look(Place::Trash(self.run), &moves)?;
        // Refused, it is believed: the successor was begun only when the move was known.
        for item in moves.iter().zip(in_trash).filter(|(_, seen)| seen.may_be_there()).map(|(item, _)| item) {
            self.ledger.moved_to_trash(moved_away(item));
            if self.ledger.state_of(&item.path).is_none() {
                // Its successor stays a doubt.
                self.unkeep(&item.path, item.as_link);
                self.note_gone(item);
            }
        }
        Ok(())
    }

    /// Confirmed only by a hash that both sides have; otherwise sent again, over
    /// whatever lies there, which is ours.
    fn look_at_uploads(&mut self, uploads: Vec<BatchItem>) -> Result<(), Halt> {
        if uploads.is_empty() {
            return Ok(());
        }
        let patience = Patience::at_the_door(self.surroundings, self.deadline);
        let connection = self.connection()?;
        // Nothing proves what the source no longer has; and rclone would wait for a FIFO that came in
        // its place, and fail over a file that a folder became.
        let (uploads, changed): (Vec<BatchItem>, Vec<BatchItem>) =
            uploads.into_iter().partition(|item| connection.transfer.is_source_as_read(item));
        changed.iter().for_each(|item| self.doubt(item));
        if uploads.is_empty() {
            return Ok(());
        }
        let connection = self.connection()?;
        let batch = Batch { lane: Lane::Upload, items: uploads };
        let mut same = if connection.features.hashes.is_empty() {
            vec![false; batch.items.len()]
        } else {
            let compare =
                |transfer: &Transfer<'_>| transfer.past_refusal(|transfer| transfer.compare_by_hash(&batch));
            patience
                .look("comparing what an interrupted run sent", &connection.transfer, compare)?
                .unwrap_or_else(|_| vec![false; batch.items.len()])
        };
        // Equal to what the source has now: that must still be what the journal tells of.
        for (item, same) in batch.items.iter().zip(&mut same) {
            *same = *same && connection.transfer.is_source_as_read(item);
        }
        for (item, same) in batch.items.into_iter().zip(same) {
            let settled = Settled::Confirmed {
                stamp: item.stamp,
                permissions: item.permissions,
                digest: item.digest,
                racy: true,
            };
            match held_entry(&self.job.source, &item, settled).filter(|_| same) {
                Some(entry) => self.hold(item.path, entry),
                None => self.doubt(&item),
            }
        }
        Ok(())
    }

    fn look(&mut self, place: Place, items: &[BatchItem]) -> Result<Vec<Sight>, Halt> {
        let patience = Patience::at_the_door(self.surroundings, self.deadline);
        self.connection()?.look(&patience, place, items)
    }

    fn connection(&mut self) -> Result<&mut Connection<'r>, Halt> {
        if self.connection.is_none() {
            self.connection = Some(self.connector.connect(encoding_of(self.committed), self.run)?);
        }
        self.connection.as_mut().ok_or_else(|| Halt::Fatal("the remote was opened and is not there".into()))
    }

    /// With `owner_may_be_written`, the run is remembered even when nothing of it is
    /// confirmed: the owner file may name it.
    fn commit(&mut self, run: RunId, owner_may_be_written: bool) -> Result<(), Halt> {
        let mut ledger = std::mem::take(&mut self.ledger);
        let aside = ledger.take_aside();
        let edits = ledger.base_edits().into_iter().map(Ok::<_, Infallible>);
        let mut facts = self.committed.docket.facts.clone();
        if ledger.holds_anything() {
            // The run may have sent it by other rules than those of the base.
            facts.scope_digest = scope::MIXED;
        }
        if owner_may_be_written {
            facts.last_run = Some(run);
            facts.owner_ahead = Some(run);
        }
        let finished_seconds = self.surroundings.now_seconds();
        let note = CommitNote { run, finished_seconds, recovered: true };
        self.committed.save_doubts()?;
        self.committed.commit(edits, aside, facts, &note).map(|_| ())
    }
}

/// The entry that a confirmed upload leaves in the base. `None` when it can't be
/// told: content that was never read, or a link that reads otherwise by now.
fn held_entry(source: &std::path::Path, item: &BatchItem, settled: Settled) -> Option<OwnedEntry> {
    let Settled::Confirmed { stamp, permissions, digest, racy } = settled else { return None };
    let digest = digest?;
    let flags = if racy { EntryFlags::RACY } else { EntryFlags::NONE };
    let file = OwnedEntry {
        kind: EntryKind::File,
        flags,
        stamp,
        permissions,
        digest: Some(digest),
        target: None,
        child: None,
    };
    if !item.as_link {
        return Some(file);
    }
    let target = std::fs::read_link(item.path.below(source)).ok()?;
    let target = std::os::unix::ffi::OsStringExt::into_vec(target.into_os_string());
    (ContentDigest::of(&target) == digest).then_some(OwnedEntry {
        kind: EntryKind::Symlink,
        flags: EntryFlags::UPLOADED_LINK,
        digest: None,
        target: Some(target),
        ..file
    })
}
