//! One batch, one rclone, one outcome per path.

use crate::model::{Batch, BatchItem, Failure, FailureClass, Lane, Outcome, RunId, TreePath};
use crate::observe::Event;
use crate::transfer::command_line::{ALWAYS, LIST, Traffic, list_of};
use crate::transfer::log_line::{LogLine, Receipt, Stats};
use crate::transfer::names::as_logged;
use crate::transfer::process::{Ended, Heard};
use crate::transfer::rclone::Finished;
use crate::transfer::source_state::difference;
use crate::transfer::{Session, classify, join};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The three places of a job.
#[derive(Debug, Clone)]
pub struct Remotes {
    /// The local tree.
    pub source: PathBuf,
    /// The remote that mirrors it.
    pub mirror: String,
    /// Beside the mirror: trash, owner files.
    pub companion: String,
}

impl Remotes {
    /// Where a run's trash lies.
    pub fn trash(&self, run: RunId) -> String {
        join(&self.companion, &format!("trash/{run}"))
    }
}

/// Sends the batches of one run.
pub struct Transfer<'a> {
    pub(crate) session: Session<'a>,
    pub(crate) remotes: Remotes,
    pub(crate) run: RunId,
    follow_links: bool,
    bytes_confirmed: u64,
    files_confirmed: u64,
    last_trouble: Option<Failure>,
}

/// So many failures in a row of one kind, with nothing that worked between
/// them, end a batch: going on would hammer a remote that is unwell.
const FAILURES_IN_A_ROW_MAX: u32 = 20;

impl<'a> Transfer<'a> {
    /// For one run. Nothing is started yet.
    pub fn new(session: Session<'a>, remotes: Remotes, run: RunId) -> Self {
        Transfer {
            session,
            remotes,
            run,
            follow_links: false,
            bytes_confirmed: 0,
            files_confirmed: 0,
            last_trouble: None,
        }
    }

    /// Symlinks of the source are followed (`links = "follow"`).
    #[must_use]
    pub fn following_links(mut self, follow: bool) -> Self {
        self.follow_links = follow;
        self
    }

