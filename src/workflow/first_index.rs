//! The first index of a job whose mirror somebody else filled: what `import
//! snapshot` and `adopt` have in common. One says what the mirror holds by a list
//! of the script, the other by a listing; from there on it is one way.

use super::committed::{Aside, CommitNote, Committed};
use super::configuration::{Configuration, Job};
use super::connect::Connector;
use super::halt::Halt;
use super::opened::{Opened, map_mode, open_to_look, open_to_write};
use super::options::{BackupOptions, Guard};
use super::owner::Owner;
use super::report::{JobOutcome, JobReport};
use super::source::{self, Scanned};
use super::surroundings::Surroundings;
use super::take_over::{Claimed, TakeOver, Verdict};
use crate::index::{Edit, Facts, PendingStore, PendingTree, RunCounts};
use crate::model::TreePath;
use crate::scan::ExcludeRules;
use crate::transfer::NameEncoding;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// How something that exists already is taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Only say what would be known; no state is changed.
    pub dry_run: bool,
    /// `adopt`: sizes are enough, even where the remote knows hashes.
    pub size_only: bool,
    /// Guards that do not stop it.
    pub accept: Vec<Guard>,
}

/// Some paths by name, all by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The first ones.
    pub first: Vec<TreePath>,
    /// How many there are.
    pub total: u64,
}

impl Named {
    /// How many are kept by name.
    pub const NAMED_MAX: usize = 100;

    pub(super) fn add(&mut self, path: &TreePath) {
        self.total += 1;
        if self.first.len() < Self::NAMED_MAX {
            self.first.push(path.clone());
        }
    }
}

/// What was taken over.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenOver {
    /// Name of the job.
    pub job: String,
    /// Nothing was written down.
    pub dry_run: bool,
    /// What was read: files.
    pub from: Vec<PathBuf>,
    /// Held, and the same as in the source: not sent again.
    pub files_held: u64,
    /// Their sizes, in bytes.
    pub bytes_held: u64,
    /// Of these, how many were compared by a hash (`adopt` only).
    pub files_compared_by_hash: u64,
    /// On the mirror with another size or time: the next run replaces them.
    pub changed: Named,
    /// On the mirror, and gone from the source: the next run does as `on_delete` says.
    pub gone: Named,
    /// In the source, and not on the mirror: the next run sends them.
    pub new: Named,
    /// On the mirror, and not in the scope of the job: they stay there.
    pub kept: Named,
    /// Held under names that a mirror of our own would write in another way.
    pub odd_names: Named,
    /// On the mirror, and unknown to the source: left alone (`adopt` only).
    pub surplus: Named,
    /// Whose names the mirror has, where its owner file lets one presume something else (`adopt` only).
    pub names_after_all: Option<NamesBy>,
    /// Lines that cannot be a file below the source: the first ones.
    pub not_understood: Vec<LeftOut>,
    /// How many such lines there are.
    pub not_understood_total: u64,
    /// Names of the source that could not be looked at; each was told as unprotected.
    pub files_unreadable: u64,
    /// When the remote was last checked as a whole, in seconds since 1970 UTC.
    pub last_check_seconds: Option<i64>,
    /// How it ended.
    pub outcome: JobOutcome,
}

/// What a list names, and what is not taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The list, where several were read.
    pub file: Option<PathBuf>,
    /// From 1; 0: it is no list with lines.
    pub line: u64,
    /// As it stands there.
    pub text: String,
}

/// Who wrote the names of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesBy {
    /// As we write them.
    Treeferry,
    /// As rclone writes them by default.
    Rclone,
}

/// Lines that are shown when they can't be understood.
const LEFT_OUT_SHOWN_MAX: usize = 20;

impl TakenOver {
    /// Counts a line that is left out, and names it if it is one of the first.
    pub(super) fn leave_out(&mut self, line: u64, text: impl FnOnce() -> String) {
        self.leave_out_of(None, line, text);
    }

