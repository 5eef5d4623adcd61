//! One run of one job: what it holds while the lanes work, and its checkpoints.
//! The recipe itself stands in `backup.rs`, what the lanes ask of the remote in
//! `uploading.rs`, `trashing.rs` and `removing.rs`.

use super::committed::{CommitNote, Committed};
use super::configuration::{Job, Links, OnDelete};
use super::connect::Connector;
use super::halt::Halt;
use super::lanes::{Candidate, Prepared};
use super::ledger::Ledger;
use super::mounts::MountMemory;
use super::options::{BackupOptions, Guard};
use super::quarantine::{Quarantine, Verdict};
use super::remote::OpenRemote;
use super::report::JobReport;
use super::source::Scanned;
use super::spending::Measured;
use super::surroundings::Surroundings;
use super::views::{Kept, Views};
use super::{owner, settle};
use crate::diff::{Equality, diff};
use crate::index::{Facts, PendingTree, RunCounts};
use crate::model::{BatchItem, EntryKind, Lane, RunId, Timestamp, TreePath};
use crate::observe::{Event, Observer, Phase};
use crate::plan::{Budget, Policy};
use crate::scan::{Presence, RootDirectory, SecondLook, SourceIdentity, presence};
use crate::transfer::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Instant;

/// A checkpoint is committed after so many confirmed outcomes …
const CHECKPOINT_OUTCOMES: usize = 50_000;
/// … or after so much time, whichever comes first.
const CHECKPOINT_SECONDS: i64 = 15 * 60;
/// Paths of one batch at the most: after a crash one batch is looked at.
const BATCH_FILES_MAX: usize = 10_000;

/// What the scan found out about the source, for the docket.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScanFacts {
    pub(super) identity: SourceIdentity,
    pub(super) started: Timestamp,
    pub(super) scope_digest: [u8; 32],
    /// The clock was set back since the base was scanned: from here on no stamp proves anything.
    pub(super) distrusted_from: Option<Timestamp>,
    /// No name of the base was passed over unread, so that none can be out of scope unseen.
    pub(super) has_matched_all: bool,
}

/// A run under way.
pub(super) struct JobRun<'a> {
    pub(super) job: &'a Job,
    pub(super) connector: &'a Connector<'a>,
    pub(super) options: &'a BackupOptions,
    pub(super) surroundings: &'a Surroundings<'a>,
    pub(super) committed: Committed<'a>,
    pub(super) ledger: Ledger,
    pub(super) report: &'a mut JobReport,
    pub(super) remote: Option<OpenRemote<'a>>,
    source: &'a RootDirectory,
    pending: &'a PendingTree<'a>,
    pub(super) scan: ScanFacts,
    pub(super) mounts: &'a MountMemory,
    /// Paths at or below which nothing may go up in this run.
    blocked: BTreeSet<TreePath>,
    /// What must leave the mirror before something of the same name there can go up, and what waits for it.
    leaving_first: BTreeMap<TreePath, TreePath>,
    /// Folders that left as one piece in this run.
    pub(super) moved_folders: BTreeSet<TreePath>,
    /// Sent, and where they are now is not known. Not empty only while a lane is
    /// looking, or after that failed: then the next run has to look.
    pub(super) unresolved: Vec<(Lane, BatchItem)>,
    pub(super) unresolved_folder: Option<TreePath>,
    /// Versions that the remote denies, and is not believed: left as they are, and the next run has to look.
    pub(super) denied: Vec<BatchItem>,
    /// Those of them that it denies together with what is surely beside them.
    pub(super) lied_about: Vec<TreePath>,
    /// Paths below a damaged node of the base: something may lie there or not.
    pub(super) never_known: BTreeSet<TreePath>,
    /// Files that were seen to lie where folders come, and left: nothing lies below them.
    pub(super) files_above: BTreeSet<TreePath>,
    has_said_kept_is_damaged: bool,
    pub(super) quarantine: Quarantine,
    last_checkpoint_seconds: i64,
    /// How fast uploads were so far in this run.
    pub(super) measured: Measured,
    /// For `pause`.
    pub(super) last_operation_ended: Option<Instant>,
    /// The old versions of a pair are in the trash: its uploads know no deadline.
    pub(super) is_within_pair: bool,
    /// Files that do not fit into a whole `--max-transfer`.
    pub(super) skipped_for_budget: u64,
    /// A batch was given up before all of its files had their turn.
    pub(super) has_not_reached: bool,
    /// Figures that a record of this run has already.
    recorded: RunCounts,
}

