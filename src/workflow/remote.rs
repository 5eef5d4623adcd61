//! The remote, opened when something is about to be sent and not before.
//!
//! Opening means: rclone is there, the mirror is ours, the run has a name, and
//! the journal is open. A run that changes nothing never comes here.

use super::backoff::Patience;
use super::configuration::{Job, mask_remote};
use super::connect::{Connection, encoding_of};
use super::figures;
use super::forecast;
use super::halt::Halt;
use super::job_run::JobRun;
use super::options::Guard;
use super::owner::{self, Belief};
use super::uploading::Failed;
use crate::index::NameFacts;
use crate::journal::{Header, JournalWriter, NotDone, Settled, WriteError};
use crate::model::{Batch, BatchItem, Failure, FailureClass, Lane, Outcome, RunId, TreePath};
use crate::observe::{Event, Phase};
use crate::transfer::{CompanionMove, Features, Session, TrialError, is_too_large, join};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Instant;

/// So many equal failures in a row end the run: the remote is not going to
/// change its mind, and hammering it makes things worse.
const EQUAL_FAILURES_MAX: usize = 20;

/// Failures of one batch of moves or deletions that count, where the remote is unwell: many are under way
/// side by side, and say together what one says.
const UNWELL_PER_BATCH_MAX: usize = 5;

/// So many of those that wait count as refused beside the one that knocks.
const STANDING_FOR_MAX: usize = 4;

/// An open remote.
pub(super) struct OpenRemote<'a> {
    pub(super) run: RunId,
    pub(super) connection: Connection<'a>,
    pub(super) journal: JournalWriter<'a>,
    pub(super) owner_sequence: u64,
    /// Folders that this run made in its trash.
    pub(super) trash_folders: BTreeSet<TreePath>,
    /// Folders of the mirror that exist, or that this run made.
    pub(super) mirror_folders: BTreeSet<TreePath>,
    batch_number: u64,
    equal_failures: usize,
    last_failure: Option<FailureClass>,
    has_confirmed: bool,
    /// The last words of a remote that was unwell.
    unwell: Option<String>,
    journal_trouble: Option<Halt>,
}

