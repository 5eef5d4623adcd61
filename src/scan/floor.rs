//! The floors: what the kernel charges for a walk, and for reading small files.
//! Nothing is sorted, kept or compared. For `bench`, and for nothing else.

use crate::model::ContentDigest;
use crate::scan::open::open_without_atime;
use rayon::prelude::*;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};
use rustix::io::Errno;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Directories and other names that were seen.
#[derive(Debug, Default)]
pub struct FloorSeen {
    /// Directories that were listed.
    pub directories: AtomicU64,
    /// Names that are no directories and were looked at.
    pub files: AtomicU64,
}

/// Directories that a busy worker gave away because another was idle.
struct Shared<'a> {
    given: Mutex<Vec<OwnedFd>>,
    given_count: AtomicUsize,
    /// Directories given away or being walked by a worker.
    unfinished: AtomicUsize,
    idle: AtomicUsize,
    seen: &'a FloorSeen,
}

/// Walks the tree at `root` on `threads` threads: getdents64 of every directory
/// and statx of every name that is no directory, relative to its descriptor.
/// What cannot be opened or listed is left out.
///
/// # Errors
/// When `root` itself cannot be opened.
pub fn floor_walk(root: &Path, threads: usize, seen: &FloorSeen) -> std::io::Result<()> {
    let top = openat(CWD, root, DIRECTORY, Mode::empty())?;
    let shared = Shared {
        given: Mutex::new(vec![top]),
        given_count: AtomicUsize::new(1),
        unfinished: AtomicUsize::new(1),
        idle: AtomicUsize::new(0),
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
    fn give(&self, directory: OwnedFd) {
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        self.given.lock().unwrap_or_else(PoisonError::into_inner).push(directory);
        self.given_count.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> Option<OwnedFd> {
        if self.given_count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let taken = self.given.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        self.given_count.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
    }
}

fn work(shared: &Shared<'_>) {
    shared.idle.fetch_add(1, Ordering::Relaxed);
    while shared.unfinished.load(Ordering::Acquire) > 0 {
        let Some(directory) = shared.take() else {
            // Asleep: an idle worker that spins would make the floor look dear.
            std::thread::sleep(Duration::from_micros(50));
            continue;
        };
        shared.idle.fetch_sub(1, Ordering::Relaxed);
        walk_directory(shared, directory);
        shared.idle.fetch_add(1, Ordering::Relaxed);
        shared.unfinished.fetch_sub(1, Ordering::Release);
    }
}

fn walk_directory(shared: &Shared<'_>, directory: OwnedFd) {
    let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
    let mut pending = vec![directory];
    while let Some(directory) = pending.pop() {
        let mut files = 0;
        let mut listing = RawDir::new(directory.as_fd(), &mut buffer);
        while let Some(Ok(entry)) = listing.next() {
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                let Ok(below) = openat(&directory, name, DIRECTORY, Mode::empty()) else { continue };
                if shared.idle.load(Ordering::Relaxed) > shared.given_count.load(Ordering::Relaxed) {
                    shared.give(below);
                } else {
                    pending.push(below);
                }
            } else {
                files += u64::from(look_at(&directory, name));
            }
        }
        shared.seen.files.fetch_add(files, Ordering::Relaxed);
        shared.seen.directories.fetch_add(1, Ordering::Relaxed);
    }
}

fn look_at(directory: &OwnedFd, name: &CStr) -> bool {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(directory, name, flags, StatxFlags::BASIC_STATS).is_ok()
}

/// open, fstat, read, BLAKE3 and close of each file, on the rayon pool of the
/// caller. Files that cannot be read give `None`.
pub fn floor_hash(files: &[PathBuf]) -> Vec<Option<ContentDigest>> {
    files.par_iter().map_init(|| vec![0; 256 * 1024], |buffer, file| hash_one(file, buffer).ok()).collect()
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
