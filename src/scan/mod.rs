//! Scan: the file system to a pending tree, in parallel.
//!
//! Knows: getdents, statx, rayon, exclude rules, the racily-clean rule.
//! Promises: what did not change costs no allocation and no write, up to the
//! root. An error is never a deletion: what cannot be looked at keeps the base's
//! entry and is reported. A name counts as gone only when the file system says so.
//! No path of the tree is opened that is not a directory or a regular file. The
//! result does not depend on the number of threads.
//! Must not know: how a tree is stored, and what a remote is.

mod ahead;
mod compare;
mod enter;
mod exclude;
mod finish;
mod floor;
mod hard_links;
mod hash;
mod identity;
mod links;
mod listing;
mod mounts;
mod node;
mod open;
mod presence;
mod read;
mod settled;
mod survey;
mod unchanged;
mod walk;

#[cfg(test)]
mod frontier;
#[cfg(test)]
mod life;
#[cfg(test)]
mod tests;

pub use exclude::{ExcludeError, ExcludeRules, STAGING_PREFIX, STAGING_RANDOM, is_staging_folder};
pub use floor::{FloorSeen, floor_hash, floor_walk};
pub use hash::is_large;
pub use identity::{SourceIdentity, identify};
pub use mounts::{Mounts, NotEntered};
pub use open::RootDirectory;
pub use presence::{Presence, SecondLook, presence};
pub use read::{FileReader, FolderReader, ReadFile, ReadFileError, Reading, read_each, read_file};
pub use settled::SkipSettled;
pub use walk::scan;

use crate::model::{DirectoryPointer, Timestamp, Totals, TreePath, WriteNodeError};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a symlink is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkPolicy {
    /// Its target is recorded; nothing goes to the mirror.
    #[default]
    Record,
    /// It is taken for what it points to.
    Follow,
    /// Its target goes to the mirror as a small file.
    Upload,
}

/// How a tree is scanned.
#[derive(Debug, Clone, Default)]
pub struct ScanOptions {
    /// Threads; 0 for one per core.
    pub threads: usize,
    /// Names to leave out.
    pub exclude: ExcludeRules,
    /// What symlinks are taken for.
    pub links: LinkPolicy,
    /// Enter directories on other file systems.
    pub cross_mounts: bool,
    /// Mount points of earlier scans: what the base has below them was on the file system that was
    /// mounted there.
    pub mounts_before: Mounts,
    /// That may be another file system each time.
    pub any_file_system: bool,
    /// Directories that are never entered and never recorded, by device and
    /// inode: our own state and logs.
    pub always_excluded: Vec<(u64, u64)>,
    /// The base was made with equal `exclude`, `links` and `cross_mounts`: what it
    /// knows is in scope, and need not be matched again.
    pub same_rules_as_base: bool,
    /// Whether settled directories are listed.
    pub skip_settled: SkipSettled,
    /// Inode numbers on the root's file system do not last, whatever its type says.
    pub loose_inodes: bool,
    /// When the scan of the base began. Later than now means that the clock was set back.
    pub base_scanned: Timestamp,
    /// Send an event for each excluded name.
    pub report_excluded: bool,
    /// Ends the scan early with [`ScanError::Stopped`] once it is true.
    pub stop: Option<Arc<AtomicBool>>,
    /// Directories held open at once; 0 for half of what the process may open.
    pub open_directories_max: usize,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanReport {
    /// The top of the pending tree; the base's own when nothing changed.
    pub root: DirectoryPointer,
    /// Sums over everything in scope.
    pub totals: Totals,
    /// Which tree this is.
    pub identity: SourceIdentity,
    /// When the scan began, by the clock that file times are compared with.
    pub started: Timestamp,
    /// Names that could not be looked at or listed; each was reported as
    /// unprotected.
    pub files_unreadable: u64,
    /// The first of them in path order, with the reasons; at most [`ScanReport::UNREADABLE_NAMED_MAX`].
    pub unreadable: Vec<(TreePath, String)>,
    /// Files that the base knows and that are no longer in scope.
    pub out_of_scope: u64,
    /// Names left out by rules that were met in this scan, directories counted as one.
    pub excluded: u64,
    /// FIFOs, sockets and devices met in directories that changed or are new.
    pub specials: u64,
    /// Files of which nothing but the inode number changed. A file that was swapped
    /// for its equal has another ctime, too.
    pub inodes_changed: u64,
    /// Inode numbers on the root's file system are taken to last.
    pub inodes_last: bool,
    /// Mount points that were entered.
    pub mounts: Mounts,
    /// Mount points of earlier scans that are ordinary directories now, and nothing was known below them.
    pub mounts_given_up: Vec<TreePath>,
    /// Other file systems that were not entered.
    pub not_entered: NotEntered,
    /// A directory that looked settled had other names.
    pub skip_was_wrong: bool,
    /// Directories that were opened.
    pub directories_opened: u64,
    /// Directories that were not listed because they are settled.
    pub directories_skipped: u64,
    /// Nothing at all lies in the source, excluded or not.
    pub root_is_empty: bool,
}

impl ScanReport {
    /// How many of the names that could not be looked at are kept: a dead disk must not fill the memory.
    pub const UNREADABLE_NAMED_MAX: usize = 1_000;
}

/// A source could not be scanned at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// There is nothing at that path.
    #[error("the source {path:?} does not exist; if a disk should be mounted there, mount it and run again")]
    SourceMissing {
        /// The source.
        path: PathBuf,
    },
    /// There is something else.
    #[error("the source {path:?} is not a directory; correct `source` in the configuration")]
    NotADirectory {
        /// The source.
        path: PathBuf,
    },
    /// It cannot be opened or listed.
    #[error("the source {path:?} cannot be read; check its permissions and its disk: {source}")]
    RootUnreadable {
        /// The source.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The pending tree could not be written.
    #[error("recording the scan: {0}")]
    Write(#[from] WriteNodeError),
    /// Threads could not be started.
    #[error("starting threads for the scan; try fewer with `scan.threads`: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// It was asked to stop.
    #[error("the scan was stopped before its end")]
    Stopped,
}

impl ScanError {
    fn of_root(path: &std::path::Path, source: std::io::Error) -> ScanError {
        let path = path.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::NotFound => ScanError::SourceMissing { path },
            std::io::ErrorKind::NotADirectory => ScanError::NotADirectory { path },
            _ => ScanError::RootUnreadable { path, source },
        }
    }
}
