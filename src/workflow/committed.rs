//! What is committed: the docket, the node file behind it, and the one way to
//! the next.

use super::configuration::Job;
use super::connect::{Connector, code_of};
use super::halt::Halt;
use super::opened::Opened;
use crate::commit::{SideFile, StateDir, docket_digest};
use crate::disk::RealDisk;
use crate::index::{
    Docket, Edit, Facts, MovedAway, NameFacts, NodeFile, RewriteError, Root, RunCounts, RunRecord, Tree,
    append_run_record, rewrite,
};
use crate::journal::{Header, JournalWriter};
use crate::model::{RunId, TreePath};
use crate::observe::Observer;
use crate::transfer::NameEncoding;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;

/// The committed state of one job, as one process sees it.
pub(super) struct Committed<'a> {
    pub(super) state: &'a StateDir,
    pub(super) nodes: &'a NodeFile,
    pub(super) docket: Docket,
    /// False until the first docket is on disk: nothing was ever sent.
    pub(super) is_claimed: bool,
    /// Paths at which the mirror may hold junk of an upload that was not confirmed.
    pub(super) doubts: BTreeSet<TreePath>,
    /// Paths at which it may hold what a damaged index has forgotten, as the run began.
    pub(super) unknown: &'a BTreeSet<TreePath>,
    pub(super) observer: &'a dyn Observer,
    /// A commit failed: what it was to hold is in the journal only, so this process commits no other.
    pub(super) has_failed: bool,
    disk: &'a RealDisk<'a>,
    /// Of the docket as it is on disk, whatever was changed in memory since.
    digest_on_disk: [u8; 32],
}

/// What a commit holds beside the edits of the base.
#[derive(Default)]
pub(super) struct Aside {
    pub(super) kept_edits: Vec<Edit>,
    pub(super) moved_away: Vec<MovedAway>,
    pub(super) counts: RunCounts,
}

/// Who commits, and when.
pub(super) struct CommitNote {
    pub(super) run: RunId,
    pub(super) finished_seconds: i64,
    /// The run was interrupted; this is what its journal held.
    pub(super) recovered: bool,
}

impl<'a> Committed<'a> {
    /// The state as it was opened.
    pub(super) fn of(opened: &'a Opened, connector: &'a Connector<'a>) -> Self {
        Committed {
            state: &opened.state,
            nodes: &opened.nodes,
            docket: opened.docket.clone(),
            is_claimed: opened.is_claimed,
            doubts: opened.doubts.clone(),
            unknown: &opened.unknown,
            observer: connector.surroundings.observer,
            has_failed: false,
            disk: &connector.disk,
            digest_on_disk: opened.digest_on_disk,
        }
    }

    /// The run id that the next changing run gets.
    pub(super) fn next_run(&self, now_seconds: i64) -> RunId {
        let sequence = self.docket.facts.last_run.map_or(0, |run| run.sequence) + 1;
        RunId { sequence, started_seconds: now_seconds }
    }

    /// The facts with what the configuration says now.
    pub(super) fn facts_for(&self, job: &Job) -> Facts {
        let mut facts = self.docket.facts.clone();
        facts.source = job.source.as_os_str().as_bytes().to_vec();
        facts.remote = job.remote.to_string();
        facts.companion = job.companion.to_string();
        facts
    }

    /// Makes the mirror ours on this side: from now on there is a docket, even if
    /// nothing is held yet, so that a first run that is killed goes on.
    pub(super) fn claim(&mut self, job: &Job, encoding: NameEncoding) -> Result<(), Halt> {
        if self.is_claimed {
            return Ok(());
        }
        self.docket.facts = Facts { name_encoding: code_of(encoding), ..self.facts_for(job) };
        self.promote(self.docket.clone())
    }

