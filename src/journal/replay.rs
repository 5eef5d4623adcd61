//! Reading a journal that somebody left, most likely by dying.

use crate::journal::frame::{
    DecodedHeader, FORMAT_VERSION, FRAME_BYTES, FrameStart, HEADER_BYTES_MAX, Header, decode_header,
};
use crate::journal::record::{self, Record, Settled, kind};
use crate::model::{Batch, BatchItem, TreePath};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Behind damage, records are looked for at every byte, in pieces of so many.
const SEARCH_CHUNK: usize = 1 << 12;

/// A journal that was read and checked once. Holds places, not contents: the
/// batches are read again, one by one, by [`Replay::batches`].
pub struct Replay {
    path: PathBuf,
    file: File,
    header: DecodedHeader,
    length: u64,
    batches: BTreeMap<u64, BatchPlaces>,
    owner_sequence: Option<u64>,
    folders: Vec<ReplayedFolder>,
    dropped_bytes: u64,
    batches_behind_damage: u64,
}

struct BatchPlaces {
    items: usize,
    intent: u64,
    outcomes: Vec<u64>,
}

/// A batch, and what became of each of its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedBatch {
    /// Its number.
    pub number: u64,
    /// What was intended.
    pub batch: Batch,
    /// One for each item, in their order. [`Settled::Unknown`] where the
    /// journal has no outcome: a doubt.
    pub settled: Vec<Settled>,
}

impl ReplayedBatch {
    /// The items whose state on the remote is unknown.
    pub fn doubts(&self) -> impl Iterator<Item = &BatchItem> {
        let both = self.batch.items.iter().zip(&self.settled);
        both.filter(|(_, settled)| **settled == Settled::Unknown).map(|(item, _)| item)
    }
}

/// A whole folder that was to be moved to the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayedFolder {
    /// Which.
    pub path: TreePath,
    /// Whether it was; `None` is a doubt.
    pub moved: Option<bool>,
}

/// A journal could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The operating system said no.
    #[error("reading the journal {path}: {source}")]
    Io {
        /// Where it lies.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// No header, or a damaged one. It is written whole before it gets its
    /// name, so no crash of ours does this.
    #[error(
        "{0} is no journal, or its first bytes are damaged: which files the last run sent can't be known from it; move it away to go on, then run `verify --remote`"
    )]
    NotAJournal(PathBuf),
    /// Another format.
    #[error(
        "the journal {path} has format {found}, and this program knows format {FORMAT_VERSION}: let the version that wrote it finish its run. If there was none, its first bytes are damaged: move it away to go on, then run `verify --remote`"
    )]
    OtherVersion {
        /// Where it lies.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// A record that is whole, and of a kind that we don't know. To skip it could be wrong.
    #[error(
        "the journal {path} has a record of kind {kind}, written by treeferry {program_version} (format {format_version}), which this version doesn't know: let that version finish its run"
    )]
    UnknownRecord {
        /// Where it lies.
        path: PathBuf,
        /// Its kind.
        kind: u8,
        /// Who wrote it.
        program_version: String,
        /// In which format.
        format_version: u32,
    },
    /// The second look found something else than the first.
    #[error("the journal {0} changed while it was read: is another run using it?")]
    Changed(PathBuf),
}

