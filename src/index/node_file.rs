//! The node file: append-only records behind a small header.
//!
//! What is committed never changes again, so that readers need no lock and a
//! memory map is sound. What lies beyond is the rest of a crashed run, and is
//! overwritten by the next one.

use crate::disk;
use crate::index::codec::RECORD_BYTES_MAX;
use crate::index::docket::Docket;
use crate::index::node::{OldPages, Place, RecordSource, RecordStore, write_node};
use crate::index::pointer::DataId;
use crate::model::{Directory, DirectoryPointer, DirectorySink, Totals, WriteNodeError};
use crate::observe::{Counter, Observer};
use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes before the first record.
pub(super) const HEADER_BYTES: u64 = 64;
const MAGIC: [u8; 8] = *b"tfNOD\r\n\x1a";
const FORMAT: u16 = 1;
/// Appended records are gathered up to this size before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// How committed records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MapMode {
    /// From a memory map. For local disks.
    #[default]
    Map,
    /// By `pread`. For state directories on a network, where a vanished server
    /// would kill a process that reads from a map.
    Read,
}

/// A node file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenNodeFileError {
    /// The operating system said no.
    #[error("opening the index {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what the docket speaks of. The next run scans everything anew
    /// and asks the remote (`adopt`) what it holds.
    #[error("the index {path} is damaged: {reason}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// One open node file.
#[derive(Debug)]
pub struct NodeFile {
    file: File,
    path: PathBuf,
    data_id: DataId,
    map: Option<memmap2::Mmap>,
    tail: Mutex<Tail>,
    /// Everything below is readable: in the map, in the file, or in the tail.
    length: AtomicU64,
}

/// Records that are not in the file yet.
#[derive(Debug)]
struct Tail {
    start: u64,
    buffer: Vec<u8>,
}

