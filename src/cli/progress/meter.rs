//! How far a job is, added up from its events.

use super::phase_name;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use treeferry::model::{Lane, Outcome, TreePath};
use treeferry::observe::{Event, Phase};

/// Below this a file takes about as long as any other, on a remote with some latency.
const SMALL_FILE_BYTES: u64 = 256 << 10;

/// The figures of the running job.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    pub(super) started: Instant,
    pub(super) job: String,
    pub(super) phase: &'static str,
    pub(super) files_scanned: u64,
    pub(super) directories_scanned: u64,
    pub(super) files_expected: u64,
    pub(super) total_files: u64,
    pub(super) total_bytes: u64,
    pub(super) files_done: u64,
    pub(super) bytes_done: u64,
    pub(super) bytes_per_second: f64,
    pub(super) current: Vec<String>,
    /// Versions moved to the trash or deleted, and how many there are to be.
    pub(super) files_removed: u64,
    pub(super) total_removals: u64,
    files_settled: u64,
    bytes_settled: u64,
    /// Of files that are being verified, how far; of one that is read twice, the farthest.
    under_way: BTreeMap<TreePath, u64>,
    bytes_under_way: u64,
    planned: Option<Instant>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Meter {
            started: Instant::now(),
            job: String::new(),
            phase: "start",
            files_scanned: 0,
            directories_scanned: 0,
            files_expected: 0,
            total_files: 0,
            total_bytes: 0,
            files_done: 0,
            bytes_done: 0,
            bytes_per_second: 0.0,
            current: Vec::new(),
            files_removed: 0,
            total_removals: 0,
            files_settled: 0,
            bytes_settled: 0,
            under_way: BTreeMap::new(),
            bytes_under_way: 0,
            planned: None,
        }
    }

    pub(super) fn take_in(&mut self, event: &Event<'_>) {
        match event {
            Event::JobStarted { job } => *self = Meter { job: (*job).to_owned(), ..Meter::new() },
            Event::PhaseStarted(phase) => self.phase = phase_name(*phase),
            Event::PhaseFinished { .. } => self.current.clear(),
            Event::ScanProgress { files, directories, files_expected } => {
                self.files_scanned = *files;
                self.directories_scanned = *directories;
                self.files_expected = *files_expected;
            }
            Event::TransferPlanned { files, bytes, .. } | Event::WorkPlanned { files, bytes, .. } => {
                self.total_files = *files;
                self.total_bytes = *bytes;
            }
            Event::TransferProgress { bytes, files, bytes_per_second, current } => {
                self.bytes_per_second = *bytes_per_second;
                self.current = current.to_vec();
                self.advance(*files, *bytes);
            }
            // A backup reads files, too, before it is clear whether they go up.
            Event::FileUnderWay { path, bytes } if self.phase == phase_name(Phase::Verify) => {
                let known = self.under_way.entry((*path).clone()).or_default();
                self.bytes_under_way += bytes.saturating_sub(*known);
                *known = (*known).max(*bytes);
                // What rclone said was of files before this one.
                self.bytes_per_second = 0.0;
                self.advance(self.files_settled, self.bytes_settled + self.bytes_under_way);
            }
            Event::FileDone { path, bytes }
            | Event::Settled { lane: Lane::Upload, path, bytes, outcome: Outcome::Confirmed } => {
                self.bytes_under_way -= self.under_way.remove(*path).unwrap_or(0);
                self.files_settled += 1;
                self.bytes_settled += bytes;
                self.advance(self.files_settled, self.bytes_settled + self.bytes_under_way);
            }
            Event::Settled { outcome: Outcome::Confirmed, .. } => self.files_removed += 1,
            _ => {}
        }
        if let Event::TransferPlanned { removals, .. } = event {
            self.total_removals = *removals;
        }
        if let Event::TransferPlanned { .. } | Event::WorkPlanned { .. } = event {
            self.planned = Some(Instant::now());
        }
    }

    /// As rclone says, or where nothing is sent (restore, verify), as seen from here.
    pub(super) fn rate(&self) -> f64 {
        let elapsed = self.planned.map_or(0.0, |planned| planned.elapsed().as_secs_f64());
        if self.bytes_per_second > 0.0 || elapsed < 0.1 {
            return self.bytes_per_second;
        }
        self.bytes_done as f64 / elapsed
    }

    /// Receipts and rclone's own account come in turn; a bar never goes back.
    fn advance(&mut self, files: u64, bytes: u64) {
        self.files_done = self.files_done.max(files).min(self.total_files.max(files));
        self.bytes_done = self.bytes_done.max(bytes);
        if self.total_bytes > 0 {
            self.bytes_done = self.bytes_done.min(self.total_bytes);
        }
    }

    /// From 0 to 1: by bytes where there are any, else by files.
    pub(super) fn part_done(&self) -> f64 {
        let (done, total) = match self.total_bytes {
            0 => (self.files_done, self.total_files),
            total => (self.bytes_done, total),
        };
        if total == 0 { 0.0 } else { (done as f64 / total as f64).clamp(0.0, 1.0) }
    }

    /// Until the end of the transfer, where it can be told.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let bytes = self.total_bytes.saturating_sub(self.bytes_done) as f64;
        let rate = self.rate();
        let by_bytes = (rate >= 1.0).then(|| Duration::try_from_secs_f64(bytes / rate).ok()).flatten();
        // Of small files it is their number that takes the time.
        let are_small = self.total_bytes / self.total_files.max(1) < SMALL_FILE_BYTES;
        let by_files = if are_small || by_bytes.is_none() { self.remaining_by_files() } else { None };
        by_bytes.max(by_files)
    }

    fn remaining_by_files(&self) -> Option<Duration> {
        let left = self.total_files.saturating_sub(self.files_done) as f64;
        let elapsed = self.planned?.elapsed().as_secs_f64();
        (self.files_done > 0)
            .then(|| Duration::try_from_secs_f64(elapsed * left / self.files_done as f64).ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_never_goes_back_nor_past_its_end() {
        let mut meter = Meter::new();
        meter.take_in(&Event::JobStarted { job: "photos" });
        meter.take_in(&Event::TransferPlanned {
            files: 2,
            bytes: 1_000,
            removals: 1,
            is_at_most: false,
            is_dry_run: false,
            cost: "",
        });
        meter.take_in(&Event::TransferProgress {
            bytes: 600,
            files: 0,
            bytes_per_second: 100.0,
            current: &[],
        });
        assert_eq!(meter.remaining(), Some(Duration::from_secs(4)));
        let path = TreePath::root();
        let settled =
            Event::Settled { lane: Lane::Upload, path: &path, bytes: 500, outcome: &Outcome::Confirmed };
        meter.take_in(&settled);
        assert_eq!((meter.bytes_done, meter.files_done), (600, 1));
        let trashed =
            Event::Settled { lane: Lane::Trash, path: &path, bytes: 500, outcome: &Outcome::Confirmed };
        meter.take_in(&trashed);
        assert_eq!((meter.files_removed, meter.total_removals, meter.files_done), (1, 1, 1));
        meter.take_in(&settled);
        meter.take_in(&settled);
        assert_eq!(meter.bytes_done, 1_000);
        assert!((meter.part_done() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_verification_knows_how_long_it_will_take_though_nothing_is_sent() {
        let mut meter = Meter::new();
        let phase = treeferry::observe::Phase::Verify;
        meter.take_in(&Event::WorkPlanned { phase, files: 2, bytes: 4_000_000 });
        assert_eq!(meter.remaining(), None);
        meter.planned = meter.planned.and_then(|planned| planned.checked_sub(Duration::from_secs(10)));
        meter.take_in(&Event::FileDone { path: &TreePath::root(), bytes: 1_000_000 });
        assert!((90_000.0..=100_000.0).contains(&meter.rate()), "{}", meter.rate());
        assert!((30..=34).contains(&meter.remaining().map_or(0, |left| left.as_secs())));
    }

    #[test]
    fn a_large_file_moves_the_bar_while_it_is_verified_and_counts_once() {
        let mut meter = Meter::new();
        let large = TreePath::from_bytes("large").unwrap_or_default();
        let tell = |meter: &mut Meter, bytes| {
            meter.take_in(&Event::FileUnderWay { path: &large, bytes });
            meter.bytes_done
        };
        meter.take_in(&Event::TransferPlanned {
            files: 1,
            bytes: 6_000,
            removals: 0,
            is_at_most: true,
            is_dry_run: false,
            cost: "",
        });
        assert_eq!(tell(&mut meter, 3_000), 0, "what a backup reads is not sent yet");
        meter.take_in(&Event::PhaseStarted(Phase::Verify));
        meter.take_in(&Event::WorkPlanned { phase: Phase::Verify, files: 3, bytes: 9_000 });
        meter.planned = meter.planned.and_then(|planned| planned.checked_sub(Duration::from_secs(10)));
        assert_eq!(tell(&mut meter, 3_000), 3_000);
        assert!((15..=21).contains(&meter.remaining().map_or(0, |left| left.as_secs())));
        assert_eq!(tell(&mut meter, 6_000), 6_000);
        assert_eq!(tell(&mut meter, 1_000), 6_000, "it is read a second time");
        meter.take_in(&Event::FileDone { path: &TreePath::root(), bytes: 1_000 });
        assert_eq!(meter.bytes_done, 7_000);
        meter.take_in(&Event::FileDone { path: &large, bytes: 6_000 });
        assert_eq!((meter.bytes_done, meter.files_done), (7_000, 2));
    }
}