impl<'a> JobRun<'a> {
    /// The remote, opened now if it was not yet.
    ///
    /// # Errors
    /// When rclone is not usable, when a guard finds the mirror not ours, or
    /// when the remote does not answer. Nothing was sent then.
    pub(super) fn open_remote(&mut self) -> Result<&mut OpenRemote<'a>, Halt> {
        if self.remote.is_none() {
            let untried_levels = self.untried_levels();
            self.remote = Some(self.try_open()?);
            self.spend_opening(untried_levels);
        }
        self.remote.as_mut().ok_or_else(|| Halt::Fatal("the remote was opened and is not there".into()))
    }

    fn try_open(&mut self) -> Result<OpenRemote<'a>, Halt> {
        self.surroundings.halt_if_stopped()?;
        let run = self.run_id();
        let mut connection = self.connector.connect(encoding_of(&self.committed), run)?;
        check_can_move(self.job, &connection.features)?;
        let is_first = !self.committed.is_claimed;
        let (looking, belief) = (connection.looking, self.belief());
        let patience = Patience::at_the_door(self.surroundings, self.options.budget.deadline());
        let owner_sequence = if is_first {
            std::thread::scope(|scope| {
                let asking = scope.spawn(move || owner::check(&looking, &belief, &patience));
                self.guard_empty_mirror(looking, &patience)?;
                asking.join().map_err(|_| Halt::Fatal("asking who owns the mirror".into()))?
            })?
        } else {
            owner::check(&looking, &belief, &patience)?
        };
        self.committed.claim(self.job, connection.session.encoding())?;
        self.committed.remember_owner(owner_sequence)?;
        self.know_the_kind(&connection)?;
        self.know_the_companion(&mut connection, is_first)?;
        // From here on things are sent: a run that is killed goes on without being asked again.
        self.committed.remember_remote(self.job)?;
        forecast::announce(self);
        self.observer().event(&Event::PhaseStarted(Phase::Transfer));
        let journal = self.committed.start_journal(run)?;
        self.report.run_id = Some(run);
        self.operation_ended();
        Ok(OpenRemote {
            run,
            connection,
            journal,
            owner_sequence,
            trash_folders: BTreeSet::new(),
            mirror_folders: BTreeSet::new(),
            batch_number: 0,
            equal_failures: 0,
            last_failure: None,
            has_confirmed: false,
            unwell: None,
            journal_trouble: None,
        })
    }

    /// Names that need rclone's encoding lie under other bytes on another kind of
    /// remote, even where the very same folder is behind it.
    fn know_the_kind(&mut self, connection: &Connection<'a>) -> Result<(), Halt> {
        let facts = &self.committed.docket.facts;
        let kind = connection.features.kind();
        let is_same_remote = facts.remote == self.job.remote.to_string();
        if facts.names.kind == kind as u8 && is_same_remote {
            return Ok(());
        }
        if facts.names.kind != 0
            && facts.names.kind != kind as u8
            && let Some(path) = self.views().first_name_that_is_encoded()?
        {
            return Err(Halt::Configuration(format!(
                "job {}: the mirror was begun through another kind of remote than {:?} is. On it the names of some \
                 files, {path} for example, are written in other bytes, and would not be found: go on with the remote \
                 of before ({}), or begin a new mirror",
                self.job.name,
                mask_remote(&self.job.remote.to_string()),
                mask_remote(&facts.remote)
            )));
        }
        self.committed.remember_names(NameFacts { kind: kind as u8, ..NameFacts::default() })
    }

    /// The trash must be reachable by a move on the server: on AList another
    /// storage is not. Tried once with a scratch file, and remembered.
    fn know_the_companion(&mut self, connection: &mut Connection<'a>, is_first: bool) -> Result<(), Halt> {
        if !self.is_companion_known() {
            let movable = self.try_companion(connection, is_first)?;
            self.committed.remember_companion(self.job.companion.to_string(), movable)?;
        }
        let facts = &self.committed.docket.facts;
        connection.transfer.set_plain_names_only(facts.companion_movable == 2);
        Ok(())
    }

    fn is_companion_known(&self) -> bool {
        let facts = &self.committed.docket.facts;
        let is_same = facts.companion == self.job.companion.to_string();
        facts.companion_movable != 0 && is_same && facts.remote == self.job.remote.to_string()
    }

    /// Levels of folders that this run may find missing above mirror and companion when it opens them. `None`:
    /// both were opened before. (A claim alone does not say so: a run that has nothing to send makes one, too.)
    pub(super) fn untried_levels(&self) -> Option<u64> {
        let levels = |path: &str| path.split('/').filter(|level| !level.is_empty()).count() as u64;
        let is_open = self.committed.is_claimed && self.is_companion_known();
        (!is_open).then(|| levels(self.job.remote.path()) + levels(self.job.companion.path()) + 1)
    }

    fn try_companion(&self, connection: &Connection<'a>, is_first: bool) -> Result<u8, Halt> {
        if connection.features.is_local {
            return Ok(1);
        }
        if !is_first {
            remove_scratch_files(connection, &self.job.remote.to_string())?;
        }
        let tried = connection.transfer.try_companion_move().map_err(|error| self.cannot_move(&error))?;
        match tried {
            CompanionMove::OnServer => Ok(1),
            CompanionMove::OnServerPlainNamesOnly => Ok(2),
            CompanionMove::ThroughHere => Err(Halt::Configuration(format!(
                "job {}: the remote can't move files from {:?} to {:?} by itself; every old version would be \
                 downloaded and uploaded again. Give a `companion` on the same storage as the mirror",
                self.job.name, self.job.remote, self.job.companion
            ))),
        }
    }

    /// Relays such as AList refuse to move from one storage to another, in words that they use for all.
    /// Another companion helps against nothing else.
    fn cannot_move(&self, error: &TrialError) -> Halt {
        let (mirror, companion) = (&self.job.remote, &self.job.companion);
        let doing = format!("trying a move from {mirror:?} to {companion:?} with a scratch file");
        let failure = match error {
            TrialError::NotTried(failure) => return Halt::from_failure(&doing, failure),
            TrialError::NotMoved(failure) => failure,
        };
        let advice = "If it stays so, give a `companion` on the same storage as the mirror";
        match Halt::from_failure(&doing, failure) {
            Halt::RemoteUnwell(message) if failure.class == FailureClass::File => {
                Halt::Configuration(format!("job {}: {message}. {advice}", self.job.name))
            }
            Halt::RemoteUnwell(message) => Halt::RemoteUnwell(format!("{message}. {advice}")),
            halt => halt,
        }
    }

    pub(super) fn belief(&self) -> Belief {
        let accepts = self.options.accepts(Guard::ForeignWriter);
        Belief::of(&self.committed.docket.facts, accepts, self.job.companion.to_string())
    }

    /// A first run writes only onto an empty mirror.
    fn guard_empty_mirror(&self, session: Session<'_>, patience: &Patience<'_>) -> Result<(), Halt> {
        if self.options.accepts(Guard::NonemptyRemote) {
            return Ok(());
        }
        let mirror = self.job.remote.to_string();
        let listing = patience.ask("looking whether the mirror is empty", || session.list_folder(&mirror))?;
        match listing.as_deref() {
            None | Some([]) => Ok(()),
            Some([first, ..]) => Err(Halt::Guard {
                guard: Some(Guard::NonemptyRemote),
                message: format!(
                    "{:?} is not empty (it holds {:?}, for example), and this machine has no index of it: a first \
                     run would overwrite what lies there. Choose an empty folder; take over what lies there with \
                     `treeferry adopt {}`; or, if it may be overwritten, --accept nonempty-remote",
                    self.job.remote, first.name, self.job.name
                ),
            }),
        }
    }

    /// Sends one batch: intent, transfer, outcomes. Every item gets one outcome,
    /// and is in the journal as soon as that is final.
    ///
    /// # Errors
    /// When the journal can't be written, the remote can't be opened, or the source is not at its
    /// path any more: rclone would find nothing of what was scanned, after its old versions had left.
    pub(super) fn send(&mut self, batch: &Batch) -> Result<Vec<Outcome>, Halt> {
        self.halt_if_source_moved()?;
        self.open_remote()?;
        self.keep_the_pause()?;
        let deadline = self.options.budget.deadline().filter(|_| !self.is_within_pair);
        let remote = self.open_remote()?;
        remote.connection.transfer.set_deadline(deadline);
        let batch_number = remote.announce(batch)?;
        let begun = Instant::now();
        let OpenRemote { connection, journal, .. } = remote;
        let journal = RefCell::new((journal, Ok(())));
        let write = |write: &dyn Fn(&mut JournalWriter<'_>) -> Result<(), WriteError>| {
            let (journal, written) = &mut *journal.borrow_mut();
            if written.is_ok() {
                *written = write(journal);
            }
        };
        let mut settle = |index: usize, outcome: &Outcome| {
            if let Some(settled) = settled_now(batch, index, outcome) {
                let outcomes = [(index as u32, settled)];
                write(&|journal| journal.append_outcomes(batch_number, &outcomes, Instant::now()));
            }
        };
        // An outcome waits a second at most, also when no other one follows for an hour.
        let mut pulse = || write(&|journal| journal.sync_if_due(Instant::now()).map(|_| ()));
        let outcomes = connection.transfer.send_with_pulse(batch, &mut settle, &mut pulse);
        // What was sent is known here all the same, and goes into the ledger first.
        let written = journal.into_inner().1;
        if let Err(error) = written {
            remote.journal_trouble = Some(Halt::fatal(error));
        }
        remote.watch_failures(batch, &outcomes);
        self.operation_ended();
        let tried =
            || batch.items.iter().zip(&outcomes).filter(|(_, outcome)| **outcome != Outcome::NotAttempted);
        let bytes = tried().map(|(item, _)| item.stamp.size).sum();
        self.spend_on_batch(batch.lane, tried().count() as u64, bytes, begun.elapsed());
        Ok(outcomes)
    }

    fn halt_if_source_moved(&self) -> Result<(), Halt> {
        if self.source().is_still_at(&self.job.source) {
            return Ok(());
        }
        Err(Halt::Guard {
            guard: None,
            message: format!(
                "{} does not lead any more to the folder that was scanned: it was renamed, unmounted or replaced while \
                 the run was under way. Nothing more is sent, and nothing is taken for deleted; the next run goes on",
                self.job.source.display()
            ),
        })
    }

    /// Ends the run when what just happened leaves no way on. Called after the
    /// outcomes of a batch are in the ledger.
    pub(super) fn halt_if_hopeless(&self, doing: &str, outcomes: &[Outcome]) -> Result<(), Halt> {
        self.surroundings.halt_if_stopped()?;
        let Some(remote) = &self.remote else { return Ok(()) };
        if let Some(trouble) = &remote.journal_trouble {
            return Err(trouble.clone());
        }
        if remote.connection.transfer.is_hung() {
            return Err(Halt::RemoteUnwell(format!(
                "{doing}: nothing moved for too long, and rclone was ended; what it had under way is looked at in the next run"
            )));
        }
        let last_trouble = remote.connection.transfer.last_trouble();
        // A row of 403: each says that it is one file, all together that nobody lets us in.
        if let Some(failure) = last_trouble.filter(|failure| failure.class == FailureClass::Authentication) {
            return Err(Halt::from_failure(doing, failure));
        }
        let failures = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        });
        // rclone ends a command with the last error of a file as if it were one of its own; as long
        // as single files were told apart, the command as a whole did work.
        let told_apart = outcomes.iter().any(|outcome| {
            matches!(outcome, Outcome::Confirmed | Outcome::ChangedMeanwhile | Outcome::Vanished)
                || matches!(outcome, Outcome::Failed(failure) if failure.class == FailureClass::File)
        });
        let hopeless = failures.chain(last_trouble).find(|failure| {
            remote.equal_failures >= EQUAL_FAILURES_MAX
                || matches!(failure.class, FailureClass::Authentication | FailureClass::RemoteFull)
                || (failure.class == FailureClass::Rclone && !told_apart)
        });
        hopeless.map_or(Ok(()), |failure| Err(Halt::from_failure(doing, failure)))
    }
}