/// Reads the journal at `path` to its end, or to the first byte that does not
/// hold what was written. `None` when there is none.
///
/// Nothing is changed, so it can be done again with the same result.
///
/// # Errors
/// When there is a journal but not a usable one; never because of a torn tail.
pub fn replay(path: &Path) -> Result<Option<Replay>, ReplayError> {
    let failed = |source| ReplayError::Io { path: path.to_path_buf(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let length = file.metadata().map_err(failed)?.len();
    let mut first = vec![0; HEADER_BYTES_MAX.min(usize::try_from(length).unwrap_or(HEADER_BYTES_MAX))];
    file.read_exact_at(&mut first, 0).map_err(failed)?;
    let header = decode_header(&first).map_err(|version| match version {
        Some(found) => ReplayError::OtherVersion { path: path.to_path_buf(), found },
        None => ReplayError::NotAJournal(path.to_path_buf()),
    })?;
    let mut replay = Replay {
        path: path.to_path_buf(),
        file,
        header,
        length,
        batches: BTreeMap::new(),
        owner_sequence: None,
        folders: Vec::new(),
        dropped_bytes: 0,
        batches_behind_damage: 0,
    };
    let end = replay.follow_records()?;
    replay.dropped_bytes = length - end;
    if replay.dropped_bytes > 0 {
        replay.search_intents_behind(end)?;
    }
    Ok(Some(replay))
}

impl Replay {
    /// The run that wrote it, and the docket that its outcomes are to be added
    /// to. Another docket than the current one: the outcomes are already in the
    /// current one, and the journal is history (see `docs/write-order.md`).
    pub fn header(&self) -> Header {
        self.header.header
    }

    /// The batches in the order of their numbers, read one by one.
    pub fn batches(&self) -> impl Iterator<Item = Result<ReplayedBatch, ReplayError>> + '_ {
        self.batches.iter().map(|(&number, places)| self.read_batch(number, places))
    }

    /// The newest owner file that was about to be written.
    pub fn owner_sequence(&self) -> Option<u64> {
        self.owner_sequence
    }

    /// Moves of whole folders, in the order in which they began.
    pub fn folders(&self) -> &[ReplayedFolder] {
        &self.folders
    }

    /// Bytes at the end that were not used: a torn tail, or damage and all
    /// behind it. Intents found there count as doubts; outcomes there count as nothing.
    pub fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Batches whose intent was found behind damage. Some may also have come from a
    /// last write that a crash tore: more than zero is worth a warning, not an error.
    pub fn batches_behind_damage(&self) -> u64 {
        self.batches_behind_damage
    }

    /// Returns where the records end that can be believed.
    fn follow_records(&mut self) -> Result<u64, ReplayError> {
        let mut position = self.header.bytes as u64;
        while position < self.length {
            let Some((frame, payload)) = self.read_intact(position)? else { break };
            let record = self.decode(&frame, &payload)?;
            // Whole, and still not possible: nothing that we write. Not believed either.
            let Some(record) = record else { break };
            if !self.note(position, record) {
                break;
            }
            position += FRAME_BYTES + u64::from(frame.length);
        }
        Ok(position)
    }

    /// `None` when what stands there is not what was written.
    fn read_intact(&self, position: u64) -> Result<Option<(FrameStart, Vec<u8>)>, ReplayError> {
        if self.length - position < FRAME_BYTES {
            return Ok(None);
        }
        let mut start = [0; FRAME_BYTES as usize];
        self.read_at(&mut start, position)?;
        let Some(frame) = self.header.seal.start(position, &start) else { return Ok(None) };
        // The length is checked against the file before anything is allocated for it.
        if u64::from(frame.length) > self.length - position - FRAME_BYTES {
            return Ok(None);
        }
        let mut payload = vec![0; frame.length as usize];
        self.read_at(&mut payload, position + FRAME_BYTES)?;
        Ok(self.header.seal.is_intact(position, &frame, &payload).then_some((frame, payload)))
    }

    fn read_at(&self, bytes: &mut [u8], position: u64) -> Result<(), ReplayError> {
        self.file.read_exact_at(bytes, position).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => ReplayError::Changed(self.path.clone()),
            _ => ReplayError::Io { path: self.path.clone(), source },
        })
    }

    fn decode(&self, frame: &FrameStart, payload: &[u8]) -> Result<Option<Record>, ReplayError> {
        match record::decode(frame.kind, payload) {
            Some(record) => Ok(record.ok()),
            None => Err(ReplayError::UnknownRecord {
                path: self.path.clone(),
                kind: frame.kind,
                program_version: self.header.program_version.clone(),
                format_version: self.header.format_version,
            }),
        }
    }

    /// Says whether the record fits to those before it.
    fn note(&mut self, position: u64, record: Record) -> bool {
        match record {
            Record::Intent { batch_number, batch } => {
                if self.batches.contains_key(&batch_number) {
                    return false;
                }
                let items = batch.items.len();
                self.batches.insert(batch_number, BatchPlaces { items, intent: position, outcomes: vec![] });
            }
            Record::Outcomes { batch_number, outcomes } => {
                let Some(places) = self.batches.get_mut(&batch_number) else { return false };
                if outcomes.iter().any(|(item, _)| *item as usize >= places.items) {
                    return false;
                }
                places.outcomes.push(position);
            }
            Record::OwnerIntent { owner_sequence } => {
                self.owner_sequence = self.owner_sequence.max(Some(owner_sequence));
            }
            Record::FolderIntent { path } => self.folders.push(ReplayedFolder { path, moved: None }),
            Record::FolderOutcome { path, moved } => {
                let folder = self.folders.iter_mut().rev().find(|folder| folder.path == path);
                let Some(folder) = folder else { return false };
                folder.moved = Some(moved);
            }
        }
        true
    }

    /// Behind damage, what was intended may have been sent: it must not be
    /// forgotten, so whole intents are looked for. Outcomes are not believed
    /// there: a doubt costs a look, a wrong belief costs a file.
    fn search_intents_behind(&mut self, end: u64) -> Result<(), ReplayError> {
        let mut position = end + 1;
        while let Some(start) = self.next_start(position)? {
            position = start + 1;
            let Some((frame, payload)) = self.read_intact(start)? else { continue };
            position = start + FRAME_BYTES + u64::from(frame.length);
            if matches!(frame.kind, kind::INTENT | kind::OWNER_INTENT | kind::FOLDER_INTENT)
                && let Some(Ok(record)) = record::decode(frame.kind, &payload)
                && self.note(start, record)
                && frame.kind == kind::INTENT
            {
                self.batches_behind_damage += 1;
            }
        }
        Ok(())
    }

    /// The first place from `position` on where a record of a known kind starts.
    fn next_start(&self, mut position: u64) -> Result<Option<u64>, ReplayError> {
        let mut chunk = vec![0; SEARCH_CHUNK];
        while self.length.saturating_sub(position) >= FRAME_BYTES {
            let filled = usize::try_from(self.length - position).unwrap_or(SEARCH_CHUNK).min(SEARCH_CHUNK);
            self.read_at(&mut chunk[..filled], position)?;
            for start in chunk[..filled].windows(FRAME_BYTES as usize) {
                // The kind first: it costs nothing, and most bytes are none.
                let is_kind = (kind::INTENT..=kind::FOLDER_OUTCOME).contains(&start[4]);
                if is_kind && self.header.seal.start(position, start).is_some() {
                    return Ok(Some(position));
                }
                position += 1;
            }
        }
        Ok(None)
    }

    fn read_batch(&self, number: u64, places: &BatchPlaces) -> Result<ReplayedBatch, ReplayError> {
        let changed = || ReplayError::Changed(self.path.clone());
        let Record::Intent { batch, .. } = self.read_record(places.intent)? else { return Err(changed()) };
        let mut settled = vec![Settled::Unknown; batch.items.len()];
        for &position in &places.outcomes {
            let Record::Outcomes { outcomes, .. } = self.read_record(position)? else {
                return Err(changed());
            };
            for (item, outcome) in outcomes {
                *settled.get_mut(item as usize).ok_or_else(changed)? = outcome;
            }
        }
        Ok(ReplayedBatch { number, batch, settled })
    }

    fn read_record(&self, position: u64) -> Result<Record, ReplayError> {
        let changed = || ReplayError::Changed(self.path.clone());
        let (frame, payload) = self.read_intact(position)?.ok_or_else(changed)?;
        self.decode(&frame, &payload)?.ok_or_else(changed)
    }
}
