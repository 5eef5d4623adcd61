//! Listens to one rclone and gives each of its paths an outcome.

use crate::model::{Batch, Failure, FailureClass, Lane, Outcome};
use crate::observe::Event;
use crate::transfer::command_line::{Traffic, list_of};
use crate::transfer::log_line::{LogLine, Receipt, Stats};
use crate::transfer::partials;
use crate::transfer::process::{Ended, Heard, Reason};
use crate::transfer::rclone::Finished;
use crate::transfer::send::{Wave, settle};
use crate::transfer::source_state::{difference, is_special};
use crate::transfer::{Transfer, classify};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// So many failures in a row, with nothing that worked between them, end a batch:
/// going on would hammer a remote that has said no.
const FAILURES_IN_A_ROW_MAX: u32 = 20;
/// The same where the remote is unwell: it is left in peace, and the caller tries again
/// after a while.
const UNWELL_IN_A_ROW_MAX: u32 = 5;

/// When no byte moved for so long, it is looked at what rclone reads.
const STANDSTILL: Duration = Duration::from_secs(10);

/// Files up to this size are small: a thousandth of a second or so on a fast remote.
const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// One rclone at work on one wave.
pub(crate) struct Sending<'s, 'a> {
    transfer: &'s mut Transfer<'a>,
    batch: &'s Batch,
    wave: &'s Wave,
    outcomes: &'s mut [Option<Outcome>],
    settled: &'s mut dyn FnMut(usize, &Outcome),
    pulse: &'s mut dyn FnMut(),
    /// The last error line of a path, and whether its request may have been carried out.
    failures: HashMap<usize, (Failure, bool)>,
    /// Copied by a move that has not said `Deleted` yet.
    copied: HashSet<usize>,
    /// rclone came so far as to speak of a listed path.
    any_path_heard: bool,
    /// Every rclone gives statistics at its end, whatever it did.
    any_stats_heard: bool,
    /// Bytes that rclone has sent, and since when they are as many.
    bytes_moved: (i64, Instant),
    failures_in_a_row: u32,
    /// rclone says that it came to [`Transfer::set_deadline`].
    deadline_reached: bool,
}

impl<'s, 'a> Sending<'s, 'a> {
    pub(crate) fn new(
        transfer: &'s mut Transfer<'a>,
        batch: &'s Batch,
        wave: &'s Wave,
        outcomes: &'s mut [Option<Outcome>],
        settled: &'s mut dyn FnMut(usize, &Outcome),
        pulse: &'s mut dyn FnMut(),
    ) -> Self {
        Sending {
            transfer,
            batch,
            wave,
            outcomes,
            settled,
            pulse,
            failures: HashMap::new(),
            copied: HashSet::new(),
            any_path_heard: false,
            any_stats_heard: false,
            bytes_moved: (0, Instant::now()),
            failures_in_a_row: 0,
            deadline_reached: false,
        }
    }

    /// Returns true when the rest of the batch must not be tried.
    pub(crate) fn run(&mut self) -> bool {
        let lane = self.batch.lane;
        let wave = self.wave;
        let session = self.transfer.session;
        let traffic = match lane {
            Lane::Upload if self.are_all_small() => Traffic::SmallFiles,
            Lane::Upload => Traffic::Bytes,
            Lane::Trash => Traffic::Moves,
            Lane::Delete | Lane::Discard => Traffic::Requests,
        };
        let started =
            self.transfer.arguments(lane, wave).and_then(|arguments| session.start(arguments, traffic));
        if lane == Lane::Upload {
            for (index, outcome) in self.source_differences() {
                self.settle(index, outcome);
            }
        }
        let lines = wave.lines.iter().filter(|(index, _)| self.outcomes[*index].is_none());
        let list = list_of(lines.map(|(_, line)| line.as_slice()));
        if list.is_empty() {
            return false;
        }
        let finished = started
            .and_then(|started| session.finish(started, list, &mut |line| self.hear(line), &mut |_| {}));
        match finished {
            Ok(finished) => self.settle_open(&finished),
            Err(failure) => {
                // It was not started, or had not got its list.
                self.transfer.last_trouble = Some(failure.clone());
                for index in self.open() {
                    self.settle(index, Outcome::Failed(failure.clone()));
                }
                true
            }
        }
    }

    fn are_all_small(&self) -> bool {
        self.wave.lines.iter().all(|&(index, _)| self.batch.items[index].stamp.size <= SMALL_FILE_BYTES_MAX)
    }