    /// Remembers the newest owner file, once it is accepted as ours. It may be one ahead,
    /// of a run that wrote it and did not come to its end: only one such run is remembered.
    pub(super) fn remember_owner(&mut self, sequence: u64) -> Result<(), Halt> {
        if sequence == self.docket.facts.owner_sequence {
            return Ok(());
        }
        let mut docket = self.docket.clone();
        docket.facts.owner_sequence = sequence;
        docket.facts.owner_ahead = None;
        self.promote(docket)
    }

    /// Remembers what the remote makes of names.
    pub(super) fn remember_names(&mut self, names: NameFacts) -> Result<(), Halt> {
        if names == self.docket.facts.names {
            return Ok(());
        }
        let mut docket = self.docket.clone();
        docket.facts.names = names;
        self.promote(docket)
    }

    /// Remembers where the mirror is, once the owner file there is ours.
    pub(super) fn remember_remote(&mut self, job: &Job) -> Result<(), Halt> {
        let remote = job.remote.to_string();
        if remote == self.docket.facts.remote {
            return Ok(());
        }
        let mut docket = self.docket.clone();
        docket.facts.remote = remote;
        self.promote(docket)
    }

    /// Remembers how the companion can be reached.
    pub(super) fn remember_companion(&mut self, companion: String, movable: u8) -> Result<(), Halt> {
        let mut docket = self.docket.clone();
        docket.facts.companion = companion;
        docket.facts.companion_movable = movable;
        self.promote(docket)
    }

    /// Runs up to this one have no trash any more: what they moved away is gone.
    pub(super) fn retire_up_to(&mut self, run: RunId) -> Result<(), Halt> {
        let mut docket = self.docket.clone();
        docket.facts.oldest_retained_sequence = run.sequence + 1;
        docket.live_bytes = Docket::LIVE_BYTES_UNKNOWN;
        self.promote(docket)
    }

    fn promote(&mut self, mut docket: Docket) -> Result<(), Halt> {
        let writer = self.nodes.writer(self.observer);
        docket.committed_length = writer.sync().map_err(|error| self.cannot_write(error))?;
        if docket.live_bytes != Docket::LIVE_BYTES_UNKNOWN {
            docket.live_bytes += docket.committed_length - self.docket.committed_length;
        }
        self.save_doubts()?;
        let bytes = docket.encode();
        self.state.promote(self.disk, &bytes).map_err(Halt::fatal)?;
        self.digest_on_disk = docket_digest(Some(&bytes));
        self.docket = docket;
        self.is_claimed = true;
        Ok(())
    }

    /// Where the docket is written to.
    pub(super) fn disk(&self) -> &'a RealDisk<'a> {
        self.disk
    }

    fn cannot_write(&self, error: std::io::Error) -> Halt {
        Halt::Fatal(format!("writing the index {}: {error}", self.nodes.path().display()))
    }