    /// The commands that need no batch.
    pub fn session(&self) -> Session<'a> {
        self.session
    }

    /// Where this run moves things.
    pub fn trash(&self) -> String {
        self.remotes.trash(self.run)
    }

    /// The last trouble that concerned the remote or rclone, and not one file.
    /// Also set when the paths it hit are [`Outcome::Unknown`].
    pub fn last_trouble(&self) -> Option<&Failure> {
        self.last_trouble.as_ref()
    }

    /// Sends a batch; exactly one outcome per item, in their order.
    ///
    /// `settled` hears each outcome as soon as it is known, for the journal.
    /// Of lanes other than `Upload`, only `Confirmed` and `NotAttempted` say
    /// where the file is: after `Failed` and `Unknown` it has to be looked up,
    /// because the remote may have done it and answered wrongly.
    pub fn send(&mut self, batch: &Batch, settled: &mut dyn FnMut(usize, &Outcome)) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.items.len()];
        let mut ended_early = false;
        for wave in self.waves(batch, &mut outcomes, settled) {
            if ended_early || self.session.control.stop.is_set() {
                break;
            }
            let mut sending = Sending::new(self, batch, &wave, &mut outcomes, settled);
            ended_early = sending.run();
        }
        for (index, outcome) in outcomes.iter_mut().enumerate() {
            if outcome.is_none() {
                announce(self.session, batch, index, &Outcome::NotAttempted, settled);
                *outcome = Some(Outcome::NotAttempted);
            }
        }
        outcomes.into_iter().flatten().collect()
    }

    /// Groups of items that one rclone can take: all with links or all without
    /// (uploads), and no two that its log would call by the same name.
    fn waves(
        &self,
        batch: &Batch,
        outcomes: &mut [Option<Outcome>],
        settled: &mut dyn FnMut(usize, &Outcome),
    ) -> Vec<Wave> {
        let mut waves: Vec<Wave> = Vec::new();
        let mut lines_seen = HashSet::new();
        for (index, item) in batch.items.iter().enumerate() {
            let line = match self.line_of(item) {
                Ok(line) if lines_seen.insert(line.clone()) => line,
                Ok(_) => {
                    let reason = "another file of this batch has the same name on the remote".into();
                    let outcome = Outcome::Failed(Failure { class: FailureClass::File, reason });
                    settle(self.session, batch, index, outcome, outcomes, settled);
                    continue;
                }
                Err(outcome) => {
                    settle(self.session, batch, index, outcome, outcomes, settled);
                    continue;
                }
            };
            let links = item.as_link && batch.lane == Lane::Upload;
            let logged = as_logged(&line);
            let wave = match waves
                .iter_mut()
                .find(|wave| wave.links == links && !wave.indexes.contains_key(&logged))
            {
                Some(wave) => wave,
                None => {
                    waves.push(Wave { links, ..Wave::default() });
                    let last = waves.len() - 1;
                    &mut waves[last]
                }
            };
            wave.indexes.insert(logged, index);
            wave.lines.push((index, line));
        }
        waves
    }

    fn line_of(&self, item: &BatchItem) -> Result<Vec<u8>, Outcome> {
        list_line(self.session, &item.path, item.as_link)
            .map_err(|reason| Outcome::Failed(Failure { class: FailureClass::File, reason }))
    }

    /// The local tree as rclone's argument. Its root, too, is read in rclone's
    /// standard encoding. Links are told through the connection string: as a
    /// flag it would make links out of files on a mirror that is a local path.
    fn source_argument(&self, links: bool) -> Result<OsString, Failure> {
        let source = self.remotes.source.as_os_str().as_bytes();
        let components = source.split(|&byte| byte == b'/').filter(|component| !component.is_empty());
        let encoded = self.session.encoding.encode_components(components, source.len()).map_err(|error| {
            Failure { class: FailureClass::Rclone, reason: format!("the source folder: {error}") }
        })?;
        let prefix = match (links, self.follow_links) {
            (true, _) => ":local,links:",
            (false, true) => ":local,copy_links:",
            (false, false) => "",
        };
        Ok(super::command_line::below(&format!("{prefix}/"), &encoded))
    }

    /// As it is for files; uploaded links are compared as links.
    pub(crate) fn source_argument_for_comparing(&self) -> Result<OsString, Failure> {
        self.source_argument(!self.follow_links)
    }

    fn arguments(&self, lane: Lane, links: bool) -> Result<Vec<OsString>, Failure> {
        let mirror = OsString::from(&self.remotes.mirror);
        let trash = OsString::from(self.trash());
        let mut arguments = match lane {
            Lane::Upload => vec!["copy".into(), self.source_argument(links)?, mirror],
            Lane::Trash => vec!["move".into(), mirror, trash],
            Lane::Delete => vec!["delete".into(), mirror],
            Lane::Discard => vec!["delete".into(), trash],
        };
        if matches!(lane, Lane::Upload | Lane::Trash) {
            arguments.push(ALWAYS.into());
        }
        arguments.extend(LIST.iter().map(OsString::from));
        Ok(arguments)
    }
}

/// The line of a list for a path, or why there is none.
pub(crate) fn list_line(session: Session<'_>, path: &TreePath, as_link: bool) -> Result<Vec<u8>, String> {
    if path.is_root() {
        return Err("the root itself is no file".into());
    }
    let mut line = session.encoding.encode(path).map_err(|error| error.reason)?;
    if as_link {
        line.extend_from_slice(b".rclonelink");
    }
    Ok(line)
}

#[derive(Default)]
struct Wave {
    links: bool,
    lines: Vec<(usize, Vec<u8>)>,
    /// From the name in the log to the item.
    indexes: HashMap<String, usize>,
}

fn announce(
    session: Session<'_>,
    batch: &Batch,
    index: usize,
    outcome: &Outcome,
    settled: &mut dyn FnMut(usize, &Outcome),
) {
    let item = &batch.items[index];
    session.observer.event(&Event::Settled {
        lane: batch.lane,
        path: &item.path,
        bytes: item.stamp.size,
        outcome,
    });
    settled(index, outcome);
}

fn settle(
    session: Session<'_>,
    batch: &Batch,
    index: usize,
    outcome: Outcome,
    outcomes: &mut [Option<Outcome>],
    settled: &mut dyn FnMut(usize, &Outcome),
) {
    announce(session, batch, index, &outcome, settled);
    outcomes[index] = Some(outcome);
}

