//! Writing a journal.

use crate::disk::{Disk, DiskFile, temporary_beside};
use crate::journal::frame::{Header, Seal, encode_header};
use crate::journal::record::{self, Settled, kind};
use crate::model::{Batch, TreePath};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// So many outcomes wait at most for a sync.
const OUTCOMES_PER_SYNC: usize = 256;
/// So long an outcome waits at most for a sync.
const SYNC_DELAY: Duration = Duration::from_secs(1);

/// Appends to the journal of a running job. One at a time: the job's lock sees to that.
///
/// After any error it takes nothing more: what a failed write or sync left
/// in the file is not known, and a record behind it would never be found.
/// The run must then stop sending; the next one replays what is there.
pub struct JournalWriter<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    file: Box<dyn DiskFile + 'd>,
    seal: Seal,
    length: u64,
    /// The batches of this journal, and which of their items are settled for sure.
    batches: BTreeMap<u64, Vec<bool>>,
    /// Batch numbers below this were used.
    next_batch_number: u64,
    outcomes_waiting: usize,
    waiting_since: Option<Instant>,
    broken: bool,
}

/// The journal could not be written, or was told something that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The operating system said no.
    #[error(
        "{doing} the journal {path}: {source}; nothing more is sent in this run, the next one goes on from here"
    )]
    Io {
        /// `creating`, `writing`, `syncing`.
        doing: &'static str,
        /// Where it lies.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// An earlier error made this journal unusable.
    #[error("the journal {0} failed before and takes nothing more in this run")]
    Broken(PathBuf),
    /// A batch number was used before, or numbers went down.
    #[error("batch {0} was announced to the journal before: numbers must grow")]
    NumberUsed(u64),
    /// An outcome for something that was never intended.
    #[error("the journal knows no batch {batch_number} with an item {item}")]
    NoSuchItem {
        /// The batch.
        batch_number: u64,
        /// The index of the item in it.
        item: u32,
    },
    /// More than 4 GiB.
    #[error("a batch of {0} bytes of names is too large for the journal: make batches smaller")]
    TooLarge(usize),
}

