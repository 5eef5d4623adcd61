//! Reading files to their digest, and knowing that nobody wrote meanwhile.

use crate::disk::start_write_back;
use crate::model::{ContentDigest, Name, Permissions, Stamp, Timestamp, TreePath};
use crate::observe::{Counter, Event, Observer};
use crate::scan::RootDirectory;
use crate::scan::hash::{hash, is_large};
use crate::scan::open::{OpenFile, open_directory, open_without_atime, stat_file};
use crate::scan::settled::{FileSystem, MAPPED_WRITES_NS, before};
use crate::scan::walk::now;
use rayon::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::sync::PoisonError;

/// A file that changes while it is read is read this often.
const READS_MAX: usize = 3;
/// A file that was read to its end while nobody wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadFile {
    /// BLAKE3 of its bytes.
    pub digest: ContentDigest,
    /// The stat key, equal before and after.
    pub stamp: Stamp,
    /// Mode and owner.
    pub permissions: Permissions,
    /// The stamp is so old that any later write will show in it. If not, mark the
    /// entry [`crate::model::EntryFlags::RACY`], or read the file once more.
    pub settled: bool,
}

/// Whether what is known of another name of the same inode will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// An inode that was read before in this run, and whose stamp is still the same,
    /// is not read again.
    OncePerInode,
    /// Read from the file system in any case.
    Anew,
}

/// A file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// It is gone.
    #[error("{path} vanished before it could be read")]
    Vanished {
        /// Which.
        path: TreePath,
    },
    /// Something else has its name now, or a directory above it is none any more.
    #[error("{path} is no longer a regular file")]
    NotAFile {
        /// Which.
        path: TreePath,
    },
    /// It was written whenever it was read.
    #[error(
        "{path} changed while it was read, {READS_MAX} times; back it up from a snapshot, or when it is at rest"
    )]
    ChangedWhileReading {
        /// Which.
        path: TreePath,
    },
    /// The system said no.
    #[error("reading {path}: {source}")]
    Io {
        /// Which.
        path: TreePath,
        /// Why.
        source: std::io::Error,
    },
}

/// Reads the file at `path` below `root`. A symlink in its own place is followed only with
/// `follow`, those above it if `root` is [`RootDirectory::following_links`]; FIFOs, sockets and
/// devices are never read.
///
/// # Errors
/// See [`ReadFileError`].
pub fn read_file(
    root: &RootDirectory,
    path: &TreePath,
    follow: bool,
    observer: &dyn Observer,
) -> Result<ReadFile, ReadFileError> {
    let file = FileReader::new(root).open(path, follow).map_err(|errno| error_of(path, errno))?;
    read_to_end(root, &file, path, Reading::Anew, observer)
}

/// Directories that a [`FileReader`] keeps open at the most.
const OPEN_DIRECTORIES_MAX: usize = 64;

/// Reads files one after the other, and keeps the directories on the way to the
/// last one open: from the root down anew, a small file would cost twice as much.
/// For one thread; best with paths in order.
pub struct FileReader<'a> {
    root: &'a RootDirectory,
    /// The directories on the way to `folder`, its name and itself the last.
    open: Vec<(Vec<u8>, OwnedFd)>,
    folder: TreePath,
}

impl<'a> FileReader<'a> {
    /// A reader below `root`, with nothing open yet.
    pub fn new(root: &'a RootDirectory) -> Self {
        FileReader { root, open: Vec::new(), folder: TreePath::root() }
    }

    /// As [`read_file`], but [`Reading::OncePerInode`].
    ///
    /// # Errors
    /// See [`ReadFileError`].
    pub fn read(
        &mut self,
        path: &TreePath,
        follow: bool,
        observer: &dyn Observer,
    ) -> Result<ReadFile, ReadFileError> {
        let file = self.open(path, follow).map_err(|errno| error_of(path, errno))?;
        read_to_end(self.root, &file, path, Reading::OncePerInode, observer)
    }

    fn open(&mut self, path: &TreePath, follow: bool) -> Result<OwnedFd, Errno> {
        let flags = file_flags(follow);
        let (Some(folder), Some(name)) = (path.parent(), path.name()) else { return Err(Errno::ISDIR) };
        if folder.is_root() {
            return open_without_atime(&self.root.descriptor, name, flags);
        }
        if folder.components().count() > OPEN_DIRECTORIES_MAX {
            return open_without_atime(&self.root.open_below(&folder)?, name, flags);
        }
        if folder != self.folder {
            let entered = self.enter(&folder);
            self.folder = if entered.is_ok() { folder } else { TreePath::root() };
            entered?;
        }
        match self.open.last() {
            Some((_, folder)) => open_without_atime(folder, name, flags),
            None => Err(Errno::NOENT),
        }
    }

