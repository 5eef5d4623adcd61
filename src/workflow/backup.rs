//! The recipe `backup`, and `plan`, which is the same and stops before it sends.

use super::checks::places_are_apart;
use super::committed::Committed;
use super::configuration::{Configuration, Job};
use super::connect::Connector;
use super::halt::{Halt, worse_of};
use super::job_run::JobRun;
use super::opened::{map_mode, open_to_look, open_to_write};
use super::options::{BackupOptions, Guard};
use super::report::{JobOutcome, JobReport};
use super::surroundings::Surroundings;
use super::{
    compare, forecast, guards, hash_fill, housekeeping, lanes, last_run, left, legacy_trash, periodic_check,
    prune, recover, source, unknown,
};
use crate::index::PendingStore;
use crate::observe::Event;
use crate::plan::Tally;
use std::time::Instant;
use time::OffsetDateTime;

/// Backs up one job, or in a dry run says what that would do.
///
/// Never fails: what went wrong is the outcome of the report.
pub fn backup(
    configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    surroundings: &Surroundings<'_>,
) -> JobReport {
    let stopwatch = Instant::now();
    let mut report = back_up_unchecked(configuration, job, options, surroundings);
    periodic_check::run_if_due(configuration, job, options, surroundings, &mut report);
    report.elapsed = Some(stopwatch.elapsed());
    if !options.dry_run {
        last_run::write(configuration, job, &mut report);
    }
    report
}

/// The same without the check of the mirror, which begins runs of its own, and
/// not yet remembered.
pub(super) fn back_up_unchecked(
    configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    surroundings: &Surroundings<'_>,
) -> JobReport {
    surroundings.observer.event(&Event::JobStarted { job: &job.name });
    let mut report = JobReport::new(&job.name, now(surroundings));
    report.dry_run = options.dry_run;
    let ended = back_up_one(configuration, job, options, surroundings, &mut report)
        .map_err(|halt| halt.when_stopped_by(surroundings.stop.signal()));
    report.finished = now(surroundings);
    report.outcome = match ended {
        // The worse of the two; what is left is in the report all the same.
        Err(Halt::BudgetSpent(_)) if report.unprotected.with_reason() > 0 => JobOutcome::Unprotected,
        Err(halt) => JobOutcome::from(halt),
        Ok(()) if report.unprotected.total > 0 => JobOutcome::Unprotected,
        Ok(()) => JobOutcome::Protected,
    };
    report.was_protected = report.outcome == JobOutcome::Protected;
    report
}

fn now(surroundings: &Surroundings<'_>) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(surroundings.now_seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The flow, top to bottom.
fn back_up_one(
    configuration: &Configuration,
    job: &Job,
    options: &BackupOptions,
    surroundings: &Surroundings<'_>,
    report: &mut JobReport,
) -> Result<(), Halt> {
    surroundings.halt_if_stopped()?;
    if let Some(budget) = options.budget.bars_next_job() {
        return Err(Halt::BudgetSpent(format!("{budget}, before this job had its turn")));
    }
    places_are_apart(configuration, job).map_err(Halt::Configuration)?;
    let opened = match options.dry_run {
        true => open_to_look(configuration, job, surroundings)?,
        false => open_to_write(configuration, job, surroundings)?,
    };
    let connector = Connector::new(job, &opened.state, surroundings);
    let mut committed = Committed::of(&opened, &connector);
    if !options.dry_run {
        recover::end_orphan(&opened.state)?;
    }
    // Before what an interrupted run left open is looked for, at the wrong place.
    guards::job_is_the_same(job, &committed, options)?;
    let mut recovered = Ok(());
    if !options.dry_run {
        recovered = recover::fold_interrupted(&mut committed, &connector, options.budget.deadline());
    }
    // Over trouble with the remote nothing is sent, but what is not protected is counted all the same.
    if recovered.as_ref().is_err_and(|halt| !halt.is_of_remote()) {
        return recovered;
    }

    let store = PendingStore::new(&opened.scratch, surroundings.observer);
    let is_first = !committed.is_claimed && !options.dry_run;
    let scanned = connector.while_asking(is_first, configuration, || {
        source::scan(configuration, job, options, &committed, &store, surroundings, report)
    })?;
    let pending = store
        .finish(Some(scanned.report.root), Some(&opened.nodes), map_mode(&opened.scratch))
        .map_err(|error| Halt::Fatal(format!("completing the pending tree: {error}")))?;
    if let Err(halt) = guards::after_scan(job, &committed, &scanned, options) {
        return worse_of(recovered, Err(halt));
    }

    let lets_pass = is_first && options.accepts(Guard::NonemptyRemote);
    let foreign = unknown::with_foreign(lets_pass, &connector, &opened, &pending)?;
    committed.unknown = &foreign;
    let root = source::open_root(job)?;
    let mut run = JobRun::new(&connector, options, committed, &root, &pending, &scanned, report);
    if recovered.is_err() {
        return left::settle(&mut run, recovered);
    }
    if !run.has_work(&scanned)? {
        return end_unchanged(run);
    }
    if options.dry_run {
        connector.check_for_plan(configuration)?;
    }
    let tally = compare::count_and_guard(&mut run)?;
    forecast::note(&mut run, &tally);
    if options.dry_run {
        left::forecast(&mut run, &tally);
        return Ok(());
    }
    send(run, &tally)
}

/// The lanes, their commit, and what can wait.
fn send(mut run: JobRun<'_>, tally: &Tally) -> Result<(), Halt> {
    let driven = lanes::drive(&mut run, tally);
    run.name_lost_mounts();
    if run.was_stopped_before_sending(&driven) {
        return left::settle(&mut run, driven);
    }
    // What is confirmed is committed, whatever ended the lanes.
    let finished = run.finish(&driven);
    let has_ended_early = driven.is_err();
    worse_of(left::settle(&mut run, driven), finished)?;
    if has_ended_early {
        return Ok(());
    }
    run.halt_if_all_was_refused()?;
    run.halt_if_denied()?;
    keep_house(run)
}

/// Nothing to send.
fn end_unchanged(mut run: JobRun<'_>) -> Result<(), Halt> {
    run.report.files_unchanged = run.report.files_scanned;
    run.forget_mounts()?;
    prune::expired_trash(&mut run)?;
    hash_fill::fill_in(&mut run)?;
    housekeeping::compact_if_needed(run);
    Ok(())
}

/// What can wait. It changes the docket, so it is not for a run that leaves a journal: that names moves
/// for the next run to look at, and belongs to the docket as it is.
fn keep_house(mut run: JobRun<'_>) -> Result<(), Halt> {
    prune::expired_trash(&mut run)?;
    legacy_trash::purge_expired(&mut run)?;
    hash_fill::fill_in(&mut run)?;
    housekeeping::compact_if_needed(run);
    Ok(())
}
