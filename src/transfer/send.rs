//! One batch, one rclone, one outcome per path.

use crate::model::{Batch, BatchItem, Failure, FailureClass, LINK_ENDING, Lane, Outcome, RunId, TreePath};
use crate::observe::Event;
use crate::transfer::command_line::{ALWAYS, LIST};
use crate::transfer::names::as_logged;
use crate::transfer::partials;
use crate::transfer::receipts::Sending;
use crate::transfer::{Capability, Session, join};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

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

/// Files up to this size are written at once, see [`Transfer::to_a_local_folder`].
const IN_PLACE_BYTES_MAX: u64 = 1 << 20;

/// Sends the batches of one run.
pub struct Transfer<'a> {
    pub(crate) session: Session<'a>,
    pub(crate) remotes: Remotes,
    pub(crate) run: RunId,
    pub(crate) follow_links: bool,
    plain_names_only: bool,
    is_local: bool,
    pub(crate) deadline: Option<Instant>,
    pub(crate) bytes_confirmed: u64,
    pub(crate) files_confirmed: u64,
    pub(crate) last_trouble: Option<Failure>,
    pub(crate) is_hung: bool,
}

impl<'a> Transfer<'a> {
    /// For one run. Nothing is started yet.
    pub fn new(session: Session<'a>, remotes: Remotes, run: RunId) -> Self {
        Transfer {
            session,
            remotes,
            run,
            follow_links: false,
            plain_names_only: false,
            is_local: false,
            deadline: None,
            bytes_confirmed: 0,
            files_confirmed: 0,
            last_trouble: None,
            is_hung: false,
        }
    }

    /// Symlinks of the source are followed (`links = "follow"`).
    #[must_use]
    pub fn following_links(mut self, follow: bool) -> Self {
        self.follow_links = follow;
        self
    }

    /// Names with `;`, `?` or `#` are not moved to the trash but fail there: see
    /// [`crate::transfer::CompanionMove::OnServerPlainNamesOnly`].
    #[must_use]
    pub fn moving_plain_names_only(mut self, plain_only: bool) -> Self {
        self.plain_names_only = plain_only;
        self
    }

    /// The mirror is a folder of this machine: small files are written there under their own names at
    /// once, which saves a rename each.
    #[must_use]
    pub fn to_a_local_folder(mut self, is_local: bool) -> Self {
        self.is_local = is_local;
        self
    }

    /// As [`Transfer::moving_plain_names_only`], for one that is in use.
    pub fn set_plain_names_only(&mut self, plain_only: bool) {
        self.plain_names_only = plain_only;
    }

    /// From then on no further file of an upload is begun; what is not
    /// begun is [`Outcome::NotAttempted`]. What runs comes to its end.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
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

    /// True once an rclone had to be ended because nothing moved any more: the next
    /// one would wait as long.
    pub fn is_hung(&self) -> bool {
        self.is_hung
    }

    /// Sends a batch; exactly one outcome per item, in their order.
    ///
    /// `settled` hears each outcome as soon as it is known, for the journal.
    /// Of lanes other than `Upload`, only `Confirmed` and `NotAttempted` say
    /// where the file is: after `Failed` and `Unknown` it has to be looked up,
    /// because the remote may have done it and answered wrongly.
    pub fn send(&mut self, batch: &Batch, settled: &mut dyn FnMut(usize, &Outcome)) -> Vec<Outcome> {
        self.send_with_pulse(batch, settled, &mut || {})
    }