impl JobRun<'_> {
    /// What ended while a folder moved, and could not be heeded before its files were noted.
    pub(super) fn halt_after_folders(&self) -> Result<(), Halt> {
        self.surroundings.halt_if_stopped()?;
        let trouble = self.remote.as_ref().and_then(|remote| remote.journal_trouble.clone());
        trouble.map_or(Ok(()), Err)
    }

    /// The end of a run in which the remote refused everything: then it is the
    /// remote that is unwell, and not the files.
    pub(super) fn halt_if_all_was_refused(&self) -> Result<(), Halt> {
        let unwell = self.remote.as_ref().filter(|remote| !remote.has_confirmed);
        match unwell.and_then(|remote| remote.unwell.as_ref()) {
            Some(reason) if self.report.unprotected.total > 0 => Err(Halt::RemoteUnwell(format!(
                "the remote took nothing of this run, however often it was asked: {reason}"
            ))),
            _ => Ok(()),
        }
    }

    /// The end of a run in which the remote denied what is surely there.
    pub(super) fn halt_if_denied(&self) -> Result<(), Halt> {
        let Some(first) = self.lied_about.first() else { return Ok(()) };
        Err(Halt::RemoteUnwell(format!(
            "the remote denies {}, the first {}, and what is surely beside them: they are left as they are, and \
             everything else was sent",
            figures::files(self.lied_about.len() as u64),
            first
        )))
    }
}

