//! When the mirror of a job was last compared with the index, and what was wrong
//! with it then.

use super::halt::Halt;
use super::verify::Wrong;
use crate::commit::{SideFile, StateDir};
use crate::disk::Disk;
use crate::index::{Finder, Tree};
use crate::model::{OwnedEntry, TreePath};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// So many are remembered by name; the others are found again by the next check.
const REMEMBERED_MAX: usize = 1_000;
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// A daily run begins a little earlier or later than the one before.
const EARLY_SECONDS: i64 = 2 * 60 * 60;

/// `check.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct CheckState {
    /// Start of the last check that came to its end, in seconds since 1970 UTC.
    pub(super) checked_seconds: Option<i64>,
    /// The next run checks again, however long ago the last one was.
    pub(super) is_undecided: bool,
    /// What was wrong on the mirror and was not sent again.
    wrong: Vec<Remembered>,
    pub(super) wrong_total: u64,
    /// Folders of the mirror that listed nothing, against all that is known.
    dark_folders: BTreeSet<Vec<u8>>,
}

/// A version that is not on the mirror as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    path: Vec<u8>,
    is_missing: bool,
    /// Seen in the content: no listing can say that it is gone.
    #[serde(default)]
    by_content: bool,
    digest: Option<String>,
    size: u64,
    mtime: (i64, u32),
}

impl Remembered {
    /// `entry` is what the index says of it.
    pub(super) fn new(path: &TreePath, wrong: Wrong, by_content: bool, entry: &OwnedEntry) -> Self {
        Remembered {
            path: path.as_bytes().to_vec(),
            is_missing: wrong == Wrong::Missing,
            by_content: by_content && wrong == Wrong::Damaged,
            digest: entry.digest.map(|digest| digest.to_string()),
            size: entry.stamp.size,
            mtime: (entry.stamp.mtime.seconds, entry.stamp.mtime.nanoseconds),
        }
    }

    pub(super) fn path(&self) -> Option<TreePath> {
        TreePath::from_bytes(self.path.clone()).ok()
    }

    /// What the last check found, for people.
    pub(super) fn found(&self) -> &'static str {
        match self.wrong() {
            Wrong::Missing => "the last check of the mirror did not find it there",
            Wrong::Damaged => "the last check of the mirror found something else in its place",
        }
    }

    /// Why it is not protected, and what to do.
    pub(super) fn reason(&self, job: &str) -> String {
        format!("{} (`{}` sends it again)", self.found(), self.remedy(job))
    }

    /// What sees it again and sends it again, for people.
    fn remedy(&self, job: &str) -> String {
        match self.by_content {
            true => format!("treeferry verify {job} --remote --download --repair PATH"),
            false => format!("treeferry verify {job} --remote --repair"),
        }
    }

    pub(super) fn wrong(&self) -> Wrong {
        if self.is_missing { Wrong::Missing } else { Wrong::Damaged }
    }

    /// The index still says the same of it.
    pub(super) fn is_still(&self, known: &OwnedEntry) -> bool {
        let stamp = (known.stamp.size, (known.stamp.mtime.seconds, known.stamp.mtime.nanoseconds));
        known.is_on_mirror()
            && match (&self.digest, known.digest) {
                (Some(then), Some(now)) => *then == now.to_string(),
                _ => stamp == (self.size, self.mtime),
            }
    }
}

/// The clock was wrong then, or is now: nothing was checked at such a time. A day is left to
/// local times that were taken for UTC.
pub(super) fn is_of_the_future(checked_seconds: i64, now_seconds: i64) -> bool {
    checked_seconds > now_seconds.saturating_add(DAY_SECONDS)
}

