//! What a job remembers of its source from scan to scan: when everything was
//! last listed, and which shortcuts turned out not to hold there.
//!
//! Written when that changes, about once a week; an unchanged run writes nothing.

use crate::commit::{SideFile, StateDir, StateError};
use crate::disk::RealDisk;
use crate::observe::Observer;
use crate::scan::{ScanReport, SkipSettled};
use serde::{Deserialize, Serialize};

/// Every settled directory is listed once in this time, to see whether the rule holds.
const LISTED_EVERY_SECONDS: i64 = 7 * 24 * 60 * 60;

/// `source.json`. One that is missing or damaged costs a full listing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SourceMemory {
    /// When the last scan began that listed every directory, in seconds since 1970.
    listed_seconds: Option<i64>,
    /// The file system on which names changed and the times of their directory did not.
    skip_was_wrong_on: Option<u64>,
    /// The file system on which the inode numbers of unchanged files changed.
    inodes_changed_on: Option<u64>,
    /// It was said that inode numbers mean nothing there.
    inodes_told_of: Option<u64>,
}

impl SourceMemory {
    pub(super) fn read(state: &StateDir) -> Result<SourceMemory, StateError> {
        let bytes = state.read_side_file(SideFile::Source)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// How settled directories are dealt with in a scan of that file system.
    pub(super) fn skip_settled(&self, file_system: u64, now_seconds: i64, is_dry_run: bool) -> SkipSettled {
        // A time in the future is one of a clock that was wrong.
        let is_due = self
            .listed_seconds
            .is_none_or(|then| !(0..LISTED_EVERY_SECONDS).contains(&now_seconds.saturating_sub(then)));
        match self.skip_was_wrong_on == Some(file_system) {
            true => SkipSettled::Off,
            // A look cannot write down that everything was listed, and would do so each time.
            false if is_due && !is_dry_run => SkipSettled::Check,
            false => SkipSettled::Auto,
        }
    }

    /// Inode numbers were seen to change there.
    pub(super) fn has_loose_inodes(&self, file_system: u64) -> bool {
        self.inodes_changed_on == Some(file_system)
    }

    /// Learns from a scan. Gives back what has to be said, once.
    pub(super) fn learn(
        &mut self,
        scanned: &ScanReport,
        skip_settled: SkipSettled,
        now_seconds: i64,
    ) -> Option<&'static str> {
        let file_system = scanned.identity.file_system;
        if skip_settled == SkipSettled::Check {
            self.listed_seconds = Some(now_seconds);
        }
        if scanned.skip_was_wrong {
            self.skip_was_wrong_on = Some(file_system);
        }
        // One in five; a single one is a file that was swapped for another.
        let inodes_change = scanned.inodes_changed >= 5 && scanned.inodes_changed * 5 > scanned.totals.files;
        if inodes_change {
            self.inodes_changed_on = Some(file_system);
        }
        if (!inodes_change && scanned.inodes_last) || self.inodes_told_of == Some(file_system) {
            return None;
        }
        self.inodes_told_of = Some(file_system);
        Some(
            "the file system of the source has no inode numbers that last: files there count as unchanged by \
             size and modification time alone; a change that keeps both is found by `verify --source` only",
        )
    }

    pub(super) fn write(&self, state: &StateDir, observer: &dyn Observer) -> Result<(), StateError> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        state.write_side_file(&RealDisk::new(observer), SideFile::Source, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_listed_once_a_week_and_after_a_clock_that_was_wrong() {
        let memory = SourceMemory { listed_seconds: Some(1_000), ..SourceMemory::default() };
        assert_eq!(SourceMemory::default().skip_settled(1, 0, false), SkipSettled::Check);
        assert_eq!(memory.skip_settled(1, 1_000, false), SkipSettled::Auto);
        assert_eq!(memory.skip_settled(1, 1_000 + LISTED_EVERY_SECONDS - 1, false), SkipSettled::Auto);
        assert_eq!(memory.skip_settled(1, 1_000 + LISTED_EVERY_SECONDS, false), SkipSettled::Check);
        assert_eq!(memory.skip_settled(1, 1_000 + LISTED_EVERY_SECONDS, true), SkipSettled::Auto);
        assert_eq!(memory.skip_settled(1, 999, false), SkipSettled::Check);
    }

    #[test]
    fn where_the_rule_did_not_hold_once_nothing_is_skipped_again() {
        let memory = SourceMemory { skip_was_wrong_on: Some(7), ..SourceMemory::default() };
        assert_eq!(memory.skip_settled(7, 0, false), SkipSettled::Off);
        assert_eq!(memory.skip_settled(8, 0, false), SkipSettled::Check);
    }
}
