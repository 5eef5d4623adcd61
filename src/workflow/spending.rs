//! What the lanes may still do within the budget of the run, and how fast.
//!
//! Batches are cut before they are sent, so that a budget is kept closely:
//! requests and bytes by what is known of the files, time by rclone itself
//! (no further file is begun) and, for pairs, by how fast uploads were so far.

use super::budget::Cost;
use super::configuration::format_size;
use super::connect::encoding_of;
use super::figures;
use super::halt::Halt;
use super::job_run::JobRun;
use super::lanes::Candidate;
use crate::model::{EntryKind, Lane, TreePath};
use crate::plan::{SizeClass, Tally, rounds};
use crate::transfer::{Features, RcloneVersion, RequestCosts};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Requests of a run that has to open its remote: is the mirror empty and ours, is the
/// companion reachable by a move. Counted by a proxy, the dearest first run with so many levels of folders
/// above the places, all of them missing.
const OPENING_FIRST_REQUESTS: u64 = 24;
const OPENING_LEVELS: u64 = 6;
/// Each further level: refused, looked for, and made after those above it.
const OPENING_LEVEL_REQUESTS: u64 = 3;
/// The same, when all that is known already.
const OPENING_REQUESTS: u64 = 8;
/// The owner file at the end.
const CLOSING_REQUESTS: u64 = 8;
/// Changed files of the first pair, while it is not known how fast the remote is.
const PAIR_FILES_UNMEASURED: usize = 20;
/// Files of a batch in a run with a deadline: of moves and deletions a batch that is begun
/// comes to its end.
const FILES_BEFORE_DEADLINE_MAX: usize = 200;
/// Files larger than the budget that are warned of by name.
const TOO_LARGE_NAMED_MAX: u64 = 20;

/// What is done to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A new file goes up.
    Upload,
    /// The old version goes to the trash and the new one up.
    Replace,
    /// To the trash.
    Trash,
    /// Away.
    Delete,
}

/// How long operations take at least, because people want it so.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Pace {
    /// Of `--tpslimit`.
    pub(super) requests_per_second: Option<f64>,
    /// Of `pause`, after each operation on a file.
    pub(super) pause: Duration,
}

impl Pace {
    /// For so many requests in so many operations; `None`: nothing holds them up.
    pub(super) fn duration(&self, requests: u64, operations: u64) -> Option<Duration> {
        if self.requests_per_second.is_none() && self.pause.is_zero() {
            return None;
        }
        let waiting = self.requests_per_second.map_or(0.0, |rate| requests as f64 / rate);
        let seconds = waiting + self.pause.as_secs_f64() * operations as f64;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// How fast uploads were so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    files: u64,
    bytes: u64,
    taken: Duration,
}

impl Measured {
    /// For a further file; `None` when nothing was measured yet.
    fn one_more(&self, bytes: u64) -> Option<Duration> {
        let seconds = self.taken.as_secs_f64();
        let by_files = seconds / self.files as f64;
        let by_bytes = seconds * bytes as f64 / self.bytes.max(1) as f64;
        (self.files > 0).then(|| Duration::try_from_secs_f64(by_files.max(by_bytes)).unwrap_or(Duration::MAX))
    }
}

/// What of a list the budget has room for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fit {
    /// So many, from the first on.
    pub(super) files: usize,
    /// The limit that keeps the next one out.
    lacks: Option<String>,
}

impl Fit {
    const ALL: Fit = Fit { files: usize::MAX, lacks: None };

    /// Ends the lanes when something did not fit.
    pub(super) fn end(self) -> Result<(), Halt> {
        self.lacks.map_or(Ok(()), |lacks| Err(Halt::BudgetSpent(lacks)))
    }
}

