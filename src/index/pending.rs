//! The pending tree: what a scan found, in a scratch file without a name,
//! beside the base that it mostly leads into.

use crate::disk;
use crate::index::codec::RECORD_BYTES_MAX;
use crate::index::node::{OldPages, Place, RecordSource, RecordStore, read_node, write_node};
use crate::index::node_file::{MapMode, NodeFile, with_read_buffer};
use crate::model::{
    Directory, DirectoryPointer, DirectorySink, ReadNodeError, Totals, TreeView, WriteNodeError,
};
use crate::observe::{Counter, Observer};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Every thread gathers records in an extent of its own, so that threads meet
/// only when an extent is full: one `pwrite` and two atomics for some 250 nodes.
const EXTENT_BYTES: usize = 256 << 10;
const LANES: usize = 16;

/// Takes the directories that a scan finds, from many threads at once.
///
/// No file is made before the first extent is full or [`PendingStore::finish`]
/// has something to write: an unchanged run writes nothing.
pub struct PendingStore<'o> {
    directory: PathBuf,
    file: Mutex<Option<Arc<File>>>,
    end: AtomicU64,
    lanes: [Mutex<Extent>; LANES],
    observer: &'o dyn Observer,
}

#[derive(Debug, Default)]
struct Extent {
    start: u64,
    buffer: Vec<u8>,
}

thread_local! {
    static LANE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % LANES
    };
}

impl<'o> PendingStore<'o> {
    /// A store whose scratch file will lie in `directory`, without a name.
    pub fn new(directory: &Path, observer: &'o dyn Observer) -> Self {
        PendingStore {
            directory: directory.to_owned(),
            file: Mutex::new(None),
            end: AtomicU64::new(0),
            lanes: Default::default(),
            observer,
        }
    }

    /// The tree below `root`, now that all its directories are stored. Pointers
    /// that do not lead into the scratch file lead into `base`.
    ///
    /// # Errors
    /// What the operating system says while the scratch file is completed.
    pub fn finish(
        self,
        root: Option<DirectoryPointer>,
        base: Option<&'o NodeFile>,
        mode: MapMode,
    ) -> io::Result<PendingTree<'o>> {
        for lane in &self.lanes {
            let mut extent = lock(lane);
            if !extent.buffer.is_empty() {
                self.write_extent(&mut extent)?;
            }
        }
        let file = lock(&self.file).take();
        let length = self.end.load(Ordering::Acquire);
        let map = match (&file, mode) {
            (Some(file), MapMode::Map) => {
                // Extents that are not full leave a hole at the end.
                file.set_len(length)?;
                Some(disk::map_read_only(file, length as usize)?)
            }
            _ => None,
        };
        Ok(PendingTree { root, base, file, map, length, observer: self.observer })
    }

    fn write_extent(&self, extent: &mut Extent) -> io::Result<()> {
        let file = self.scratch_file()?;
        file.write_all_at(&extent.buffer, extent.start)?;
        extent.buffer.clear();
        Ok(())
    }

    fn scratch_file(&self) -> io::Result<Arc<File>> {
        let mut file = lock(&self.file);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        let made = Arc::new(tempfile::tempfile_in(&self.directory)?);
        *file = Some(Arc::clone(&made));
        Ok(made)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DirectorySink for PendingStore<'_> {
    fn write_directory(
        &self,
        directory: &Directory,
        below: Totals,
    ) -> Result<DirectoryPointer, WriteNodeError> {
        let (pointer, written) = write_node(self, directory, below, &OldPages::new())?;
        self.observer.count(Counter::NodesWritten, written);
        Ok(pointer)
    }
}

impl RecordStore for PendingStore<'_> {
    const IS_SCRATCH: bool = true;

    fn append(&self, record: &[u8]) -> Result<u64, WriteNodeError> {
        let mut extent = lock(&self.lanes[LANE.with(|lane| *lane)]);
        if extent.buffer.is_empty() || extent.buffer.len() + record.len() > EXTENT_BYTES {
            if !extent.buffer.is_empty() {
                self.write_extent(&mut extent).map_err(|source| WriteNodeError {
                    reason: format!("scratch file in {}: {source}", self.directory.display()),
                    source: Some(source),
                })?;
            }
            let size = record.len().max(EXTENT_BYTES) as u64;
            extent.start = self.end.fetch_add(size, Ordering::AcqRel);
        }
        let position = extent.start + extent.buffer.len() as u64;
        extent.buffer.extend_from_slice(record);
        Ok(position)
    }
}

/// What a scan found. Goes away, with its file, when it is dropped.
pub struct PendingTree<'o> {
    root: Option<DirectoryPointer>,
    base: Option<&'o NodeFile>,
    file: Option<Arc<File>>,
    map: Option<memmap2::Mmap>,
    length: u64,
    observer: &'o dyn Observer,
}

impl TreeView for PendingTree<'_> {
    fn root(&self) -> Option<DirectoryPointer> {
        self.root
    }

    fn read_directory(
        &self,
        pointer: &DirectoryPointer,
        into: &mut Directory,
    ) -> Result<Totals, ReadNodeError> {
        let (totals, records) = read_node(self, pointer, into)?;
        self.observer.count(Counter::NodesRead, records);
        Ok(totals)
    }
}

impl RecordSource for PendingTree<'_> {
    fn with_bytes<R>(
        &self,
        place: Place,
        length: u32,
        read: impl FnOnce(&[u8]) -> Result<R, String>,
    ) -> Result<R, String> {
        if !place.is_scratch {
            let base = self.base.ok_or("it lies in a base that this tree does not have")?;
            return base.with_bytes(place, length, read);
        }
        let end = place.position.checked_add(length.into()).filter(|&end| end <= self.length);
        let (Some(end), Some(file)) = (end, &self.file) else {
            return Err("it lies outside of the scratch file".into());
        };
        if length as usize > RECORD_BYTES_MAX {
            return Err("it is longer than any record".into());
        }
        if let Some(map) = &self.map {
            return read(&map[place.position as usize..end as usize]);
        }
        with_read_buffer(length as usize, |buffer| {
            file.read_exact_at(buffer, place.position).map_err(|error| error.to_string())?;
            read(buffer)
        })
    }
}