    /// As [`Transfer::send`]; `pulse` is called about once a second while rclone works, so that
    /// what was settled can be made durable although nothing more is.
    pub fn send_with_pulse(
        &mut self,
        batch: &Batch,
        settled: &mut dyn FnMut(usize, &Outcome),
        pulse: &mut dyn FnMut(),
    ) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; batch.items.len()];
        let mut ended_early = false;
        for wave in self.waves(batch, &mut outcomes, settled) {
            if ended_early || self.session.control.stop.is_set() {
                break;
            }
            let mut sending = Sending::new(self, batch, &wave, &mut outcomes, settled, pulse);
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
        let is_in_place = batch.lane == Lane::Upload && self.is_written_at_once(batch);
        for (index, item) in batch.items.iter().enumerate() {
            let line = match self.line_of(batch.lane, item) {
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
            let in_place = is_in_place
                || (batch.lane == Lane::Upload && self.has_no_room_for_partial(&item.path, &line));
            let logged = as_logged(&line);
            let wave = match waves.iter_mut().find(|wave| {
                wave.links == links && wave.in_place == in_place && !wave.indexes.contains_key(&logged)
            }) {
                Some(wave) => wave,
                None => {
                    waves.push(Wave { links, in_place, ..Wave::default() });
                    let last = waves.len() - 1;
                    &mut waves[last]
                }
            };
            wave.indexes.insert(logged, index);
            wave.lines.push((index, line));
        }
        waves
    }

    /// True when `item` fails here, whatever the remote would say: nothing is sent for it.
    pub fn is_refused_here(&self, lane: Lane, item: &BatchItem) -> bool {
        self.line_of(lane, item).is_err()
    }

    fn line_of(&self, lane: Lane, item: &BatchItem) -> Result<Vec<u8>, Outcome> {
        let fail = |reason| Outcome::Failed(Failure { class: FailureClass::File, reason });
        if let (Lane::Trash, Some(reason)) = (lane, self.not_moved(&item.path)) {
            return Err(fail(reason.into()));
        }
        list_line(self.session, &item.path, item.as_link).map_err(fail)
    }

    /// Why this path must not be moved on this server.
    pub(crate) fn not_moved(&self, path: &TreePath) -> Option<&'static str> {
        let odd = path.as_bytes().iter().any(|byte| b";?#".contains(byte));
        (self.plain_names_only && odd)
            .then_some("its path holds one of ; ? # and this server cannot move such files safely")
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

    /// The rename of a `.partial` is for those who see half a file otherwise: of a small one on a local disk
    /// that is a moment, nothing of ours lies under the name before, and what has no receipt is sent again
    /// in either case. It is a fifth of what rclone does for such a file (docs/decisions/0009).
    fn is_written_at_once(&self, batch: &Batch) -> bool {
        self.is_local
            && self.session.rclone.version().has(Capability::PartialFiles)
            && batch.items.iter().all(|item| item.stamp.size <= IN_PLACE_BYTES_MAX)
    }

    /// Where uploads go through a `.partial` name, rclone cuts long names to make
    /// room for that ending, but counts in its own encoding: names that are shorter in
    /// truth get too long by it (seen on local and SFTP).
    fn has_no_room_for_partial(&self, path: &TreePath, line: &[u8]) -> bool {
        let name = path.name().unwrap_or_default();
        let encoded = !line.ends_with(name) || std::str::from_utf8(name).is_err();
        let has_partial = self.session.rclone.version().has(Capability::PartialFiles);
        has_partial && encoded && name.len() + partials::ENDING_BYTES > 255
    }

    pub(crate) fn arguments(&self, lane: Lane, wave: &Wave) -> Result<Vec<OsString>, Failure> {
        let mirror = OsString::from(&self.remotes.mirror);
        let trash = OsString::from(self.trash());
        let mut arguments = match lane {
            Lane::Upload => vec!["copy".into(), self.source_argument(wave.links)?, mirror],
            Lane::Trash => vec!["move".into(), mirror, trash],
            Lane::Delete => vec!["delete".into(), mirror],
            Lane::Discard => vec!["delete".into(), trash],
        };
        if matches!(lane, Lane::Upload | Lane::Trash) {
            arguments.push(ALWAYS.into());
            // Not for moves: they look their files up under the same deadline, and fail one by one.
            if let Some(deadline) = self.deadline.filter(|_| lane == Lane::Upload) {
                let left = deadline.saturating_duration_since(Instant::now());
                // Not 0, which is no limit.
                arguments.push("--max-duration".into());
                arguments.push(format!("{}ms", left.as_millis().max(1)).into());
                // HARD would leave half a file under its final name on WebDAV.
                arguments.extend(["--cutoff-mode".into(), "SOFT".into()]);
            }
        }
        if wave.in_place {
            arguments.push("--inplace".into());
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
        line.extend_from_slice(LINK_ENDING);
    }
    Ok(line)
}

#[derive(Default)]
pub(crate) struct Wave {
    pub(crate) links: bool,
    /// Without the detour over a `.partial` name.
    pub(crate) in_place: bool,
    pub(crate) lines: Vec<(usize, Vec<u8>)>,
    /// From the name in the log to the item.
    pub(crate) indexes: HashMap<String, usize>,
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

pub(crate) fn settle(
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