impl CheckState {
    /// As it is kept. One that cannot be read is none: then a check is due.
    pub(super) fn load(state: &StateDir) -> Result<Self, Halt> {
        let bytes = state.read_side_file(SideFile::Check).map_err(Halt::fatal)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Keeps it, when it is not what is kept already.
    pub(super) fn save(&self, state: &StateDir, disk: &dyn Disk) -> Result<(), Halt> {
        if *self == CheckState::load(state)? {
            return Ok(());
        }
        let bytes = serde_json::to_vec(self).map_err(Halt::fatal)?;
        state.write_side_file(disk, SideFile::Check, &bytes).map_err(Halt::fatal)
    }

    /// From when on the next check is due, in seconds since 1970 UTC. `None`: at once.
    pub(super) fn due_seconds(&self, every_days: u32, now_seconds: i64) -> Option<i64> {
        let checked = self.checked_seconds.filter(|_| !self.is_undecided)?;
        if is_of_the_future(checked, now_seconds) {
            return None;
        }
        Some(checked.saturating_add(i64::from(every_days) * DAY_SECONDS))
    }

    /// A check is to be made now.
    pub(super) fn is_due(&self, every_days: u32, now_seconds: i64) -> bool {
        if every_days == 0 {
            return false;
        }
        let due = self.due_seconds(every_days, now_seconds);
        due.is_none_or(|due| now_seconds >= due.saturating_sub(EARLY_SECONDS))
    }

    /// Forgets what was sent again.
    pub(super) fn forget(&mut self, sent: &BTreeSet<TreePath>) {
        let before = self.wrong.len();
        self.wrong
            .retain(|one| !TreePath::from_bytes(one.path.clone()).is_ok_and(|path| sent.contains(&path)));
        self.wrong_total = self.wrong_total.saturating_sub((before - self.wrong.len()) as u64);
    }

    /// The paths that are remembered.
    pub(super) fn paths(&self) -> BTreeSet<TreePath> {
        self.wrong.iter().filter_map(Remembered::path).collect()
    }

    /// How many of them only a look at the content can find again.
    pub(super) fn wrong_by_content(&self) -> usize {
        self.wrong.iter().filter(|one| one.by_content).count()
    }

    /// Forgets what was looked at, as closely as when it was found to be wrong, and is as it should be.
    pub(super) fn forget_good(&mut self, good: &BTreeSet<TreePath>, by_content: bool) {
        let before = self.wrong.len();
        self.wrong.retain(|one| {
            let is_close_enough = by_content || !one.by_content;
            !(is_close_enough && one.path().is_some_and(|path| good.contains(&path)))
        });
        self.wrong_total = self.wrong_total.saturating_sub((before - self.wrong.len()) as u64);
    }

    /// Forgets what a look at the whole mirror would have seen again.
    pub(super) fn begin_anew(&mut self, by_content: bool) {
        self.wrong.retain(|one| one.by_content && !by_content);
        self.wrong_total = self.wrong.len() as u64;
    }

    /// Remembers what `wrong` says, as far as the index still claims it.
    pub(super) fn remember(
        &mut self,
        wrong: &BTreeMap<TreePath, Wrong>,
        by_content: bool,
        tree: &Tree<'_>,
    ) -> Result<(), Halt> {
        let known: BTreeSet<Vec<u8>> = self.wrong.iter().map(|one| one.path.clone()).collect();
        let mut finder = Finder::new(tree);
        for (path, wrong) in wrong.iter().filter(|(path, _)| !known.contains(path.as_bytes())) {
            let entry = finder.find(path).map_err(Halt::fatal)?;
            let Some(entry) = entry.filter(OwnedEntry::is_on_mirror) else { continue };
            self.wrong_total += 1;
            if self.wrong.len() < REMEMBERED_MAX {
                self.wrong.push(Remembered::new(path, *wrong, by_content, &entry));
            }
        }
        Ok(())
    }

    /// Remembers folders that list nothing. One that is new here decides nothing yet.
    pub(super) fn note_dark(&mut self, dark_folders: &BTreeSet<TreePath>) {
        self.is_undecided = dark_folders.iter().any(|folder| !self.was_dark(folder));
        self.dark_folders = dark_folders.iter().map(|folder| folder.as_bytes().to_vec()).collect();
    }

    /// Of a check that somebody else made.
    pub(super) fn made_at(seconds: Option<i64>) -> Self {
        CheckState { checked_seconds: seconds, ..CheckState::default() }
    }

    /// The last check saw this folder dark, too.
    pub(super) fn was_dark(&self, folder: &TreePath) -> bool {
        self.dark_folders.contains(folder.as_bytes())
    }

    /// What is still wrong, by what the index says now; forgets the rest.
    pub(super) fn still_wrong(&mut self, tree: &Tree<'_>) -> Result<Vec<(TreePath, Remembered)>, Halt> {
        let mut finder = Finder::new(tree);
        let mut still = Vec::new();
        let before = self.wrong.len();
        let mut failed = Ok(());
        self.wrong.retain(|remembered| {
            let Some(path) = remembered.path() else { return false };
            let is_still = match finder.find(&path) {
                Ok(known) => known.is_some_and(|known| remembered.is_still(&known)),
                Err(error) => {
                    failed = Err(Halt::fatal(error));
                    true
                }
            };
            if is_still {
                still.push((path, remembered.clone()));
            }
            is_still
        });
        self.wrong_total = self.wrong_total.saturating_sub((before - self.wrong.len()) as u64);
        failed.map(|()| still)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_due_when_its_days_are_over_and_when_there_was_none() {
        let now = 1_790_000_000;
        let checked = |days: i64| CheckState {
            checked_seconds: Some(now - days * DAY_SECONDS),
            ..CheckState::default()
        };
        assert!(CheckState::default().is_due(7, now));
        assert!(!CheckState::default().is_due(0, now), "0 is off");
        assert!(!checked(6).is_due(7, now));
        assert!(checked(7).is_due(7, now) && checked(7).is_due(7, now - 600), "cron is never quite on time");
        assert!(checked(-2).is_due(7, now), "the clock was wrong then, or is now");
        let undecided = CheckState { is_undecided: true, ..checked(1) };
        assert!(undecided.is_due(7, now));
        assert_eq!(checked(6).due_seconds(7, now), Some(now + DAY_SECONDS));
        assert_eq!(undecided.due_seconds(7, now), None);
        assert_eq!(
            checked(-9_999).due_seconds(7, now),
            None,
            "`status` does not promise it for the far future"
        );
    }
}
