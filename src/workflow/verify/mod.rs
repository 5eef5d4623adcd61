//! The recipe `verify`: is everything still what the index says?

mod alike;
mod content;
pub(super) mod last_verified;
mod options;
mod portions;
mod progress;
mod remote;
mod repair;
mod sorted_listing;
mod source;
mod subset;

pub use options::{VerifyOptions, VerifyReport, What};
pub(super) use progress::CheckProgress;
pub use subset::Subset;

use super::budget::RunBudget;
use super::check_state::CheckState;
use super::configuration::{Configuration, Job};
use super::figures;
use super::guards;
use super::halt::{Halt, worse_of};
use super::history::open_with_index;
use super::job_run::is_below_any;
use super::opened::{Opened, open_to_write};
use super::periodic_check::remember_repair;
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::tree_walk::{Next, Selection, Visit, walk};
use super::views::holds_objects;
use crate::disk::RealDisk;
use crate::index::{Finder, Tree};
use crate::model::{Entry, EntryKind, TreePath};
use crate::observe::{Event, Phase};
use last_verified::{LastVerified, Unfinished};
use repair::WRONG_MAX;
pub(super) use repair::Wrong;
use std::collections::{BTreeMap, BTreeSet};
use subset::{Chooser, Weights};
use time::OffsetDateTime;

/// Verifies one job. Takes no lock, and changes nothing but the quarantine.
///
/// Never fails: what went wrong is the outcome of the report.
pub fn verify(
    configuration: &Configuration,
    job: &Job,
    options: &VerifyOptions,
    surroundings: &Surroundings<'_>,
) -> VerifyReport {
    surroundings.observer.event(&Event::JobStarted { job: &job.name });
    let mut report = VerifyReport::new(&job.name, options.what, now(surroundings));
    let mut found = Found::default();
    let looked = verify_one(configuration, job, options, None, surroundings, &mut report, &mut found)
        .map_err(|halt| halt.when_stopped_by(surroundings.stop.signal()));
    let is_complete = looked.is_ok();
    let ended = looked.and_then(|()| match options.repair {
        true => {
            repair::repair(configuration, job, &mut found, &RunBudget::default(), surroundings, &mut report)
        }
        false => Ok(()),
    });
    // What was found counts, whatever ended the look or the repair.
    let concluded = match is_complete || found.says_something() {
        true => conclude_check(configuration, job, options, is_complete, surroundings, &mut report, &found),
        false => Ok(()),
    };
    let ended = worse_of(ended, concluded);
    if let Some(sent) = &mut report.repair_run {
        // Its own warnings are in the report already.
        let told = sent.warnings.len();
        remember_repair(configuration, job, surroundings, sent);
        report.warnings.extend(sent.warnings.drain(told..));
    }
    finish(ended, report, surroundings)
}

/// The check of the mirror after a backup: one listing, compared with the index,
/// while no other run changes either. Looks and repairs within `budget`.
///
/// # Errors
/// When it could not be made; then nothing was concluded and nothing repaired. What was
/// seen until then is kept, and the next one goes on.
pub(super) fn check_mirror(
    configuration: &Configuration,
    job: &Job,
    may_repair: bool,
    budget: &RunBudget,
    surroundings: &Surroundings<'_>,
) -> Result<VerifyReport, Halt> {
    let options = VerifyOptions::check(may_repair);
    let mut report = VerifyReport::new(&job.name, options.what, now(surroundings));
    let mut found = Found::default();
    let held = open_to_write(configuration, job, surroundings)?;
    let before = CheckState::load(&held.state)?;
    verify_one(configuration, job, &options, Some(budget), surroundings, &mut report, &mut found)?;
    drop(held);
    if may_repair && !found.dark.is_empty() {
        let fresh: BTreeSet<_> =
            found.dark.iter().filter(|folder| !before.was_dark(folder)).cloned().collect();
        found.postponed = found.take_below(&fresh);
    }
    let ended = match may_repair {
        true => repair::repair(configuration, job, &mut found, budget, surroundings, &mut report),
        false => Ok(()),
    };
    found.wrong.append(&mut found.postponed);
    let ended = ended
        .and_then(|()| conclude_check(configuration, job, &options, true, surroundings, &mut report, &found));
    ended.map(|()| finish(Ok(()), report, surroundings))
}