/// Without a move or a copy on the server no companion anywhere helps.
fn check_can_move(job: &Job, features: &Features) -> Result<(), Halt> {
    if features.can_move_on_server() {
        return Ok(());
    }
    Err(Halt::Configuration(format!(
        "job {}: this kind of remote ({:?}) can neither move nor copy a file by itself: every old version would be \
         downloaded and uploaded again on its way to the trash, wherever the `companion` is. Use a remote of another kind",
        job.name, job.remote
    )))
}

/// What an earlier try left in the mirror when it was killed.
fn remove_scratch_files(connection: &Connection<'_>, mirror: &str) -> Result<(), Halt> {
    let failed = |failure| Halt::from_failure("removing the scratch file of an earlier try", &failure);
    let listing = connection.session.list_folder(mirror).map_err(failed)?;
    for left in listing.unwrap_or_default() {
        if left.name.starts_with(".treeferry-try-") {
            connection.session.delete_file(&join(mirror, &left.name)).map_err(failed)?;
        }
    }
    Ok(())
}

impl OpenRemote<'_> {
    /// Writes down what is about to be sent; gives it a number.
    pub(super) fn announce(&mut self, batch: &Batch) -> Result<u64, Halt> {
        self.batch_number += 1;
        self.journal.append_intent(self.batch_number, batch).map_err(Halt::fatal)?;
        Ok(self.batch_number)
    }

    /// Begins the journal anew, with what was sent before it and is still open.
    pub(super) fn restart_journal(
        &mut self,
        header: &Header,
        open: &[(Lane, &Vec<BatchItem>)],
        open_folder: Option<&TreePath>,
    ) -> Result<(), Halt> {
        let mut batches = Vec::new();
        for (lane, items) in open.iter().filter(|(_, items)| !items.is_empty()) {
            self.batch_number += 1;
            batches.push((self.batch_number, Batch { lane: *lane, items: items.to_vec() }));
        }
        self.journal.restart_with(header, &batches, open_folder).map_err(Halt::fatal)
    }

    /// Writes down outcomes of the latest batch that were not final when they
    /// came in.
    pub(super) fn settle_late(&mut self, settled: &[(u32, Settled)]) -> Result<(), Halt> {
        if settled.is_empty() {
            return Ok(());
        }
        self.journal.append_outcomes(self.batch_number, settled, Instant::now()).map_err(Halt::fatal)
    }

    /// Writes down where a folder is. When that fails, what is known goes into the ledger all the
    /// same, and the lanes end with it.
    pub(super) fn settle_folder(&mut self, folder: &TreePath, is_moved: bool) {
        if let Err(error) = self.journal.append_folder_outcome(folder, is_moved) {
            self.journal_trouble = Some(Halt::fatal(error));
        }
    }

    /// Those that were refused, and wait while another one knocks: they would have failed like it, as many as
    /// a remote that is unwell may refuse in a row.
    pub(super) fn count_waiting(&mut self, waiting: &Failed) {
        let refused = waiting.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
        self.equal_failures += refused.take(STANDING_FOR_MAX).count();
    }

    /// What it refused was about one path: it answers for others.
    pub(super) fn answers_for_others(&mut self) {
        self.unwell = None;
    }

    fn watch_failures(&mut self, batch: &Batch, outcomes: &[Outcome]) {
        let mut unwell = 0;
        for (item, outcome) in batch.items.iter().zip(outcomes) {
            match outcome {
                Outcome::Confirmed => self.has_confirmed = true,
                Outcome::Failed(failure) if failure.class == FailureClass::RemoteUnwell => {
                    self.unwell = Some(failure.reason.clone());
                    unwell += 1;
                }
                _ => {}
            }
            match outcome {
                // It says nothing of the remote.
                Outcome::Failed(_) if self.connection.transfer.is_refused_here(batch.lane, item) => {}
                // It takes other files: a row of large ones must not keep it from them.
                Outcome::Failed(failure) if is_too_large(failure) => {}
                Outcome::Failed(_) if batch.lane != Lane::Upload && unwell > UNWELL_PER_BATCH_MAX => {}
                Outcome::Failed(Failure { class, .. }) if Some(*class) == self.last_failure => {
                    self.equal_failures += 1;
                }
                Outcome::Failed(Failure { class, .. }) => {
                    self.last_failure = Some(*class);
                    self.equal_failures = 1;
                }
                Outcome::Confirmed => {
                    self.last_failure = None;
                    self.equal_failures = 0;
                }
                _ => {}
            }
        }
    }
}

/// What can be written down of an outcome at once. An upload without digest
/// (large files, files read under a stamp that was not settled) waits until it
/// was read.
fn settled_now(batch: &Batch, index: usize, outcome: &Outcome) -> Option<Settled> {
    let item = batch.items.get(index)?;
    Some(match outcome {
        Outcome::Confirmed if batch.lane == Lane::Upload && item.digest.is_none() => return None,
        Outcome::Confirmed => confirmed(item, false),
        Outcome::Unknown | Outcome::Unheard => Settled::Unknown,
        Outcome::Failed(_) => Settled::NotDone(NotDone::Failed),
        Outcome::ChangedMeanwhile => Settled::NotDone(NotDone::ChangedMeanwhile),
        Outcome::Vanished => Settled::NotDone(NotDone::Vanished),
        Outcome::NotAttempted => Settled::NotDone(NotDone::NotAttempted),
    })
}

/// A confirmation, for the journal.
pub(super) fn confirmed(item: &BatchItem, racy: bool) -> Settled {
    Settled::Confirmed { stamp: item.stamp, permissions: item.permissions, digest: item.digest, racy }
}