    /// Leaves what is not on the way to `folder`, and opens what is.
    fn enter(&mut self, folder: &TreePath) -> Result<(), Errno> {
        let is_open = |(name, (open, _)): &(&Name, &(Vec<u8>, OwnedFd))| *name == open.as_slice();
        let shared = folder.components().zip(&self.open).take_while(is_open).count();
        self.open.truncate(shared);
        let entering = self.root.entering();
        for name in folder.components().skip(shared) {
            let above = self.open.last().map_or(&self.root.descriptor, |(_, above)| above);
            let directory = open_directory(above, name, entering)?;
            self.open.push((name.to_vec(), directory));
        }
        Ok(())
    }
}

/// Files of one folder that are to be as they were.
pub struct FolderReader<'a> {
    root: &'a RootDirectory,
    folder: OwnedFd,
}

impl<'a> FolderReader<'a> {
    /// Opens the folder at `path` once, for all its files.
    ///
    /// # Errors
    /// When it is gone, or cannot be opened.
    pub fn open(root: &'a RootDirectory, path: &TreePath) -> Result<Self, ReadFileError> {
        let folder = root.open_below(path).map_err(|errno| error_of(path, errno))?;
        Ok(FolderReader { root, folder })
    }

    /// Reads the file at `path`, which lies in this folder, if it still has this
    /// size and mtime: a `chmod` makes a new ctime, and no new content. `None`: it
    /// was written since, and is not read to its end.
    ///
    /// # Errors
    /// See [`ReadFileError`].
    pub fn read_if(
        &self,
        path: &TreePath,
        stamp: &Stamp,
        follow: bool,
        reading: Reading,
        observer: &dyn Observer,
    ) -> Result<Option<ReadFile>, ReadFileError> {
        let name = path.name().and_then(|name| CString::new(name).ok());
        let name = name.ok_or_else(|| ReadFileError::NotAFile { path: path.clone() })?;
        let file = open_without_atime(&self.folder, &*name, file_flags(follow))
            .map_err(|errno| error_of(path, errno))?;
        read_open_file(self.root, &file, path, Some(stamp), reading, observer)
    }
}

fn read_to_end(
    root: &RootDirectory,
    file: &OwnedFd,
    path: &TreePath,
    reading: Reading,
    observer: &dyn Observer,
) -> Result<ReadFile, ReadFileError> {
    match read_open_file(root, file, path, None, reading, observer)? {
        Some(read) => Ok(read),
        // Only a stamp that was asked for can be another.
        None => Err(ReadFileError::ChangedWhileReading { path: path.clone() }),
    }
}

fn read_open_file(
    root: &RootDirectory,
    file: &OwnedFd,
    path: &TreePath,
    wanted: Option<&Stamp>,
    reading: Reading,
    observer: &dyn Observer,
) -> Result<Option<ReadFile>, ReadFileError> {
    let failed = |errno| error_of(path, errno);
    for _ in 0..READS_MAX {
        let looked = look_at(root, file).map_err(failed)?;
        let before = &looked.file.metadata;
        if before.file_type != FileType::RegularFile {
            return Err(ReadFileError::NotAFile { path: path.clone() });
        }
        let is_other = |stamp: &Stamp| stamp.size != before.stamp.size || stamp.mtime != before.stamp.mtime;
        if wanted.is_some_and(is_other) {
            return Ok(None);
        }
        let read = match reading {
            Reading::Anew => read_once(file, path, &looked, observer),
            Reading::OncePerInode => read_unless_known(root, file, path, &looked, observer),
        };
        if let Some(read) = read.map_err(failed)? {
            return Ok(Some(read));
        }
    }
    Err(ReadFileError::ChangedWhileReading { path: path.clone() })
}

/// An open file right before it is read.
struct Looked {
    file: OpenFile,
    file_system: FileSystem,
    seen_at: Timestamp,
    /// A later write shows in its stamp, through a memory map too.
    shows_mapped_writes: bool,
}