fn finish(
    ended: Result<(), Halt>,
    mut report: VerifyReport,
    surroundings: &Surroundings<'_>,
) -> VerifyReport {
    report.finished = now(surroundings);
    let found = (report.files_damaged + report.files_missing).saturating_sub(report.files_repaired);
    let repair_outcome = report.repair_run.as_ref().map(|run| run.outcome.clone());
    report.outcome = match (ended, repair_outcome) {
        // What was found counts more than why it ended early, but for signals.
        (Err(halt), _) => JobOutcome::from(halt),
        (Ok(()), Some(outcome)) if !matches!(outcome, JobOutcome::Protected | JobOutcome::Unprotected) => {
            outcome
        }
        (Ok(()), _) if found > 0 => JobOutcome::Damaged { message: words(&report) },
        (Ok(()), _) if report.files_failed > 0 => JobOutcome::Unprotected,
        (Ok(()), _) => JobOutcome::Protected,
    };
    report
}

/// What was found wrong on the mirror.
#[derive(Default)]
struct Found {
    /// What a repair has to see to.
    wrong: BTreeMap<TreePath, Wrong>,
    /// What it leaves alone until it is seen once more.
    postponed: BTreeMap<TreePath, Wrong>,
    /// Folders that list nothing at all, where much is known to be. OpenList answers
    /// every error so.
    dark: BTreeSet<TreePath>,
    /// What a repair saw to, or the source by a newer version: the index admits what is
    /// left of it, and runs name it by themselves.
    sent_again: BTreeSet<TreePath>,
    /// What was found to be wrong before.
    known_wrong: BTreeSet<TreePath>,
    /// Of those, what is as it should be now.
    good_again: BTreeSet<TreePath>,
    /// When the check began of which this is the end.
    began_seconds: Option<i64>,
}

impl Found {
    /// There is something to remember or to forget.
    fn says_something(&self) -> bool {
        !self.wrong.is_empty() || !self.good_again.is_empty()
    }

    /// It is to be forgotten, also where it was known before.
    fn no_longer_wrong(&mut self, path: &TreePath) {
        self.wrong.remove(path);
        self.postponed.remove(path);
        self.sent_again.insert(path.clone());
    }

    /// Takes out what lies below one of `folders`.
    fn take_below(&mut self, folders: &BTreeSet<TreePath>) -> BTreeMap<TreePath, Wrong> {
        let all = std::mem::take(&mut self.wrong);
        let (below, rest) = all.into_iter().partition(|(path, _)| is_below_any(folders, path));
        self.wrong = rest;
        below
    }
}

/// What is wrong is remembered until it is sent again. A whole look at the mirror is
/// a check: the next one is due later. One that is not complete says nothing of what it did not see.
fn conclude_check(
    configuration: &Configuration,
    job: &Job,
    options: &VerifyOptions,
    is_complete: bool,
    surroundings: &Surroundings<'_>,
    report: &mut VerifyReport,
    found: &Found,
) -> Result<(), Halt> {
    if options.what == What::Source {
        return Ok(());
    }
    let opened = open_with_index(configuration, job, surroundings)?;
    if opened.docket.facts.last_run != report.snapshot && report.repair_run.is_none() {
        report
            .warnings
            .push("a backup ran meanwhile: files that it changed may be named here. Verify again".into());
        return Ok(());
    }
    let mut check = CheckState::load(&opened.state)?;
    let tree = Tree::new(&opened.nodes, opened.docket.base, surroundings.observer);
    let by_content = options.what == What::Download;
    check.forget(&found.sent_again);
    check.forget_good(&found.good_again, by_content);
    let is_check = is_complete && options.subset == Subset::All && options.paths.is_empty();
    if is_check {
        check.begin_anew(by_content);
        check.note_dark(&found.dark);
        check.checked_seconds = Some(found.began_seconds.unwrap_or(report.started.unix_timestamp()));
    }
    check.remember(&found.wrong, by_content, &tree)?;
    let disk = RealDisk::new(surroundings.observer);
    check.save(&opened.state, &disk)?;
    match is_check {
        true => CheckProgress::forget(&opened.state, &disk),
        false => Ok(()),
    }
}