    fn open(&self) -> Vec<usize> {
        self.wave
            .lines
            .iter()
            .map(|&(index, _)| index)
            .filter(|&index| self.outcomes[index].is_none())
            .collect()
    }

    /// All cores look: for 10,000 small files one of them would take as long as rclone takes to start.
    fn source_differences(&self) -> Vec<(usize, Outcome)> {
        let (items, lines) = (&self.batch.items, &self.wave.lines);
        let (source, follow_links) = (&self.transfer.remotes.source, self.transfer.follow_links);
        let look = |&(index, _): &(usize, Vec<u8>)| {
            difference(source, &items[index], follow_links).map(|outcome| (index, outcome))
        };
        lines.par_iter().filter_map(look).collect()
    }

    fn source_difference(&self, index: usize) -> Option<Outcome> {
        let item = &self.batch.items[index];
        difference(&self.transfer.remotes.source, item, self.transfer.follow_links)
    }

    fn settle(&mut self, index: usize, outcome: Outcome) {
        if self.batch.lane == Lane::Upload && outcome == Outcome::Confirmed {
            self.transfer.bytes_confirmed += self.batch.items[index].stamp.size;
            self.transfer.files_confirmed += 1;
        }
        settle(self.transfer.session, self.batch, index, outcome, self.outcomes, self.settled);
    }

    fn hear(&mut self, line: &LogLine) -> Heard {
        if let Some(stats) = &line.stats {
            self.any_stats_heard = true;
            (self.pulse)();
            self.report_progress(stats);
            return if self.settle_what_is_never_read(stats) { Heard::Enough } else { Heard::Nothing };
        }
        self.deadline_reached |=
            self.transfer.deadline.is_some() && line.text.contains("max transfer duration reached");
        let index = line.object.as_ref().and_then(|object| self.wave.indexes.get(object)).copied();
        // A rename that failed is told of rclone's own name for the first half.
        let index = index.or_else(|| {
            let whole = partials::stem_of(line.object.as_deref()?).filter(|_| line.receipt().is_none())?;
            self.wave.indexes.get(whole).copied()
        });
        match (index, line.receipt()) {
            (Some(index), Some(receipt)) => {
                self.any_path_heard = true;
                self.failures_in_a_row = 0;
                self.take_receipt(index, receipt);
                Heard::Progress
            }
            (Some(index), None) if line.is_trouble() => {
                self.any_path_heard = true;
                self.take_failure(index, line)
            }
            _ => Heard::Nothing,
        }
    }

    fn take_receipt(&mut self, index: usize, receipt: Receipt) {
        if self.outcomes[index].is_some() {
            return;
        }
        let outcome = match (self.batch.lane, receipt) {
            // A receipt is not yet proof: without a common hash, a file rewritten
            // during its upload is stored torn, with a receipt.
            (Lane::Upload, Receipt::Copied { .. }) => match self.source_difference(index) {
                None => Outcome::Confirmed,
                Some(_) => Outcome::ChangedMeanwhile,
            },
            (Lane::Trash, Receipt::Moved) => Outcome::Confirmed,
            (Lane::Trash, Receipt::Copied { .. }) => {
                self.copied.insert(index);
                return;
            }
            (Lane::Trash, Receipt::Deleted) if self.copied.contains(&index) => Outcome::Confirmed,
            (Lane::Delete | Lane::Discard, Receipt::Deleted) => Outcome::Confirmed,
            _ => return,
        };
        self.settle(index, outcome);
    }

    fn take_failure(&mut self, index: usize, line: &LogLine) -> Heard {
        let name = line.object.as_deref().unwrap_or_default();
        let words = classify::without_name(&line.text, name);
        let failure = classify::failure(classify::class_of(&words), &line.text);
        let class = failure.class;
        // One 403 can be a name that the remote refuses; a row of them is a closed door.
        let refused = class == FailureClass::File && classify::says_forbidden(&words);
        let counts = refused || matches!(class, FailureClass::RemoteFull | FailureClass::RemoteUnwell);
        if class != FailureClass::File {
            self.transfer.last_trouble = Some(failure.clone());
        }
        let reason = failure.reason.clone();
        let first = self.failures.insert(index, (failure, classify::says_no_answer(&words))).is_none();
        if class == FailureClass::Authentication {
            // Providers lock accounts that keep trying.
            return Heard::EnoughNow;
        }
        self.failures_in_a_row += u32::from(counts && first);
        let most =
            if class == FailureClass::RemoteUnwell { UNWELL_IN_A_ROW_MAX } else { FAILURES_IN_A_ROW_MAX };
        if self.failures_in_a_row < most {
            return Heard::Progress;
        }
        if refused {
            self.transfer.last_trouble = Some(Failure { class: FailureClass::Authentication, reason });
        }
        Heard::Enough
    }