fn look_at(root: &RootDirectory, file: &OwnedFd) -> Result<Looked, Errno> {
    let mut file_system = root.file_system;
    let mut seen_at = now();
    let mut found = stat_file(file, &file_system)?;
    // Another device only when mounts are crossed: ask what lies there.
    if found.metadata.device != root.device {
        file_system = FileSystem::of(file);
        found = stat_file(file, &file_system)?;
    }
    let mut shows_mapped_writes = true;
    if !before(found.metadata.stamp.mtime, MAPPED_WRITES_NS, seen_at) {
        shows_mapped_writes = start_write_back(file).is_ok();
        seen_at = now();
        found = stat_file(file, &file_system)?;
    }
    Ok(Looked { file: found, file_system, seen_at, shows_mapped_writes })
}

/// Reads the file, unless another name of it was read and nobody wrote since.
fn read_unless_known(
    root: &RootDirectory,
    file: &OwnedFd,
    path: &TreePath,
    looked: &Looked,
    observer: &dyn Observer,
) -> Result<Option<ReadFile>, Errno> {
    let Some(known) = root.hard_links.known(&looked.file, &looked.file_system) else {
        return read_once(file, path, looked, observer);
    };
    let before = &looked.file.metadata;
    let still_true = |read: &ReadFile| {
        read.settled && read.stamp == before.stamp && read.permissions == before.permissions
    };
    let mut held = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(read) = held.filter(still_true) {
        return Ok(Some(read));
    }
    // A large file is read by the whole pool: while this thread waits for the others it
    // may take up another name of the same file, and would wait for itself.
    if is_large(before.stamp.size) {
        drop(held);
        let read = read_once(file, path, looked, observer)?;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = read;
        return Ok(read);
    }
    *held = read_once(file, path, looked, observer)?;
    Ok(*held)
}

/// `None` when somebody wrote meanwhile.
fn read_once(
    file: &OwnedFd,
    path: &TreePath,
    looked: &Looked,
    observer: &dyn Observer,
) -> Result<Option<ReadFile>, Errno> {
    let Looked { file: OpenFile { metadata: before, is_sparse, .. }, file_system, seen_at, .. } = looked;
    let tell = |bytes| observer.event(&Event::FileUnderWay { path, bytes });
    let hashed = hash(file, before.stamp.size, *is_sparse && file_system.tells_holes, &tell)?;
    observer.count(Counter::FilesHashed, 1);
    observer.count(Counter::BytesHashed, hashed.bytes);
    let after = stat_file(file, file_system)?.metadata;
    let is_same = before.stamp == after.stamp
        && before.permissions == after.permissions
        && hashed.bytes == after.stamp.size;
    Ok(is_same.then(|| ReadFile {
        digest: hashed.digest,
        stamp: after.stamp,
        permissions: after.permissions,
        settled: looked.shows_mapped_writes
            && file_system.is_settled(after.stamp.mtime, after.stamp.ctime, *seen_at),
    }))
}

/// Calls `read` for every item on the rayon pool of the caller, and gives back the
/// results in their order. Small files are read beside each other, large ones one after
/// the other, each by the whole pool: the disk reads from front to back, and an inode of
/// several names is known when the next of them comes.
pub fn read_each<T: Send, R: Send>(
    root: &RootDirectory,
    items: Vec<T>,
    size: impl Fn(&T) -> u64,
    read: impl Fn(&mut FileReader<'_>, T) -> R + Sync,
) -> Vec<R> {
    let numbered = items.into_iter().enumerate();
    let (large, small): (Vec<_>, Vec<_>) = numbered.partition(|(_, item)| is_large(size(item)));
    let mut results: Vec<(usize, R)> = small
        .into_par_iter()
        .map_init(|| FileReader::new(root), |reader, (index, item)| (index, read(reader, item)))
        .collect();
    let mut reader = FileReader::new(root);
    results.extend(large.into_iter().map(|(index, item)| (index, read(&mut reader, item))));
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// O_NONBLOCK: a FIFO that took the file's place must not hang us.
fn file_flags(follow: bool) -> OFlags {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if follow { flags } else { flags | OFlags::NOFOLLOW }
}

fn error_of(path: &TreePath, errno: Errno) -> ReadFileError {
    let path = path.clone();
    match errno {
        Errno::NOENT => ReadFileError::Vanished { path },
        Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::NXIO => ReadFileError::NotAFile { path },
        errno => ReadFileError::Io { path, source: errno.into() },
    }
}