/// UTC.
pub(super) fn now(surroundings: &Surroundings<'_>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(surroundings.now_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn words(report: &VerifyReport) -> String {
    let damaged = match report.what {
        What::Source => "rotten in the source; the remote holds the good version",
        What::Listing | What::Download => "other than what was sent",
    };
    let counts = [(report.files_damaged, damaged), (report.files_missing, "missing on the remote")];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", figures::files(*count)))
        .collect();
    told.join(", ")
}

fn verify_one(
    configuration: &Configuration,
    job: &Job,
    options: &VerifyOptions,
    check: Option<&RunBudget>,
    surroundings: &Surroundings<'_>,
    report: &mut VerifyReport,
    found: &mut Found,
) -> Result<(), Halt> {
    let opened = open_with_index(configuration, job, surroundings)?;
    report.snapshot = opened.docket.facts.last_run;
    if options.what != What::Source {
        // What is missing at another place is no damage, and must not be remembered as such.
        guards::remote_is_the_same(job, &opened.docket.facts, &[])?;
        found.known_wrong = CheckState::load(&opened.state)?.paths();
    }
    let observer = surroundings.observer;
    let tree = Tree::new(&opened.nodes, opened.docket.base, observer);
    let selection = Selection::new(&options.paths);
    for path in selection.paths().iter().filter(|path| !path.is_root()) {
        if matches!(Finder::new(&tree).find(path), Ok(None)) {
            return Err(Halt::Configuration(format!("there is no {path} in the index")));
        }
    }
    observer.event(&Event::PhaseStarted(Phase::Plan));
    let mut ledger = LastVerified::load(&opened.state)?;
    let (chooser, parts) = choose(&tree, &selection, options, &mut ledger, surroundings)?;
    let (files, bytes) = count(&tree, &selection, &chooser, surroundings)?;
    report.files_selected = files;
    observer.event(&Event::PhaseStarted(Phase::Verify));
    observer.event(&Event::WorkPlanned { phase: Phase::Verify, files, bytes });
    let (mut done, mut unkept) = (None, None);
    let verifying = Verifying {
        job,
        opened: &opened,
        tree,
        selection: selection.clone(),
        chooser,
        surroundings,
        report,
        found,
        check,
        done: &mut done,
    };
    let verified = match options.what {
        What::Source => source::verify(verifying),
        What::Listing | What::Download => remote::verify(verifying),
    };
    if selection.is_all() || options.subset != Subset::All {
        let kind = ledger.of(options.what, &selection);
        match (&verified, done) {
            (Ok(()), _) => kind.note(parts, surroundings.now_seconds()),
            (Err(_), Some(done)) if options.subset != Subset::All => {
                kind.unfinished = Some(Unfinished::new(parts, &done));
            }
            (Err(_), _) => return verified,
        }
        if let Err(halt) = ledger.save(&opened.state, &RealDisk::new(observer)) {
            unkept = Some(format!("it could not be written down what was verified: {halt}"));
        }
    }
    report.warnings.extend(unkept);
    verified
}