    /// A fresh journal that belongs to the docket as it is now.
    pub(super) fn start_journal(&self, run: RunId) -> Result<JournalWriter<'a>, Halt> {
        JournalWriter::create(self.disk, &self.state.journal_path(), &self.journal_header(run))
            .map_err(Halt::fatal)
    }

    /// What ties a journal to this run and to the docket as it is now.
    pub(super) fn journal_header(&self, run: RunId) -> Header {
        Header { run, belongs_to: self.docket_digest() }
    }

    /// Names the docket in the journal that belongs to it.
    pub(super) fn docket_digest(&self) -> [u8; 32] {
        self.digest_on_disk
    }

    /// Removes the journal: everything in it is committed.
    pub(super) fn remove_journal(&self) -> Result<(), Halt> {
        let path = self.state.journal_path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Halt::Fatal(format!("removing the journal {}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Commits: nodes, record, sync, then the one rename. Gives back the bytes
    /// appended to the index; 0 when nothing had to be written.
    pub(super) fn commit<E: Display>(
        &mut self,
        edits: impl IntoIterator<Item = Result<Edit, E>>,
        aside: Aside,
        facts: Facts,
        note: &CommitNote,
    ) -> Result<u64, Halt> {
        let written = self.append_and_promote(edits, aside, facts, note);
        self.has_failed |= written.is_err();
        written
    }

    fn append_and_promote<E: Display>(
        &mut self,
        edits: impl IntoIterator<Item = Result<Edit, E>>,
        aside: Aside,
        facts: Facts,
        note: &CommitNote,
    ) -> Result<u64, Halt> {
        let writer = self.nodes.writer(self.observer);
        let length_before = self.nodes.length();
        let base_before = self.docket.base;
        let base = rewrite(&self.tree(base_before), edits, &writer).map_err(not_rewritten)?;
        let kept_edits = aside.kept_edits.into_iter().map(Ok::<_, Infallible>);
        let kept = rewrite(&self.tree(self.docket.kept), kept_edits, &writer).map_err(not_rewritten)?;
        let is_new = base != base_before || kept != self.docket.kept || !aside.moved_away.is_empty();
        if !is_new && facts == self.docket.facts {
            return Ok(0);
        }
        let mut docket = Docket { base, kept, facts, ..self.docket.clone() };
        if is_new {
            if self.docket.facts.last_run == Some(note.run) {
                // The checkpoint before is no state of its own any more.
                docket.live_bytes = Docket::LIVE_BYTES_UNKNOWN;
            }
            docket.facts.last_run = Some(note.run);
            docket.facts.last_run_ended_seconds = note.finished_seconds;
            let record = RunRecord {
                run: note.run,
                finished_seconds: note.finished_seconds,
                root_before: base_before,
                root_after: base,
                kept_after: kept,
                previous: self.docket.newest_record,
                counts: aside.counts,
                recovered: note.recovered,
            };
            docket.newest_record =
                Some(append_run_record(&writer, &record, aside.moved_away).map_err(Halt::fatal)?);
        }
        self.promote(docket)?;
        Ok(self.nodes.length() - length_before)
    }

    /// Puts hashes into the base: no change of what the mirror holds, so no run and
    /// no record. Gives back the bytes appended to the index.
    pub(super) fn fill_in(&mut self, edits: Vec<Edit>) -> Result<u64, Halt> {
        let writer = self.nodes.writer(self.observer);
        let length_before = self.nodes.length();
        let edits = edits.into_iter().map(Ok::<_, Infallible>);
        let base = rewrite(&self.tree(self.docket.base), edits, &writer).map_err(not_rewritten)?;
        if base != self.docket.base {
            self.promote(Docket { base, ..self.docket.clone() })?;
        }
        Ok(self.nodes.length() - length_before)
    }

    fn tree(&self, root: Option<Root>) -> Tree<'_> {
        Tree::new(self.nodes, root, self.observer)
    }

    /// Writes down where junk may lie; before the docket, so that no doubt is lost.
    pub(super) fn save_doubts(&self) -> Result<(), Halt> {
        let bytes = doubts_bytes(&self.doubts);
        let saved = self.state.read_side_file(SideFile::Doubts).map_err(Halt::fatal)?.unwrap_or_default();
        if saved == bytes {
            return Ok(());
        }
        self.state.write_side_file(self.disk, SideFile::Doubts, &bytes).map_err(Halt::fatal)
    }
}

fn not_rewritten<E: Display>(error: RewriteError<E>) -> Halt {
    match error {
        RewriteError::Read(damage) => Halt::damaged_index(damage),
        other => Halt::fatal(other),
    }
}

/// A doubts file, or one of unknown paths: each ended by a NUL byte, which no name holds.
pub(super) fn doubts_bytes(paths: &BTreeSet<TreePath>) -> Vec<u8> {
    paths.iter().flat_map(|path| [path.as_bytes(), b"\0"].concat()).collect()
}

/// The paths that [`doubts_bytes`] wrote.
pub(super) fn parse_doubts(bytes: &[u8]) -> BTreeSet<TreePath> {
    bytes
        .split(|&byte| byte == 0)
        .filter(|path| !path.is_empty())
        .filter_map(|path| TreePath::from_bytes(path).ok())
        .collect()
}
