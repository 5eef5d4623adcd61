//! Run records: one per run that changed something, chained backwards. History
//! is walking this chain.

use crate::index::codec::{self, MovedAwayFrame, RunFrame, kind};
use crate::index::names::{put_shared, take_shared};
use crate::index::node::{Place, RecordSource, append, check_digest, refused};
use crate::index::node_file::{NodeFile, NodeWriter};
use crate::index::pack::{
    Broken, Column, put_delta, put_leb, put_record_pointer, put_root, take_record_pointer, take_root,
};
use crate::index::pointer::{RecordPointer, Root};
use crate::model::{ContentDigest, ReadNodeError, RunId, Timestamp, TreePath, WriteNodeError};

/// Rows per chunk: what is in memory at once while a table is read.
const CHUNK_ROWS: usize = 1024;

/// What one run did. The table of what it moved away is beside it: see
/// [`append_run_record`] and [`StoredRunRecord::moved_away`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Which run.
    pub run: RunId,
    /// When it ended, in seconds since 1970 UTC.
    pub finished_seconds: i64,
    /// The base before it.
    pub root_before: Option<Root>,
    /// The base after it.
    pub root_after: Option<Root>,
    /// The kept tree after it.
    pub kept_after: Option<Root>,
    /// The run before it, as far as it is retained.
    pub previous: Option<RecordPointer>,
    /// Its sums.
    pub counts: RunCounts,
    /// It was written by the recovery after a crash.
    pub recovered: bool,
}

/// Sums of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it; they are those of the JSON summary")]
pub struct RunCounts {
    pub files_new: u64,
    pub files_changed: u64,
    pub files_deleted: u64,
    pub files_uploaded: u64,
    pub bytes_uploaded: u64,
    pub files_trashed: u64,
    pub files_failed: u64,
    pub files_unprotected: u64,
}

impl RunCounts {
    /// What came on top of `earlier`.
    #[must_use]
    pub fn since(self, earlier: RunCounts) -> RunCounts {
        RunCounts {
            files_new: self.files_new.saturating_sub(earlier.files_new),
            files_changed: self.files_changed.saturating_sub(earlier.files_changed),
            files_deleted: self.files_deleted.saturating_sub(earlier.files_deleted),
            files_uploaded: self.files_uploaded.saturating_sub(earlier.files_uploaded),
            bytes_uploaded: self.bytes_uploaded.saturating_sub(earlier.bytes_uploaded),
            files_trashed: self.files_trashed.saturating_sub(earlier.files_trashed),
            files_failed: self.files_failed.saturating_sub(earlier.files_failed),
            files_unprotected: self.files_unprotected.saturating_sub(earlier.files_unprotected),
        }
    }
}

/// A version that a run moved from the mirror into its own trash folder, where
/// it lies at the same path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedAway {
    /// Where it was, and is in the trash folder.
    pub path: TreePath,
    /// Its content, if known.
    pub digest: Option<ContentDigest>,
    /// Its size, in bytes.
    pub size: u64,
    /// Its modification time.
    pub mtime: Timestamp,
}

/// A run record as it was read, with the way to its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRunRecord {
    /// What the run did.
    pub record: RunRecord,
    /// Number of rows in the table.
    pub moved_away_count: u64,
    pub(super) chunks: Vec<RecordPointer>,
    pub(super) own_length: u32,
}

/// Appends a record and its table, sorted by path, none twice. Rows are taken
/// one by one: the table never lies in memory as a whole.
///
/// # Errors
/// When a row is out of order, or the file cannot be written.
pub fn append_run_record(
    writer: &NodeWriter<'_>,
    record: &RunRecord,
    moved_away: impl IntoIterator<Item = MovedAway>,
) -> Result<RecordPointer, WriteNodeError> {
    let mut chunks = Vec::new();
    let mut chunk = Chunk::default();
    let mut moved_count = 0;
    let mut path_before: Option<TreePath> = None;
    for row in moved_away {
        if path_before.as_ref().is_some_and(|before| *before >= row.path) {
            return Err(refused(format!("the table of what was moved away is not in order at {}", row.path)));
        }
        if chunk.count as usize == CHUNK_ROWS {
            chunks.push(chunk.write(writer)?);
            chunk = Chunk::default();
        }
        chunk.push(&row);
        moved_count += 1;
        path_before = Some(row.path);
    }
    if chunk.count > 0 {
        chunks.push(chunk.write(writer)?);
    }
    append_with_chunks(writer, record, moved_count, &chunks)
}