/// Which files it is this time, and the parts they are in. An interrupted share
/// comes first.
fn choose(
    tree: &Tree<'_>,
    selection: &Selection,
    options: &VerifyOptions,
    ledger: &mut LastVerified,
    surroundings: &Surroundings<'_>,
) -> Result<(Chooser, Vec<u16>), Halt> {
    let mut weights = Weights::new();
    if options.subset == Subset::All {
        let all = weights.choose(Subset::All, ledger.of(options.what, selection));
        return Ok((Chooser::default(), all));
    }
    if let Some(unfinished) = ledger.of(options.what, selection).unfinished.clone() {
        return Ok((Chooser::new(&unfinished.parts, unfinished.done()), unfinished.parts));
    }
    walk(tree, selection, &mut |path, visit| {
        surroundings.halt_if_stopped()?;
        if let Visit::Entry(entry) = visit
            && entry.kind == EntryKind::File
        {
            weights.add(path, entry.stamp.size);
        }
        Ok(Next::Into)
    })?;
    let parts = weights.choose(options.subset, ledger.of(options.what, selection));
    Ok((Chooser::new(&parts, None), parts))
}

/// A verification under way.
struct Verifying<'a> {
    job: &'a Job,
    opened: &'a Opened,
    tree: Tree<'a>,
    selection: Selection,
    chooser: Chooser,
    surroundings: &'a Surroundings<'a>,
    report: &'a mut VerifyReport,
    found: &'a mut Found,
    /// It is the check after a backup, within this budget.
    check: Option<&'a RunBudget>,
    /// Up to here, in path order, everything is verified.
    done: &'a mut Option<TreePath>,
}

impl Verifying<'_> {
    /// Names a file of the mirror that a repair may send again.
    fn find_wrong(&mut self, path: &TreePath, wrong: Wrong, reason: &str) {
        match wrong {
            Wrong::Missing => self.report.files_missing += 1,
            Wrong::Damaged => self.report.files_damaged += 1,
        }
        if self.found.wrong.len() < WRONG_MAX {
            self.found.wrong.insert(path.clone(), wrong);
        }
        self.find(path, reason);
    }

    /// The mirror holds more than the source had at the last backup.
    fn has_kept(&self) -> bool {
        let kept = Tree::new(&self.opened.nodes, self.opened.docket.kept, self.surroundings.observer);
        self.opened.docket.kept.is_some_and(|root| holds_objects(&kept, &root.pointer))
    }

    /// Names something wrong.
    fn find(&mut self, path: &TreePath, reason: &str) {
        self.surroundings.observer.event(&Event::Finding { path, reason });
        self.report.findings.add(path.clone(), reason);
    }

    /// What was wrong before and was put right since need not be named any more.
    fn note_good(&mut self, path: &TreePath) {
        if self.found.known_wrong.contains(path) {
            self.found.good_again.insert(path.clone());
        }
    }

    /// A file is as it should be.
    fn good(&mut self, path: &TreePath, bytes: u64) {
        self.report.files_verified += 1;
        self.report.bytes_verified += bytes;
        self.note_good(path);
        self.surroundings.observer.event(&Event::FileDone { path, bytes });
    }
}

/// Files and bytes that are to be verified.
fn count(
    tree: &Tree<'_>,
    selection: &Selection,
    chooser: &Chooser,
    surroundings: &Surroundings<'_>,
) -> Result<(u64, u64), Halt> {
    if selection.is_all() && chooser.is_all() {
        return Ok(tree.root_with_totals().map_or((0, 0), |root| (root.totals.files, root.totals.bytes)));
    }
    let (mut files, mut bytes) = (0, 0);
    walk(tree, selection, &mut |path, visit| {
        surroundings.halt_if_stopped()?;
        if let Visit::Entry(entry) = visit
            && is_chosen(path, entry, chooser)
        {
            files += 1;
            bytes += entry.stamp.size;
        }
        Ok(Next::Into)
    })?;
    Ok((files, bytes))
}

fn is_chosen(path: &TreePath, entry: &Entry<'_>, chooser: &Chooser) -> bool {
    entry.kind == EntryKind::File && chooser.chooses(path)
}