    /// The same, where it is one of several files that names it.
    pub(super) fn leave_out_of(&mut self, file: Option<&Path>, line: u64, text: impl FnOnce() -> String) {
        self.not_understood_total += 1;
        if self.not_understood.len() < LEFT_OUT_SHOWN_MAX {
            let file = file.map(Path::to_path_buf);
            self.not_understood.push(LeftOut { file, line, text: text() });
        }
    }

    /// The same, of files that others are said to lie in.
    pub(super) fn leave_out_folders(&mut self, dropped: &[(u64, TreePath)]) {
        for (line, path) in dropped {
            self.leave_out(*line, || format!("{path} (a file, and other lines lie in it)"));
        }
    }

    pub(super) fn new(job: &Job, dry_run: bool) -> Self {
        TakenOver {
            job: job.name.clone(),
            dry_run,
            from: Vec::new(),
            files_held: 0,
            bytes_held: 0,
            files_compared_by_hash: 0,
            changed: Named::default(),
            gone: Named::default(),
            new: Named::default(),
            kept: Named::default(),
            odd_names: Named::default(),
            surplus: Named::default(),
            names_after_all: None,
            not_understood: Vec::new(),
            not_understood_total: 0,
            files_unreadable: 0,
            last_check_seconds: None,
            outcome: JobOutcome::Protected,
        }
    }

    /// Counts one verdict; keeps what goes into the kept tree.
    pub(super) fn note(&mut self, verdict: &Verdict, kept: &mut Vec<Edit>) {
        match verdict {
            Verdict::Held(path, entry) => {
                self.files_held += 1;
                self.bytes_held += entry.stamp.size;
                self.note_name(path);
            }
            Verdict::Differs(path, _) => {
                self.changed.add(path);
                self.note_name(path);
            }
            Verdict::Gone(path, _) => {
                self.gone.add(path);
                self.note_name(path);
            }
            Verdict::New(path, _) => self.new.add(path),
            Verdict::Kept(path, entry) => {
                self.kept.add(path);
                self.note_name(path);
                kept.push(Edit::Put { path: path.clone(), entry: entry.clone() });
            }
            Verdict::Surplus(path, entry) => {
                self.surplus.add(path);
                kept.push(Edit::Put { path: path.clone(), entry: entry.clone() });
            }
            Verdict::Folder(..) | Verdict::Recorded(..) => {}
        }
    }

    fn note_name(&mut self, path: &TreePath) {
        if NameEncoding::differs_by_default(path) {
            self.odd_names.add(path);
        }
    }

    /// True when the next run has nothing to do.
    pub fn is_complete(&self) -> bool {
        self.changed.total + self.gone.total + self.new.total == 0
    }
}

/// The state of a job that has no index yet.
pub(super) fn open_unclaimed<'a>(
    configuration: &Configuration,
    job: &'a Job,
    surroundings: &'a Surroundings<'a>,
    dry_run: bool,
) -> Result<(Opened, Connector<'a>), Halt> {
    surroundings.halt_if_stopped()?;
    let opened = if dry_run {
        open_to_look(configuration, job, surroundings)?
    } else {
        open_to_write(configuration, job, surroundings)?
    };
    if opened.is_claimed {
        let state = configuration.state_dir_of(job);
        return Err(Halt::Configuration(format!(
            "job {} has an index already, and it is left as it is: `treeferry plan {}` says what the next run would \
             do. To begin anew from what the mirror is said to hold, move {} away first",
            job.name,
            job.name,
            state.display()
        )));
    }
    let connector = Connector::new(job, &opened.state, surroundings);
    Ok((opened, connector))
}

/// The source as it is now.
pub(super) struct Looked<'a> {
    pub(super) pending: PendingTree<'a>,
    pub(super) scanned: Scanned,
    pub(super) exclude: ExcludeRules,
}