pub(super) fn append_with_chunks(
    writer: &NodeWriter<'_>,
    record: &RunRecord,
    moved_count: u64,
    chunks: &[RecordPointer],
) -> Result<RecordPointer, WriteNodeError> {
    let root_bytes = |root: &Option<Root>| {
        let mut out = Vec::new();
        put_root(&mut out, root.as_ref());
        out
    };
    let mut previous = Vec::new();
    if let Some(pointer) = &record.previous {
        put_record_pointer(&mut previous, pointer, 0);
    }
    let mut chunk_bytes = Vec::new();
    let mut offset_before = 0;
    for chunk in chunks {
        put_record_pointer(&mut chunk_bytes, chunk, offset_before);
        offset_before = chunk.offset;
    }
    let counts = &record.counts;
    let frame = RunFrame {
        kind: kind::RUN,
        sequence: record.run.sequence,
        started_seconds: record.run.started_seconds,
        finished_seconds: record.finished_seconds,
        recovered: record.recovered,
        counts: [
            counts.files_new,
            counts.files_changed,
            counts.files_deleted,
            counts.files_uploaded,
            counts.bytes_uploaded,
            counts.files_trashed,
            counts.files_failed,
            counts.files_unprotected,
        ],
        previous: &previous,
        root_before: &root_bytes(&record.root_before),
        root_after: &root_bytes(&record.root_after),
        kept_after: &root_bytes(&record.kept_after),
        moved_count,
        chunks: &chunk_bytes,
        extra: &[],
    };
    let mut bytes = Vec::new();
    codec::encode_into(&frame, &mut bytes).map_err(refused)?;
    append(writer, &bytes)
}

#[derive(Default)]
struct Chunk {
    count: u32,
    path: Vec<u8>,
    mtime_seconds: i64,
    paths: Vec<u8>,
    stats: Vec<u8>,
    digests: Vec<u8>,
}

impl Chunk {
    fn push(&mut self, row: &MovedAway) {
        let path = row.path.as_bytes();
        let shared = path.iter().zip(&self.path).take_while(|(a, b)| a == b).count();
        put_shared(&mut self.paths, shared, &path[shared..]);
        self.path.truncate(shared);
        self.path.extend_from_slice(&path[shared..]);
        self.stats.push(row.digest.is_some().into());
        put_leb(&mut self.stats, row.size);
        put_delta(&mut self.stats, row.mtime.seconds as u64, self.mtime_seconds as u64);
        put_leb(&mut self.stats, row.mtime.nanoseconds.into());
        self.mtime_seconds = row.mtime.seconds;
        if let Some(digest) = row.digest {
            self.digests.extend_from_slice(&digest.0);
        }
        self.count += 1;
    }

    fn write(&self, writer: &NodeWriter<'_>) -> Result<RecordPointer, WriteNodeError> {
        let frame = MovedAwayFrame {
            kind: kind::MOVED_AWAY,
            count: self.count,
            paths: &self.paths,
            stats: &self.stats,
            digests: &self.digests,
            extra: &[],
        };
        let mut bytes = Vec::new();
        codec::encode_into(&frame, &mut bytes).map_err(refused)?;
        append(writer, &bytes)
    }
}

/// Reads the record behind `pointer`, without its table.
///
/// # Errors
/// When it is missing, damaged or no run record.
pub fn read_run_record(file: &NodeFile, pointer: &RecordPointer) -> Result<StoredRunRecord, ReadNodeError> {
    with_record(file, pointer, |bytes| {
        let frame: RunFrame<'_> = codec::decode(bytes)?;
        if frame.kind != kind::RUN {
            return Err("it is no run record".into());
        }
        Ok(stored_record(&frame, pointer.length)?)
    })
}