impl<'a> JobRun<'a> {
    /// A run that knows what the source holds now.
    pub(super) fn new(
        connector: &'a Connector<'a>,
        options: &'a BackupOptions,
        committed: Committed<'a>,
        source: &'a RootDirectory,
        pending: &'a PendingTree<'a>,
        scanned: &'a Scanned,
        report: &'a mut JobReport,
    ) -> Self {
        let scan = ScanFacts {
            identity: scanned.report.identity,
            started: scanned.report.started,
            scope_digest: scanned.scope_digest,
            distrusted_from: distrusted_from(&committed.docket.facts, scanned.report.started),
            has_matched_all: scanned.report.files_unreadable == 0 || committed.docket.base.is_none(),
        };
        JobRun {
            job: connector.job,
            connector,
            options,
            surroundings: connector.surroundings,
            committed,
            ledger: Ledger::default(),
            report,
            remote: None,
            source,
            pending,
            scan,
            mounts: &scanned.mounts,
            blocked: BTreeSet::new(),
            leaving_first: BTreeMap::new(),
            moved_folders: BTreeSet::new(),
            unresolved: Vec::new(),
            unresolved_folder: None,
            denied: Vec::new(),
            lied_about: Vec::new(),
            never_known: BTreeSet::new(),
            files_above: BTreeSet::new(),
            has_said_kept_is_damaged: false,
            quarantine: Quarantine::default(),
            last_checkpoint_seconds: connector.surroundings.now_seconds(),
            measured: Measured::default(),
            last_operation_ended: None,
            is_within_pair: false,
            skipped_for_budget: 0,
            has_not_reached: false,
            recorded: RunCounts::default(),
        }
    }

    /// False when the mirror is known to hold all that is to be held, and the
    /// docket says so already.
    ///
    /// # Errors
    /// When the job means another remote than before, as was accepted, and that is not ours;
    /// when the quarantine cannot be read.
    pub(super) fn has_work(&mut self, scanned: &Scanned) -> Result<bool, Halt> {
        self.quarantine = Quarantine::load(self.committed.state)?;
        let facts = &self.committed.docket.facts;
        let is_other_remote = facts.remote != self.job.remote.to_string();
        if self.committed.is_claimed && is_other_remote && !self.options.dry_run {
            // The index speaks of the old remote, and somebody said that the same files lie in the new one: the
            // owner file must say so, too.
            self.open_remote()?;
            return Ok(true);
        }
        let same_tree = self.committed.docket.base.map(|base| base.pointer) == Some(scanned.report.root);
        let same_facts =
            facts_but_for_the_clock(&self.facts()) == facts_but_for_the_clock(&self.committed.docket.facts);
        let retires = self.options.accepts(Guard::Kept) || self.options.accepts(Guard::Excluded);
        let accepted_kept = retires && self.has_kept();
        Ok(!same_tree || !same_facts || !self.committed.doubts.is_empty() || accepted_kept)
    }

