//! What a whole plan comes to, counted in one pass without keeping it.

use super::{Decision, Removal, SizeClass, Upload};
use crate::model::{Change, EntryFlags};

/// Sums over the decisions of one walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Changes that only the index records.
    pub local: u64,
    /// Files to go up that are new, by size class, small first.
    pub new_files: [u64; SizeClass::COUNT],
    /// Their sizes, in bytes.
    pub new_bytes: [u64; SizeClass::COUNT],
    /// Those of the new files whose place is taken by a version that was kept: it is read, and leaves first.
    pub returning_files: u64,
    /// Files that differ for certain.
    pub changed_files: u64,
    /// Their new sizes, in bytes.
    pub changed_bytes: u64,
    /// Those of them of which the index does not know what the mirror holds, because it is damaged.
    pub unknown_files: u64,
    /// Files whose stamp differs; whether the content does is not known yet.
    pub suspect_files: u64,
    /// Their sizes, in bytes.
    pub suspect_bytes: u64,
    /// Objects that are in the way of another type.
    pub blocking_files: u64,
    /// Objects that vanished from the source.
    pub removed_files: u64,
    /// Those of them that are still in the source, and are to leave because they are not in scope any more.
    pub retired_files: u64,
    /// Objects that stay on the mirror although the source (or the scope) lost them.
    pub kept_files: u64,
    /// Those of them that are still in the source, but not in scope any more.
    pub out_of_scope_files: u64,
    /// Folders that do not exist yet on the mirror (and those above them, where a skeleton
    /// of several levels has to hold them).
    pub new_folders: u64,
    /// Folders to be made in the run's trash.
    pub trash_folders: u64,
    /// Folders that vanished, or are in the way, and leave as one piece.
    pub whole_folders: u64,
    /// Those of the removed files that leave with them.
    pub moved_whole_files: u64,
}

impl Tally {
    /// Counts one decision.
    pub fn add(&mut self, change: &Change, decision: Decision) {
        let size = change.pending.as_ref().map_or(0, |entry| entry.stamp.size);
        match decision.upload {
            Upload::None => {}
            Upload::New => {
                let class = SizeClass::of(size) as usize;
                self.new_files[class] += 1;
                self.new_bytes[class] += size;
            }
            Upload::Changed => {
                self.changed_files += 1;
                self.changed_bytes += size;
                self.unknown_files += u64::from(change.base_is_unknown);
            }
            Upload::Suspect => {
                self.suspect_files += 1;
                self.suspect_bytes += size;
            }
        }
        match decision.removal {
            Removal::None => {}
            Removal::Plain => self.removed_files += 1,
            Removal::Blocking => self.blocking_files += 1,
            Removal::Keep => self.kept_files += 1,
        }
        let left_scope =
            change.pending.as_ref().is_some_and(|entry| entry.flags.contains(EntryFlags::OUT_OF_SCOPE));
        self.out_of_scope_files += u64::from(left_scope && decision.removal == Removal::Keep);
        self.retired_files += u64::from(left_scope && decision.removal == Removal::Plain);
        self.local += u64::from(decision.is_local());
    }

    /// All new files.
    pub fn new_files_total(&self) -> u64 {
        self.new_files.iter().sum()
    }

    /// Bytes of all new files.
    pub fn new_bytes_total(&self) -> u64 {
        self.new_bytes.iter().sum()
    }

    /// Files of the base that are no longer in the source: what `max_delete`
    /// counts.
    pub fn vanished_files(&self) -> u64 {
        self.removed_files + self.blocking_files
    }
}
