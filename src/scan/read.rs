//! Reading files to their digest, and knowing that nobody wrote meanwhile.

use crate::model::{ContentDigest, Permissions, Stamp, TreePath};
use crate::observe::{Counter, Observer};
use crate::scan::RootDirectory;
use crate::scan::open::{Metadata, open_without_atime, stat_open};
use crate::scan::settled::{FileSystem, MAPPED_WRITES_NS, before};
use crate::scan::walk::now;
use rayon::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{Advice, FileType, OFlags, fadvise};
use rustix::io::Errno;
use std::cell::RefCell;
use std::ffi::CString;
use std::num::NonZeroU64;

/// A file that changes while it is read is read this often.
const READS_MAX: usize = 3;
/// Large enough that syscalls cost nothing, small enough for the second-level cache.
const BUFFER_BYTES: usize = 256 * 1024;
/// From here on several cores hash one file, on larger blocks.
const PARALLEL_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Blocks for that; rayon's share of the work is lost below 128 KiB a core.
const PARALLEL_BLOCK_BYTES: usize = 8 * 1024 * 1024;

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
    /// Written within the last minute: a program that writes through a memory
    /// map could change it again without a new stamp.
    pub recently_written: bool,
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

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads the file at `path` below `root`. Symlinks are followed only with
/// `follow`; FIFOs, sockets and devices are never read.
///
/// Plain reads, never a memory map: a file that is cut short while it is mapped
/// kills the reader.
///
/// # Errors
/// See [`ReadFileError`].
pub fn read_file(
    root: &RootDirectory,
    path: &TreePath,
    follow: bool,
    observer: &dyn Observer,
) -> Result<ReadFile, ReadFileError> {
    let file = open_file(root, path, follow).map_err(|errno| error_of(path, errno))?;
    match read_open_file(root, &file, path, None, observer)? {
        Some(read) => Ok(read),
        // Only a stamp that was asked for can be another.
        None => Err(ReadFileError::ChangedWhileReading { path: path.clone() }),
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
    pub fn open(root: &'a RootDirectory, path: &TreePath, follow: bool) -> Result<Self, ReadFileError> {
        let folder = root.open_below(path, follow).map_err(|errno| error_of(path, errno))?;
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
        observer: &dyn Observer,
    ) -> Result<Option<ReadFile>, ReadFileError> {
        let name = path.name().and_then(|name| CString::new(name).ok());
        let name = name.ok_or_else(|| ReadFileError::NotAFile { path: path.clone() })?;
        let file = open_without_atime(&self.folder, &*name, file_flags(follow))
            .map_err(|errno| error_of(path, errno))?;
        read_open_file(self.root, &file, path, Some(stamp), observer)
    }
}

fn read_open_file(
    root: &RootDirectory,
    file: &OwnedFd,
    path: &TreePath,
    wanted: Option<&Stamp>,
    observer: &dyn Observer,
) -> Result<Option<ReadFile>, ReadFileError> {
    let file_system = root.file_system;
    for _ in 0..READS_MAX {
        let seen_at = now();
        let before = stat_open(file, &file_system).map_err(|errno| error_of(path, errno))?;
        // Another device only when mounts are crossed: ask what lies there.
        let (before, file_system) = if before.device == root.device {
            (before, file_system)
        } else {
            let file_system = FileSystem::of(file);
            (stat_open(file, &file_system).map_err(|errno| error_of(path, errno))?, file_system)
        };
        if before.file_type != FileType::RegularFile {
            return Err(ReadFileError::NotAFile { path: path.clone() });
        }
        let is_other = |stamp: &Stamp| stamp.size != before.stamp.size || stamp.mtime != before.stamp.mtime;
        if wanted.is_some_and(is_other) {
            return Ok(None);
        }
        let (digest, bytes) = hash(file, before.stamp.size).map_err(|errno| error_of(path, errno))?;
        let after = stat_open(file, &file_system).map_err(|errno| error_of(path, errno))?;
        observer.count(Counter::FilesHashed, 1);
        observer.count(Counter::BytesHashed, bytes);
        if is_same_file(&before, &after) && bytes == after.stamp.size {
            return Ok(Some(ReadFile {
                digest,
                stamp: after.stamp,
                permissions: after.permissions,
                settled: file_system.is_settled(after.stamp.mtime, after.stamp.ctime, seen_at),
                recently_written: !self::before(after.stamp.mtime, MAPPED_WRITES_NS, seen_at),
            }));
        }
    }
    Err(ReadFileError::ChangedWhileReading { path: path.clone() })
}

/// Reads many files at once, on the rayon pool of the caller. The results come
/// in the order of `paths`.
pub fn read_files(
    root: &RootDirectory,
    paths: &[TreePath],
    follow: bool,
    observer: &dyn Observer,
) -> Vec<Result<ReadFile, ReadFileError>> {
    paths.par_iter().map(|path| read_file(root, path, follow, observer)).collect()
}

fn is_same_file(before: &Metadata, after: &Metadata) -> bool {
    before.stamp == after.stamp && before.permissions == after.permissions
}

/// O_NONBLOCK: a FIFO that took the file's place must not hang us.
fn file_flags(follow: bool) -> OFlags {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if follow { flags } else { flags | OFlags::NOFOLLOW }
}

fn open_file(root: &RootDirectory, path: &TreePath, follow: bool) -> Result<OwnedFd, Errno> {
    let flags = file_flags(follow);
    let (Some(parent), Some(name)) = (path.parent(), path.name()) else { return Err(Errno::ISDIR) };
    let name = CString::new(name).map_err(|_| Errno::NOENT)?;
    let file = if parent.is_root() {
        open_without_atime(&root.descriptor, &*name, flags)
    } else {
        open_without_atime(&root.open_below(&parent, follow)?, &*name, flags)
    }?;
    Ok(file)
}

fn hash(file: &OwnedFd, size: u64) -> Result<(ContentDigest, u64), Errno> {
    let _ = fadvise(file, 0, NonZeroU64::new(size), Advice::Sequential);
    if size >= PARALLEL_BYTES_MIN {
        return hash_blocks(file, &mut vec![0; PARALLEL_BLOCK_BYTES], true);
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.resize(BUFFER_BYTES, 0);
        hash_blocks(file, buffer, false)
    })
}

/// Reads from the start to the end. Positions are explicit, so that a second
/// try begins at the start again.
fn hash_blocks(file: &OwnedFd, buffer: &mut [u8], parallel: bool) -> Result<(ContentDigest, u64), Errno> {
    let mut hasher = blake3::Hasher::new();
    let mut position = 0;
    loop {
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::pread(file, &mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if parallel {
            hasher.update_rayon(&buffer[..filled]);
        } else {
            hasher.update(&buffer[..filled]);
        }
        position += filled as u64;
        if filled < buffer.len() {
            return Ok((ContentDigest(*hasher.finalize().as_bytes()), position));
        }
    }
}

fn error_of(path: &TreePath, errno: Errno) -> ReadFileError {
    let path = path.clone();
    match errno {
        Errno::NOENT => ReadFileError::Vanished { path },
        Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::NXIO => ReadFileError::NotAFile { path },
        errno => ReadFileError::Io { path, source: errno.into() },
    }
}