impl JobRun<'_> {
    /// What requests cost on this remote; before it is opened, as on the dearest.
    pub(super) fn costs(&self) -> RequestCosts {
        self.features().request_costs(self.rclone_version())
    }

    /// As far as it is known for sure, or is at least as good as this.
    fn rclone_version(&self) -> Option<RcloneVersion> {
        if let Some(remote) = &self.remote {
            return Some(remote.connection.session.version());
        }
        // What was remembered may be of another rclone by now; but an older one cannot go on with such names.
        let needed = encoding_of(&self.committed).map(RcloneVersion::oldest_for);
        self.connector.known().map(|known| known.version).or(needed)
    }

    /// What the remote can do, as far as that is known.
    pub(super) fn features(&self) -> Features {
        match &self.remote {
            Some(remote) => remote.connection.features.clone(),
            None => self.connector.features(),
        }
    }

    /// Requests that a run has beside those for files.
    pub(super) fn frame_requests(&self) -> u64 {
        if self.costs().upload == 0 {
            return 0;
        }
        CLOSING_REQUESTS
            + match &self.remote {
                Some(_) => 0,
                None => opening_requests(self.untried_levels()),
            }
    }

    /// The remote was opened; see [`JobRun::untried_levels`].
    pub(super) fn spend_opening(&self, untried_levels: Option<u64>) {
        if self.costs().upload > 0 {
            self.options.budget.spend(0, opening_requests(untried_levels));
        }
    }

    /// How many of `items` (path and size), from the first on, the budget has room for.
    ///
    /// # Errors
    /// When the remote has to be opened for it and cannot be.
    pub(super) fn fit<'p>(
        &mut self,
        step: Step,
        items: impl IntoIterator<Item = (&'p TreePath, u64)>,
    ) -> Result<Fit, Halt> {
        let budget = &self.options.budget;
        if !budget.is_limited() {
            return Ok(Fit::ALL);
        }
        let frame = Cost { requests: self.frame_requests(), ..Cost::default() };
        if budget.limits().requests.is_some() && budget.lacks(frame).is_none() {
            // Only an open remote tells what it costs.
            self.open_remote()?;
        }
        let costs = self.costs();
        let processes = if step == Step::Replace { 2 } else { 1 };
        let mut requests = self.frame_requests() + processes * costs.process;
        let (mut bytes, mut measured) = (0u64, Duration::ZERO);
        let mut folder_before = TreePath::root();
        for (fitting, (path, size)) in items.into_iter().enumerate() {
            let folder = path.parent().unwrap_or_default();
            if folder != folder_before {
                requests += self.folder_requests(step, &folder, &folder_before, &costs)?;
                folder_before = folder;
            }
            requests += match step {
                Step::Upload => costs.upload,
                Step::Replace => costs.trash + costs.upload,
                Step::Trash => costs.trash,
                Step::Delete => costs.delete,
            };
            bytes = bytes.saturating_add(if matches!(step, Step::Upload | Step::Replace) { size } else { 0 });
            let operations = (fitting as u64 + 1) * processes;
            let paced = self.pace().duration(requests, operations).unwrap_or_default();
            if step == Step::Replace && budget.time_left().is_some() {
                match self.measured.one_more(size) {
                    Some(one_more) => measured += one_more,
                    None if fitting >= PAIR_FILES_UNMEASURED => {
                        return Ok(Fit { files: fitting, lacks: None });
                    }
                    None => {}
                }
            }
            // While there is time at all, one file is begun: else a large one never would be.
            let duration = if fitting == 0 { Duration::ZERO } else { paced.max(measured) };
            if let Some(lacks) = budget.lacks(Cost { bytes, requests, duration }) {
                return Ok(Fit { files: fitting, lacks: Some(lacks) });
            }
        }
        Ok(Fit::ALL)
    }

    /// In which new files go up. Where the budget may end before them, what is small goes strictly first;
    /// whether time will do nobody knows.
    pub(super) fn rounds(&self, tally: &Tally) -> Vec<RangeInclusive<SizeClass>> {
        let budget = &self.options.budget;
        let requests = tally.new_files_total().saturating_mul(self.costs().upload) + self.frame_requests();
        let may_end = budget.deadline().is_some()
            || budget.bytes_left().is_some_and(|left| tally.new_bytes_total() > left)
            || budget.requests_left().is_some_and(|left| requests > left);
        rounds(tally, self.budget(), may_end)
    }

    /// As [`JobRun::fit`], for something that is done as a whole.
    pub(super) fn halt_without_room_for(&self, requests: u64) -> Result<(), Halt> {
        let requests = requests + self.frame_requests();
        let lacks = self.options.budget.lacks(Cost { requests, ..Cost::default() });
        lacks.map_or(Ok(()), |lacks| Err(Halt::BudgetSpent(lacks)))
    }

    /// As [`JobRun::fit`], before the remote is asked anything for the sake of uploads.
    pub(super) fn halt_without_room_for_bytes(&self, bytes: u64) -> Result<(), Halt> {
        let cost = Cost { bytes, requests: self.frame_requests(), ..Cost::default() };
        self.options.budget.lacks(cost).map_or(Ok(()), |lacks| Err(Halt::BudgetSpent(lacks)))
    }

    /// Called after each batch: rclone may have come to the deadline within it.
    pub(super) fn halt_if_time_is_up(&self) -> Result<(), Halt> {
        let lacks = self.options.budget.lacks(Cost::default());
        lacks.map_or(Ok(()), |lacks| Err(Halt::BudgetSpent(lacks)))
    }

    /// Leaves out files that no run with this budget will ever send, and says so.
    pub(super) fn without_too_large(&mut self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let Some(limit) = self.options.budget.limits().transfer_bytes else { return candidates };
        let (left, too_large): (Vec<_>, Vec<_>) =
            candidates.drain(..).partition(|candidate| candidate.pending.stamp.size <= limit);
        for Candidate { path, pending, .. } in too_large {
            self.skipped_for_budget += 1;
            if self.skipped_for_budget <= TOO_LARGE_NAMED_MAX {
                self.warn(format!(
                    "{path} ({}) is larger than --max-transfer {} and cannot be sent within it",
                    figures::bytes(pending.stamp.size),
                    format_size(limit)
                ));
            }
        }
        left
    }

    /// The end of all lanes: what was passed over is left for another run.
    pub(super) fn halt_if_passed_over(&self) -> Result<(), Halt> {
        let limit = self.options.budget.limits().transfer_bytes.filter(|_| self.skipped_for_budget > 0);
        limit.map_or(Ok(()), |limit| Err(Halt::BudgetSpent(format!("--max-transfer {}", format_size(limit)))))
    }

    /// For the folders above a file that do not exist yet, as far as that is known.
    /// Neighbours come one after another, so only the folder before must be remembered.
    fn folder_requests(
        &self,
        step: Step,
        folder: &TreePath,
        before: &TreePath,
        costs: &RequestCosts,
    ) -> Result<u64, Halt> {
        let mut requests = 0;
        let mut above = Some(folder.clone());
        while let Some(level) = above.filter(|level| !level.is_root() && !before.is_within(level)) {
            requests += match step {
                Step::Upload => self.fresh_folder_requests(&level, costs),
                Step::Replace | Step::Trash => match &self.remote {
                    Some(remote) if remote.trash_folders.contains(&level) => 0,
                    _ => costs.folder,
                },
                Step::Delete => 0,
            };
            above = level.parent();
        }
        Ok(requests)
    }

    fn fresh_folder_requests(&self, folder: &TreePath, costs: &RequestCosts) -> u64 {
        // Where the index is damaged it may have to be made.
        let known = self.views().base_entry(folder).ok().flatten();
        let exists = known.is_some_and(|entry| entry.kind == EntryKind::Directory);
        if exists { 0 } else { costs.fresh_level }
    }

    /// Notes what a batch took.
    pub(super) fn spend_on_batch(&mut self, lane: Lane, files: u64, bytes: u64, taken: Duration) {
        let costs = self.costs();
        let each = match lane {
            Lane::Upload => costs.upload,
            Lane::Trash => costs.trash,
            Lane::Delete | Lane::Discard => costs.delete,
        };
        let bytes = if lane == Lane::Upload { bytes } else { 0 };
        self.options.budget.spend(bytes, costs.process + files * each);
        if lane == Lane::Upload {
            self.measured.files += files;
            self.measured.bytes += bytes;
            self.measured.taken += taken;
        }
    }

    /// Folders made ahead, in one process.
    pub(super) fn spend_on_folders(&self, folders: u64) {
        let costs = self.costs();
        self.options.budget.spend(0, costs.process + folders * costs.folder);
    }

    /// Looks at single paths, in one process.
    pub(super) fn spend_on_looks(&self, paths: u64) {
        let costs = self.costs();
        self.options.budget.spend(0, costs.process + paths * costs.look);
    }

    /// A whole folder was moved.
    pub(super) fn spend_on_whole_folder(&self) {
        self.options.budget.spend(0, self.whole_folder_requests());
    }

    /// What moving a whole folder takes, new parents in the trash included.
    pub(super) fn whole_folder_requests(&self) -> u64 {
        let costs = self.costs();
        costs.whole_folder.unwrap_or(0) + costs.process + 2 * costs.fresh_level
    }

    /// Waits until `pause` is over since the last operation, but not longer than until
    /// somebody asks us to stop.
    pub(super) fn keep_the_pause(&mut self) -> Result<(), Halt> {
        let pause = self.pace().pause;
        if let Some(ended) = self.last_operation_ended.filter(|_| !pause.is_zero()) {
            self.surroundings.pause_for(pause.saturating_sub(ended.elapsed()))?;
        }
        Ok(())
    }

    /// From here on `pause` counts.
    pub(super) fn operation_ended(&mut self) {
        self.last_operation_ended = Some(Instant::now());
    }

    /// How many files go together: with a pause, each goes alone.
    pub(super) fn files_per_batch(&self, files_max: usize) -> usize {
        match self.options.budget.deadline() {
            _ if !self.pace().pause.is_zero() => 1,
            Some(_) => files_max.min(FILES_BEFORE_DEADLINE_MAX),
            None => files_max,
        }
    }

    /// What people want to be kept between requests and operations.
    pub(super) fn pace(&self) -> Pace {
        Pace {
            requests_per_second: crate::transfer::requests_per_second(
                &self.surroundings.rclone_settings.flags,
            ),
            pause: self.job.pause,
        }
    }
}

fn opening_requests(untried_levels: Option<u64>) -> u64 {
    untried_levels.map_or(OPENING_REQUESTS, |levels| {
        OPENING_FIRST_REQUESTS + levels.saturating_sub(OPENING_LEVELS) * OPENING_LEVEL_REQUESTS
    })
}

/// Without asking anybody: a local folder costs nothing, everything else is
/// reckoned like WebDAV, the dearest.
pub(super) fn assumed_features(remote: &str) -> Features {
    Features { is_local: remote.starts_with(":local"), dir_move: true, ..Features::default() }
}
