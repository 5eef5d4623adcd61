//! The floors: what the kernel charges for a walk, and for reading small files.
//! Nothing is sorted, kept or compared. For `bench`, and for nothing else.

use crate::model::ContentDigest;
use crate::scan::hash::with_buffer;
use crate::scan::open::open_without_atime;
use rayon::prelude::*;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Directories and other names that were seen.
#[derive(Debug, Default)]
pub struct FloorSeen {
    /// Directories that were listed.
    pub directories: AtomicU64,
    /// Names that are no directories and were looked at.
    pub files: AtomicU64,
}

/// A directory to be listed: the one it lies in, and its name there. Opened when
/// its turn comes, so that a wide tree needs no descriptor for each of them.
type Below = (Arc<OwnedFd>, CString);

/// What busy workers gave away, and who waits for it.
#[derive(Default)]
struct Handed {
    shares: Vec<Vec<Below>>,
    waiting: usize,
    is_over: bool,
}

struct Shared<'a> {
    handed: Mutex<Handed>,
    changed: Condvar,
    /// Workers that wait and for whom nothing lies ready. Looked at without the lock.
    hungry: AtomicUsize,
    threads: usize,
    seen: &'a FloorSeen,
}

/// Walks the tree at `root` on `threads` threads: getdents64 of every directory
/// and statx of every name that is no directory, relative to its descriptor.
/// What cannot be opened or listed is left out.
///
/// # Errors
/// When `root` itself cannot be opened.
pub fn floor_walk(root: &Path, threads: usize, seen: &FloorSeen) -> std::io::Result<()> {
    let top = Arc::new(openat(CWD, root, DIRECTORY, Mode::empty())?);
    let threads = threads.max(1);
    let shared = Shared {
        handed: Mutex::new(Handed { shares: vec![vec![(top, c".".into())]], ..Handed::default() }),
        changed: Condvar::new(),
        hungry: AtomicUsize::new(0),
        threads,
        seen,
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&shared));
        }
    });
    Ok(())
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Shared<'_> {
    /// Waits for a share. `None` when nobody has one to give any more.
    fn take(&self) -> Option<Vec<Below>> {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.waiting += 1;
        handed.is_over |= handed.waiting == self.threads && handed.shares.is_empty();
        while handed.shares.is_empty() && !handed.is_over {
            self.count_hungry(&handed);
            handed = self.changed.wait(handed).unwrap_or_else(PoisonError::into_inner);
        }
        handed.waiting -= 1;
        let share = handed.shares.pop();
        self.count_hungry(&handed);
        if handed.is_over {
            self.changed.notify_all();
        }
        share
    }

    /// Half of what is pending, the oldest first: those lie nearest to the root, and
    /// most lies below them. Single ones would be asked for again at once.
    fn give_half(&self, pending: &mut Vec<Below>) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if handed.waiting > handed.shares.len() {
            handed.shares.push(pending.drain(..pending.len() / 2).collect());
            self.count_hungry(&handed);
            self.changed.notify_one();
        }
    }

    fn count_hungry(&self, handed: &Handed) {
        self.hungry.store(handed.waiting.saturating_sub(handed.shares.len()), Ordering::Relaxed);
    }
}

fn work(shared: &Shared<'_>) {
    let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
    while let Some(mut pending) = shared.take() {
        while let Some((parent, name)) = pending.pop() {
            let opened = openat(&parent, &name, DIRECTORY, Mode::empty());
            drop(parent);
            if let Ok(directory) = opened {
                walk_directory(shared, directory, &mut buffer, &mut pending);
            }
            if pending.len() > 1 && shared.hungry.load(Ordering::Relaxed) > 0 {
                shared.give_half(&mut pending);
            }
        }
    }
}

fn walk_directory(
    shared: &Shared<'_>,
    directory: OwnedFd,
    buffer: &mut [MaybeUninit<u8>],
    pending: &mut Vec<Below>,
) {
    let directory = Arc::new(directory);
    let mut files = 0;
    let mut listing = RawDir::new(&*directory, buffer);
    while let Some(Ok(entry)) = listing.next() {
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            pending.push((directory.clone(), name.into()));
        } else {
            files += u64::from(look_at(&directory, name));
        }
    }
    shared.seen.files.fetch_add(files, Ordering::Relaxed);
    shared.seen.directories.fetch_add(1, Ordering::Relaxed);
}

fn look_at(directory: &OwnedFd, name: &CStr) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(directory, name, flags, StatxFlags::BASIC_STATS).is_ok()
}

/// open, fstat, read, BLAKE3 and close of each file, on the rayon pool of the
/// caller, into the buffer that the scan reads into. Files that cannot be read give `None`.
pub fn floor_hash(files: &[PathBuf]) -> Vec<Option<ContentDigest>> {
    files.par_iter().map(|file| with_buffer(|buffer| hash_one(file, buffer)).ok()).collect()
}

fn hash_one(file: &Path, buffer: &mut [u8]) -> Result<ContentDigest, Errno> {
    let opened = open_without_atime(CWD, file, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW)?;
    statx(&opened, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    let mut hasher = blake3::Hasher::new();
    loop {
        let length = rustix::io::read(&opened, &mut *buffer)?;
        if length == 0 {
            return Ok(ContentDigest(*hasher.finalize().as_bytes()));
        }
        hasher.update(&buffer[..length]);
    }
}
