//! The recipe `restore`: a state of the past or the newest one, fetched in
//! batches. No file gets its name before its content was checked.

mod destination;
mod moved_last;
mod options;
mod restoring;
mod staging;

pub use options::{Overwrite, RestoreOptions, RestoreReport};

use super::configuration::{Configuration, Job};
use super::halt::Halt;
use super::history::{Locator, State, open_with_index};
use super::report::JobOutcome;
use super::surroundings::Surroundings;
use super::tree_walk::{Next, Selection, Visit, walk};
use super::way::{Way, control_for_looking};
use super::{figures, guards};
use crate::index::Tree;
use crate::model::EntryKind;
use crate::observe::{Event, Phase};
use moved_last::MovedLast;
use restoring::Restoring;
use time::OffsetDateTime;

/// Restores from the mirror and the trash of one job. Takes no lock.
///
/// Never fails: what went wrong is the outcome of the report.
pub fn restore(
    configuration: &Configuration,
    job: &Job,
    options: &RestoreOptions,
    surroundings: &Surroundings<'_>,
) -> RestoreReport {
    surroundings.observer.event(&Event::JobStarted { job: &job.name });
    let mut report = RestoreReport::new(&job.name, options, now(surroundings));
    let ended = restore_one(configuration, job, options, surroundings, &mut report);
    report.finished = now(surroundings);
    report.outcome = match ended {
        Err(halt) => JobOutcome::from(halt),
        Ok(()) if report.files_damaged > 0 => JobOutcome::Damaged {
            message: format!(
                "{} not what was sent",
                figures::counted(report.files_damaged, "file on the remote is", "files on the remote are")
            ),
        },
        Ok(()) if report.not_restored.total > 0 => JobOutcome::Unprotected,
        Ok(()) => JobOutcome::Protected,
    };
    report
}

fn now(surroundings: &Surroundings<'_>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(surroundings.now_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn restore_one(
    configuration: &Configuration,
    job: &Job,
    options: &RestoreOptions,
    surroundings: &Surroundings<'_>,
    report: &mut RestoreReport,
) -> Result<(), Halt> {
    let opened = open_with_index(configuration, job, surroundings)?;
    let state = State::find(&opened, &options.at)?;
    report.snapshot = state.run;
    let observer = surroundings.observer;
    let tree = state.tree(&opened, observer);
    let selection = Selection::new(&options.paths);
    observer.event(&Event::PhaseStarted(Phase::Plan));
    let (files, bytes) = count(&tree, &selection, surroundings)?;
    observer.event(&Event::PhaseStarted(Phase::Restore));
    observer.event(&Event::WorkPlanned { phase: Phase::Restore, files, bytes });
    report.files_selected = files;

    let docket = &opened.docket;
    if let Some(before) = guards::remote_before(job, &docket.facts) {
        // No guard: whoever restores may have no other place left, and every content is checked.
        let sentence = format!(
            "the index speaks of the mirror at {before}, and `remote` in the configuration is {:?}: the files are looked \
             for there",
            job.remote
        );
        observer.event(&Event::Warning(&sentence));
        report.warnings.push(sentence);
    }
    let trees =
        [Tree::new(&opened.nodes, docket.base, observer), Tree::new(&opened.nodes, docket.kept, observer)];
    let control = control_for_looking(surroundings);
    let way = Way::new(job, docket, &control, surroundings);
    let locator = Locator::new(&state, &opened, &trees);
    let moved_last = MovedLast::read(&opened)?;
    let mut restoring = Restoring::new(options, way, locator, moved_last, report)?;
    let Some(selection) = restoring.name_missing(&tree, selection)? else { return Ok(()) };
    restoring.drive(&tree, &selection)?;
    restoring.finish_folders(&tree, &selection)?;
    restoring.conclude()
}

/// Files and bytes that are asked for.
fn count(
    tree: &Tree<'_>,
    selection: &Selection,
    surroundings: &Surroundings<'_>,
) -> Result<(u64, u64), Halt> {
    if selection.is_all() {
        return Ok(tree.root_with_totals().map_or((0, 0), |root| (root.totals.files, root.totals.bytes)));
    }
    let (mut files, mut bytes) = (0, 0);
    walk(tree, selection, &mut |_, visit| {
        surroundings.halt_if_stopped()?;
        if let Visit::Entry(entry) = visit
            && entry.kind == EntryKind::File
        {
            files += 1;
            bytes += entry.stamp.size;
        }
        Ok(Next::Into)
    })?;
    Ok((files, bytes))
}