impl<'d> JournalWriter<'d> {
    /// Begins a journal at `path`, in place of what may be there: that must have been
    /// replayed and folded into the base before. Durable on return; a crash leaves
    /// the old journal or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(disk: &'d dyn Disk, path: &Path, header: &Header) -> Result<Self, WriteError> {
        let (file, seal, length) = begin(disk, path, header, &[])?;
        Ok(JournalWriter {
            disk,
            path: path.to_path_buf(),
            file,
            seal,
            length,
            batches: BTreeMap::new(),
            next_batch_number: 0,
            outcomes_waiting: 0,
            waiting_since: None,
            broken: false,
        })
    }

    /// Begins anew, after the docket that `header` names was promoted with all
    /// outcomes so far. A crash leaves the old journal (which then belongs to a docket that
    /// is no more) or the new one.
    ///
    /// What is still without outcome is forgotten: the caller must have none
    /// ([`Self::open_items`]), have written it to the doubts, or use [`Self::restart_with`].
    /// Batch numbers go on.
    ///
    /// # Errors
    /// When it cannot be written; the writer is then unusable.
    pub fn restart(&mut self, header: &Header) -> Result<(), WriteError> {
        self.restart_with(header, &[], None)
    }

    /// As [`Self::restart`], with what was sent before and is still open as the first records: they
    /// get their name together with the header, so that no crash finds the one without the other.
    ///
    /// # Errors
    /// As [`Self::restart`] and [`Self::append_intent`].
    pub fn restart_with(
        &mut self,
        header: &Header,
        open: &[(u64, Batch)],
        open_folder: Option<&TreePath>,
    ) -> Result<(), WriteError> {
        self.check_usable()?;
        let mut next_batch_number = self.next_batch_number;
        let mut records = Vec::new();
        for (number, batch) in open {
            if *number < next_batch_number {
                return Err(WriteError::NumberUsed(*number));
            }
            next_batch_number = number.saturating_add(1);
            records.push((kind::INTENT, record::encode_intent(*number, batch)));
        }
        records.extend(open_folder.map(|folder| (kind::FOLDER_INTENT, record::encode_folder_intent(folder))));
        self.broken = true;
        let (file, seal, length) = begin(self.disk, &self.path, header, &records)?;
        self.file = file;
        self.seal = seal;
        self.length = length;
        self.next_batch_number = next_batch_number;
        self.batches = open.iter().map(|(number, batch)| (*number, vec![false; batch.items.len()])).collect();
        self.synced();
        self.broken = false;
        Ok(())
    }

    /// Says what is about to be sent. Durable on return, and so is everything
    /// appended before: only now rclone may be started.
    ///
    /// # Errors
    /// When it cannot be written, or `batch_number` is not greater than all before.
    pub fn append_intent(&mut self, batch_number: u64, batch: &Batch) -> Result<(), WriteError> {
        if batch_number < self.next_batch_number {
            return Err(WriteError::NumberUsed(batch_number));
        }
        self.append(kind::INTENT, &record::encode_intent(batch_number, batch))?;
        self.sync()?;
        self.next_batch_number = batch_number.saturating_add(1);
        self.batches.insert(batch_number, vec![false; batch.items.len()]);
        Ok(())
    }

    /// Says what became of items of a batch, by their index in it. Synced at once
    /// when 256 wait or one has waited for a second, else with the next
    /// [`Self::sync_if_due`], [`Self::sync`] or intent. An item may get a second
    /// outcome (a doubt that was looked at); the last one counts.
    ///
    /// # Errors
    /// When it cannot be written, or the items were never announced.
    pub fn append_outcomes(
        &mut self,
        batch_number: u64,
        outcomes: &[(u32, Settled)],
        now: Instant,
    ) -> Result<(), WriteError> {
        self.check_usable()?;
        let items = self.batches.get(&batch_number).map_or(0, Vec::len);
        if let Some((item, _)) = outcomes.iter().find(|(item, _)| *item as usize >= items) {
            return Err(WriteError::NoSuchItem { batch_number, item: *item });
        }
        self.append(kind::OUTCOMES, &record::encode_outcomes(batch_number, outcomes))?;
        if let Some(settled) = self.batches.get_mut(&batch_number) {
            for (item, outcome) in outcomes {
                settled[*item as usize] = *outcome != Settled::Unknown;
            }
        }
        self.outcomes_waiting += outcomes.len();
        self.waiting_since.get_or_insert(now);
        self.sync_if_due(now)?;
        Ok(())
    }

    /// Says that the owner file with this sequence is about to be written. Durable on return.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_owner_intent(&mut self, owner_sequence: u64) -> Result<(), WriteError> {
        self.append(kind::OWNER_INTENT, &record::encode_owner_intent(owner_sequence))?;
        self.sync()
    }

    /// Says that this whole folder is about to be moved to the trash. Durable on return.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_folder_intent(&mut self, path: &TreePath) -> Result<(), WriteError> {
        self.append(kind::FOLDER_INTENT, &record::encode_folder_intent(path))?;
        self.sync()
    }

    /// Says what became of a folder's move: done, or surely not. Durable on return.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append_folder_outcome(&mut self, path: &TreePath, moved: bool) -> Result<(), WriteError> {
        self.append(kind::FOLDER_OUTCOME, &record::encode_folder_outcome(path, moved))?;
        self.sync()
    }

    /// Syncs if outcomes have waited long enough; says whether it did. To be called about once a second.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn sync_if_due(&mut self, now: Instant) -> Result<bool, WriteError> {
        let waited = self.waiting_since.is_some_and(|since| now.duration_since(since) >= SYNC_DELAY);
        let due = waited || self.outcomes_waiting >= OUTCOMES_PER_SYNC;
        if due {
            self.sync()?;
        }
        Ok(due)
    }

    /// Makes everything appended durable.
    ///
    /// # Errors
    /// When it cannot be written; the writer is then unusable.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.check_usable()?;
        self.file.sync().map_err(|source| self.broken_by("syncing", source))?;
        self.synced();
        Ok(())
    }

    /// How many items were announced and have no outcome, or an unknown one:
    /// what a crash now would leave as doubts (if all is synced).
    pub fn open_items(&self) -> usize {
        self.batches.values().map(|settled| settled.iter().filter(|&&done| !done).count()).sum()
    }

    /// Ends writing; everything is durable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), WriteError> {
        self.sync()
    }

    fn append(&mut self, kind: u8, payload: &[u8]) -> Result<(), WriteError> {
        self.check_usable()?;
        let frame = self.seal.frame(self.length, kind, payload).ok_or(WriteError::TooLarge(payload.len()))?;
        self.file.append(&frame).map_err(|source| self.broken_by("writing", source))?;
        self.length += frame.len() as u64;
        Ok(())
    }

    fn synced(&mut self) {
        self.outcomes_waiting = 0;
        self.waiting_since = None;
    }

    fn check_usable(&self) -> Result<(), WriteError> {
        if self.broken { Err(WriteError::Broken(self.path.clone())) } else { Ok(()) }
    }

    fn broken_by(&mut self, doing: &'static str, source: io::Error) -> WriteError {
        self.broken = true;
        WriteError::Io { doing, path: self.path.clone(), source }
    }
}

/// The header comes into being whole, under the final name, with `records` and nothing else behind it.
/// The file stays open across the rename: it is the same file.
fn begin<'d>(
    disk: &'d dyn Disk,
    path: &Path,
    header: &Header,
    records: &[(u8, Vec<u8>)],
) -> Result<(Box<dyn DiskFile + 'd>, Seal, u64), WriteError> {
    let (mut bytes, seal) = encode_header(header);
    for (kind, payload) in records {
        let frame = seal.frame(bytes.len() as u64, *kind, payload);
        bytes.extend(frame.ok_or(WriteError::TooLarge(payload.len()))?);
    }
    let file = (|| {
        let temporary = temporary_beside(path)?;
        match disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = disk.create_new(&temporary)?;
        file.append(&bytes)?;
        file.sync()?;
        disk.rename(&temporary, path)?;
        disk.sync_directory(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        Ok(file)
    })()
    .map_err(|source| WriteError::Io { doing: "creating", path: path.to_path_buf(), source })?;
    Ok((file, seal, bytes.len() as u64))
}
