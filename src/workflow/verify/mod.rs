//! The recipe `verify`: is everything still what the index says?

mod content;
mod options;
mod remote;
mod repair;
mod sorted_listing;
mod source;
mod subset;

pub use options::{VerifyOptions, VerifyReport, What};
pub use subset::Subset;

use super::configuration::{Configuration, Job};
use super::halt::Halt;
use super::history::open_with_index;
use super::opened::Opened;
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::tree_walk::{Next, Selection, Visit, walk};
use crate::index::{Finder, Tree};
use crate::model::{Entry, EntryKind, TreePath};
use crate::observe::{Event, Phase};
use repair::{WRONG_MAX, Wrong};
use std::collections::BTreeMap;
use subset::Chooser;
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
    let mut wrong = BTreeMap::new();
    let ended =
        verify_one(configuration, job, options, surroundings, &mut report, &mut wrong).and_then(|()| {
            if options.repair {
                repair::repair(configuration, job, &wrong, surroundings, &mut report)?;
            }
            Ok(())
        });
    report.finished = now(surroundings);
    let found = (report.files_damaged + report.files_missing + report.files_surplus)
        .saturating_sub(report.files_repaired);
    report.outcome = match ended {
        // What was found counts more than why it ended early, but for signals.
        Err(halt) => JobOutcome::from(halt),
        Ok(()) if report.repair_outcome.is_some() => {
            report.repair_outcome.take().unwrap_or(JobOutcome::Protected)
        }
        Ok(()) if found > 0 => JobOutcome::Damaged { message: words(&report) },
        Ok(()) if report.files_failed > 0 => JobOutcome::Unprotected,
        Ok(()) => JobOutcome::Protected,
    };
    report
}

fn now(surroundings: &Surroundings<'_>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(surroundings.now_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn words(report: &VerifyReport) -> String {
    let damaged = match report.what {
        What::Source => "rotten in the source; the remote holds the good version",
        What::Listing | What::Download => "other than what was sent",
    };
    let counts = [
        (report.files_damaged, damaged),
        (report.files_missing, "missing on the remote"),
        (report.files_surplus, "on the remote that nobody knows of"),
    ];
    let told: Vec<String> = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} files {what}"))
        .collect();
    told.join(", ")
}

fn verify_one(
    configuration: &Configuration,
    job: &Job,
    options: &VerifyOptions,
    surroundings: &Surroundings<'_>,
    report: &mut VerifyReport,
    wrong: &mut BTreeMap<TreePath, Wrong>,
) -> Result<(), Halt> {
    let opened = open_with_index(configuration, job, surroundings)?;
    report.snapshot = opened.docket.facts.last_run;
    let observer = surroundings.observer;
    let tree = Tree::new(&opened.nodes, opened.docket.base, observer);
    let selection = Selection::new(&options.paths);
    for path in selection.paths().iter().filter(|path| !path.is_root()) {
        if matches!(Finder::new(&tree).find(path), Ok(None)) {
            return Err(Halt::Configuration(format!("there is no {path} in the index")));
        }
    }
    observer.event(&Event::PhaseStarted(Phase::Plan));
    let (files, bytes) = count(&tree, &selection, &Chooser::new(Subset::All, 0, 0), surroundings)?;
    let chooser = Chooser::new(options.subset, surroundings.now_seconds() as u64, bytes);
    let (files, bytes) =
        if chooser.is_all() { (files, bytes) } else { count(&tree, &selection, &chooser, surroundings)? };
    report.files_selected = files;
    observer.event(&Event::PhaseStarted(Phase::Verify));
    observer.event(&Event::WorkPlanned { phase: Phase::Verify, files, bytes });
    let verifying = Verifying { job, opened: &opened, tree, selection, chooser, surroundings, report, wrong };
    match options.what {
        What::Source => source::verify(verifying),
        What::Listing | What::Download => remote::verify(verifying),
    }
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
    /// What a repair has to see to.
    wrong: &'a mut BTreeMap<TreePath, Wrong>,
}

impl Verifying<'_> {
    /// Names a file of the mirror that a repair may send again.
    fn find_wrong(&mut self, path: &TreePath, wrong: Wrong, reason: &str) {
        match wrong {
            Wrong::Missing => self.report.files_missing += 1,
            Wrong::Damaged => self.report.files_damaged += 1,
        }
        if self.wrong.len() < WRONG_MAX {
            self.wrong.insert(path.clone(), wrong);
        }
        self.find(path, reason);
    }

    /// The mirror holds more than the source had at the last backup.
    fn has_kept(&self) -> bool {
        self.opened.docket.kept.is_some_and(|kept| kept.totals.files > 0)
    }

    /// Names something wrong.
    fn find(&mut self, path: &TreePath, reason: &str) {
        self.surroundings.observer.event(&Event::Finding { path, reason });
        self.report.findings.add(path.clone(), reason);
    }

    /// A file is as it should be.
    fn good(&mut self, path: &TreePath, bytes: u64) {
        self.report.files_verified += 1;
        self.report.bytes_verified += bytes;
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
