//! The floor: what the kernel charges for a walk. getdents64 of every directory
//! and statx of every name that is no directory, relative to its descriptor, on
//! T threads; nothing is sorted, kept or compared.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Directories and other names that were seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) directories: AtomicU64,
    pub(crate) files: AtomicU64,
}

/// Directories that a busy worker gave away because another was idle.
struct Shared<'a> {
    given: Mutex<Vec<OwnedFd>>,
    given_count: AtomicUsize,
    /// Directories given away or being walked by a worker.
    unfinished: AtomicUsize,
    idle: AtomicUsize,
    seen: &'a Seen,
}

/// Walks the tree at `root` on `threads` threads.
pub(crate) fn walk(root: &Path, threads: usize, seen: &Seen) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let top = openat(CWD, root, flags, Mode::empty()).expect("the root opens");
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
}

fn work(shared: &Shared<'_>) {
    shared.idle.fetch_add(1, Ordering::Relaxed);
    while shared.unfinished.load(Ordering::Acquire) > 0 {
        let taken = if shared.given_count.load(Ordering::Relaxed) > 0 {
            shared.given.lock().expect("no worker panics").pop()
        } else {
            None
        };
        let Some(directory) = taken else {
            std::thread::sleep(Duration::from_micros(50));
            continue;
        };
        shared.given_count.fetch_sub(1, Ordering::Relaxed);
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
        while let Some(entry) = listing.next() {
            let entry = entry.expect("the directory lists");
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                let below = open_below(&directory, name);
                if shared.idle.load(Ordering::Relaxed) > shared.given_count.load(Ordering::Relaxed) {
                    shared.unfinished.fetch_add(1, Ordering::Relaxed);
                    shared.given.lock().expect("no worker panics").push(below);
                    shared.given_count.fetch_add(1, Ordering::Relaxed);
                } else {
                    pending.push(below);
                }
            } else {
                let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
                let found = statx(&directory, name, flags, StatxFlags::BASIC_STATS);
                files += u64::from(found.is_ok());
            }
        }
        shared.seen.files.fetch_add(files, Ordering::Relaxed);
        shared.seen.directories.fetch_add(1, Ordering::Relaxed);
    }
}

fn open_below(directory: &OwnedFd, name: &CStr) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    openat(directory, name, flags, Mode::empty()).expect("the directory opens")
}