/// Scans the source; no file is read.
pub(super) fn look_at_source<'a>(
    configuration: &Configuration,
    job: &Job,
    surroundings: &'a Surroundings<'a>,
    opened: &'a Opened,
    connector: &'a Connector<'a>,
    report: &mut TakenOver,
) -> Result<Looked<'a>, Halt> {
    let committed = Committed::of(opened, connector);
    let store = PendingStore::new(&opened.scratch, surroundings.observer);
    let started = OffsetDateTime::from_unix_timestamp(surroundings.now_seconds());
    let mut scan_report = JobReport::new(&job.name, started.unwrap_or(OffsetDateTime::UNIX_EPOCH));
    let options = BackupOptions::default();
    let scanned =
        source::scan(configuration, job, &options, &committed, &store, surroundings, &mut scan_report)?;
    report.files_unreadable = scanned.report.files_unreadable;
    let pending = store
        .finish(Some(scanned.report.root), Some(&opened.nodes), map_mode(&opened.scratch))
        .map_err(|error| Halt::Fatal(format!("completing the scan: {error}")))?;
    let exclude = ExcludeRules::compile(&job.exclude)
        .map_err(|error| Halt::Configuration(format!("job {}: {error}", job.name)))?;
    Ok(Looked { pending, scanned, exclude })
}

/// Who filled the mirror, and what that means for files that only it has.
pub(super) struct Whose {
    /// How its names are written.
    pub(super) encoding: NameEncoding,
    /// The owner file that lies there.
    pub(super) owner: Option<Owner>,
    /// What the source does not have stays on the mirror.
    pub(super) surplus_stays: bool,
}

/// Sets what the mirror is said to hold against the source, and tells. Unless it was only asked, writes the
/// first index, which claims the mirror.
pub(super) fn take_over(
    opened: &Opened,
    connector: &Connector<'_>,
    looked: &Looked<'_>,
    claimed: &[Claimed],
    whose: Whose,
    report: &mut TakenOver,
) -> Result<(), Halt> {
    let mut kept_edits = Vec::new();
    for verdict in walk(connector.job, looked, claimed, whose.surplus_stays) {
        report.note(&verdict?, &mut kept_edits);
    }
    if whose.encoding != NameEncoding::Default {
        report.odd_names = Named::default();
    }
    connector.surroundings.halt_if_stopped()?;
    if report.dry_run {
        return Ok(());
    }
    let edits = walk(connector.job, looked, claimed, whose.surplus_stays).flat_map(|verdict| match verdict {
        Ok(verdict) => verdict.edits().map(Ok).collect::<Vec<_>>(),
        Err(halt) => vec![Err(halt)],
    });
    commit(opened, connector, looked, edits, kept_edits, whose, report.is_complete())
}

/// The verdicts on all that the source or the list has.
pub(super) fn walk<'a>(
    job: &'a Job,
    looked: &'a Looked<'_>,
    claimed: &'a [Claimed],
    surplus_stays: bool,
) -> TakeOver<'a> {
    TakeOver::new(&looked.pending, claimed, &looked.exclude, &job.source, surplus_stays)
}

/// Writes the first index and claims the mirror.
fn commit(
    opened: &Opened,
    connector: &Connector<'_>,
    looked: &Looked<'_>,
    edits: impl Iterator<Item = Result<Edit, Halt>>,
    kept_edits: Vec<Edit>,
    whose: Whose,
    complete: bool,
) -> Result<(), Halt> {
    let mut committed = Committed::of(opened, connector);
    if let Some(owner) = whose.owner {
        // This machine goes on where the owner stopped: same mirror, later runs.
        let facts = &mut committed.docket.facts;
        facts.mirror_id = owner.mirror_id;
        facts.owner_sequence = owner.sequence;
        facts.owner_ahead = None;
        facts.last_run = owner.last_run;
        facts.oldest_retained_sequence = owner.last_run.map_or(0, |run| run.sequence + 1);
    }
    let scan = &looked.scanned.report;
    let facts = Facts {
        name_encoding: super::connect::code_of(whose.encoding),
        source_file_system: scan.identity.file_system,
        source_root_inode: scan.identity.root_inode,
        scan_started: scan.started,
        scope_digest: looked.scanned.scope_digest,
        complete,
        ..committed.facts_for(connector.job)
    };
    let now = connector.surroundings.now_seconds();
    let note = CommitNote { run: committed.next_run(now), finished_seconds: now, recovered: false };
    let aside = Aside { kept_edits, moved_away: Vec::new(), counts: RunCounts::default() };
    committed.commit(edits, aside, facts, &note).map(drop)
}