thread_local! {
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl NodeFile {
    /// Makes a new, empty file that must not exist yet, and syncs its name.
    /// Only for the holder of the lock.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn create(path: &Path, data_id: DataId) -> Result<NodeFile, OpenNodeFileError> {
        let create = || {
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
            file.write_all_at(&header(data_id), 0)?;
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
            Ok(file)
        };
        let file = create().map_err(|source| OpenNodeFileError::Io { path: path.to_owned(), source })?;
        Ok(NodeFile::with(file, path, data_id, None, HEADER_BYTES))
    }

    /// Opens what `docket` has committed, for reading.
    ///
    /// # Errors
    /// When the file is missing, shorter than what was committed, or another one.
    pub fn open(path: &Path, docket: &Docket, mode: MapMode) -> Result<NodeFile, OpenNodeFileError> {
        NodeFile::open_with(path, docket, mode, OpenOptions::new().read(true))
    }

    /// Opens what `docket` has committed, to read it and to append to it. Only
    /// for the holder of the lock.
    ///
    /// # Errors
    /// As [`NodeFile::open`].
    pub fn open_for_append(
        path: &Path,
        docket: &Docket,
        mode: MapMode,
    ) -> Result<NodeFile, OpenNodeFileError> {
        NodeFile::open_with(path, docket, mode, OpenOptions::new().read(true).write(true))
    }

    fn open_with(
        path: &Path,
        docket: &Docket,
        mode: MapMode,
        options: &OpenOptions,
    ) -> Result<NodeFile, OpenNodeFileError> {
        let io_error = |source| OpenNodeFileError::Io { path: path.to_owned(), source };
        let damaged = |reason: String| OpenNodeFileError::Damaged { path: path.to_owned(), reason };

        let file = options.open(path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        let committed = docket.committed_length;
        if committed < HEADER_BYTES || length < committed {
            return Err(damaged(format!("it has {length} bytes, and {committed} were committed")));
        }
        let mut found = [0; HEADER_BYTES as usize];
        file.read_exact_at(&mut found, 0).map_err(io_error)?;
        check_header(&found, docket.data_id).map_err(damaged)?;
        let map = match (mode, usize::try_from(committed)) {
            (MapMode::Map, Ok(committed)) => Some(disk::map_read_only(&file, committed).map_err(io_error)?),
            _ => None,
        };
        Ok(NodeFile::with(file, path, docket.data_id, map, committed))
    }

    fn with(file: File, path: &Path, data_id: DataId, map: Option<memmap2::Mmap>, length: u64) -> NodeFile {
        NodeFile {
            file,
            path: path.to_owned(),
            data_id,
            map,
            tail: Mutex::new(Tail { start: length, buffer: Vec::new() }),
            length: AtomicU64::new(length),
        }
    }

    /// The file's own id, to be named in the docket.
    pub fn data_id(&self) -> DataId {
        self.data_id
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the next docket must name as committed, after [`NodeWriter::sync`]:
    /// all records, in bytes with the header.
    pub fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// Appends to this file. Only for the holder of the lock.
    pub fn writer<'f>(&'f self, observer: &'f dyn Observer) -> NodeWriter<'f> {
        NodeWriter { file: self, observer }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self, tail: &mut Tail) -> io::Result<()> {
        self.file.write_all_at(&tail.buffer, tail.start)?;
        tail.start += tail.buffer.len() as u64;
        tail.buffer.clear();
        Ok(())
    }

    fn copy_uncommitted(&self, position: u64, into: &mut [u8]) -> io::Result<()> {
        let tail = self.tail();
        if position < tail.start {
            drop(tail);
            return self.file.read_exact_at(into, position);
        }
        let start = (position - tail.start) as usize;
        let found = tail.buffer.get(start..start + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(found);
        Ok(())
    }
}

impl RecordSource for NodeFile {
    fn with_bytes<R>(
        &self,
        place: Place,
        length: u32,
        read: impl FnOnce(&[u8]) -> Result<R, String>,
    ) -> Result<R, String> {
        let end = place.position.checked_add(length.into());
        let Some(end) = end.filter(|&end| place.position >= HEADER_BYTES && end <= self.length()) else {
            return Err("it lies outside of what was committed".into());
        };
        if place.is_scratch {
            return Err("it belongs to a scratch file that is gone".into());
        }
        if length as usize > RECORD_BYTES_MAX {
            return Err("it is longer than any record".into());
        }
        if let Some(bytes) =
            self.map.as_deref().and_then(|map| map.get(place.position as usize..end as usize))
        {
            return read(bytes);
        }
        with_read_buffer(length as usize, |buffer| {
            self.copy_uncommitted(place.position, buffer).map_err(|error| error.to_string())?;
            read(buffer)
        })
    }
}

/// Lends the thread's buffer. Reads nest (pages within a directory): the inner
/// one gets a buffer of its own.
pub(super) fn with_read_buffer<R>(length: usize, fill_and_read: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut buffer = READ_BUFFER.take();
    buffer.resize(length, 0);
    let result = fill_and_read(&mut buffer);
    READ_BUFFER.set(buffer);
    result
}

/// Appends records to a [`NodeFile`]. They can be read at once, and are
/// committed by the docket that names a length behind them.
#[derive(Clone, Copy)]
pub struct NodeWriter<'f> {
    pub(super) file: &'f NodeFile,
    observer: &'f dyn Observer,
}

impl NodeWriter<'_> {
    /// Brings everything appended so far to the disk. Returns the length that a
    /// docket may now name as committed.
    ///
    /// # Errors
    /// What the operating system says; nothing is committed then.
    pub fn sync(&self) -> io::Result<u64> {
        let mut tail = self.file.tail();
        self.file.flush(&mut tail)?;
        self.file.file.sync_data()?;
        self.observer.count(Counter::Syncs, 1);
        Ok(tail.start)
    }

    /// As [`DirectorySink::write_directory`], not writing again the pages that
    /// the directory had before.
    pub(super) fn write_over(
        &self,
        directory: &Directory,
        below: Totals,
        old_pages: &OldPages,
    ) -> Result<DirectoryPointer, WriteNodeError> {
        let (pointer, written) = write_node(self, directory, below, old_pages)?;
        self.observer.count(Counter::NodesWritten, written);
        Ok(pointer)
    }
}

impl DirectorySink for NodeWriter<'_> {
    fn write_directory(
        &self,
        directory: &Directory,
        below: Totals,
    ) -> Result<DirectoryPointer, WriteNodeError> {
        self.write_over(directory, below, &OldPages::new())
    }
}

impl RecordStore for NodeWriter<'_> {
    const IS_SCRATCH: bool = false;

    fn append(&self, record: &[u8]) -> Result<u64, WriteNodeError> {
        let mut tail = self.file.tail();
        if !tail.buffer.is_empty() && tail.buffer.len() + record.len() > BUFFER_BYTES {
            self.file.flush(&mut tail).map_err(|source| WriteNodeError {
                reason: format!("{}: {source}", self.file.path.display()),
                source: Some(source),
            })?;
        }
        let position = tail.start + tail.buffer.len() as u64;
        tail.buffer.extend_from_slice(record);
        self.file.length.store(position + record.len() as u64, Ordering::Release);
        self.observer.count(Counter::IndexBytesWritten, record.len() as u64);
        Ok(position)
    }
}

fn header(data_id: DataId) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&FORMAT.to_le_bytes());
    header[16..32].copy_from_slice(&data_id.0);
    let checksum = blake3::hash(&header[..48]);
    header[48..].copy_from_slice(&checksum.as_bytes()[..16]);
    header
}

fn check_header(found: &[u8; HEADER_BYTES as usize], data_id: DataId) -> Result<(), String> {
    if found[..8] != MAGIC {
        return Err("it is no treeferry index".into());
    }
    if blake3::hash(&found[..48]).as_bytes()[..16] != found[48..] {
        return Err("its header is damaged".into());
    }
    let format = u16::from_le_bytes([found[8], found[9]]);
    if format != FORMAT {
        return Err(format!("it has format {format}, this version reads {FORMAT}"));
    }
    if found[16..32] != data_id.0 {
        return Err("it belongs to another docket".into());
    }
    Ok(())
}