    /// What the job is configured to do with what vanished.
    pub(super) fn policy(&self) -> Policy<'a> {
        Policy {
            keep_deleted: self.job.on_delete == OnDelete::Keep,
            remove_out_of_scope: self.options.accepts(Guard::Excluded),
            unknown: self.committed.unknown,
        }
    }

    /// How much goes into one batch: a quarter of the free memory, so that
    /// rclone reads from the page cache what was just hashed.
    pub(super) fn budget(&self) -> Budget {
        let quarter = crate::disk::available_memory_bytes().unwrap_or(1 << 30) / 4;
        Budget {
            files_max: if self.job.pause.is_zero() { BATCH_FILES_MAX } else { 1 },
            bytes_max: quarter.clamp(64 << 20, 8 << 30),
            list_bytes_max: 4 << 20,
        }
    }

    pub(super) fn source(&self) -> &'a RootDirectory {
        self.source
    }

    /// How the source is looked at a second time.
    pub(super) fn looking(&self) -> SecondLook<'_> {
        SecondLook {
            root: self.source,
            follow: self.job.links == Links::Follow,
            cross_mounts: self.job.cross_mounts,
            mounts: self.mounts.there(),
        }
    }

    /// Whether a path is in the source right now.
    pub(super) fn presence(&self, path: &TreePath) -> Presence {
        presence(&self.looking(), path)
    }

    /// The source has nothing at `path`, and that is certain.
    pub(super) fn is_gone(&self, path: &TreePath) -> bool {
        matches!(self.presence(path), Presence::Absent)
    }

    pub(super) fn observer(&self) -> &'a dyn Observer {
        self.surroundings.observer
    }

    /// The trees as they are now.
    pub(super) fn views(&self) -> Views<'a> {
        Views {
            nodes: self.committed.nodes,
            base: self.committed.docket.base,
            kept: self.committed.docket.kept,
            pending: self.pending,
            equality: self.scan.distrusted_from.map_or(Equality::Stamp, Equality::StampBefore),
            observer: self.surroundings.observer,
        }
    }

    /// Nothing goes up at or below `path` in this run.
    pub(super) fn block(&mut self, path: TreePath, reason: &str) {
        // Who says why it could not leave has named it already.
        if !self.report.unprotected.names(&path) {
            self.unprotected(&path, reason);
        }
        self.blocked.insert(path);
    }

    pub(super) fn is_blocked(&self, path: &TreePath) -> bool {
        is_below_any(&self.blocked, path)
    }

    pub(super) fn blocked_paths(&self) -> BTreeSet<TreePath> {
        self.blocked.clone()
    }

    /// `leaves` has a name on the mirror that is the same there as that of `waits`.
    pub(super) fn leave_first(&mut self, leaves: TreePath, waits: TreePath) {
        self.leaving_first.insert(leaves, waits);
    }

    /// What waits until `path`, or a folder above it, has left the mirror.
    pub(super) fn waiting_for(&self, path: &TreePath) -> Option<TreePath> {
        if self.leaving_first.is_empty() {
            return None;
        }
        let ancestors = std::iter::successors(Some(path.clone()), TreePath::parent);
        ancestors.into_iter().find_map(|leaves| self.leaving_first.get(&leaves)).cloned()
    }

    /// Names something in scope that is not on the mirror.
    pub(super) fn unprotected(&mut self, path: &TreePath, reason: &str) {
        self.observer().event(&Event::Unprotected { path, reason });
        self.report.unprotected.add(path.clone(), reason);
    }

    /// Something people should know, though nothing is lost.
    pub(super) fn warn(&mut self, sentence: String) {
        self.observer().event(&Event::Warning(&sentence));
        self.report.warnings.push(sentence);
    }

    /// Keeps what was read, reports the rest.
    pub(super) fn sort_out(&mut self, prepared: Vec<Prepared>) -> Vec<Candidate> {
        let mut ready = Vec::with_capacity(prepared.len());
        for one in prepared {
            match one {
                Prepared::Ready(candidate) => ready.extend(self.out_of_quarantine(*candidate)),
                // Deleted since the scan: the next run sees it as such.
                Prepared::Vanished => {}
                Prepared::Refused(path, reason) => {
                    self.report.files_failed += 1;
                    self.unprotected(&path, &reason);
                }
            }
        }
        ready
    }

    /// Holds back what is known to be rotten: the mirror has the good version.
    fn out_of_quarantine(&mut self, candidate: Candidate) -> Option<Candidate> {
        let Candidate { path, pending, .. } = &candidate;
        let is_accepted = self.options.accepts(Guard::ChangedContent);
        let is_rotten = match self.quarantine.verdict(path, &pending.stamp, pending.digest) {
            Verdict::Rotten => true,
            // Where the index cannot tell, it is not believed to be healed.
            Verdict::Another => {
                let held = self.views().base_entry(path).ok().flatten().or_else(|| {
                    match self.views().kept_entry(path) {
                        Kept::Held(kept) => Some(*kept),
                        Kept::Nothing | Kept::NotKnown => None,
                    }
                });
                held.is_none_or(|held| held.digest.is_none() || held.digest != pending.digest)
            }
            Verdict::Rewritten => {
                self.warn(format!("{path}: it was rotten, and was written since: it is no longer held back"));
                false
            }
            Verdict::Free => false,
        };
        if is_rotten && !is_accepted {
            let path = path.clone();
            let is_newest = self.views().base_entry(&path).is_ok_and(|held| held.is_some());
            // Two whole sentences: each is looked up in Chinese as it stands.
            let told = if is_newest {
                "bit rot, found by `verify --source`: it does not replace the good version on the remote. \
                 `treeferry restore` gets that back; --accept changed-content sends the file as it is"
            } else {
                "bit rot, found by `verify --source`: it does not replace the good version on the remote. \
                 `treeferry restore` gets that back from a snapshot that had it (--at); --accept changed-content sends \
                 the file as it is"
            };
            self.unprotected(&path, told);
            return None;
        }
        self.quarantine.lift(path);
        Some(candidate)
    }

    /// The mirror holds this content already: only the stamp is new.
    pub(super) fn refresh(&mut self, candidate: Candidate) {
        self.forget_kept(&candidate.path, candidate.pending.kind == EntryKind::Symlink);
        let Candidate { path, pending, base } = candidate;
        let pending = match &base {
            Some(base) => pending.filled_in_like(base),
            None => pending,
        };
        self.ledger.held(path, pending);
        // The plan counted it as changed, for want of a look.
        if self.report.files_changed > 0 {
            self.report.files_changed -= 1;
            self.report.files_unchanged += 1;
        }
    }

    /// It has left the mirror: see [`super::ledger::Ledger::object_gone`].
    pub(super) fn note_gone(&mut self, item: &BatchItem) {
        let known = self.views().base_entry(&item.path).ok().flatten();
        self.ledger.object_gone(item, known.as_ref());
    }

    /// What is in the source again is not kept any more, but held. A link and a file of one path are two
    /// objects of the mirror: only what is of the same kind is the same.
    pub(super) fn forget_kept(&mut self, path: &TreePath, as_link: bool) {
        match self.views().kept_entry(path) {
            Kept::Held(kept) if kept.is_object(as_link) => {
                self.ledger.unkeep(path.clone());
            }
            Kept::Nothing | Kept::Held(_) => {}
            // What else that directory keeps would be forgotten with it.
            Kept::NotKnown => self.say_kept_is_damaged(path),
        }
    }

    /// Once in a run is enough.
    pub(super) fn say_kept_is_damaged(&mut self, path: &TreePath) {
        if !std::mem::replace(&mut self.has_said_kept_is_damaged, true) {
            self.warn(format!(
                "the index is damaged: it can't be told what the mirror keeps around {path}. What lies there stays, but \
                 for what new files replace, which goes to the trash; look after the disk that holds {}",
                self.committed.state.path().display()
            ));
        }
    }

    /// True when anything is kept on the mirror.
    pub(super) fn has_kept(&self) -> bool {
        self.views().keeps_anything()
    }

    /// The id of this run, whether or not it opened the remote.
    pub(super) fn run_id(&self) -> RunId {
        match &self.remote {
            Some(remote) => remote.run,
            None => self.committed.next_run(self.report.started.unix_timestamp()),
        }
    }

    fn note(&self) -> CommitNote {
        CommitNote { run: self.run_id(), finished_seconds: self.surroundings.now_seconds(), recovered: false }
    }

    /// Commits what is confirmed so far, when it is time for that.
    pub(super) fn checkpoint_if_due(&mut self) -> Result<(), Halt> {
        let age_seconds = self.surroundings.now_seconds() - self.last_checkpoint_seconds;
        let due = self.ledger.len() >= CHECKPOINT_OUTCOMES
            || (age_seconds >= CHECKPOINT_SECONDS && !self.ledger.is_empty());
        if due { self.checkpoint() } else { Ok(()) }
    }

    /// Commits what is confirmed so far. The scan's own facts wait for the end.
    ///
    /// # Errors
    /// When it fails, the ledger is gone: the journal stays as it is, and the run commits nothing more.
    pub(super) fn checkpoint(&mut self) -> Result<(), Halt> {
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.counts = self.counts_to_record();
        let aside = ledger.take_aside();
        let edits = ledger.base_edits().into_iter().map(Ok::<_, Infallible>);
        let scope_digest = self.scope_digest_under_way();
        let facts = Facts { scope_digest, ..self.committed.docket.facts.clone() };
        let note = self.note();
        self.report.run_id = Some(note.run);
        self.report.index_bytes_written += self.committed.commit(edits, aside, facts, &note)?;
        self.last_checkpoint_seconds = note.finished_seconds;
        if let Some(remote) = &mut self.remote {
            let header = self.committed.journal_header(remote.run);
            remote.restart_journal(&header, &[(Lane::Trash, &self.denied)], None)?;
        }
        Ok(())
    }

    /// What the next record of this run tells: the figures since the one before.
    fn counts_to_record(&mut self) -> RunCounts {
        let report = &self.report;
        let counts = RunCounts {
            files_new: report.files_new,
            files_changed: report.files_changed,
            files_deleted: report.files_deleted,
            files_uploaded: report.files_uploaded,
            bytes_uploaded: report.bytes_uploaded,
            files_trashed: report.files_trashed,
            files_failed: report.files_failed,
            files_unprotected: report.unprotected.total,
        };
        let since = counts.since(self.recorded);
        self.recorded = counts;
        since
    }

    /// True when a guard, or the lack of a remote, ended the run before the mirror
    /// was ours: then nothing at all is written.
    pub(super) fn was_stopped_before_sending(&self, driven: &Result<(), Halt>) -> bool {
        driven.is_err() && self.remote.is_none() && !self.committed.is_claimed
    }

    /// The end of every run that got as far as the lanes: the owner file, then
    /// the commit of everything that is confirmed.
    /// The owner file is written when the lanes came to their end, be it that of the budget.
    pub(super) fn finish(&mut self, driven: &Result<(), Halt>) -> Result<(), Halt> {
        if self.committed.has_failed {
            // Without what that commit was to hold, another one would leave the journal behind that knows it.
            return Err(Halt::Fatal(
                "a commit failed: the next run takes what was sent from the journal".into(),
            ));
        }
        let ended_in_order = matches!(driven, Ok(()) | Err(Halt::BudgetSpent(_)));
        let mut facts = self.facts();
        facts.complete = driven.is_ok() && self.report.unprotected.total == 0 && !self.has_not_reached;
        if self.scan.distrusted_from.is_some() && !facts.complete {
            // What was not read again has its turn when the next scan finds the clock set back, too.
            facts.scan_started = self.committed.docket.facts.scan_started;
        }
        self.settle_scope(&mut facts);
        self.observer().event(&Event::PhaseStarted(Phase::Commit));
        if self.committed.is_claimed {
            // Before anything that could end the journal: it is the only other place that knows them.
            self.committed.save_doubts()?;
        }
        let owned = if ended_in_order { self.write_owner(&mut facts) } else { Ok(None) };
        let superseded = owned.as_ref().ok().cloned().flatten();
        std::thread::scope(|scope| {
            if let Some((session, file)) = superseded {
                // Two owner files do no harm (the newest counts), so a failure here is none.
                scope.spawn(move || session.delete_file(&file));
            }
            self.commit_all(facts)
        })?;
        owned.map(|_| ())
    }

    fn commit_all(&mut self, facts: Facts) -> Result<(), Halt> {
        self.let_go_of_deleted_rot();
        let views = self.views();
        let policy = self.policy();
        let note = self.note();
        let base = views.base();
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.counts = self.counts_to_record();
        let aside = ledger.take_aside();
        let edits = settle::edits(diff(&base, views.pending, views.equality), policy, &ledger);
        let written = self.committed.commit(edits, aside, facts, &note)?;
        if written > 0 {
            self.report.run_id = Some(note.run);
        }
        self.report.index_bytes_written += written;
        self.end_journal()?;
        self.forget_mounts()?;
        self.quarantine.save_lifted(self.committed.state, &self.connector.disk)
    }

    /// Everything in the journal is committed, but for moves of which it is not
    /// known where they ended: those begin the next journal, for the next run to
    /// look at.
    fn end_journal(&mut self) -> Result<(), Halt> {
        let Some(remote) = &mut self.remote else { return self.committed.remove_journal() };
        if self.unresolved.is_empty() && self.unresolved_folder.is_none() && self.denied.is_empty() {
            return self.committed.remove_journal();
        }
        let unresolved = |lane: Lane| -> Vec<BatchItem> {
            let of_lane = self.unresolved.iter().filter(|(of, _)| *of == lane);
            of_lane.map(|(_, item)| item.clone()).collect()
        };
        let (moves, deletions) = (unresolved(Lane::Trash), unresolved(Lane::Delete));
        let open = [(Lane::Trash, &moves), (Lane::Delete, &deletions), (Lane::Trash, &self.denied)];
        let header = self.committed.journal_header(remote.run);
        remote.restart_journal(&header, &open, self.unresolved_folder.as_ref())
    }

    /// What the docket says of the job after this run.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            source_file_system: self.scan.identity.file_system,
            source_root_inode: self.scan.identity.root_inode,
            scan_started: self.scan.started,
            scope_digest: self.scope_digest_if_settled(),
            ..self.committed.facts_for(self.job)
        }
    }

    /// Gives back the owner file that is not needed any more.
    fn write_owner(&mut self, facts: &mut Facts) -> Result<Option<(Session<'a>, String)>, Halt> {
        let (belief, patience) = (self.belief(), self.patience());
        self.keep_the_pause()?;
        if let Some(remote) = &mut self.remote {
            // The next run must know that this one may have come as far as writing it.
            remote.journal.append_owner_intent(remote.owner_sequence + 1).map_err(Halt::fatal)?;
            facts.owner_ahead = Some(remote.run);
            let session = remote.connection.session;
            facts.owner_sequence =
                owner::write(&session, &belief, remote.owner_sequence, remote.run, &patience)?;
            facts.owner_ahead = None;
            return Ok(owner::superseded(&belief, remote.owner_sequence).map(|file| (session, file)));
        }
        Ok(None)
    }
}

/// When the clock was set back since the scan before, the time from which on stamps may come twice. The
/// margin is the longest that the scan has for a file system: files that it trusts are not asked for.
fn distrusted_from(facts: &Facts, started: Timestamp) -> Option<Timestamp> {
    const MARGIN_SECONDS: i64 = 60;
    (facts.scan_started > started).then(|| Timestamp { seconds: started.seconds - MARGIN_SECONDS, ..started })
}

/// The scan's own time changes with every run and must not make a commit.
fn facts_but_for_the_clock(facts: &Facts) -> Facts {
    Facts { scan_started: Timestamp::default(), ..facts.clone() }
}

/// True when one of `roots` is `path` or lies above it.
pub(super) fn is_below_any(roots: &BTreeSet<TreePath>, path: &TreePath) -> bool {
    let mut above = Some(path.clone());
    while let Some(candidate) = above {
        if roots.contains(&candidate) {
            return true;
        }
        above = candidate.parent();
    }
    false
}