fn stored_record(frame: &RunFrame<'_>, own_length: u32) -> Result<StoredRunRecord, Broken> {
    let [
        files_new,
        files_changed,
        files_deleted,
        files_uploaded,
        bytes_uploaded,
        files_trashed,
        files_failed,
        files_unprotected,
    ] = frame.counts;
    let mut chunks: Vec<RecordPointer> = Vec::new();
    let mut column = Column(frame.chunks);
    while !column.0.is_empty() {
        let offset_before = chunks.last().map_or(0, |chunk| chunk.offset);
        chunks.push(take_record_pointer(&mut column, offset_before)?);
    }
    let mut previous = Column(frame.previous);
    Ok(StoredRunRecord {
        record: RunRecord {
            run: RunId { sequence: frame.sequence, started_seconds: frame.started_seconds },
            finished_seconds: frame.finished_seconds,
            root_before: take_root(frame.root_before)?,
            root_after: take_root(frame.root_after)?,
            kept_after: take_root(frame.kept_after)?,
            previous: (!previous.0.is_empty()).then(|| take_record_pointer(&mut previous, 0)).transpose()?,
            counts: RunCounts {
                files_new,
                files_changed,
                files_deleted,
                files_uploaded,
                bytes_uploaded,
                files_trashed,
                files_failed,
                files_unprotected,
            },
            recovered: frame.recovered,
        },
        moved_away_count: frame.moved_count,
        chunks,
        own_length,
    })
}

pub(super) fn with_record<R>(
    file: &NodeFile,
    pointer: &RecordPointer,
    read: impl FnOnce(&[u8]) -> Result<R, String>,
) -> Result<R, ReadNodeError> {
    let place = Place { position: pointer.offset, is_scratch: false };
    file.with_bytes(place, pointer.length, |bytes| {
        check_digest(bytes, pointer.digest)?;
        read(bytes)
    })
    .map_err(|reason| ReadNodeError { offset: pointer.offset, length: pointer.length, reason })
}

/// The run records from the one behind `newest` backwards to the oldest that is
/// retained. Ends after the first error.
pub fn run_records(
    file: &NodeFile,
    newest: Option<RecordPointer>,
) -> impl Iterator<Item = Result<StoredRunRecord, ReadNodeError>> + '_ {
    let mut next = newest;
    std::iter::from_fn(move || {
        let read = read_run_record(file, &next.take()?);
        if let Ok(stored) = &read {
            next = stored.record.previous;
        }
        Some(read)
    })
}

impl StoredRunRecord {
    /// The table, in order of the paths; a thousand rows in memory at a time.
    /// Ends after the first error.
    pub fn moved_away<'f>(
        &'f self,
        file: &'f NodeFile,
    ) -> impl Iterator<Item = Result<MovedAway, ReadNodeError>> + 'f {
        let mut chunks = self.chunks.iter();
        let mut rows = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(row) = rows.next() {
                    return Some(Ok(row));
                }
                match read_chunk(file, chunks.next()?) {
                    Ok(read) => rows = read.into_iter(),
                    Err(error) => {
                        chunks = [].iter();
                        return Some(Err(error));
                    }
                }
            }
        })
    }
}

fn read_chunk(file: &NodeFile, pointer: &RecordPointer) -> Result<Vec<MovedAway>, ReadNodeError> {
    with_record(file, pointer, |bytes| {
        let frame: MovedAwayFrame<'_> = codec::decode(bytes)?;
        if frame.kind != kind::MOVED_AWAY || frame.count as usize > CHUNK_ROWS {
            return Err("it is no part of a table".into());
        }
        let (mut paths, mut stats, mut digests) =
            (Column(frame.paths), Column(frame.stats), Column(frame.digests));
        let mut path = Vec::new();
        let mut mtime_seconds = 0;
        let mut rows: Vec<MovedAway> = Vec::with_capacity(frame.count as usize);
        for _ in 0..frame.count {
            let (shared, rest) = take_shared(&mut paths)?;
            if shared > path.len() {
                return Err("a path shares more than there is".into());
            }
            path.truncate(shared);
            path.extend_from_slice(rest);
            let row = MovedAway {
                path: TreePath::from_bytes(path.clone()).map_err(|error| error.to_string())?,
                digest: if stats.byte()? == 0 { None } else { Some(ContentDigest(digests.array()?)) },
                size: stats.leb()?,
                mtime: Timestamp {
                    seconds: stats.delta(mtime_seconds)? as i64,
                    nanoseconds: stats.leb_u32()?,
                },
            };
            mtime_seconds = row.mtime.seconds as u64;
            if rows.last().is_some_and(|last| last.path >= row.path) {
                return Err("its paths are not in order".into());
            }
            rows.push(row);
        }
        [paths, stats, digests].into_iter().try_for_each(Column::finish)?;
        Ok(rows)
    })
}
