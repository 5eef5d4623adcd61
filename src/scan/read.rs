//! Reading files to their digest, and knowing that nobody wrote meanwhile.

use crate::model::{ContentDigest, Name, Permissions, Stamp, TreePath};
use crate::observe::{Counter, Observer};
use crate::scan::RootDirectory;
use crate::scan::hash::hash;
use crate::scan::open::{Entering, Metadata, open_directory, open_without_atime, stat_open};
use crate::scan::settled::{FileSystem, MAPPED_WRITES_NS, before};
use crate::scan::walk::now;
use rayon::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::ffi::CString;

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

/// Reads the file at `path` below `root`. Symlinks are followed only with
/// `follow`; FIFOs, sockets and devices are never read.
///
/// # Errors
/// See [`ReadFileError`].
pub fn read_file(
    root: &RootDirectory,
    path: &TreePath,
    follow: bool,
    observer: &dyn Observer,
) -> Result<ReadFile, ReadFileError> {
    FileReader::new(root).read(path, follow, observer)
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
    follow: bool,
}

impl<'a> FileReader<'a> {
    /// A reader below `root`, with nothing open yet.
    pub fn new(root: &'a RootDirectory) -> Self {
        FileReader { root, open: Vec::new(), folder: TreePath::root(), follow: false }
    }

    /// As [`read_file`].
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
        match read_open_file(self.root, &file, path, None, observer)? {
            Some(read) => Ok(read),
            // Only a stamp that was asked for can be another.
            None => Err(ReadFileError::ChangedWhileReading { path: path.clone() }),
        }
    }

    fn open(&mut self, path: &TreePath, follow: bool) -> Result<OwnedFd, Errno> {
        let flags = file_flags(follow);
        let (Some(folder), Some(name)) = (path.parent(), path.name()) else { return Err(Errno::ISDIR) };
        if folder.is_root() {
            return open_without_atime(&self.root.descriptor, name, flags);
        }
        if folder.components().count() > OPEN_DIRECTORIES_MAX {
            return open_without_atime(&self.root.open_below(&folder, follow)?, name, flags);
        }
        if folder != self.folder || follow != self.follow {
            let entered = self.enter(&folder, follow);
            self.folder = if entered.is_ok() { folder } else { TreePath::root() };
            entered?;
        }
        match self.open.last() {
            Some((_, folder)) => open_without_atime(folder, name, flags),
            None => Err(Errno::NOENT),
        }
    }

    /// Leaves what is not on the way to `folder`, and opens what is.
    fn enter(&mut self, folder: &TreePath, follow: bool) -> Result<(), Errno> {
        let is_open = |(name, (open, _)): &(&Name, &(Vec<u8>, OwnedFd))| *name == open.as_slice();
        let shared = if follow == self.follow {
            folder.components().zip(&self.open).take_while(is_open).count()
        } else {
            0
        };
        self.open.truncate(shared);
        self.follow = follow;
        let entering = if follow { Entering::Following } else { Entering::AnyMount };
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
    paths
        .par_iter()
        .map_init(|| FileReader::new(root), |reader, path| reader.read(path, follow, observer))
        .collect()
}

fn is_same_file(before: &Metadata, after: &Metadata) -> bool {
    before.stamp == after.stamp && before.permissions == after.permissions
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