    /// A file that was replaced by a pipe just before rclone opened it: rclone would wait for ever, and all others
    /// with it until the watchdog ends them. True when there was one; what else was under way is sent again.
    fn settle_what_is_never_read(&mut self, stats: &Stats) -> bool {
        if stats.bytes != self.bytes_moved.0 {
            self.bytes_moved = (stats.bytes, Instant::now());
        }
        if self.batch.lane != Lane::Upload || self.bytes_moved.1.elapsed() < STANDSTILL {
            return false;
        }
        let running = stats.transferring.as_deref().unwrap_or_default();
        let open = running.iter().filter_map(|file| self.wave.indexes.get(&file.name).copied());
        let source = &self.transfer.remotes.source;
        let special: Vec<usize> = open
            .filter(|&index| self.outcomes[index].is_none() && is_special(source, &self.batch.items[index]))
            .collect();
        special.iter().for_each(|&index| self.settle(index, Outcome::ChangedMeanwhile));
        !special.is_empty()
    }

    fn report_progress(&self, stats: &Stats) {
        if self.batch.lane != Lane::Upload {
            return;
        }
        let running = stats.transferring.as_deref().unwrap_or_default();
        let running_bytes: u64 = running.iter().map(|file| u64::try_from(file.bytes).unwrap_or(0)).sum();
        let current: Vec<String> = running.iter().take(4).map(|file| file.name.clone()).collect();
        self.transfer.session.observer.event(&Event::TransferProgress {
            bytes: self.transfer.bytes_confirmed + running_bytes,
            files: self.transfer.files_confirmed,
            bytes_per_second: stats.speed,
            current: &current,
        });
    }

    /// The paths without a receipt. Returns true when going on would do harm.
    fn settle_open(&mut self, finished: &Finished) -> bool {
        let ended = finished.ended;
        // Nothing was heard of any path: rclone did not come so far as to send.
        let at_deadline = self.deadline_reached && matches!(ended, Ended::Exited(_));
        let is_mute = finished.succeeded() && !self.any_path_heard && !self.any_stats_heard;
        let not_begun = is_mute
            || (matches!(ended, Ended::Exited(code) if code != 0) && !self.any_path_heard && !at_deadline);
        let doing = self.batch.lane.to_string();
        let mut whole = if is_mute { self.transfer.session.mute(&doing) } else { finished.failure(&doing) };
        // A move asks for each path of the list first, and ends at one that is refused. The looks tell a
        // path from a closed door.
        if self.batch.lane != Lane::Upload && classify::is_closed_door(&whole) {
            whole.class = FailureClass::RemoteUnwell;
        }
        if not_begun || matches!(ended, Ended::ByUs(_) | Ended::Signalled(_)) {
            self.transfer.last_trouble.get_or_insert_with(|| whole.clone());
        }
        self.transfer.is_hung |= ended == Ended::ByUs(Reason::NoProgress);
        // A remote that did not answer has refused none of the files: as many as it may refuse in a
        // row stand for it, and the caller waits and tries again.
        let stand_for_all = match whole.class {
            FailureClass::RemoteUnwell => UNWELL_IN_A_ROW_MAX as usize,
            _ => usize::MAX,
        };
        for (position, index) in self.open().into_iter().enumerate() {
            let outcome = match self.failures.remove(&index) {
                Some((_, true)) => Outcome::Unknown,
                Some((failure, false)) => Outcome::Failed(failure),
                None if at_deadline => Outcome::NotAttempted,
                None if not_begun && position >= stand_for_all => Outcome::NotAttempted,
                None if not_begun => Outcome::Failed(whole.clone()),
                None => self.without_a_word(index, ended),
            };
            self.settle(index, outcome);
        }
        at_deadline || not_begun || matches!(ended, Ended::ByUs(_))
    }

    /// rclone ended and said nothing of this path.
    fn without_a_word(&self, index: usize, ended: Ended) -> Outcome {
        if self.batch.lane != Lane::Upload {
            return Outcome::Unknown;
        }
        // 7 and above: fatal error or a cut-off, which drop what is under way.
        if !matches!(ended, Ended::Exited(code) if code < 7) {
            return Outcome::Unheard;
        }
        // Names that it does not find in the source are skipped without a line.
        self.source_difference(index).unwrap_or_else(|| {
            let reason = "rclone did not find it in the source, or left it out".into();
            Outcome::Failed(Failure { class: FailureClass::File, reason })
        })
    }
}