/// One rclone at work on one wave.
struct Sending<'s, 'a> {
    transfer: &'s mut Transfer<'a>,
    batch: &'s Batch,
    wave: &'s Wave,
    outcomes: &'s mut [Option<Outcome>],
    settled: &'s mut dyn FnMut(usize, &Outcome),
    /// The last error line of a path, and whether its request may have been carried out.
    failures: HashMap<usize, (Failure, bool)>,
    /// Copied by a move that has not said `Deleted` yet.
    copied: HashSet<usize>,
    /// rclone came so far as to speak of a listed path.
    any_path_heard: bool,
    failures_in_a_row: u32,
}

impl<'s, 'a> Sending<'s, 'a> {
    fn new(
        transfer: &'s mut Transfer<'a>,
        batch: &'s Batch,
        wave: &'s Wave,
        outcomes: &'s mut [Option<Outcome>],
        settled: &'s mut dyn FnMut(usize, &Outcome),
    ) -> Self {
        Sending {
            transfer,
            batch,
            wave,
            outcomes,
            settled,
            failures: HashMap::new(),
            copied: HashSet::new(),
            any_path_heard: false,
            failures_in_a_row: 0,
        }
    }

    /// Returns true when the rest of the batch must not be tried.
    fn run(&mut self) -> bool {
        let lane = self.batch.lane;
        let wave = self.wave;
        if lane == Lane::Upload {
            for &(index, _) in &wave.lines {
                if let Some(outcome) = self.source_difference(index) {
                    self.settle(index, outcome);
                }
            }
        }
        let open = self.open();
        if open.is_empty() {
            return false;
        }
        let lines = wave.lines.iter().filter(|(index, _)| self.outcomes[*index].is_none());
        let list = list_of(lines.map(|(_, line)| line.as_slice()));
        let traffic = if lane == Lane::Upload { Traffic::Bytes } else { Traffic::Requests };
        let finished = self.transfer.arguments(lane, wave.links).and_then(|arguments| {
            let session = self.transfer.session;
            session.run(arguments, list, traffic, &mut |line| self.hear(line))
        });
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

    fn open(&self) -> Vec<usize> {
        self.wave
            .lines
            .iter()
            .map(|&(index, _)| index)
            .filter(|&index| self.outcomes[index].is_none())
            .collect()
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
            self.report_progress(stats);
            return Heard::Nothing;
        }
        let index = line.object.as_ref().and_then(|object| self.wave.indexes.get(object)).copied();
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
        // A file called `quota exceeded.txt` is no full disk.
        let words = line.text.replace(name, "");
        let failure = classify::failure(classify::class_of(&words), &line.text);
        let class = failure.class;
        if class != FailureClass::File {
            self.transfer.last_trouble = Some(failure.clone());
        }
        let first = self.failures.insert(index, (failure, classify::is_without_answer(&words))).is_none();
        match class {
            // Providers lock accounts that keep trying.
            FailureClass::Authentication => Heard::Enough,
            FailureClass::RemoteFull | FailureClass::RemoteUnwell if first => {
                self.failures_in_a_row += 1;
                if self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX { Heard::Enough } else { Heard::Progress }
            }
            _ => Heard::Progress,
        }
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
        let not_begun = matches!(ended, Ended::Exited(code) if code != 0) && !self.any_path_heard;
        let whole = finished.failure(&self.batch.lane.to_string());
        if not_begun || matches!(ended, Ended::ByUs(_) | Ended::Signalled(_)) {
            self.transfer.last_trouble.get_or_insert_with(|| whole.clone());
        }
        for index in self.open() {
            let outcome = match self.failures.remove(&index) {
                Some((_, true)) => Outcome::Unknown,
                Some((failure, false)) => Outcome::Failed(failure),
                None if not_begun => Outcome::Failed(whole.clone()),
                None => self.without_a_word(index, ended),
            };
            self.settle(index, outcome);
        }
        not_begun || matches!(ended, Ended::ByUs(_))
    }

    /// rclone ended and said nothing of this path.
    fn without_a_word(&self, index: usize, ended: Ended) -> Outcome {
        // 7 and above: fatal error or a cut-off, which drop what is under way.
        let by_itself = matches!(ended, Ended::Exited(code) if code < 7);
        if self.batch.lane != Lane::Upload || !by_itself {
            return Outcome::Unknown;
        }
        // Names that it does not find in the source are skipped without a line.
        self.source_difference(index).unwrap_or_else(|| {
            let reason = "rclone did not find it in the source, or left it out".into();
            Outcome::Failed(Failure { class: FailureClass::File, reason })
        })
    }
}
